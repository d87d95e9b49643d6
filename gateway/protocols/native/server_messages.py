"""The messages to native clients, version 1: their types, and the fields of each. Pure.

`outputs.describe` makes them, with types of this table alone; `asyncapi` describes them. Fields may
be added in later versions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from gateway.media.format import ENCODINGS
from pipeline.frames import VISEMES, AvatarMood, Slot

MessageType: TypeAlias = Literal[
    "ready",
    "interview",
    "going_away",
    "expiring",
    "reply.audio",
    "avatar.frame",
    "speech.started",
    "speech.stopped",
    "transcript",
    "reply.started",
    "reply.text",
    "visemes",
    "reply.done",
    "tool.call",
    "reply.paused",
    "reply.resumed",
    "clear",
    "avatar.state",
    "degraded",
    "turn.metrics",
    "error",
    "pong",
]

Turn = Annotated[int, Field(ge=0, description="A number that only grows")]
Ms = Annotated[int, Field(ge=0, description="Milliseconds")]
Shape = Annotated[str, Field(json_schema_extra={"enum": [*VISEMES]})]
Encoding = Annotated[str, Field(json_schema_extra={"enum": [*ENCODINGS]})]


class AudioInFields(TypedDict):
    encoding: Encoding
    rate: int
    channels: int
    noise_reduction: NotRequired[Literal["near_field", "far_field"]]


class AudioOutFields(TypedDict):
    encoding: Encoding
    rate: int


class InterviewFields(TypedDict):
    """How far the interview is."""

    currentQuestion: int
    totalQuestions: int
    isComplete: bool


class WholeInterviewFields(InterviewFields):
    role: str
    model: str


class ResumedFields(TypedDict):
    kept: Annotated[bool, Field(description="The same conversation goes on")]
    complete: Annotated[bool, Field(description="Everything that was missed was sent again")]
    texts: NotRequired[
        Annotated[int, Field(ge=0, description="How many typed texts of the client arrived")]
    ]


class NoticeFields(TypedDict):
    code: str
    message: str


class ReadyFields(TypedDict):
    version: Annotated[int, Field(json_schema_extra={"const": 1})]
    session_id: str
    audio_in: AudioInFields
    audio_out: AudioOutFields
    providers: Annotated[dict[str, str], Field(description="The provider of each slot")]
    resume: Annotated[str | None, Field(description="The token to come back with")]
    resumed: NotRequired[ResumedFields]
    interview: WholeInterviewFields | None
    language: str | None
    notices: list[NoticeFields]


class InMsFields(TypedDict):
    in_ms: Ms


class ReplyAudioFields(TypedDict):
    turn: Turn
    at_ms: Ms
    rtp: Annotated[int, Field(ge=0, lt=2**32, description="The timestamp of RTP")]


class PictureFields(TypedDict):
    turn: Turn
    at_ms: Annotated[int | None, Field(description="Null: show it at once")]
    mime: str
    data: Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]


class AtFields(TypedDict):
    turn: Turn
    at_ms: Ms


class WordFields(TypedDict):
    text: str
    start_ms: Ms
    end_ms: Ms


class TranscriptFields(TypedDict):
    turn: Turn
    text: str
    final: bool
    language: NotRequired[str]
    confidence: NotRequired[Annotated[float, Field(ge=0, le=1)]]
    words: NotRequired[list[WordFields]]


class TurnFields(TypedDict):
    turn: Turn


class ReplyTextFields(TypedDict):
    turn: Turn
    text: str


class CueFields(TypedDict):
    t: Annotated[int, Field(description="Its start in ms, from the reply's first sample")]
    d: Annotated[int, Field(description="Its duration in ms")]
    v: Shape
    w: Annotated[float, Field(ge=0, le=1)]


class VisemesFields(TypedDict):
    turn: Turn
    start_ms: Ms
    cues: list[CueFields]


class ReplyDoneFields(TypedDict):
    turn: Turn
    interrupted: bool
    heard: Annotated[str, Field(description="The text that was played")]


class ToolCallFields(TypedDict):
    turn: Turn
    call_id: str
    name: str
    arguments: Annotated[dict[str, Any], Field(description="By the function's schema, or not")]


class MoodFields(TypedDict):
    state: AvatarMood


DegradedFields = TypedDict(
    "DegradedFields", {"turn": Turn, "stage": Slot, "from": str, "to": str, "reason": str}
)


class SpanFields(TypedDict):
    stage: str
    provider: str
    start: float
    first: float | None
    end: float | None


class ShareFields(TypedDict):
    stage: str
    provider: str
    ms: float
    failed: bool


class MetricsFields(TypedDict):
    turn: Turn
    budget_ms: int
    stages: list[SpanFields]
    voice_to_voice_ms: float | None
    shares: list[ShareFields]


class ErrorFields(TypedDict):
    turn: Turn
    code: str
    message: str
    fatal: Annotated[bool, Field(description="The connection is closed after it")]


class PongFields(TypedDict):
    t: Annotated[bool | float | str | None, Field(description="The ping's")]
    now: Annotated[int, Field(description="The server's clock in ms")]


@dataclass(frozen=True, slots=True)
class ServerMessage:
    """One type of message; `fields` are those beside its type and its number."""

    summary: str
    fields: Any


SERVER_MESSAGES: Mapping[MessageType, ServerMessage] = MappingProxyType(
    {
        "ready": ServerMessage("The session is ready; the first message", ReadyFields),
        "interview": ServerMessage("The interview has advanced", InterviewFields),
        "going_away": ServerMessage("The server stops; the session ends by then", InMsFields),
        "expiring": ServerMessage("The session's time is over then", InMsFields),
        "reply.audio": ServerMessage(
            "Over WebRTC: which sample of the reply has this timestamp", ReplyAudioFields
        ),
        "avatar.frame": ServerMessage("A picture of the face", PictureFields),
        "speech.started": ServerMessage("The person began to speak", AtFields),
        "speech.stopped": ServerMessage("The person has finished", AtFields),
        "transcript": ServerMessage("The person's words", TranscriptFields),
        "reply.started": ServerMessage("The audio that follows belongs to it", TurnFields),
        "reply.text": ServerMessage("The next words of the reply", ReplyTextFields),
        "visemes": ServerMessage("Mouth shapes of audio that follows", VisemesFields),
        "reply.done": ServerMessage("The reply is over", ReplyDoneFields),
        "tool.call": ServerMessage("Run a function, and send tool.result", ToolCallFields),
        "reply.paused": ServerMessage("The person speaks into the reply", AtFields),
        "reply.resumed": ServerMessage("The reply goes on there", AtFields),
        "clear": ServerMessage("Drop the audio that has not been played", AtFields),
        "avatar.state": ServerMessage("The mood of the face", MoodFields),
        "degraded": ServerMessage("A provider gave way to another", DegradedFields),
        "turn.metrics": ServerMessage("Where the time of a turn went", MetricsFields),
        "error": ServerMessage("Something is wrong", ErrorFields),
        "pong": ServerMessage("The answer to ping", PongFields),
    }
)
"""Every text message that a server sends, by its type."""
