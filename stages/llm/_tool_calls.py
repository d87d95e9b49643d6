"""Calls of functions in a streamed chat completion, put together from their pieces. Pure."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pipeline.frames import ToolCall

MAX_CALLS = 16
"""The most calls in one reply."""

MAX_ARGUMENTS = 64_000
"""The most characters of all their arguments."""


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of a call: `index` says of which one, if the server tells it."""

    index: int | None
    call_id: str
    name: str
    arguments: str

    @classmethod
    def read(cls, value: Any) -> "CallPiece":
        """Read one of a delta's `tool_calls`. Raises `AttributeError` and `TypeError`."""
        function = value.get("function") or {}
        index = value.get("index")
        if index is not None and not isinstance(index, int):
            raise TypeError("the index of a call is no number")
        arguments = function.get("arguments")
        if isinstance(arguments, dict):  # some servers send them whole, and not as text
            arguments = json.dumps(arguments)
        return cls(index, _text(value.get("id")), _text(function.get("name")), _text(arguments))


@dataclass(slots=True)
class _Call:
    call_id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class ToolCallPieces:
    """The calls of one reply.

    Servers differ: an index may be missing, and then a name begins the next call; several calls may
    have the same index and differ in their ids; ids may be missing altogether.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._at: dict[int | None, _Call] = {}
        self._room = MAX_ARGUMENTS

    @property
    def begun(self) -> bool:
        """Whether there is a call."""
        return bool(self._calls)

    @property
    def whole(self) -> bool:
        """Whether the arguments of all calls are JSON, so that no part of them is missing.

        A call without arguments may have only begun.
        """
        try:
            for call in self._calls:
                json.loads("".join(call.arguments))
        except (ValueError, RecursionError):
            return False
        return True

    def push(self, pieces: Iterable[CallPiece]) -> None:
        """Take the pieces of one delta. Raises `ValueError` if the calls become too much."""
        for piece in pieces:
            call = self._at.get(piece.index)
            if call is None or _begins(piece, call):
                call = self._at[piece.index] = _Call()
                self._calls.append(call)
            call.call_id = call.call_id or piece.call_id
            call.name = call.name or piece.name
            call.arguments.append(piece.arguments)
            self._room -= len(piece.arguments)
            if self._room < 0 or len(self._calls) > MAX_CALLS:
                raise ValueError("more calls of functions than a reply may have")

    def finish(self, turn: int, *, cut: bool = False) -> list[ToolCall]:
        """The calls, in the order in which they began; if the reply was `cut`, without the last.

        A call without an id gets one, from its turn and its place. Raises `ValueError` for a call
        without a name.
        """
        calls = self._calls[:-1] if cut else self._calls
        if not all(call.name for call in calls):
            raise ValueError("a call of a function without a name")
        return [
            ToolCall(
                turn,
                call.call_id or f"call_{turn}_{place}",
                call.name,
                "".join(call.arguments).strip() or "{}",
            )
            for place, call in enumerate(calls)
        ]


def _begins(piece: CallPiece, call: _Call) -> bool:
    """Whether the piece is of another call than `call`, although it has the same index."""
    if piece.call_id and call.call_id:
        return piece.call_id != call.call_id
    return piece.index is None and bool(piece.name)


def _text(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise TypeError("a part of a call is not text")
    return value or ""
