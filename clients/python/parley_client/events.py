"""What a call brings: one frozen class for each message of the gateway. Pure.

The names are those of the wire (`reply.text` is `ReplyText`), and so are the fields, but for
`from`, which is `from_`. Times are milliseconds. Fields that this version does not know are left
out, and messages it does not know come as `Unknown`, so that a newer gateway breaks no client.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from parley_client.errors import MessageError

Json = Mapping[str, Any]
"""A JSON object within a message."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The call stands, for the first time or again; the interviewer speaks next.

    `resumed` is None for a call that begins. After a lost line it says whether the conversation was
    `kept` and whether the missed messages are `complete`.
    """

    session_id: str
    audio_in: Json
    audio_out: Json
    providers: Json
    interview: Json
    language: str = "en"
    notices: list[Json] | None = None
    resume: str | None = None
    resumed: Json | None = None


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The person begins to speak, at this position of the audio sent."""

    turn: int
    at_ms: float


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The person has finished, as the gateway decided."""

    turn: int
    at_ms: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was understood; `final` once it will not change any more."""

    turn: int
    text: str
    final: bool
    language: str | None = None
    confidence: float | None = None
    words: list[Json] | None = None


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """The audio that follows belongs to this turn."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReplyText:
    """The next words of the reply."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """The next audio of the reply, in the encoding of `Ready.audio_out`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Visemes:
    """Mouth shapes of audio that comes: start `t` and duration `d`, shape `v`, weight `w`."""

    turn: int
    start_ms: float
    cues: list[Json]


@dataclass(frozen=True, slots=True)
class AvatarState:
    """`listening`, `thinking`, `speaking` or `idle`."""

    state: str


@dataclass(frozen=True, slots=True)
class AvatarFrame:
    """A picture of the face, in base64; `at_ms` is its place in the reply, None in silence."""

    turn: int | None
    mime: str
    data: str
    at_ms: float | None = None


@dataclass(frozen=True, slots=True)
class ReplyDone:
    """The reply has been played to its end, or was `interrupted`; `heard` is what was played."""

    turn: int
    interrupted: bool
    heard: str


@dataclass(frozen=True, slots=True)
class Clear:
    """The reply was stopped at this position: drop the audio that has not been played."""

    turn: int
    at_ms: float


@dataclass(frozen=True, slots=True)
class ReplyPaused:
    """The person speaks into the reply; it goes on, or is done."""

    turn: int
    at_ms: float


@dataclass(frozen=True, slots=True)
class ReplyResumed:
    """That was no interruption: the audio that follows goes on at this position."""

    turn: int
    at_ms: float


@dataclass(frozen=True, slots=True)
class TurnMetrics:
    """Where the time of a turn went."""

    turn: int
    budget_ms: float
    stages: list[Json]
    voice_to_voice_ms: float | None = None
    shares: list[Json] | None = None


@dataclass(frozen=True, slots=True)
class Interview:
    """How far the interview is."""

    currentQuestion: int
    totalQuestions: int
    isComplete: bool


@dataclass(frozen=True, slots=True)
class Degraded:
    """Something less good takes the place of a provider that failed, or the other way round."""

    stage: str
    from_: str
    to: str
    reason: str
    turn: int | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function of this client's is called: `Call.answer_tool` sends what it returns."""

    turn: int
    call_id: str
    name: str
    arguments: Json


@dataclass(frozen=True, slots=True)
class GoingAway:
    """The gateway stops within this time. The call goes on by itself when it is back."""

    in_ms: float


@dataclass(frozen=True, slots=True)
class Expiring:
    """The time of the session is over then."""

    in_ms: float


@dataclass(frozen=True, slots=True)
class Error:
    """The gateway could not do something; the call goes on unless it is `fatal`."""

    code: str
    message: str
    fatal: bool = False
    turn: int | None = None


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a `ping`."""

    now: float
    t: float | str | None = None


@dataclass(frozen=True, slots=True)
class LineBroke:
    """The line broke, for this reason; the client connects again, and `Ready` follows.

    The client's own event: the gateway sends none of this kind.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message that this version does not know, as it came."""

    type: str
    message: Json


Event = (
    Ready
    | SpeechStarted
    | SpeechStopped
    | Transcript
    | ReplyStarted
    | ReplyText
    | ReplyAudio
    | Visemes
    | AvatarState
    | AvatarFrame
    | ReplyDone
    | Clear
    | ReplyPaused
    | ReplyResumed
    | TurnMetrics
    | Interview
    | Degraded
    | ToolCall
    | GoingAway
    | Expiring
    | Error
    | Pong
    | LineBroke
    | Unknown
)

CLASSES: Mapping[str, type] = {
    "ready": Ready,
    "speech.started": SpeechStarted,
    "speech.stopped": SpeechStopped,
    "transcript": Transcript,
    "reply.started": ReplyStarted,
    "reply.text": ReplyText,
    "visemes": Visemes,
    "avatar.state": AvatarState,
    "avatar.frame": AvatarFrame,
    "reply.done": ReplyDone,
    "clear": Clear,
    "reply.paused": ReplyPaused,
    "reply.resumed": ReplyResumed,
    "turn.metrics": TurnMetrics,
    "interview": Interview,
    "degraded": Degraded,
    "tool.call": ToolCall,
    "going_away": GoingAway,
    "expiring": Expiring,
    "error": Error,
    "pong": Pong,
}
"""The class of each message by its type."""


def decoded(data: str | bytes) -> tuple[Event, int | None]:
    """The event that a message of the gateway is, and its `seq` (None for audio).

    Raises `MessageError` for text that is no message of the dialect: no JSON object, no type, or a
    field that is missing or of another kind.
    """
    if isinstance(data, bytes):
        return ReplyAudio(data), None
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        raise MessageError(f"a message is no JSON: {data[:60]!r}") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise MessageError(f"a message has no type: {data[:60]!r}")
    seq = message.get("seq")
    if seq is not None and not _is(seq, int):
        raise MessageError(f"seq of {message['type']} is no whole number: {seq!r:.60}")
    cls = CLASSES.get(message["type"])
    if cls is None:
        return Unknown(message["type"], message), seq
    event: Event = cls(**_values(message["type"], _FIELDS[message["type"]], message))
    return event, seq


def _values(
    kind: str, wanted: list[tuple[str, str, Any, bool]], message: dict[str, Any]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for wire, name, hint, needed in wanted:
        if wire not in message:
            if needed:
                raise MessageError(f"{kind} has no {wire}")
        elif not _is(message[wire], hint):
            raise MessageError(f"{wire} of {kind} is of another kind: {message[wire]!r:.60}")
        else:
            values[name] = message[wire]
    return values


def _is(value: object, hint: Any) -> bool:
    """Whether a value that was read from JSON is of an annotation's kind."""
    origin = typing.get_origin(hint)
    if origin is types.UnionType:
        return any(_is(value, each) for each in typing.get_args(hint))
    if origin is list:
        [kind] = typing.get_args(hint)
        return isinstance(value, list) and all(_is(each, kind) for each in value)
    if origin is not None:  # Json
        return isinstance(value, dict)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _described(cls: type) -> list[tuple[str, str, Any, bool]]:
    """Of each field the name on the wire, the name here, its kind, and whether it is needed."""
    hints = typing.get_type_hints(cls)

    def needed(field: Field[Any]) -> bool:
        return field.default is MISSING

    return [
        (field.name.removesuffix("_"), field.name, hints[field.name], needed(field))
        for field in fields(cls)
    ]


_FIELDS = {kind: _described(cls) for kind, cls in CLASSES.items()}
