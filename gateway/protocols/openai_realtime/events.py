"""The eleven client events: a text message to a checked value. Pure.

Every error names the client's event, so that clients which wait for an answer to it go on. What is
too long is refused by its length, before anything else of it is looked at.
"""

import base64
import binascii
import json
import math
import re
from typing import Any, Literal, TypeAlias

from pydantic import StrictStr, ValidationError

from gateway.protocols.dialect import ProtocolError
from gateway.protocols.openai_realtime.errors import (
    EVENT_TOO_LONG,
    INVALID_JSON,
    INVALID_VALUE,
    MISSING,
    UNKNOWN_EVENT,
    from_validation,
)
from gateway.protocols.openai_realtime.fields import (
    Fields,
    ItemFields,
    ItemId,
    ResponseFields,
    SessionFields,
)
from gateway.protocols.whole import Whole

LONGEST_EVENT_BYTES = 4 * 1024 * 1024
"""Of a message: a minute of audio, as long as `LONGEST_APPEND_MS` allows, is 3.7 MiB in base64."""

LONGEST_DENSE_BYTES = 256 * 1024
"""Of a message of many small values, which takes far longer to read than one of long strings."""

MOST_COMMAS = 20_000
"""A longer message has no more of them, and so no more values; base64 has none."""

DEEPEST = 64
LONGEST_EVENT_ID = 512

_EDGE_BYTES = 1024
_EVENT_ID = re.compile(rb'"event_id"\s{0,8}:\s{0,8}"([\x20-\x21\x23-\x5b\x5d-\x7e]{1,512})"')


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


def read(message: bytes | str) -> tuple[ClientEvent, str | None]:
    """The event in a text message, and its `event_id` if the client gave one.

    Raises `ProtocolError`, with that `event_id`, for anything else, in time linear in the
    message's length.
    """
    data = message.encode() if isinstance(message, str) else message
    _check_length(data)
    event = _load(data)
    event_id = event.get("event_id")
    if not isinstance(event_id, str) or len(event_id) > LONGEST_EVENT_ID:
        event_id = None
    try:
        return _read(event), event_id
    except ProtocolError as error:
        error.event_id = event_id
        raise


def _check_length(data: bytes) -> None:
    """Raises `ProtocolError` for a message that is not worth reading, with its `event_id` if that
    is near the beginning or the end."""
    if len(data) <= LONGEST_DENSE_BYTES:
        return
    longest = LONGEST_EVENT_BYTES
    if len(data) <= longest:
        if data.count(b",") <= MOST_COMMAS:
            return
        longest = LONGEST_DENSE_BYTES
    first, last = data[:_EDGE_BYTES], data[-_EDGE_BYTES:]
    found = _EVENT_ID.search(first) or _EVENT_ID.search(last)
    is_audio = _APPEND.encode() in first or _APPEND.encode() in last
    text = f"An event has at most {longest} bytes; this one has {len(data)}."
    raise ProtocolError(
        EVENT_TOO_LONG,
        f"{text} Append audio in shorter pieces." if is_audio else text,
        param="audio" if is_audio else None,
        event_id=None if found is None else found[1].decode(),
    )


def _load(message: bytes) -> dict[str, Any]:
    try:
        # For bytes, `loads` would also accept UTF-16, and halves of surrogate pairs.
        event = json.loads(message.decode("utf-8-sig"), parse_constant=_refuse_constant)
        _check(event)
    except RecursionError:
        raise ProtocolError(INVALID_JSON, "The event is nested too deep.") from None
    except ValueError as error:
        raise ProtocolError(INVALID_JSON, f"The event is not valid JSON: {error}.") from None
    if not isinstance(event, dict):
        raise ProtocolError(INVALID_JSON, "An event is a JSON object with a type.")
    return event


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _check(root: Any) -> None:
    """Raises `ValueError` for what cannot be sent on: depth, infinities, half surrogate pairs."""
    level = [root]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value)
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
            elif isinstance(value, str):
                if not value.isascii():
                    value.encode()
            elif isinstance(value, float) and not math.isfinite(value):
                raise ValueError("a number is too large")
        if not below:
            return
        level = below
    raise ValueError(f"it is nested deeper than {DEEPEST} levels")


def _read(event: dict[str, Any]) -> ClientEvent:
    kind = event.get("type")
    if not isinstance(kind, str):
        raise ProtocolError(MISSING, "Missing required parameter: 'type'.", param="type")
    if kind == _APPEND:
        return AppendAudio.model_construct(type=_APPEND, audio=_audio(event.get("audio")))
    model = _KINDS.get(kind)
    if model is None:
        known = ", ".join([_APPEND, *_KINDS])
        text = f"Invalid value for 'type': {kind[:64]!r}. Supported values are: {known}."
        raise ProtocolError(UNKNOWN_EVENT, text, param="type")
    try:
        return model.model_validate(event)
    except ValidationError as error:
        raise from_validation(error) from None


def _audio(text: Any) -> bytes:
    if text is None:
        raise ProtocolError(MISSING, "Missing required parameter: 'audio'.", param="audio")
    if not isinstance(text, str):
        raise _bad_audio("base64 in a string is needed")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _bad_audio("it is not base64") from None


def _bad_audio(why: str) -> ProtocolError:
    return ProtocolError(INVALID_VALUE, f"Invalid value for 'audio': {why}.", param="audio")
