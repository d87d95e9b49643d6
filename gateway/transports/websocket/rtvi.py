"""`/ws-client`: an interview over one WebSocket, with the clients of Pipecat (RTVI)."""

import secrets
from enum import IntEnum

from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket

from gateway.interviews.sessions import SESSION_ID
from gateway.live.epoch import epoch_clock
from gateway.protocols.request import InterviewRequest, SessionRequest
from gateway.protocols.rtvi import FramedRtvi
from gateway.runtime import Runtime
from gateway.security import Access, presented
from gateway.security.clients import client_identity
from gateway.security.identities import TokenRefused
from gateway.store import StoreError
from gateway.transports.websocket.endpoint import converse, denied, protocol_of

LONGEST_FRAME_BYTES = 1024 * 1024
"""The dialect answers a message that is too long with an error; a frame that is even longer is
answered by close code 1009."""


class RtviClose(IntEnum):
    """How a WebSocket ends before its session begins; 4003 is that of Pipecat's own servers."""

    NO_ACCESS = 4003
    NO_SESSION = 4404
    STORE_UNAVAILABLE = 1013


async def rtvi_endpoint(websocket: WebSocket) -> None:
    """Serve `/ws-client` and `/ws-client/<session_id>`. Needs uvicorn with `WebSocketProtocol`.

    `?role=` says what a new interview is about. `?token=` is a ticket: the client can send no
    header and no secret before the session begins.
    """
    runtime: Runtime = websocket.app.state.runtime
    if await denied(websocket, runtime):
        return
    if websocket.scope["subprotocols"]:
        text = "RTVI has no subprotocol; connect without one"
        await websocket.send_denial_response(PlainTextResponse(text, 400))
        return
    session_id = websocket.path_params.get("session_id")
    await websocket.accept()
    if session_id is not None and SESSION_ID.fullmatch(session_id) is None:
        await websocket.close(RtviClose.NO_SESSION, "a session id has 1 to 64 of A-Z a-z 0-9 _ -")
        return
    name = session_id or secrets.token_hex(16)
    try:
        admitted, until = await _admitted(websocket, runtime.access, name)
    except StoreError:
        await websocket.close(RtviClose.STORE_UNAVAILABLE, "sessions cannot be stored or read now")
        return
    except TokenRefused as error:
        code = RtviClose.STORE_UNAVAILABLE if error.unavailable else RtviClose.NO_ACCESS
        await websocket.close(code, f"{error.reason}: {error}")
        return
    if not admitted:
        text = "this needs a key, a pass or a ticket in a header, or an unused ticket in ?token="
        await websocket.close(RtviClose.NO_ACCESS, text)
        return
    role = websocket.query_params.get("role")
    request = SessionRequest(
        avatar="off", interview=None if role is None else InterviewRequest(role)
    )
    protocol_of(websocket).allow(LONGEST_FRAME_BYTES)
    dialect = FramedRtvi(request, epoch_clock())
    await converse(websocket, runtime, name, dialect, until=until, unwrap=dialect.unwrap)


async def _admitted(
    websocket: WebSocket, access: Access, session_id: str
) -> tuple[bool, float | None]:
    """Whether the client may have the session, and until when (a Unix time).

    A candidate's new session is the candidate's own from here on. Raises `StoreError`,
    `TokenRefused`.
    """
    if access.open:
        return True, None
    headers = websocket.headers
    credential = presented(headers.get("authorization"), headers.get("x-api-key"))
    grant = await access.look(credential or websocket.query_params.get("token", ""))
    if grant is None or (not credential and grant.ticket is None):
        return False, None  # what can be used twice has no place in a URL
    client_identity.set(grant.identity)
    return await access.enter(grant, session_id), access.until(grant)
