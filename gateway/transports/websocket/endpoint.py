"""`/ws/<session_id>`: one spoken interview over one WebSocket, in the native dialect."""

import math
from collections.abc import Sequence
from functools import partial

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket

from gateway.interviews.sessions import SESSION_ID
from gateway.limits.limiter import LimitsUnavailable
from gateway.live.connection import Connection
from gateway.live.registry import network
from gateway.live.returning import may_return
from gateway.protocols.dialect import CloseCode, Dialect, ProtocolError, Unwrap
from gateway.protocols.native import NativeDialect
from gateway.protocols.native.messages import parse
from gateway.runtime import Runtime
from gateway.security import may_connect, origin_of
from gateway.transports.websocket.entry import Early, Greeting, Refused, first_messages, shown
from gateway.transports.websocket.protocol import EXTENSION, WebSocketProtocol
from gateway.transports.websocket.transport import WebSocketTransport

RETRY = {"retry-after": "5"}

HELLO = Greeting("hello", parse)

LONGEST_REASON_BYTES = 123
"""A close frame holds 125 bytes, two of them for the code (RFC 6455, section 5.5)."""


async def websocket_endpoint(websocket: WebSocket) -> None:
    """Serve `/ws/<session_id>`. Needs uvicorn with `WebSocketProtocol`."""
    runtime: Runtime = websocket.app.state.runtime
    if await denied(websocket, runtime):
        return
    session_id, dialect = websocket.path_params["session_id"], NativeDialect()
    shown_to_be = await accepted(websocket, runtime, session_id)
    if shown_to_be is None:
        return
    known, until = shown_to_be
    begun: Greeted | None = ((), until)
    if not known:
        begun = await greeted(websocket, runtime, session_id, dialect, HELLO)
    if begun is not None:
        await converse(websocket, runtime, session_id, dialect, *begun)


Greeted = tuple[Sequence[Early], float | None]
"""A client's first messages, and when the session has to end by its credential."""


async def accepted(
    websocket: WebSocket, runtime: Runtime, session_id: str
) -> tuple[bool, float | None] | None:
    """Accept a client; whether it has shown that it may begin the session, and until when that may
    last by its credential. None if refused."""
    try:
        found = await shown(websocket, runtime.access, session_id, address_of(websocket))
    except Refused as refused:
        answer = PlainTextResponse(
            str(refused), refused.status, RETRY if refused.status == 503 else None
        )
        await websocket.send_denial_response(answer)
        return None
    await websocket.accept()
    if SESSION_ID.fullmatch(session_id) is None:
        text = "a session id has 1 to 64 of A-Z a-z 0-9 _ -"
        await websocket.close(CloseCode.NO_SESSION, text)
        return None
    return found


async def greeted(
    websocket: WebSocket,
    runtime: Runtime,
    session_id: str,
    dialect: Dialect,
    greeting: Greeting,
    *,
    known: bool = False,
    message_bytes: int | None = None,
) -> Greeted | None:
    """The messages of an accepted client from its greeting on. None, and closed, if refused.

    One that is `known` needs no ticket. Messages behind the greeting have at most `message_bytes`,
    or what the server allows.
    """
    protocol, address = protocol_of(websocket), address_of(websocket)
    try:
        begun = await first_messages(
            protocol,
            runtime.access,
            session_id,
            message_bytes or protocol.config.ws_max_size,
            partial(may_return, runtime.live, runtime.store, session_id),
            websocket.receive(),
            address,
            greeting=greeting,
            known=known,
        )
    except ProtocolError as error:
        for message in dialect.refuse(error):
            protocol.send_message(message)
        await close(websocket, protocol, CloseCode.POLICY, error.message)
        return None
    if (full := runtime.live.refusal(session_id, address)) is not None:
        runtime.metrics.refused("websocket")
        await close(websocket, protocol, CloseCode.OVERLOADED, full)
        return None
    return begun


async def denied(websocket: WebSocket, runtime: Runtime, *, begins: bool = True) -> bool:
    """Refuse the client if the process is full or its page may not connect. True if refused.

    One that `begins` no session needs no place.
    """
    session_id = websocket.path_params.get("session_id")
    refusal = runtime.live.refusal(session_id, address_of(websocket)) if begins else None
    if refusal is not None:
        runtime.metrics.refused("websocket")
        await websocket.send_denial_response(PlainTextResponse(refusal, 503, RETRY))
        return True
    if (wait_s := await _too_fast(websocket, runtime)) is not None:
        text = "too many requests of this address" if wait_s else "requests cannot be counted"
        status, after = (429, wait_s) if wait_s else (503, 5)
        answer = PlainTextResponse(text, status, {"retry-after": f"{after}"})
        await websocket.send_denial_response(answer)
        return True
    origin = origin_of(websocket.headers.getlist("origin"))
    host = websocket.headers.get("host", "")
    if not may_connect(origin, host, runtime.settings.cors_origins):
        text = "this page may not connect; PARLEY_CORS_ORIGINS names the pages that may"
        await websocket.send_denial_response(PlainTextResponse(text, 403))
        return True
    return False


async def _too_fast(websocket: WebSocket, runtime: Runtime) -> int | None:
    """In how many seconds the client may come again, None where it may now; 0: nobody knows."""
    if runtime.limiter is None:
        return None
    try:
        verdicts = await runtime.limiter.address(network(address_of(websocket)))
    except LimitsUnavailable:
        return 0
    waits = [max(1, math.ceil(one.wait_s)) for one in verdicts if not one.allowed]
    return max(waits, default=None)


def address_of(connection: HTTPConnection) -> str | None:
    """The client's network address, by its proxy where that is trusted."""
    return None if connection.client is None else connection.client.host


async def converse(
    websocket: WebSocket,
    runtime: Runtime,
    session_id: str,
    dialect: Dialect,
    early: Sequence[Early] = (),
    until: float | None = None,
    unwrap: Unwrap | None = None,
) -> None:
    """Hold the session of an accepted WebSocket, then close the WebSocket.

    `early` are the messages that were received before. The client's credential says `until` when
    (a Unix time) it may go on. `unwrap` finds the audio in binary messages of the dialect's. Raises
    `RuntimeError` if the server does not use `WebSocketProtocol`.
    """
    protocol = protocol_of(websocket)
    transport = WebSocketTransport(protocol, dialect, websocket.receive, early, unwrap)
    address = address_of(websocket)
    with runtime.live.connected(address):
        connection = Connection(
            transport, dialect, runtime.calls(), session_id, address, until=until
        )
        code, reason = await connection.run()
    await close(websocket, protocol, code, reason)


def protocol_of(websocket: WebSocket) -> WebSocketProtocol:
    """The protocol of an accepted WebSocket. Raises `RuntimeError` if the server has another."""
    protocol: WebSocketProtocol | None = websocket.scope["extensions"].get(EXTENSION)
    if protocol is None:
        raise RuntimeError("serve this application with `parley serve`: it needs its own protocol")
    return protocol


async def close(
    websocket: WebSocket, protocol: WebSocketProtocol, code: CloseCode, reason: str
) -> None:
    """Close a WebSocket that is open, with as much of the reason as a close frame holds."""
    if protocol.open:
        short = reason.encode(errors="replace")[:LONGEST_REASON_BYTES]
        await websocket.close(code, short.decode(errors="ignore"))
