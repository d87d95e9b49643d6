"""Reads RTVI messages of clients. Pure.

A message is `{"label": "rtvi-ai", "type": …, "id": …, "data": {…}}`. What is wrong with one is
answered as `error-response` with its id, or as `error` where it has none.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from gateway.protocols.dialect import MESSAGE_TOO_LONG, ProtocolError

LABEL = "rtvi-ai"
VERSION = "2.1.0"
MAJOR, OLDEST_MAJOR = 2, 1

LONGEST_MESSAGE_BYTES = 64 * 1024
LONGEST_TEXT_BYTES = 8 * 1024
LONGEST_ID = 128
"""The longest id, in characters; clients use eight."""

PING = b"ping:"
"""The beginning of the ping that a client sends over its data channel each second."""


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """An RTVI message: its type, its id, "" without one, and its data."""

    kind: str
    id: str
    data: dict[str, Any] = field(default_factory=dict)

    def refused(self, code: str, text: str) -> ProtocolError:
        """The error for this message."""
        return ProtocolError(code, text, event_id=self.id or None)


def read(message: bytes) -> ClientMessage:
    """One message. Raises `ProtocolError`. Takes time linear in the length."""
    found = _object(message)
    if len(message) > LONGEST_MESSAGE_BYTES:
        given = found.get("id")
        name = given if isinstance(given, str) and len(given) <= LONGEST_ID else None
        text = f"a message has at most {LONGEST_MESSAGE_BYTES} bytes"
        raise ProtocolError(MESSAGE_TOO_LONG, text, event_id=name)
    if found.get("label") != LABEL:
        raise ProtocolError("bad_message", f"label: {LABEL!r} is needed")
    kind, given, data = found.get("type"), found.get("id"), found.get("data")
    if not isinstance(kind, str):
        raise ProtocolError("bad_message", "type: a string is needed")
    name = given if isinstance(given, str) and len(given) <= LONGEST_ID else ""
    if not is_whole(name):
        name = ""
    if data is not None and not isinstance(data, dict):
        raise ProtocolError("bad_message", "data: an object is needed", event_id=name or None)
    return ClientMessage(kind, name, data or {})


def is_signalling(message: bytes) -> bool:
    """Whether a message of the data channel is for the peer connection, and no RTVI message.

    Raises `ProtocolError` for what is not JSON.
    """
    return message.startswith(PING) or _object(message).get("type") == "signalling"


def major_of(version: Any) -> int | None:
    """The first number of a version such as "2.1.0"; None where there is none."""
    if not isinstance(version, str):
        return None
    first = version.partition(".")[0]
    return int(first) if first.isascii() and first.isdigit() and len(first) <= 4 else None


def text_of(message: ClientMessage) -> str:
    """The text in `data.content`. Raises `ProtocolError`."""
    text = message.data.get("content")
    if not isinstance(text, str) or not is_whole(text):
        raise message.refused("bad_message", "data.content: a string is needed")
    if len(text.encode()) > LONGEST_TEXT_BYTES:
        raise message.refused("text_too_long", f"data.content: at most {LONGEST_TEXT_BYTES} bytes")
    if not text.strip():
        raise message.refused("empty_text", "data.content: there is nothing in it")
    return text


def flag_of(message: ClientMessage, given: dict[str, Any], name: str) -> bool:
    """A truth value that is true where it is left out. Raises `ProtocolError`."""
    value = given.get(name, True)
    if not isinstance(value, bool):
        raise message.refused("bad_message", f"{name}: true or false is needed")
    return value


def _object(message: bytes) -> dict[str, Any]:
    try:
        found = json.loads(message.decode(), parse_constant=_refuse_constant)
    except RecursionError:
        raise ProtocolError("bad_json", "the message is nested too deep") from None
    except ValueError as error:
        raise ProtocolError("bad_json", f"the message is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ProtocolError("bad_json", "a message is a JSON object")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def is_whole(text: str) -> bool:
    """Whether it holds no half of a surrogate pair, which can be neither sent nor stored."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
