"""Parley's own WebSocket dialect, version 1: the messages of `/ws/<session_id>`. Pure.

::

    ProtocolError                 code, fatal
"""

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
)

from gateway.media import opus_packets as opus
from gateway.media.format import (
    ENCODINGS,
    HIGHEST_RATE_HZ,
    LONGEST_MESSAGE_MS,
    LOWEST_RATE_HZ,
    AudioFormat,
)
from pipeline.frames import (
    AvatarFrame,
    AvatarState,
    Clear,
    Degraded,
    Fault,
    Output,
    ReplyAudio,
    ReplyDone,
    ReplyPaused,
    ReplyResumed,
    ReplyStarted,
    ReplyText,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    Transcript,
    TurnMetrics,
    Visemes,
)

VERSION = 1
LONGEST_TEXT_BYTES = 8 * 1024

CLOSE_FINISHED = 1000
CLOSE_POLICY = 1008
CLOSE_INTERNAL = 1011
CLOSE_RESTARTING = 1012
CLOSE_OVERLOADED = 1013
CLOSE_NO_SESSION = 4404

ErrorCode = Literal[
    "bad_json",
    "unknown_type",
    "bad_message",
    "bad_hello",
    "unsupported_audio",
    "unexpected_hello",
    "text_too_long",
    "empty_text",
    "odd_audio",
    "audio_too_long",
    "bad_packet",
    "nothing_to_commit",
    "not_stored",
    "storage_slow",
    "too_many_turns",
    "already_connected",
    "deleted",
    "flooding",
    "interview",
    "unknown_face",
    "internal",
]
"""Every code that an `error` message can carry; `docs/protocol.md` says what each means."""


class ProtocolError(Exception):
    """The client sent something that the contract does not allow.

    `fatal` errors are followed by close code 1008; after any other the session goes on.
    """

    def __init__(self, code: ErrorCode, message: str, *, fatal: bool = False) -> None:
        super().__init__(code, message)
        self.code: ErrorCode = code
        self.message = message
        self.fatal = fatal

    def __str__(self) -> str:
        return self.message


# --- from the client -------------------------------------------------------------------------


class _Part(BaseModel):
    # Unknown fields are let through: the contract may be added to freely.
    model_config = ConfigDict(extra="ignore", frozen=True)


class _AudioIn(_Part):
    encoding: StrictStr = "pcm_s16le"
    rate: StrictInt = 16_000
    channels: StrictInt = 1


class _AudioOut(_Part):
    encoding: StrictStr = "pcm_s16le"
    rate: StrictInt = 16_000


class TurnDetection(_Part):
    """How the client wants turns to be detected; what is None keeps the server's value."""

    mode: Literal["auto", "manual"] = "auto"
    adaptive: StrictBool = True
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    silence_ms: Annotated[StrictInt, Field(ge=100, le=10_000)] | None = None
    max_wait_ms: Annotated[StrictInt, Field(ge=100, le=30_000)] | None = None
    prefix_ms: Annotated[StrictInt, Field(ge=0, le=2_000)] | None = None
    barge_in_ms: Annotated[StrictInt, Field(ge=100, le=5_000)] | None = None
    barge_in_words: Annotated[StrictInt, Field(ge=0, le=20)] | None = None
    resume_ms: Annotated[StrictInt, Field(ge=100, le=5_000)] | None = None


def _whole(text: str) -> str:
    text.encode()  # half a surrogate pair cannot be stored; it raises a ValueError
    return text


WholeText = Annotated[StrictStr, AfterValidator(_whole)]


class InterviewRequest(_Part):
    """The interview that the client wants, where its session was not made over REST."""

    role: WholeText
    model: WholeText | None = None
    total_questions: StrictInt | None = Field(None, alias="totalQuestions")


class _Resume(_Part):
    token: StrictStr
    seq: StrictInt


class _Hello(_Part):
    version: StrictInt
    ticket: StrictStr | None = None
    audio_in: _AudioIn = _AudioIn()
    audio_out: _AudioOut = _AudioOut()
    avatar: Literal["off", "visemes", "frames"] = "visemes"
    turn_detection: TurnDetection = TurnDetection()
    resume: _Resume | None = None
    interview: InterviewRequest | None = None
    face: StrictStr | None = None


@dataclass(frozen=True, slots=True)
class Hello:
    """What the client asked for; a `Hello()` stands where it asked for nothing."""

    audio_in: AudioFormat = field(default_factory=AudioFormat)
    audio_out: AudioFormat = field(default_factory=AudioFormat)
    avatar: Literal["off", "visemes", "frames"] = "visemes"
    turn_detection: TurnDetection = field(default_factory=TurnDetection)
    interview: InterviewRequest | None = None
    face: str | None = None


