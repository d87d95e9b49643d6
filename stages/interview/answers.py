"""The candidate's answers, their questions, and how the words were recognised. Pure.

`answers_of` finds the answers by replaying the interview with its own rules, so that both agree on
what an answer is.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.frames import Word
from pipeline.stage import Message
from stages.interview.hearing import spoken, wants_repeat
from stages.interview.lines import LANGUAGES
from stages.interview.model import InterviewSession
from stages.interview.silence import without_line
from stages.interview.transitions import declines, is_farewell, respond

Quality = Literal["full", "demo"]

DEMO_RECOGNISERS = frozenset({"pocketsphinx"})
"""Recognisers that get about every fourth word wrong: their transcripts are never scored."""

UNSURE = 0.4
"""Below this confidence (0..1) a transcript is too uncertain to be scored."""

MAX_ANSWER = 20_000
"""Characters of an answer that are read: more than two hours of speech."""

MAX_WORDS = 8_000
"""Recognised words of an answer that are read."""

MAX_MESSAGES = 400
"""Messages of an interview that are read."""

_LONGEST_MS = 24 * 3_600_000.0
_NUMBERED = re.compile(r"^.*?\b(?:question|frage) \d+:\s*", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class RecognitionSource:
    """The recogniser of an answer, and its quality. `confidence` is 0..1, None if unknown.

    The `quality` of a demo recogniser is always "demo".
    """

    provider: str
    quality: Quality = "full"
    confidence: float | None = None
    language: str | None = None

    def __post_init__(self) -> None:
        if self.provider in DEMO_RECOGNISERS:
            object.__setattr__(self, "quality", "demo")
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            object.__setattr__(self, "confidence", None)

    @property
    def unsure(self) -> bool:
        """Whether the recogniser's confidence is too low."""
        return self.confidence is not None and self.confidence < UNSURE


@dataclass(frozen=True, slots=True)
class AnswerSpeech:
    """The sound of an answer.

    `words` have times from the start of the audio, which lasts `duration_ms` and began `wait_ms`
    after the end of the question; None if unknown. Impossible times are dropped.
    """

    recognition: RecognitionSource
    words: tuple[Word, ...] = ()
    duration_ms: float | None = None
    wait_ms: float | None = None

    def __post_init__(self) -> None:
        usable = (word for word in self.words[:MAX_WORDS] if _timed(word))
        ordered = tuple(sorted(usable, key=lambda word: (word.start_ms, word.end_ms)))
        duration = _time(self.duration_ms)
        object.__setattr__(self, "words", ordered)
        object.__setattr__(self, "duration_ms", duration if duration else None)
        object.__setattr__(self, "wait_ms", _time(self.wait_ms))

    def then(self, later: "AnswerSpeech") -> "AnswerSpeech":
        """This speech and `later` as one; the worse recognition stands for both."""
        ends = max((word.end_ms for word in self.words), default=0)
        offset = round(self.duration_ms or ends)
        moved = (replace(w, start_ms=w.start_ms + offset, end_ms=w.end_ms + offset)
                 for w in later.words)  # fmt: skip
        known = self.duration_ms is not None and later.duration_ms is not None
        both = (self.recognition, later.recognition)
        worse = min(both, key=lambda r: (r.quality == "full", _sure(r)))
        return AnswerSpeech(
            worse,
            (*self.words, *moved),
            (self.duration_ms or 0) + (later.duration_ms or 0) if known else None,
            self.wait_ms,
        )


@dataclass(frozen=True, slots=True)
class InterviewAnswer:
    """One answer. `speech` is None if it was typed, `prompt_id` if the question is not in the bank.

    `latency_ms`: from the end of the answer to the beginning of the interviewer's next words.
    `declined`: the candidate asked for the next question instead. `language` is the interview's.
    """

    question: str
    text: str
    prompt_id: str | None = None
    declined: bool = False
    speech: AnswerSpeech | None = None
    latency_ms: float | None = None
    language: str = LANGUAGES[0]

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", " ".join(self.text[:MAX_ANSWER].split()))
        object.__setattr__(self, "latency_ms", _time(self.latency_ms))

    @property
    def recognition(self) -> RecognitionSource | None:
        return None if self.speech is None else self.speech.recognition


def answers_of(
    session: InterviewSession,
    speech: Mapping[int, AnswerSpeech] | None = None,
    latencies_ms: Mapping[int, float] | None = None,
) -> tuple[InterviewAnswer, ...]:
    """The answers given so far, in order, one for each question that was answered or declined.

    `speech` and `latencies_ms` belong to some of the candidate's messages, by their index in
    `session.messages`. Words spoken before the next question was heard are added to the answer
    before.
    """
    bank, language = session.config.bank, session.config.language
    most = session.current_question if session.is_complete else session.config.total_questions
    messages = tuple(
        Message(m.role, m.content[:MAX_ANSWER]) for m in session.messages[:MAX_MESSAGES]
    )
    found: list[InterviewAnswer] = []
    for at, message in enumerate(messages):
        if len(found) == most or is_farewell(message):
            break
        if message.role != "user":
            continue
        number = len(found) + 1
        before = InterviewSession(
            session.config, messages[:at], number, asked=session.asked[:number]
        )
        part = InterviewAnswer(
            "",
            message.content,
            language=language,
            speech=(speech or {}).get(at),
            latency_ms=(latencies_ms or {}).get(at),
        )
        words = spoken(message.content)
        intent = respond(before, message.content).intent
        if intent == "wait":
            continue
        if intent == "repeat":
            if found and words and not wants_repeat(words, language):
                found[-1] = _joined(found[-1], part)
            continue
        prompt = session.asked[number - 1] if number <= len(session.asked) else None
        question = bank.texts.get(prompt or "") or _last_question(messages[:at])
        declined = declines(before, words)
        found.append(replace(part, question=question, prompt_id=prompt, declined=declined))
    return tuple(found)


def _joined(answer: InterviewAnswer, more: InterviewAnswer) -> InterviewAnswer:
    speech = answer.speech
    if speech is not None and more.speech is not None:
        speech = speech.then(more.speech)
    latency = answer.latency_ms if more.latency_ms is None else more.latency_ms
    text = f"{answer.text} {more.text}"
    return replace(
        answer, text=text, speech=speech or more.speech, latency_ms=latency, declined=False
    )


def _last_question(messages: tuple[Message, ...]) -> str:
    said = next((m.content for m in reversed(messages) if m.role == "assistant"), "")
    return " ".join(_NUMBERED.sub("", without_line(said), count=1).split())[:500]


def _timed(word: Word) -> bool:
    return 0 <= word.start_ms <= word.end_ms <= _LONGEST_MS  # false for NaN


def _time(value: float | None) -> float | None:
    """A possible length of time, or None."""
    if value is None or not math.isfinite(value) or not 0 <= value <= _LONGEST_MS:
        return None
    return value


def _sure(recognition: RecognitionSource) -> float:
    return 1.0 if recognition.confidence is None else recognition.confidence
