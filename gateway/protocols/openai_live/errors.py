"""The errors of the Live API: their codes and their events. Pure.

The session stays open after every error but those that the gateway calls fatal.
"""

from typing import Any, TypeAlias

from gateway.protocols.client_events import INVALID_VALUE
from gateway.protocols.dialect import ProtocolError

Event: TypeAlias = dict[str, Any]
"""A server event without its `event_id`."""

UNKNOWN_EVENT = "unknown_event"
UNSUPPORTED = "unsupported_event"
NOT_STARTED = "session_not_started"
ALREADY_STARTED = "session_already_started"
IMMUTABLE = "cannot_update"
NOTHING_TO_ANSWER = "nothing_to_answer"
UNKNOWN_CALL = "invalid_tool_call_id"
CONVERSATION_FULL = "conversation_full"
ALREADY_RESPONDING = "conversation_already_has_active_response"
PERSON_SPEAKS = "response_create_while_person_speaks"
TOO_MANY_TURNS = "too_many_turns"

REFUSED_RESPONSES = {
    "reply_under_way": ALREADY_RESPONDING,
    "person_speaks": PERSON_SPEAKS,
    "too_many_turns": TOO_MANY_TURNS,
}
"""The engine's reason to refuse a `response.create` → the error that the client gets."""

SERVER_CODES = frozenset(
    {
        *("internal", "not_stored", "heard_not_stored", "storage_slow", "server_error"),
        *("store_unavailable",),
        *("already_connected", "still_ending", "deleted"),
    }
)
"""Codes of the engine and the gateway for faults that are not the client's."""


def invalid(message: str, param: str | None, code: str = INVALID_VALUE) -> ProtocolError:
    """The client's event cannot be obeyed as it is."""
    return ProtocolError(code, message, param=param)


def error_of(
    code: str, message: str, *, param: str | None = None, event_id: str | None = None
) -> dict[str, Any]:
    """The error object, without fields that are not known."""
    kind = "server_error" if code in SERVER_CODES else "invalid_request_error"
    error: dict[str, Any] = {"type": kind, "code": code, "message": message}
    if param is not None:
        error["param"] = param
    if event_id is not None:
        error["client_event_id"] = event_id
    return error


def error_event(
    code: str, message: str, *, param: str | None = None, event_id: str | None = None
) -> Event:
    """The server event; it names the client's event outside of the error, too."""
    event: Event = {
        "type": "error",
        "error": error_of(code, message, param=param, event_id=event_id),
    }
    if event_id is not None:
        event["client_event_id"] = event_id
    return event
