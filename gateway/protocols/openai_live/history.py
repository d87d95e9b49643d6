"""`LiveHistory`: the conversation as it was heard, for the chat server. Pure.

An interview keeps its own; this one is an assistant's.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal, TypeAlias

from gateway.protocols.openai_live.errors import CONVERSATION_FULL, UNKNOWN_CALL, invalid
from pipeline.frames import ToolCall
from pipeline.stage import Message, ToolRequest

MOST_LINES = 4_096
MOST_CLIENT_BYTES = 4 * 1024 * 1024
"""The most that a client may put into a conversation."""

Role: TypeAlias = Literal["system", "user", "assistant"]


@dataclass(slots=True, eq=False)
class _Said:
    """A line; `turn` is the engine's, None for a line that the client has put in."""

    turn: int | None
    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class _Called:
    turn: int | None
    request: ToolRequest


@dataclass(frozen=True, slots=True)
class _Result:
    turn: int | None
    call_id: str
    text: str


_Line: TypeAlias = _Said | _Called | _Result


class LiveHistory:
    """The history of one session. New lines push out the oldest ones."""

    def __init__(self) -> None:
        self._lines: list[_Line] = []
        self._reply: _Said | None = None  # the reply under way, which is not known yet
        self._calls: set[str] = set()
        self._client_bytes = 0

    def heard(self, turn: int, text: str) -> None:
        """Add the person's words in a turn, which may come after its reply has begun."""
        if not text:
            return
        reply, said = self._reply, _Said(turn, "user", text)
        if reply is not None and reply.turn == turn and reply in self._lines:
            self._lines.insert(self._lines.index(reply), said)
        else:
            self._add(said)

    def reply(self, turn: int) -> None:
        """A reply begins here: what the client adds from now on comes after it."""
        self._reply = _Said(turn, "assistant", "")
        self._add(self._reply)

    def replied(self, turn: int, text: str) -> None:
        """Take the part of a reply that was heard."""
        if self._reply is None or self._reply.turn != turn:
            self.reply(turn)
        assert self._reply is not None
        self._reply.text, self._reply = text, None

    def called(self, call: ToolCall) -> None:
        """A reply has called a function."""
        self._calls.add(call.call_id)
        request = ToolRequest(call.call_id, call.name, call.arguments)
        self._add(_Called(call.turn, request))

    def put(self, role: Role, text: str) -> None:
        """Add a line of the client. Raises `ProtocolError` if there is no room."""
        self._make_room(text)
        self._add(_Said(None, role, text))

    def answered(self, call_id: str, text: str) -> None:
        """The client has a function's result. Raises `ProtocolError` for an unknown call."""
        if call_id not in self._calls:
            text = f"No function was called with the id {call_id[:64]!r}."
            raise invalid(text, "item.call_id", UNKNOWN_CALL)
        self._make_room(text)
        self._add(_Result(None, call_id, text))

    def _make_room(self, text: str) -> None:
        size = 256 + len(text.encode())
        if self._client_bytes + size > MOST_CLIENT_BYTES:
            text = f"A client may add {MOST_CLIENT_BYTES} bytes to a conversation."
            raise invalid(text, None, CONVERSATION_FULL)
        self._client_bytes += size

    def _add(self, line: _Line) -> None:
        if len(self._lines) >= MOST_LINES:
            gone = self._lines.pop(0)
            if isinstance(gone, _Called):
                self._calls.discard(gone.request.call_id)
        self._lines.append(line)

    def messages(self, turn: int) -> tuple[Message, ...]:
        """The conversation before a turn, for a chat server.

        Calls without a result are left out, because such servers refuse them; results follow their
        calls, wherever the client put them.
        """
        before = list(takewhile(lambda line: line.turn is None or line.turn < turn, self._lines))
        return tuple(_messages(before))


def _messages(lines: Iterable[_Line]) -> Iterator[Message]:
    known = list(lines)
    results = {line.call_id: line.text for line in known if isinstance(line, _Result)}
    calls: list[ToolRequest] = []
    for line in known:
        if isinstance(line, _Called):
            if line.request.call_id in results:
                calls.append(line.request)
        elif isinstance(line, _Said) and line.text:
            yield from _settled(calls, results)
            calls = []
            yield Message(line.role, line.text)
    yield from _settled(calls, results)


def _settled(calls: list[ToolRequest], results: dict[str, str]) -> Iterator[Message]:
    if not calls:
        return
    yield Message("assistant", "", calls=tuple(calls))
    for call in calls:
        yield Message("tool", results[call.call_id], call_id=call.call_id)
