"""A client that comes back with a token is handed over to the connection that kept its session."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from gateway.live.calls import Calls
from gateway.live.resumption import Line, Resumption, knows
from gateway.live.transport import Transport
from gateway.protocols.dialect import CloseCode, Resumed, SessionReady, SessionRequest


class CannotResume(Exception):
    """The client's token is not the session's, or holds no longer."""

    def __str__(self) -> str:
        return "the token does not hold; connect without `resume` to join the session afresh"


async def offer(
    calls: Calls, ready: SessionReady, request: SessionRequest, resumption: Resumption
) -> SessionReady:
    """The `ready` for a session that begins, with a token where one is offered."""
    if not resumption.offered or ready.interview is None:
        return ready
    token = await resumption.new_token(calls.settings.session_ttl_s, request.resume)
    calls.live.offer(ready.session_id, resumption)
    back = None if request.resume is None else Resumed(kept=False, complete=False)
    return replace(ready, resume=token, resumed=back)


async def hand_over(
    calls: Calls,
    session_id: str,
    request: SessionRequest,
    transport: Transport[Any],
    leave: Callable[[], Sequence[Any]],
) -> tuple[CloseCode, str] | None:
    """Have the kept session go on over `transport`, and return how that ended.

    `leave` is called first: the caller lets go of the transport, and returns the commands and audio
    that came early. None where no process keeps the session, and the caller may begin it from what
    is stored. Raises `CannotResume`.
    """
    wanted, loop = request.resume, asyncio.get_running_loop()
    if wanted is None:
        return None
    kept = calls.live.kept(session_id)
    if kept is None and await knows(calls.store, session_id, wanted):
        return None
    if kept is None or not kept.accepts(wanted, loop.time()):
        raise CannotResume
    token = await kept.new_token(calls.settings.session_ttl_s, wanted)
    if calls.live.kept(session_id) is not kept or not transport.open:
        raise CannotResume  # it has ended meanwhile
    line = Line(transport, request, token, tuple(leave()), loop.create_future())
    kept.take(line, loop.time())
    with calls.live.joined():
        return await line.over
