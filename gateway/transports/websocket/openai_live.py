"""`/v1/live/sessions`: a session over one WebSocket, in the dialect of OpenAI's Live API."""

import asyncio
import secrets

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from gateway.interviews.sessions import SESSION_ID
from gateway.protocols.client_events import INVALID_VALUE
from gateway.protocols.dialect import ProtocolError
from gateway.protocols.openai_live import LiveOpening, OpenAiLive, start_of
from gateway.protocols.openai_live.errors import NOT_STARTED
from gateway.protocols.openai_live.opening import error_body
from gateway.runtime import Runtime
from gateway.security import key_of
from gateway.security.clients import client_identity
from gateway.security.identities import TokenRefused
from gateway.store import StoreError
from gateway.transports.websocket.endpoint import RETRY, address_of, converse, denied, greeted
from gateway.transports.websocket.entry import Greeting, Refused, may_wait

LONGEST_MESSAGE_BYTES = 21 * 1024 * 1024
"""The dialect answers messages that are too long with an error; one that is even longer is answered
by close code 1009."""

START = Greeting(
    "session.start", start_of, longest_bytes=LONGEST_MESSAGE_BYTES, missing=NOT_STARTED
)


def new_id(kind: str) -> str:
    """An id that nobody can guess, such as "event_…"."""
    return f"{kind}_{secrets.token_hex(12)}"


async def live_endpoint(websocket: WebSocket) -> None:
    """The endpoint of the route. Needs uvicorn with `WebSocketProtocol`.

    `?role=` says what a new interview is about, `?language=` what the person speaks, and
    `?session_id=` names an interview, to go on with it.
    """
    runtime: Runtime = websocket.app.state.runtime
    if await denied(websocket, runtime):
        return
    parameters = websocket.query_params
    key = key_of(websocket.headers.get("authorization"), websocket.scope["subprotocols"])
    until: float | None = None
    if not runtime.access.open:
        try:
            grant = await runtime.access.opens_all(key)
        except (StoreError, TokenRefused) as error:
            refused = error.reason if isinstance(error, TokenRefused) else "store_unavailable"
            later = not isinstance(error, TokenRefused) or error.unavailable
            body = error_body(refused, str(error))
            await websocket.send_denial_response(JSONResponse(body, 503 if later else 401))
            return
        if grant is None:
            body = error_body("invalid_api_key", "This API key is not one of this gateway's.")
            await websocket.send_denial_response(JSONResponse(body, 401))
            return
        until = runtime.access.until(grant)
        client_identity.set(grant.identity)
    session_id = parameters.get("session_id") or new_id("live")
    try:
        if SESSION_ID.fullmatch(session_id) is None:
            text = "A session id has 1 to 64 of A-Z a-z 0-9 _ -."
            raise ProtocolError(INVALID_VALUE, text, param="session_id")
        opening = LiveOpening.of(parameters)
    except ProtocolError as error:
        body = error_body(error.code, error.message, param=error.param)
        await websocket.send_denial_response(JSONResponse(body, 400))
        return
    try:
        may_wait(runtime.access, address_of(websocket))  # every client waits for session.start
    except Refused as refusal:
        body = error_body("server_error", str(refusal))
        await websocket.send_denial_response(JSONResponse(body, refusal.status, RETRY))
        return
    await websocket.accept()
    expires_at, _ = runtime.calls().session_ends(until)
    dialect = OpenAiLive(
        opening,
        new_id=new_id,
        clock=asyncio.get_running_loop().time,
        expires_at=int(expires_at),
    )
    begun = await greeted(
        websocket,
        runtime,
        session_id,
        dialect,
        START,
        known=True,
        message_bytes=LONGEST_MESSAGE_BYTES,
    )
    if begun is not None:
        early, _ = begun
        await converse(websocket, runtime, session_id, dialect, early, until, _no_audio)


def _no_audio(message: bytes) -> None:
    """A binary message is an event, too: audio travels inside events."""
