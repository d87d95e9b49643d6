"""The client events of the Live API: a text message to a checked value. Pure.

Every error names the client's event, so that clients which wait for an answer to it go on.
"""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, StrictStr, ValidationError

from gateway.protocols.client_events import (
    MISSING,
    decoded_audio,
    from_validation,
    read_object,
)
from gateway.protocols.dialect import ProtocolError
from gateway.protocols.openai_live.errors import IMMUTABLE, UNKNOWN_EVENT, UNSUPPORTED, invalid
from gateway.protocols.openai_live.fields import (
    LiveFields,
    LiveSessionFields,
    MessageFields,
    ResultFields,
    Text,
    UpdateFields,
)


class StartSession(LiveFields):
    type: Literal["session.start"]
    session: LiveSessionFields


class LiveUpdateSession(LiveFields):
    type: Literal["session.update"]
    session: UpdateFields


class CloseSession(LiveFields):
    type: Literal["session.close"]


class LiveAppendAudio(LiveFields):
    type: Literal["session.input_audio.append"]
    audio: bytes


class MuteInput(LiveFields):
    type: Literal["session.input_audio.mute"]


class UnmuteInput(LiveFields):
    type: Literal["session.input_audio.unmute"]


def _own(delegation_id: str | None) -> str | None:
    if delegation_id is not None:
        raise ValueError("null is needed: this server delegates nothing to its client")
    return delegation_id


class AppendContext(LiveFields):
    """Text for the chat model, which speaks about `commentary` and not about the other kinds."""

    type: Literal[
        "session.instructions.append", "session.thinking.append", "session.commentary.append"
    ]
    content: Text
    delegation_id: Annotated[StrictStr | None, AfterValidator(_own)] = None


class CreateMessage(LiveFields):
    type: Literal["response.item.create"]
    item: MessageFields


class CreateResult(LiveFields):
    type: Literal["response.item.create"]
    item: ResultFields


class LiveCreateResponse(LiveFields):
    type: Literal["response.create"]


ClientEvent: TypeAlias = (
    StartSession
    | LiveUpdateSession
    | CloseSession
    | LiveAppendAudio
    | MuteInput
    | UnmuteInput
    | AppendContext
    | CreateMessage
    | CreateResult
    | LiveCreateResponse
)

START = "session.start"
_APPEND = "session.input_audio.append"
_UPDATE = "session.update"
_CREATE = "response.item.create"

_KINDS: dict[str, type[ClientEvent]] = {
    START: StartSession,
    _UPDATE: LiveUpdateSession,
    "session.close": CloseSession,
    "session.input_audio.mute": MuteInput,
    "session.input_audio.unmute": UnmuteInput,
    "session.instructions.append": AppendContext,
    "session.thinking.append": AppendContext,
    "session.commentary.append": AppendContext,
    _CREATE: CreateMessage,
    "response.create": LiveCreateResponse,
}

_ELSEWHERE = frozenset(
    {
        "session.output_audio.fixture.play",
        *("decision.create", "decision.item.create", "decision.item.delete"),
        "transport.dtmf.send",
    }
)
"""Events of the API that this server cannot obey."""

_SETTINGS = ("model", "audio", "client", "input", "instructions", "safety_identifier", "store")
"""Fields of a session that hold from its start to its end."""


def read(message: bytes) -> tuple[ClientEvent, str | None]:
    """The event in a text message, and its `event_id` if the client gave one.

    Raises `ProtocolError`, with that `event_id`, for anything else, in time linear in the
    message's length.
    """
    event, event_id = read_object(message, append=_APPEND.encode())
    try:
        return _read(event), event_id
    except ProtocolError as error:
        error.event_id = event_id
        raise


def _read(event: dict[str, Any]) -> ClientEvent:
    kind = event.get("type")
    if not isinstance(kind, str):
        raise ProtocolError(MISSING, "Missing required parameter: 'type'.", param="type")
    if kind == _APPEND:
        return LiveAppendAudio.model_construct(
            type=_APPEND, audio=decoded_audio(event.get("audio"))
        )
    model = _KINDS.get(kind)
    if model is None:
        raise _unknown(kind)
    if kind == _CREATE:
        model = _item_model(event.get("item"))
    if kind == _UPDATE:
        _check_update(event.get("session"))
    try:
        return model.model_validate(event)
    except ValidationError as error:
        raise from_validation(error) from None


def _item_model(item: Any) -> type[ClientEvent]:
    kind = item.get("type", "message") if isinstance(item, dict) else "message"
    if kind in ("message", "function_call_output"):
        return CreateMessage if kind == "message" else CreateResult
    shown = kind[:40] if isinstance(kind, str) else kind.__class__.__name__
    text = f"Items of type {shown!r} are not supported: message, function_call_output."
    raise invalid(text, "item.type")


def _check_update(session: Any) -> None:
    for name in _SETTINGS:
        if isinstance(session, dict) and name in session:
            text = f"{name!r} holds from the start of a session to its end."
            raise invalid(text, f"session.{name}", IMMUTABLE)


def _unknown(kind: str) -> ProtocolError:
    if kind in _ELSEWHERE:
        text = f"This server does not support {kind!r}."
        return ProtocolError(UNSUPPORTED, text, param="type")
    known = ", ".join([_APPEND, *_KINDS])
    text = f"Invalid value for 'type': {kind[:64]!r}. Supported values are: {known}."
    return ProtocolError(UNKNOWN_EVENT, text, param="type")
