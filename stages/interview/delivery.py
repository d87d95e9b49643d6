"""How an answer was spoken: pace, pauses, fillers, the first word. Measured, never judged. Pure.

Everything comes from the recogniser's word times and the length of the audio. A value that they do
not give is None, never a guess.
"""

from collections import Counter
from dataclasses import dataclass

from pipeline.frames import Word
from stages.interview.answers import AnswerSpeech, InterviewAnswer, RecognitionSource
from stages.interview.cue_lists import CUES
from stages.interview.wording import Wording

PAUSE_MS = 500
"""Silence between two words of this length or more is a pause."""

WINDOW_MS = 10_000
"""The speaking rate over time is counted in windows of this length."""

MAX_PAUSES = 200
"""At most this many pauses are listed; all are counted."""

MAX_WINDOWS = 120

_FEWEST_WORDS = 5
_SHORTEST_MS = 2_000
"""With fewer words or less time, the pace means nothing."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence inside an answer; `at_ms` is its start in the audio."""

    at_ms: int
    length_ms: int


@dataclass(frozen=True, slots=True)
class Pace:
    """The speaking rate in the window that begins at `at_ms` of the audio."""

    at_ms: int
    words_per_minute: int


@dataclass(frozen=True, slots=True)
class Filler:
    """A filler and how often it was heard."""

    text: str
    count: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """The delivery of one answer, by the word times of `recognition`.

    `words_per_minute` counts from the first word to the end of the last, pauses included;
    `talk_ratio` is the share of the audio (0..1) without the silence before, after and in pauses.
    `time_to_first_word_ms` counts from the end of the question if that is known, otherwise from the
    start of the audio. `fillers` is None for demo recognition, which mishears them.
    """

    recognition: RecognitionSource
    words: int
    duration_ms: int | None = None
    words_per_minute: int | None = None
    time_to_first_word_ms: int | None = None
    talk_ratio: float | None = None
    pause_count: int | None = None
    pause_total_ms: int | None = None
    pause_longest_ms: int | None = None
    pauses: tuple[Pause, ...] = ()
    pace: tuple[Pace, ...] = ()
    fillers: tuple[Filler, ...] | None = None
    fillers_per_minute: float | None = None


def delivery_of(answer: InterviewAnswer) -> Delivery | None:
    """How the answer was spoken; None for a typed answer."""
    speech = answer.speech
    if speech is None:
        return None
    wording = Wording(answer.text)
    duration = speech.duration_ms
    count = len(speech.words) or len(wording.words)
    if speech.words:
        begins, ends = speech.words[0].start_ms, max(word.end_ms for word in speech.words)
        duration = max(duration or 0.0, ends) or None
        spoken_ms: float | None = ends - begins
    else:
        spoken_ms = duration
    fillers = _fillers(wording, answer)
    minutes = (spoken_ms or 0) / 60_000
    timed = _timed(speech.words, speech, duration) if speech.words else _Timed()
    return Delivery(
        speech.recognition,
        count,
        duration_ms=None if duration is None else round(duration),
        words_per_minute=_rate(count, spoken_ms),
        time_to_first_word_ms=timed.first_ms,
        talk_ratio=timed.talk_ratio,
        pause_count=timed.count,
        pause_total_ms=timed.total_ms,
        pause_longest_ms=timed.longest_ms,
        pauses=timed.pauses,
        pace=timed.pace,
        fillers=fillers,
        fillers_per_minute=(
            round(sum(f.count for f in fillers) / minutes, 1)
            if fillers is not None and minutes * 60_000 >= _SHORTEST_MS
            else None
        ),
    )


@dataclass(frozen=True, slots=True)
class _Timed:
    """The values that need word times."""

    first_ms: int | None = None
    talk_ratio: float | None = None
    count: int | None = None
    total_ms: int | None = None
    longest_ms: int | None = None
    pauses: tuple[Pause, ...] = ()
    pace: tuple[Pace, ...] = ()


def _timed(words: tuple[Word, ...], speech: AnswerSpeech, duration: float | None) -> _Timed:
    pauses = _pauses(words)
    total = sum(pause.length_ms for pause in pauses)
    begins, ends = words[0].start_ms, max(word.end_ms for word in words)
    return _Timed(
        first_ms=round((speech.wait_ms or 0) + begins),
        talk_ratio=round(min(1.0, (ends - begins - total) / duration), 3) if duration else None,
        count=len(pauses),
        total_ms=total,
        longest_ms=max((pause.length_ms for pause in pauses), default=0),
        pauses=tuple(pauses[:MAX_PAUSES]),
        pace=_pace(words),
    )


def _pauses(words: tuple[Word, ...]) -> list[Pause]:
    pauses, silent_from = [], words[0].end_ms
    for word in words[1:]:
        if word.start_ms - silent_from > PAUSE_MS:
            pauses.append(Pause(round(silent_from), round(word.start_ms - silent_from)))
        silent_from = max(silent_from, word.end_ms)
    return pauses


def _pace(words: tuple[Word, ...]) -> tuple[Pace, ...]:
    """The rate in each window from the first word on; a short rest belongs to the window before."""
    begins, ends = words[0].start_ms, max(word.end_ms for word in words)
    windows = min(MAX_WINDOWS, max(1, int((ends - begins) / WINDOW_MS + 0.5)))
    counts = Counter(min(windows - 1, int((word.start_ms - begins) / WINDOW_MS)) for word in words)
    if _rate(len(words), ends - begins) is None:
        return ()
    lengths = [WINDOW_MS] * (windows - 1) + [ends - begins - WINDOW_MS * (windows - 1)]
    return tuple(
        Pace(round(begins + n * WINDOW_MS), round(counts[n] * 60_000 / length))
        for n, length in enumerate(lengths)
    )


def _rate(count: int, spoken_ms: float | None) -> int | None:
    if spoken_ms is None or spoken_ms < _SHORTEST_MS or count < _FEWEST_WORDS:
        return None
    return round(count * 60_000 / spoken_ms)


def _fillers(wording: Wording, answer: InterviewAnswer) -> tuple[Filler, ...] | None:
    if answer.recognition is not None and answer.recognition.quality == "demo":
        return None
    counts = Counter(found[0] for found in CUES[answer.language].fillers.finditer(wording.line))
    return tuple(Filler(text, count) for text, count in counts.most_common())
