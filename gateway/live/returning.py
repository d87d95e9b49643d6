"""Hands a client that comes back with a token over to the connection that kept its session."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from gateway.interviews.sessions import owns
from gateway.live.calls import Calls
from gateway.live.registry import LiveSessions
from gateway.live.resumption import Line, Resumption, knows
from gateway.live.transport import Transport
from gateway.protocols.dialect import CloseCode, Resumed, SessionReady
from gateway.protocols.request import ResumeRequest, SessionRequest
from gateway.store import Store


class CannotResume(Exception):
    """The client's token is not one of the session's, or is no longer valid."""

    def __str__(self) -> str:
        return "the token does not hold; connect without `resume` to join the session afresh"


@asynccontextmanager
async def offered(
    calls: Calls, ready: SessionReady, request: SessionRequest, resumption: Resumption
) -> AsyncIterator[SessionReady]:
    """The `ready` for a session that begins, with a token if one is offered.

    The token is kept in the store until the block ends, however long that takes.
    """
    if not resumption.offered or ready.interview is None:
        yield ready
        return
    lifetime_s = calls.settings.session_ttl_s
    token = await resumption.new_token(lifetime_s, request.resume)
    calls.live.offer(ready.session_id, resumption)
    back = None if request.resume is None else Resumed(kept=False, complete=False)
    renewing = asyncio.create_task(resumption.renew(lifetime_s))
    try:
        yield replace(ready, resume=token, resumed=back)
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])


async def may_return(
    live: LiveSessions, store: Store, session_id: str, wanted: ResumeRequest
) -> float | None:
    """When the session has to end (a Unix time) if the token is its, in this process or in one that
    has ended; otherwise None.

    It is not used up, and what `hand_over` refuses may still be refused.
    """
    kept = live.kept(session_id)
    if kept is not None and kept.holds(wanted.token, asyncio.get_running_loop().time()):
        return kept.ends_at
    return await knows(store, session_id, wanted)


async def hand_over(
    calls: Calls,
    session_id: str,
    request: SessionRequest,
    transport: Transport[Any],
    leave: Callable[[], Sequence[Any]],
    end_by: Callable[[float], None],
    address: str | None = None,
) -> tuple[CloseCode, str] | None:
    """Let the kept session go on over `transport`, and return how that ended.

    `leave` is called first: the caller lets go of the transport, and returns the commands and audio
    that came early. `address` is that of the client's connection. None if this process does not
    keep the session and the caller may begin it from the store: `end_by` is then called with the
    time when it has to end (a Unix time), because a restart gives a session no more time. The
    process that kept it until now, if it still runs, can store nothing more about it.

    Raises `CannotResume`.
    """
    wanted, loop = request.resume, asyncio.get_running_loop()
    if wanted is None:
        return None
    kept = calls.live.kept(session_id)
    known = kept is not None and kept.holds(wanted.token, loop.time())
    # What is kept here is old where another process has taken the session over meanwhile.
    ours = known and await owns(calls.store, session_id, calls.owner)
    ends_at = None if ours else await knows(calls.store, session_id, wanted)
    if ends_at is not None:
        end_by(ends_at)
        if kept is not None:
            kept.taken_with(wanted.token)
            if not kept.away and calls.live.kept(session_id) is kept:
                calls.live.dismiss(session_id)
        return None
    if kept is None or not ours or not kept.accepts(wanted, loop.time()):
        raise CannotResume
    token = await kept.next_token(calls.settings.session_ttl_s, wanted)
    if calls.live.kept(session_id) is not kept or not transport.open or not kept.gave(token):
        raise CannotResume  # it has ended meanwhile, or the client has come once more
    line = Line(transport, request, token, tuple(leave()), loop.create_future())
    kept.take(line, loop.time())
    with calls.live.joined(address):
        return await line.over
