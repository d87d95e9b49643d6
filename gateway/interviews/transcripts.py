"""The lines of a session's transcript: speaker, text, time and recognition details. Pure.

A line is a JSON object with `turn`, `role` ("user" or "assistant"), `text` and `at` (seconds since
the epoch). A candidate's line also has `via` (typed, voice or upload) and, if it was spoken,
`speech` with the recogniser's details. An interviewer's line may have `latency_ms`: how long the
candidate waited for it. Lines of older versions have fewer fields and can still be read.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pipeline.frames import Word
from stages.interview import (
    AnswerSpeech,
    InterviewAnswer,
    InterviewSession,
    RecognitionSource,
    answers_of,
)

Via = Literal["typed", "voice", "upload"]


@dataclass(frozen=True, slots=True)
class Known:
    """Details of an interview's messages from its transcript, by the messages' index."""

    speech: dict[int, AnswerSpeech]
    latencies_ms: dict[int, float]
    via: dict[int, Via]
    cut: tuple[int, ...] = ()
    """The numbers of the questions to which the end of an uploaded answer is missing."""
    lost_ms: Mapping[int, int] = field(default_factory=dict)
    """How much of an uploaded answer could not be read before its end, by the question's number."""

    def answers(self, session: InterviewSession) -> tuple[InterviewAnswer, ...]:
        """The interview's answers with these details."""
        return answers_of(session, self.speech, self.latencies_ms)


def candidate_line(
    turn: int,
    text: str,
    at: float,
    via: Via,
    speech: AnswerSpeech | None,
    *,
    cut: int | None = None,
    lost: tuple[int, int] | None = None,
) -> bytes:
    """A candidate's line.

    `cut` is the question's number if the upload's end was missing, `lost` that number and the
    milliseconds of the upload that could not be read before its end.
    """
    line: dict[str, Any] = {"turn": turn, "role": "user", "text": text, "at": at, "via": via}
    if cut is not None:
        line["cut"] = cut
    if lost is not None:
        line["lost"] = lost
    if speech is not None:
        line["speech"] = _written(speech)
    return _encoded(line)


def interviewer_line(turn: int, text: str, at: float, latency_ms: float | None = None) -> bytes:
    """An interviewer's line: the part of the reply that was heard."""
    line: dict[str, Any] = {"turn": turn, "role": "assistant", "text": text, "at": at}
    if latency_ms is not None:
        line["latency_ms"] = round(latency_ms, 1)
    return _encoded(line)


def known_of(session: InterviewSession, items: Iterable[bytes]) -> Known:
    """Match the transcript's lines to the interview's messages.

    They are matched by their words, in order: a line without words has no message, and a message
    that could not be stored has no line.
    """
    known = Known({}, {}, {})
    messages = session.messages
    at = 0  # the candidate's last message that was found
    cut: dict[int, None] = {}
    lost_ms: Counter[int] = Counter()
    for item in items:
        line = json.loads(item)
        if line["role"] == "assistant":
            if at and "latency_ms" in line:
                known.latencies_ms.setdefault(at, line["latency_ms"])
            continue
        text = " ".join(line["text"].split())
        found = range(at + 1, len(messages))
        found_at = next(
            (i for i in found if messages[i].role == "user" and messages[i].content == text), None
        )
        if found_at is None:
            continue
        at = found_at
        known.via[at] = line.get("via", "voice")
        if "cut" in line:
            cut[line["cut"]] = None
        if "lost" in line:
            number, ms = line["lost"]
            lost_ms[number] += ms
        if "speech" in line:
            known.speech[at] = _read(line["speech"])
    return replace(known, cut=tuple(cut), lost_ms=lost_ms)


def _encoded(line: dict[str, Any]) -> bytes:
    return json.dumps({**line, "at": round(line["at"], 3)}).encode()


def _written(speech: AnswerSpeech) -> dict[str, Any]:
    recognition = speech.recognition
    return {
        "provider": recognition.provider,
        "quality": recognition.quality,
        "confidence": recognition.confidence,
        "language": recognition.language,
        "duration_ms": speech.duration_ms,
        "wait_ms": speech.wait_ms,
        "words": [[word.text, word.start_ms, word.end_ms] for word in speech.words],
    }


def _read(written: dict[str, Any]) -> AnswerSpeech:
    recognition = RecognitionSource(
        written["provider"], written["quality"], written["confidence"], written["language"]
    )
    words = tuple(Word(text, start_ms, end_ms) for text, start_ms, end_ms in written["words"])
    return AnswerSpeech(recognition, words, written["duration_ms"], written["wait_ms"])
