"""`/v1/realtime`: a session over one WebSocket, in the dialect of OpenAI's Realtime API."""

import secrets
import time

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from gateway.interviews.sessions import SESSION_ID
from gateway.live.client_secrets import find_secret
from gateway.protocols.dialect import InterviewRequest, ProtocolError
from gateway.protocols.openai_realtime import OpenAiRealtime, RealtimeSession
from gateway.protocols.openai_realtime.opening import error_body, session_of
from gateway.runtime import Runtime
from gateway.security import key_of
from gateway.transports.websocket.endpoint import converse, denied
from gateway.transports.websocket.protocol import EXTENSION, WebSocketProtocol

SUBPROTOCOL = "realtime"

LONGEST_MESSAGE_BYTES = 21 * 1024 * 1024
"""15 MiB of audio, as many as the API takes in an event, are as long in base64: a longer message is
answered by close code 1009."""


def new_id(kind: str) -> str:
    """An id that nobody can guess, such as "item_…"."""
    return f"{kind}_{secrets.token_hex(12)}"


async def realtime_endpoint(websocket: WebSocket) -> None:
    """The endpoint of the route. Needs uvicorn with `WebSocketProtocol`."""
    runtime: Runtime = websocket.app.state.runtime
    if await denied(websocket, runtime):
        return
    offered = websocket.scope["subprotocols"]
    key = key_of(websocket.headers.get("authorization"), offered)
    secret = await find_secret(runtime.store, key, now=time.time())
    if secret is None and not runtime.api_keys.accepts(key):
        body = error_body("invalid_api_key", "This API key is not one of this gateway's.")
        await websocket.send_denial_response(JSONResponse(body, 401))
        return
    try:
        session = session_of(
            {} if secret is None else secret.session,
            model=websocket.query_params.get("model"),
            interview=wanted_interview(websocket.query_params.get("role")),
        )
    except ProtocolError as error:
        body = error_body(error.code, error.message, param=error.param)
        await websocket.send_denial_response(JSONResponse(body, 400))
        return
    protocol: WebSocketProtocol | None = websocket.scope["extensions"].get(EXTENSION)
    if protocol is not None:
        protocol.allow(LONGEST_MESSAGE_BYTES)
    await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
    dialect = OpenAiRealtime(session, new_id=new_id)
    await converse(websocket, runtime, session_id_of(session, websocket), dialect)


def wanted_interview(role: str | None) -> InterviewRequest | None:
    """The interview that `?role=` asks for, None for the default one."""
    return None if role is None else InterviewRequest(role)


def session_id_of(session: RealtimeSession, websocket: WebSocket) -> str:
    """A new session's id; an interview may be named by `?session_id=`, to go on with it."""
    named = websocket.query_params.get("session_id")
    if session.is_interview and named is not None and SESSION_ID.fullmatch(named):
        return named
    return new_id("sess")
