"""The `hello` of native clients: its fields, and the session that it requests. Pure."""

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
from gateway.protocols.dialect import ProtocolError, Start
from gateway.protocols.request import (
    Avatar,
    InterviewRequest,
    ResumeRequest,
    SessionRequest,
    TurnRequest,
)
from gateway.protocols.tool_wish import ToolWishes
from gateway.protocols.whole import Whole
from stages.interview.errors import UnknownLanguage
from stages.interview.languages import requested

VERSION = 1


def _between(least: int, most: int) -> Any:
    """The limits of a whole number, in the schema, too: pydantic names them there otherwise."""
    return Field(ge=least, le=most, json_schema_extra={"minimum": least, "maximum": most})


class HelloPart(BaseModel):
    # Unknown fields are ignored, so that later clients may add fields.
    model_config = ConfigDict(extra="ignore", frozen=True)


# The schemas say what `_format` takes, which refuses the rest with an error of its own.
Encoded = Annotated[StrictStr, Field(json_schema_extra={"enum": [*ENCODINGS]})]
Rate = Annotated[
    Whole, Field(json_schema_extra={"minimum": LOWEST_RATE_HZ, "maximum": HIGHEST_RATE_HZ})
]
Channels = Annotated[Whole, Field(json_schema_extra={"minimum": 1, "maximum": 2})]


class HelloAudioIn(HelloPart):
    encoding: Encoded = "pcm_s16le"
    rate: Rate = 16_000
    channels: Channels = 1
    noise_reduction: NoiseReduction | None = None


class HelloAudioOut(HelloPart):
    encoding: Encoded = "pcm_s16le"
    rate: Rate = 16_000


class HelloTurnDetection(HelloPart):
    mode: Literal["auto", "manual"] = "auto"
    adaptive: StrictBool = True
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    silence_ms: Annotated[Whole, _between(100, 10_000)] | None = None
    max_wait_ms: Annotated[Whole, _between(100, 30_000)] | None = None
    prefix_ms: Annotated[Whole, _between(0, 2_000)] | None = None
    barge_in_ms: Annotated[Whole, _between(100, 5_000)] | None = None
    barge_in_words: Annotated[Whole, _between(0, 20)] | None = None
    resume_ms: Annotated[Whole, _between(100, 5_000)] | None = None


def _whole(text: str) -> str:
    text.encode()  # raises ValueError for half a surrogate pair, which cannot be stored
    return text


WholeText = Annotated[StrictStr, AfterValidator(_whole)]


class HelloInterview(HelloPart):
    role: WholeText
    model: WholeText | None = None
    total_questions: Whole | None = Field(None, alias="totalQuestions")


class HelloResume(HelloPart):
    token: StrictStr
    seq: Whole


class Hello(HelloPart):
    version: Annotated[Whole, Field(json_schema_extra={"const": VERSION})]
    ticket: StrictStr | None = None
    audio_in: HelloAudioIn = HelloAudioIn()
    audio_out: HelloAudioOut = HelloAudioOut()
    avatar: Avatar = "visemes"
    turn_detection: HelloTurnDetection = HelloTurnDetection()
    resume: HelloResume | None = None
    interview: HelloInterview | None = None
    face: StrictStr | None = None
    language: StrictStr | None = None
    traceparent: StrictStr = ""
    tools: ToolWishes | None = None


def read_hello(message: dict[str, Any]) -> Start:
    """The start of a session that a hello asks for. Raises a fatal `ProtocolError`."""
    if message.get("version") != VERSION:
        raise ProtocolError("bad_hello", f"this server speaks version {VERSION}", fatal=True)
    try:
        # A field that is null counts as missing, in the parts of a hello, too.
        hello = Hello.model_validate(_given({k: _given(v) for k, v in message.items()}))
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
            tools=None if hello.tools is None else tuple(hello.tools),
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
