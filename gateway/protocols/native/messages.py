"""Parses the messages of native clients, version 1, to commands. Pure."""

import json
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationError,
)

from gateway.media import opus_packets as opus
from gateway.media.format import (
    ENCODINGS,
    HIGHEST_RATE_HZ,
    LOWEST_RATE_HZ,
    AudioFormat,
    NoiseReduction,
)
from gateway.protocols.dialect import (
    Command,
    CommitTurn,
    InterruptReply,
    Leave,
    ProtocolError,
    ReportPlayed,
    Start,
    TypedText,
)
from gateway.protocols.request import (
    Avatar,
    InterviewRequest,
    ResumeRequest,
    SessionRequest,
    TurnRequest,
)
from gateway.protocols.whole import Whole, whole
from stages.interview.errors import UnknownLanguage
from stages.interview.languages import requested

VERSION = 1
LONGEST_TEXT_BYTES = 8 * 1024


ErrorCode = Literal[
    "bad_json",
    "unknown_type",
    "bad_message",
    "bad_hello",
    "ticket_required",
    "bad_ticket",
    "unsupported_audio",
    "unexpected_hello",
    "text_too_long",
    "empty_text",
    "odd_audio",
    "audio_too_long",
    "json_in_binary",
    "bad_packet",
    "nothing_to_commit",
    "not_stored",
    "heard_not_stored",
    "storage_slow",
    "too_many_turns",
    "already_connected",
    "still_ending",
    "session_expired",
    "cannot_resume",
    "deleted",
    "flooding",
    "interview",
    "unknown_face",
    "no_noise_reduction",
    "unknown_language",
    "internal",
]
"""Every code that an `error` message can carry; `docs/protocol.md` says what each means."""


# --- from the client -------------------------------------------------------------------------


class _Part(BaseModel):
    # Unknown fields are ignored, so that later clients may add fields.
    model_config = ConfigDict(extra="ignore", frozen=True)


class _AudioIn(_Part):
    encoding: StrictStr = "pcm_s16le"
    rate: Whole = 16_000
    channels: Whole = 1
    noise_reduction: NoiseReduction | None = None


class _AudioOut(_Part):
    encoding: StrictStr = "pcm_s16le"
    rate: Whole = 16_000


class _TurnDetection(_Part):
    mode: Literal["auto", "manual"] = "auto"
    adaptive: StrictBool = True
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    silence_ms: Annotated[Whole, Field(ge=100, le=10_000)] | None = None
    max_wait_ms: Annotated[Whole, Field(ge=100, le=30_000)] | None = None
    prefix_ms: Annotated[Whole, Field(ge=0, le=2_000)] | None = None
    barge_in_ms: Annotated[Whole, Field(ge=100, le=5_000)] | None = None
    barge_in_words: Annotated[Whole, Field(ge=0, le=20)] | None = None
    resume_ms: Annotated[Whole, Field(ge=100, le=5_000)] | None = None


def _whole(text: str) -> str:
    text.encode()  # raises ValueError for half a surrogate pair, which cannot be stored
    return text


WholeText = Annotated[StrictStr, AfterValidator(_whole)]


class _Interview(_Part):
    role: WholeText
    model: WholeText | None = None
    total_questions: Whole | None = Field(None, alias="totalQuestions")


class _Resume(_Part):
    token: StrictStr
    seq: Whole


class _Hello(_Part):
    version: Whole
    ticket: StrictStr | None = None
    audio_in: _AudioIn = _AudioIn()
    audio_out: _AudioOut = _AudioOut()
    avatar: Avatar = "visemes"
    turn_detection: _TurnDetection = _TurnDetection()
    resume: _Resume | None = None
    interview: _Interview | None = None
    face: StrictStr | None = None
    language: StrictStr | None = None
    traceparent: StrictStr = ""


@dataclass(frozen=True, slots=True)
class Ping:
    t: Any


def parse(data: bytes | str) -> Command | Ping:
    """One text message of the client.

    Raises `ProtocolError` for anything else. Takes time linear in the length, which the transport
    bounds (64 KiB, close code 1009).
    """
    try:
        # For bytes, `loads` would also accept UTF-16, and halves of surrogate pairs.
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        message = json.loads(text, parse_constant=_refuse_constant)
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
            return InterruptReply(overtakes=True)
        case "commit":
            return CommitTurn()
        case "played":
            return ReportPlayed(_natural(message, "turn"), _natural(message, "ms"))
        case "ping":
            return Ping(_echo(message.get("t")))
        case "bye":
            return Leave()
        case str(name):
            known = "hello, text, interrupt, commit, played, ping, bye"
            raise ProtocolError("unknown_type", f"no such type: {name[:40]!r}; known are {known}")
        case _:
            raise ProtocolError("unknown_type", "the message has no type")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _hello(message: dict[str, Any]) -> Start:
    if message.get("version") != VERSION:
        raise ProtocolError("bad_hello", f"this server speaks version {VERSION}", fatal=True)
    try:
        # A field that is null counts as missing, in the parts of a hello, too.
        hello = _Hello.model_validate(_given({k: _given(v) for k, v in message.items()}))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ProtocolError("bad_hello", f"{where}: {first['msg']}", fatal=True) from None
    wanted, given = hello.audio_in, hello.audio_out
    turns = TurnRequest(**hello.turn_detection.model_dump())
    interview, back = None, hello.resume
    if (asked := hello.interview) is not None:
        interview = InterviewRequest(asked.role, asked.model, asked.total_questions)
    return Start(
        SessionRequest(
            audio_in=_format("audio_in", wanted.encoding, wanted.rate, wanted.channels),
            noise_reduction=wanted.noise_reduction,
            audio_out=_format("audio_out", given.encoding, given.rate, 1),
            avatar=hello.avatar,
            face=hello.face,
            turns=turns,
            interview=interview,
            language=_language(hello.language),
            traceparent=hello.traceparent,
            resume=None if back is None else ResumeRequest(back.token, back.seq),
        ),
        hello.ticket or "",
    )


def _given(value: Any) -> Any:
    """An object without the fields that are null; anything else as it is."""
    if not isinstance(value, dict):
        return value
    return {name: inner for name, inner in value.items() if inner is not None}


def _language(tag: str | None) -> str | None:
    if tag is None:
        return None
    try:
        return requested(tag)
    except UnknownLanguage as error:
        raise ProtocolError("unknown_language", f"language: {error}", fatal=True) from None


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
    value = whole(message.get(name))
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ProtocolError("bad_message", f"{name}: a whole number from 0 is needed")
    return value


def _echo(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ProtocolError("bad_message", "t: a finite number is needed")
    if value is None or isinstance(value, int | float | str):
        return value
    raise ProtocolError("bad_message", "t: a number or a string is needed")
