"""The errors of the Realtime API: their codes and their events. Pure.

The session stays open after every error but a fatal one. `type` is not part of a
`ProtocolError`: it follows from the code.
"""

from typing import Any, TypeAlias

from gateway.protocols.client_events import EVENT_TOO_LONG as EVENT_TOO_LONG
from gateway.protocols.client_events import INVALID_JSON as INVALID_JSON
from gateway.protocols.client_events import INVALID_VALUE
from gateway.protocols.client_events import MISSING as MISSING
from gateway.protocols.client_events import from_validation as from_validation
from gateway.protocols.dialect import ProtocolError

Event: TypeAlias = dict[str, Any]
"""A server event without its `event_id`."""

INVALID_EVENT = "invalid_event"
UNKNOWN_EVENT = "unknown_event"
ITEM_NOT_FOUND = "item_not_found"
BUFFER_EMPTY = "input_audio_buffer_commit_empty"
ALREADY_RESPONDING = "conversation_already_has_active_response"
NOT_RESPONDING = "response_cancel_not_active"
PERSON_SPEAKS = "response_create_while_person_speaks"
TOO_MANY_TURNS = "too_many_turns"
TOO_MANY_EVENTS = "too_many_events"
UNKNOWN_CALL = "invalid_tool_call_id"
CONVERSATION_FULL = "conversation_full"
VOICE_FROZEN = "cannot_update_voice"

SERVER_CODES = frozenset(
    {
        *("internal", "not_stored", "heard_not_stored", "storage_slow", "server_error"),
        *("already_connected", "still_ending", "deleted"),
    }
)
"""Codes of the engine and the gateway for faults that are not the client's."""


def invalid(message: str, param: str | None, code: str = INVALID_VALUE) -> ProtocolError:
    """The client's event cannot be obeyed as it is."""
    return ProtocolError(code, message, param=param)


def error_event(
    code: str,
    message: str,
    *,
    param: str | None = None,
    event_id: str | None = None,
    server: bool = False,
) -> Event:
    """The server event, without fields that are not known: stock clients refuse some nulls."""
    kind = "server_error" if server or code in SERVER_CODES else "invalid_request_error"
    error: Event = {"type": kind, "code": code, "message": message}
    if param is not None:
        error["param"] = param
    if event_id is not None:
        error["event_id"] = event_id
    return {"type": "error", "error": error}
