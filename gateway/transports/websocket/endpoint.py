"""`/ws/<session_id>`: one spoken interview over one WebSocket, in the native dialect."""

from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket

from gateway.interviews.sessions import SESSION_ID
from gateway.live.connection import Connection
from gateway.protocols.dialect import CloseCode, Dialect
from gateway.protocols.native import NativeDialect
from gateway.runtime import Runtime
from gateway.security import may_connect
from gateway.transports.websocket.protocol import EXTENSION, WebSocketProtocol
from gateway.transports.websocket.transport import WebSocketTransport

RETRY_AFTER_S = 5

LONGEST_REASON_BYTES = 123
"""A close frame holds 125 bytes, two of them for the code (RFC 6455, section 5.5)."""


async def websocket_endpoint(websocket: WebSocket) -> None:
    """Serve `/ws/<session_id>`. Needs uvicorn with `WebSocketProtocol`."""
    runtime: Runtime = websocket.app.state.runtime
    if await denied(websocket, runtime):
        return
    await websocket.accept()
    session_id = websocket.path_params["session_id"]
    if SESSION_ID.fullmatch(session_id) is None:
        text = "a session id has 1 to 64 of A-Z a-z 0-9 _ -"
        await websocket.close(CloseCode.NO_SESSION, text)
        return
    await converse(websocket, runtime, session_id, NativeDialect())


async def denied(websocket: WebSocket, runtime: Runtime) -> bool:
    """Refuse the client if the process is full or its page may not connect. True if refused."""
    refusal = runtime.live.refusal()
    if refusal is not None:
        headers = {"retry-after": str(RETRY_AFTER_S)}
        await websocket.send_denial_response(PlainTextResponse(refusal, 503, headers))
        return True
    origin, host = websocket.headers.get("origin"), websocket.headers.get("host", "")
    if not may_connect(origin, host, runtime.settings.cors_origins):
        text = "this page may not connect; PARLEY_CORS_ORIGINS names the pages that may"
        await websocket.send_denial_response(PlainTextResponse(text, 403))
        return True
    return False


async def converse(
    websocket: WebSocket, runtime: Runtime, session_id: str, dialect: Dialect
) -> None:
    """Hold the session of an accepted WebSocket, then close the WebSocket.

    Raises `RuntimeError` if the server does not use `WebSocketProtocol`.
    """
    protocol: WebSocketProtocol | None = websocket.scope["extensions"].get(EXTENSION)
    if protocol is None:
        raise RuntimeError("serve this application with `parley serve`: it needs its own protocol")
    transport = WebSocketTransport(protocol, dialect, websocket.receive)
    with runtime.live.connected():
        code, reason = await Connection(transport, dialect, runtime.calls(), session_id).run()
    if protocol.open:
        short = reason.encode(errors="replace")[:LONGEST_REASON_BYTES]
        await websocket.close(code, short.decode(errors="ignore"))
