"""The transcript of an uploaded answer and measures of its delivery, for the evaluation. Pure."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gateway.interviews.uploads.segments import Span
from pipeline.frames import INPUT_RATE_HZ, Transcript, Word
from stages.interview.answers import AnswerSpeech, RecognitionSource
from stages.interview.delivery import MAX_PAUSES, PAUSE_MS, Delivery, Pause

_MS = INPUT_RATE_HZ / 1000


@dataclass(frozen=True, slots=True)
class Part:
    """One recognised piece: its place in the recording, its words and its provider."""

    span: Span
    transcript: Transcript
    provider: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class UploadTranscript:
    """An uploaded answer as text. Times are milliseconds from the start of the recording.

    `recognition` names the provider of the worst piece; its confidence is the mean over the pieces,
    weighted by length, and its language that of most of the recording. `note` is a remark for
    people about the provider ("demo quality"). `pauses` and `first_speech_ms` come from voice
    detection, so they are known even if the recogniser gives no times; `first_speech_ms` is None
    if there is no speech. `truncated` says that the end of the file was missing, `lost_ms` how much
    of it before its end could not be read.
    """

    text: str
    recognition: RecognitionSource
    note: str
    words: tuple[Word, ...]
    duration_ms: int
    first_speech_ms: int | None
    last_speech_ms: int | None
    pauses: tuple[Pause, ...]
    truncated: bool = False
    lost_ms: int = 0

    @property
    def speech(self) -> AnswerSpeech:
        """Details for `stages.interview.answers.Answer`; the wait before an upload is unknown."""
        return AnswerSpeech(self.recognition, self.words, self.duration_ms)

    def measured(self, delivery: Delivery) -> Delivery:
        """The delivery, completed from voice detection if there are no word times."""
        if self.words or self.first_speech_ms is None or self.last_speech_ms is None:
            return delivery
        total_ms = sum(pause.length_ms for pause in self.pauses)
        span_ms = self.last_speech_ms - self.first_speech_ms
        rate = delivery.words_per_minute
        if rate is not None and span_ms > 0:  # the given rate is over the whole recording
            rate = round(delivery.words * 60_000 / span_ms)
        return dataclasses.replace(
            delivery,
            words_per_minute=rate,
            time_to_first_word_ms=self.first_speech_ms,
            talk_ratio=round((span_ms - total_ms) / max(1, self.duration_ms), 3),
            pause_count=len(self.pauses),
            pause_total_ms=total_ms,
            pause_longest_ms=max((pause.length_ms for pause in self.pauses), default=0),
            pauses=self.pauses[:MAX_PAUSES],
        )


def joined(
    parts: Sequence[Part],
    runs: Sequence[Span],
    samples: int,
    *,
    first: str,
    truncated: bool,
    lost_ms: int = 0,
) -> UploadTranscript:
    """The transcript of a recording of `samples` samples from its recognised pieces.

    `runs` are the runs of speech; `first` is the provider to name if there are no pieces.
    """
    return UploadTranscript(
        text=" ".join(text for part in parts if (text := part.transcript.text.strip())),
        recognition=_recognition(parts, first),
        note=next((part.note for part in parts if part.note), ""),
        words=tuple(word for part in parts for word in _moved(part)),
        duration_ms=round(samples / _MS),
        first_speech_ms=round(runs[0].start / _MS) if runs else None,
        last_speech_ms=round(runs[-1].end / _MS) if runs else None,
        pauses=_pauses(runs),
        truncated=truncated,
        lost_ms=lost_ms,
    )


def _recognition(parts: Sequence[Part], first: str) -> RecognitionSource:
    with_words = [part for part in parts if part.transcript.text.strip()]
    languages: Counter[str] = Counter()
    weighted = weights = 0.0
    for part in with_words:
        weight = part.span.length
        if part.transcript.language is not None:
            languages[part.transcript.language] += weight
        if part.transcript.confidence is not None:
            weighted += part.transcript.confidence * weight
            weights += weight
    of_each = [RecognitionSource(part.provider) for part in with_words or parts] or [
        RecognitionSource(first)
    ]
    return RecognitionSource(
        min(of_each, key=lambda one: one.quality == "full").provider,
        confidence=round(weighted / weights, 4) if weights else None,
        language=languages.most_common(1)[0][0] if languages else None,
    )


def _moved(part: Part) -> list[Word]:
    """A piece's words with times in the recording, limited to the piece."""
    offset, end = round(part.span.start / _MS), round(part.span.end / _MS)
    return [
        Word(
            word.text,
            min(offset + max(0, word.start_ms), end),
            min(offset + max(0, word.end_ms), end),
        )
        for word in part.transcript.words
    ]


def _pauses(runs: Sequence[Span]) -> tuple[Pause, ...]:
    found = []
    for before, after in pairwise(runs):
        length_ms = round((after.start - before.end) / _MS)
        if length_ms > PAUSE_MS:
            found.append(Pause(round(before.end / _MS), length_ms))
    return tuple(found)