@dataclass(frozen=True, slots=True)
class TypedText:
    text: str


@dataclass(frozen=True, slots=True)
class InterruptReply:
    pass


@dataclass(frozen=True, slots=True)
class CommitTurn:
    pass


@dataclass(frozen=True, slots=True)
class Played:
    turn: int
    ms: int


@dataclass(frozen=True, slots=True)
class Ping:
    t: Any


@dataclass(frozen=True, slots=True)
class Bye:
    pass


Input: TypeAlias = Hello | TypedText | InterruptReply | CommitTurn | Played | Ping | Bye


def parse(data: bytes | str) -> Input:
    """One text message of the client.

    Raises `ProtocolError` for anything else, whatever it is, in time linear in its length, which
    the transport bounds (64 KiB, close code 1009).
    """
    try:
        message = json.loads(data, parse_constant=_refuse_constant)
    except RecursionError:
        raise ProtocolError("bad_json", "the message is nested too deep") from None
    except ValueError as error:
        raise ProtocolError("bad_json", f"the message is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProtocolError("bad_json", "a text message is a JSON object with a type")
    match message.get("type"):
        case "hello":
            return _hello(message)
        case "text":
            return TypedText(_typed_text(message))
        case "interrupt":
            return InterruptReply()
        case "commit":
            return CommitTurn()
        case "played":
            return Played(_natural(message, "turn"), _natural(message, "ms"))
        case "ping":
            return Ping(_echo(message.get("t")))
        case "bye":
            return Bye()
        case str(name):
            known = "hello, text, interrupt, commit, played, ping, bye"
            raise ProtocolError("unknown_type", f"no such type: {name[:40]!r}; known are {known}")
        case _:
            raise ProtocolError("unknown_type", "the message has no type")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _hello(message: dict[str, Any]) -> Hello:
    if message.get("version") != VERSION:
        raise ProtocolError("bad_hello", f"this server speaks version {VERSION}", fatal=True)
    try:
        # What is null was not given.
        hello = _Hello.model_validate(
            {name: value for name, value in message.items() if value is not None}
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ProtocolError("bad_hello", f"{where}: {first['msg']}", fatal=True) from None
    wanted, given = hello.audio_in, hello.audio_out
    return Hello(
        _format("audio_in", wanted.encoding, wanted.rate, wanted.channels),
        _format("audio_out", given.encoding, given.rate, 1),
        hello.avatar,
        hello.turn_detection,
        hello.interview,
        hello.face,
    )


def _format(name: str, encoding: str, rate: int, channels: int) -> AudioFormat:
    for known in ENCODINGS:
        if known == encoding:
            break
    else:
        raise ProtocolError(
            "unsupported_audio",
            f"{name}: encoding {encoding[:40]!r} is not one of {', '.join(ENCODINGS)}",
            fatal=True,
        )
    if known == "opus" and rate not in opus.RATES_HZ:
        raise ProtocolError(
            "unsupported_audio",
            f"{name}: rate {rate} with opus is not one of {', '.join(map(str, opus.RATES_HZ))}",
            fatal=True,
        )
    if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
        raise ProtocolError(
            "unsupported_audio",
            f"{name}: rate {rate} is outside {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}",
            fatal=True,
        )
    if channels not in (1, 2):
        raise ProtocolError(
            "unsupported_audio", f"{name}: {channels} channels; 1 or 2 are possible", fatal=True
        )
    return AudioFormat(known, rate, channels)


def _typed_text(message: dict[str, Any]) -> str:
    text = message.get("text")
    if not isinstance(text, str):
        raise ProtocolError("bad_message", "text: a string is needed")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ProtocolError("bad_message", "text: not valid Unicode") from None
    if size > LONGEST_TEXT_BYTES:
        raise ProtocolError("text_too_long", f"text: at most {LONGEST_TEXT_BYTES} bytes")
    if not text.strip():
        raise ProtocolError("empty_text", "text: there is nothing in it")
    return text


def _natural(message: dict[str, Any], name: str) -> int:
    value = message.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ProtocolError("bad_message", f"{name}: a whole number from 0 is needed")
    return value


def _echo(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ProtocolError("bad_message", "t: a finite number is needed")
    if value is None or isinstance(value, int | float | str):
        return value
    raise ProtocolError("bad_message", "t: a number or a string is needed")


def check_audio(data: bytes, audio: AudioFormat) -> float:
    """How many milliseconds a binary message holds; an empty one holds none.

    Raises `ProtocolError` unless it is acceptable.
    """
    if audio.encoding == "opus":
        _check_packet(data)
    elif len(data) % audio.sample_bytes:
        raise ProtocolError(
            "odd_audio",
            f"{len(data)} bytes are not a whole number of {audio.sample_bytes}-byte samples",
        )
    duration_ms = audio.duration_ms(data) if data else 0.0
    if duration_ms > LONGEST_MESSAGE_MS:
        raise ProtocolError(
            "audio_too_long",
            f"{duration_ms:.0f} ms of audio in one message;"
            f" at most {LONGEST_MESSAGE_MS} ms are allowed",
        )
    return duration_ms


def _check_packet(data: bytes) -> None:
    try:
        if data:
            opus.check(data)
    except opus.NotOpus as error:
        raise ProtocolError("bad_packet", str(error)) from None


# --- to the client ---------------------------------------------------------------------------


class NativeEncoder:
    """Messages of one session, numbered from 1."""

    def __init__(self) -> None:
        self.seq = 0

    def message(self, kind: str, fields: Mapping[str, Any]) -> str:
        """One text message."""
        self.seq += 1
        return json.dumps({"type": kind, "seq": self.seq, **fields}, separators=(",", ":"))

    def frame(self, frame: Output) -> str:
        """The text message for a frame; `ReplyAudio` has none: it travels as a binary message."""
        kind, fields = _describe(frame)
        return self.message(kind, fields)

    def picture(self, frame: AvatarFrame) -> str:
        """The text message for a picture."""
        kind, fields = _picture(frame)
        return self.message(kind, fields)


def _describe(frame: Output) -> tuple[str, dict[str, Any]]:
    match frame:
        case SpeechStarted(turn, at_ms):
            return "speech.started", {"turn": turn, "at_ms": at_ms}
        case SpeechStopped(turn, at_ms):
            return "speech.stopped", {"turn": turn, "at_ms": at_ms}
        case Transcript():
            return "transcript", _transcript(frame)
        case ReplyStarted(turn):
            return "reply.started", {"turn": turn}
        case ReplyText(turn, text):
            return "reply.text", {"turn": turn, "text": text}
        case Visemes(turn, start_ms, cues):
            return "visemes", {
                "turn": turn,
                "start_ms": start_ms,
                "cues": [
                    {"t": cue.at_ms, "d": cue.duration_ms, "v": cue.shape, "w": cue.weight}
                    for cue in cues
                ],
            }
        case ReplyDone(turn, interrupted, heard):
            return "reply.done", {"turn": turn, "interrupted": interrupted, "heard": heard}
        case ReplyPaused(turn, at_ms):
            return "reply.paused", {"turn": turn, "at_ms": at_ms}
        case ReplyResumed(turn, at_ms):
            return "reply.resumed", {"turn": turn, "at_ms": at_ms}
        case Clear(turn, at_ms):
            return "clear", {"turn": turn, "at_ms": at_ms}
        case AvatarState(_, state):
            return "avatar.state", {"state": state}
        case Degraded(turn, stage, source, target, reason):
            fields = {"turn": turn, "stage": stage, "from": source, "to": target, "reason": reason}
            return "degraded", fields
        case TurnMetrics():
            return "turn.metrics", _metrics(frame)
        case Fault(turn, code, text, fatal):
            return "error", {"turn": turn, "code": code, "message": text, "fatal": fatal}
        case ReplyAudio():
            raise TypeError("reply audio travels as a binary message")
        case ToolCall():
            raise TypeError("no message of this protocol asks for a function")


def _picture(frame: AvatarFrame) -> tuple[str, dict[str, Any]]:
    data = base64.b64encode(frame.data).decode("ascii")
    fields = {"turn": frame.turn, "at_ms": frame.at_ms, "mime": frame.mime, "data": data}
    return "avatar.frame", fields


def _transcript(frame: Transcript) -> dict[str, Any]:
    fields: dict[str, Any] = {"turn": frame.turn, "text": frame.text, "final": frame.final}
    if frame.language is not None:
        fields["language"] = frame.language
    if frame.confidence is not None:
        fields["confidence"] = round(frame.confidence, 3)
    if frame.words:
        fields["words"] = [
            {"text": word.text, "start_ms": word.start_ms, "end_ms": word.end_ms}
            for word in frame.words
        ]
    return fields


def _metrics(frame: TurnMetrics) -> dict[str, Any]:
    return {
        "turn": frame.turn,
        "budget_ms": frame.budget_ms,
        "stages": [
            {
                "stage": span.stage,
                "provider": span.provider,
                "start": span.start,
                "first": span.first,
                "end": span.end,
            }
            for span in frame.stages
        ],
        "voice_to_voice_ms": frame.voice_to_voice_ms,
    }
