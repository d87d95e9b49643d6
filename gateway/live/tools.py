"""The functions of one session: those of the operator, and those that its client runs."""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.protocols.dialect import ProtocolError, ToolCallEnded
from gateway.protocols.tool_wish import ToolWish
from gateway.providers.tools import ServerTools
from pipeline.frames import ToolCall
from pipeline.stage import ToolRequest
from pipeline.tool_calls import OwnTool, ToolFailed

MOST_ENDED = 64
"""The most ended calls that are remembered, for results of the client that come late."""


class ClientTools:
    """The calls that wait for one client. `emit` sends them to it, and that one has ended without
    its result. Belongs to the event loop."""

    def __init__(self, emit: Callable[[ToolCall | ToolCallEnded], None]) -> None:
        self._emit = emit
        self._waiting: dict[str, asyncio.Future[str]] = {}
        self._ended: deque[str] = deque(maxlen=MOST_ENDED)
        self._own_part = secrets.token_hex(4)
        """The part of call ids that is this object's own: after a restart, a client that comes back
        may still have results for calls that were made before."""
        self._count = 0

    def own(self, wish: ToolWish) -> OwnTool:
        """Make a function that the client runs."""
        return OwnTool(wish.tool(), self._call, wish.timeout_ms / 1000, wish.filler)

    def answer(self, call_id: str, result: str, *, failed: bool = False) -> None:
        """Take the client's result. One that comes too late is ignored.

        Raises `ProtocolError` for a call that was never made.
        """
        waiting = self._waiting.get(call_id)
        if waiting is None:
            if call_id not in self._ended:
                raise ProtocolError("no_such_call", f"no call {call_id[:40]!r} waits for a result")
        elif not waiting.done():
            if failed:
                waiting.set_exception(ToolFailed(result))
            else:
                waiting.set_result(result)

    async def _call(self, turn: int, request: ToolRequest, arguments: Mapping[str, Any]) -> str:
        self._count += 1
        # A model's own ids may come twice.
        call_id = f"call_{self._own_part}_{turn}_{self._count}"
        waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[call_id] = waiting
        self._emit(ToolCall(turn, call_id, request.name, request.arguments))
        try:
            return await waiting
        except asyncio.CancelledError:  # it took too long, or the reply is over
            self._emit(ToolCallEnded(call_id))
            raise
        finally:
            del self._waiting[call_id]
            self._ended.append(call_id)


def session_tools(
    wishes: Sequence[ToolWish], server: ServerTools, client: ClientTools, session_id: str
) -> tuple[tuple[OwnTool, ...], tuple[ProtocolError, ...]]:
    """The session's functions, and an error for each requested function that it does not get.

    The server's functions marked `always` come first; a client's of the same name replaces one.
    """
    found = {name: tool.own(session_id) for name, tool in server.tools.items() if tool.spec.always}
    unknown = []
    for wish in wishes:
        if wish.of_client:
            found[wish.name] = client.own(wish)
        elif wish.name in server.tools:
            found[wish.name] = server.tools[wish.name].own(session_id)
        else:
            names = ", ".join(server.tools) or "there are none"
            text = f"tools: no function {wish.name!r} on this server ({names})"
            unknown.append(ProtocolError("unknown_tool", text))
    return tuple(found.values()), tuple(unknown)
