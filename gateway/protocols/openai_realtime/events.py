"""The eleven client events: a text message to a checked value. Pure.

Every error names the client's event, so that clients which wait for an answer to it go on.
"""

from typing import Any, Literal, TypeAlias

from pydantic import StrictStr, ValidationError

from gateway.protocols.client_events import (
    MISSING,
    PlainAppends,
    decoded_audio,
    from_validation,
    read_object,
)
from gateway.protocols.dialect import ProtocolError
from gateway.protocols.openai_realtime.errors import UNKNOWN_EVENT
from gateway.protocols.openai_realtime.fields import (
    Fields,
    ItemFields,
    ItemId,
    ResponseFields,
    SessionFields,
)
from gateway.protocols.whole import Whole


class UpdateSession(Fields):
    type: Literal["session.update"]
    session: SessionFields


class AppendAudio(Fields):
    type: Literal["input_audio_buffer.append"]
    audio: bytes


class CommitAudio(Fields):
    type: Literal["input_audio_buffer.commit"]


class ClearInput(Fields):
    type: Literal["input_audio_buffer.clear"]


class CreateItem(Fields):
    type: Literal["conversation.item.create"]
    item: ItemFields
    previous_item_id: ItemId | None = None


class RetrieveItem(Fields):
    type: Literal["conversation.item.retrieve"]
    item_id: ItemId


class TruncateItem(Fields):
    type: Literal["conversation.item.truncate"]
    item_id: ItemId
    content_index: Whole = 0
    audio_end_ms: Whole


class DeleteItem(Fields):
    type: Literal["conversation.item.delete"]
    item_id: ItemId


class CreateResponse(Fields):
    type: Literal["response.create"]
    response: ResponseFields | None = None


class CancelResponse(Fields):
    type: Literal["response.cancel"]
    response_id: StrictStr | None = None


class ClearOutput(Fields):
    type: Literal["output_audio_buffer.clear"]


ClientEvent: TypeAlias = (
    UpdateSession
    | AppendAudio
    | CommitAudio
    | ClearInput
    | CreateItem
    | RetrieveItem
    | TruncateItem
    | DeleteItem
    | CreateResponse
    | CancelResponse
    | ClearOutput
)

_KINDS: dict[str, type[ClientEvent]] = {
    "session.update": UpdateSession,
    "input_audio_buffer.commit": CommitAudio,
    "input_audio_buffer.clear": ClearInput,
    "conversation.item.create": CreateItem,
    "conversation.item.retrieve": RetrieveItem,
    "conversation.item.truncate": TruncateItem,
    "conversation.item.delete": DeleteItem,
    "response.create": CreateResponse,
    "response.cancel": CancelResponse,
    "output_audio_buffer.clear": ClearOutput,
}
_APPEND = "input_audio_buffer.append"

PLAIN_APPENDS = PlainAppends(_APPEND)


def read(message: bytes | str) -> tuple[ClientEvent, str | None]:
    """The event in a text message, and its `event_id` if the client gave one.

    Raises `ProtocolError`, with that `event_id`, for anything else, in time linear in the
    message's length.
    """
    data = message.encode() if isinstance(message, str) else message
    event, event_id = read_object(data, append=_APPEND.encode())
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
        return AppendAudio.model_construct(type=_APPEND, audio=decoded_audio(event.get("audio")))
    model = _KINDS.get(kind)
    if model is None:
        known = ", ".join([_APPEND, *_KINDS])
        text = f"Invalid value for 'type': {kind[:64]!r}. Supported values are: {known}."
        raise ProtocolError(UNKNOWN_EVENT, text, param="type")
    try:
        return model.model_validate(event)
    except ValidationError as error:
        raise from_validation(error) from None
