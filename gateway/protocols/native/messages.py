"""The messages of native clients, version 1: one table both parses and describes them. Pure.

`parse` reads a message by its row of `CLIENT_MESSAGES`, and `gateway.protocols.native.asyncapi`
describes each row.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from gateway.protocols.dialect import (
    AnswerToolCall,
    Command,
    CommitTurn,
    InterruptReply,
    Leave,
    ProtocolError,
    ReportPlayed,
    TypedText,
)
from gateway.protocols.native.hello import VERSION as VERSION
from gateway.protocols.native.hello import Hello, read_hello
from gateway.protocols.whole import whole

LONGEST_TEXT_BYTES = 8 * 1024

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

ErrorCode = Literal[
    "bad_json",
    "message_too_long",
    "message_left_out",
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
    "taken_over",
    "still_ending",
    "session_expired",
    "cannot_resume",
    "deleted",
    "flooding",
    "interview",
    "unknown_face",
    "no_noise_reduction",
    "unknown_language",
    "unknown_tool",
    "no_such_call",
    "internal",
]
"""Every code that an `error` message can carry; `docs/protocol.md` says what each means."""


@dataclass(frozen=True, slots=True)
class Ping:
    t: Any


# --- the fields of each message ----------------------------------------------------------------

Natural = Annotated[int, Field(ge=0, lt=2**53)]


class TextFields(BaseModel):
    text: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT_BYTES, pattern=r"\S")]


class PlayedFields(BaseModel):
    turn: Natural
    ms: Natural


class ToolResultFields(BaseModel):
    """Either `result`, any JSON, or `error`: why there is none."""

    call_id: str
    result: Any = None
    error: str | None = None


class PingFields(BaseModel):
    t: bool | float | str | None = None


class NoFields(BaseModel):
    """No fields: those of such a message are ignored."""


@dataclass(frozen=True, slots=True)
class KnownMessage:
    """One type of message. `read` raises `ProtocolError` for what `fields` does not allow."""

    summary: str
    fields: type[BaseModel]
    read: Callable[[dict[str, Any]], Command | Ping]


def _read_text(message: dict[str, Any]) -> TypedText:
    return TypedText(_typed_text(message))


def _read_played(message: dict[str, Any]) -> ReportPlayed:
    return ReportPlayed(_natural(message, "turn"), _natural(message, "ms"))


def _read_tool_result(message: dict[str, Any]) -> AnswerToolCall:
    call_id, result, error = message.get("call_id"), message.get("result"), message.get("error")
    if not isinstance(call_id, str):
        raise ProtocolError("bad_message", "call_id: a string is needed")
    if error is not None and not isinstance(error, str):
        raise ProtocolError("bad_message", "error: a string is needed")
    if error is not None:
        return AnswerToolCall(call_id, error, failed=True)
    return AnswerToolCall(call_id, result if isinstance(result, str) else _JSON.encode(result))


def _read_ping(message: dict[str, Any]) -> Ping:
    return Ping(_echo(message.get("t")))


CLIENT_MESSAGES: Mapping[str, KnownMessage] = MappingProxyType(
    {
        "hello": KnownMessage("The client's wishes; only as its first message", Hello, read_hello),
        "text": KnownMessage("A typed answer", TextFields, _read_text),
        "interrupt": KnownMessage(
            "Stop the reply now", NoFields, lambda _: InterruptReply(overtakes=True)
        ),
        "commit": KnownMessage("The spoken turn ends here", NoFields, lambda _: CommitTurn()),
        "played": KnownMessage(
            "How much of a turn's reply has been played", PlayedFields, _read_played
        ),
        "tool.result": KnownMessage(
            "The result of a function that was called", ToolResultFields, _read_tool_result
        ),
        "ping": KnownMessage("Answered by pong", PingFields, _read_ping),
        "bye": KnownMessage("End the session", NoFields, lambda _: Leave()),
    }
)
"""Every message that a client may send, by its type."""


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
    name = message.get("type")
    if not isinstance(name, str):
        raise ProtocolError("unknown_type", "the message has no type")
    known = CLIENT_MESSAGES.get(name)
    if known is None:
        names = ", ".join(CLIENT_MESSAGES)
        raise ProtocolError("unknown_type", f"no such type: {name[:40]!r}; known are {names}")
    return known.read(message)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


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
