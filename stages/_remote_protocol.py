"""The messages between a gateway and a remote worker (`docs/worker-protocol.md`). Pure.

Control is JSON in text messages, sound is in binary ones. A connection carries one call at a time;
each call has an `epoch`, which grows from call to call, and every message of the call names it. A
message of an older epoch is late and is dropped.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from pipeline.errors import CallerError, StageBusy, StageError, StageFailed
from pipeline.frames import Samples, Speech, SpokenWord, Transcript, Viseme, Word

PROTOCOL: Final = 1
"""Grows with every change that an older side would not understand."""

LONGEST_TEXT_BYTES: Final = 256 * 1024
LONGEST_BINARY_BYTES: Final = 1024 * 1024
LONGEST_AUDIO_BYTES: Final = 64 * 1024
"""Of a binary message to a worker: 2 s of input audio, and its epoch."""

LONGEST_SENTENCE: Final = 4096
"""Characters; a longer sentence is cut."""

LONGEST_PAUSE_S: Final = 60.0
"""The longest time for which a worker may ask for no calls."""

MOST_HINTS: Final = 200
LONGEST_HINT: Final = 60

Fields: TypeAlias = Mapping[str, Any]
"""A control message."""

_EPOCH = struct.Struct("!I")
_LITTLE = "<i2"


class ProtocolViolation(ValueError):
    """The other side sent a message that the protocol does not know. The text is for a log."""


def control(kind: str, **fields: Any) -> bytes:
    """A control message as the bytes of a text message."""
    return json.dumps({"type": kind, **fields}, separators=(",", ":")).encode()


def parsed(data: bytes | str) -> tuple[str, Fields]:
    """A control message's type and its fields. Raises `ProtocolViolation`."""
    try:
        raw = data.encode() if isinstance(data, str) else data
        fields = json.loads(raw)
        if b"\\u" in raw:  # an escape may name half of a surrogate pair, which no UTF-8 has
            fields = json.loads(json.dumps(fields, ensure_ascii=False).encode(errors="replace"))
    except (ValueError, RecursionError) as error:
        raise ProtocolViolation(f"a text message that is no JSON: {type(error).__name__}") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
        raise ProtocolViolation("a text message without a type")
    return fields["type"], fields


def number(fields: Fields, name: str) -> int:
    """A whole number of 0 or more. Raises `ProtocolViolation`."""
    value = fields.get(name)
    if type(value) is not int or not 0 <= value < 1 << 32:
        raise ProtocolViolation(f"{name} is no whole number")
    return value


def text(fields: Fields, name: str) -> str:
    """A text, "" if there is none. Raises `ProtocolViolation`."""
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise ProtocolViolation(f"{name} is no text")
    return value


def optional_text(fields: Fields, name: str) -> str | None:
    """A text, None if there is none. Raises `ProtocolViolation`."""
    return None if fields.get(name) is None else text(fields, name)


# --- sound ------------------------------------------------------------------------------------


def sound(epoch: int, pcm: Samples) -> bytes:
    """Samples as a binary message."""
    return _EPOCH.pack(epoch) + pcm.astype(_LITTLE, copy=False).tobytes()


def heard(data: bytes, most_bytes: int) -> tuple[int, Samples]:
    """A binary message's epoch and samples. Raises `ProtocolViolation`."""
    size = len(data) - _EPOCH.size
    if size < 0 or size % 2 or len(data) > most_bytes:
        raise ProtocolViolation(f"a binary message of {len(data)} bytes")
    (epoch,) = _EPOCH.unpack_from(data)
    return epoch, np.frombuffer(data, _LITTLE, offset=_EPOCH.size).astype(np.int16)


# --- recognition ------------------------------------------------------------------------------


def transcript_fields(transcript: Transcript) -> dict[str, Any]:
    """The fields of a worker's message with a transcript."""
    return {
        "text": transcript.text,
        "language": transcript.language,
        "confidence": transcript.confidence,
        "words": [[word.text, word.start_ms, word.end_ms] for word in transcript.words],
    }


def transcript(turn: int, fields: Fields, *, final: bool) -> Transcript:
    """The transcript in a worker's message. Raises `ProtocolViolation`."""
    confidence = fields.get("confidence")
    if confidence is not None and not (type(confidence) in (int, float) and 0 <= confidence <= 1):
        raise ProtocolViolation("confidence is no number from 0 to 1")
    return Transcript(
        turn,
        text(fields, "text"),
        final,
        optional_text(fields, "language"),
        confidence,
        tuple(_words(fields.get("words", []))),
    )


def _words(listed: Any) -> Iterator[Word]:
    for word, start_ms, end_ms in _rows(listed, (str, int, int)):
        yield Word(word, start_ms, end_ms)


# --- synthesis --------------------------------------------------------------------------------


def speech_fields(speech: Speech) -> dict[str, Any]:
    """The fields of the message that a worker sends before the sound of a piece of speech."""
    return {
        "cues": [[cue.at_ms, cue.duration_ms, cue.shape, cue.weight] for cue in speech.cues],
        "words": [[word.offset, word.length, word.at_ms] for word in speech.words],
    }


def speech(turn: int, fields: Fields, pcm: Samples) -> Speech:
    """The piece of speech in a worker's message, with its sound. Raises `ProtocolViolation`."""
    cues = _rows(fields.get("cues", []), (int, int, str, float))
    words = _rows(fields.get("words", []), (int, int, int))
    return Speech(
        turn,
        pcm,
        tuple(Viseme(*cue) for cue in cues),
        tuple(SpokenWord(*word) for word in words),
    )


def _rows(listed: Any, kinds: tuple[type, ...]) -> Iterator[tuple[Any, ...]]:
    if not isinstance(listed, list):
        raise ProtocolViolation("no list")
    for row in listed:
        if not isinstance(row, list) or len(row) != len(kinds):
            raise ProtocolViolation("a row of another length")
        for value, kind in zip(row, kinds, strict=True):
            allowed = (int, float) if kind is float else (kind,)
            if type(value) not in allowed or (kind is int and value < 0):
                raise ProtocolViolation(f"a row with {type(value).__name__} for {kind.__name__}")
        yield tuple(row)


# --- failures ---------------------------------------------------------------------------------


def failure_fields(error: Exception) -> tuple[str, dict[str, Any]]:
    """The type and the fields of the message that a call has failed."""
    match error:
        case StageBusy():
            return "busy", {"message": error.detail, "retry_after_s": error.retry_after_s}
        case CallerError():
            return "unfit", {"message": error.detail}
        case StageError():
            return "failed", {"message": error.detail or error.phase}
    return "failed", {"message": type(error).__name__}


def failure(stage: str, provider: str, kind: str, fields: Fields) -> StageError | None:
    """The error that a message of a worker stands for; None for any other message."""
    said = text(fields, "message")[:500]
    match kind:
        case "busy":
            after_s = fields.get("retry_after_s")
            if not (isinstance(after_s, (int, float)) and 0 <= after_s <= LONGEST_PAUSE_S):
                after_s = 0.0
            return StageBusy(stage, provider, said, retry_after_s=after_s)
        case "unfit":
            return CallerError(stage, provider, "protocol", said)
        case "failed":
            return StageFailed(stage, provider, "stream", said)
    return None
