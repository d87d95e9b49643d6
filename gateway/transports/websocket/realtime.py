"""`/v1/realtime`: a session over one WebSocket, in the dialect of OpenAI's Realtime API."""

import secrets
import time
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from gateway.interviews.sessions import SESSION_ID
from gateway.live.client_secrets import ClientSecret, find_secret, may_join
from gateway.protocols.dialect import ProtocolError
from gateway.protocols.openai_realtime import OpenAiRealtime, RealtimeSession
from gateway.protocols.openai_realtime.opening import error_body, session_of
from gateway.protocols.request import InterviewRequest
from gateway.runtime import Runtime
from gateway.security import Grant, key_of
from gateway.security.identities import TokenRefused
from gateway.store import StoreError
from gateway.transports.websocket.endpoint import converse, denied
from gateway.transports.websocket.protocol import EXTENSION, WebSocketProtocol

SUBPROTOCOL = "realtime"

NO_SESSION = "There is no such session, or it is another client's."

LONGEST_MESSAGE_BYTES = 21 * 1024 * 1024
"""15 MiB of audio, as many as OpenAI takes in an event, are as long in base64. The dialect answers
them with an error; a message that is even longer is answered by close code 1009."""


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
    grant: Grant | None = None
    try:
        secret = await find_secret(runtime.store, key, now=time.time())
        if secret is None and not runtime.access.open:
            grant = await runtime.access.opens_all(key)
    except StoreError as error:
        body = error_body("store_unavailable", str(error), server=True)
        await websocket.send_denial_response(JSONResponse(body, 503))
        return
    except TokenRefused as error:
        status = 503 if error.unavailable else 401
        body = error_body(error.reason, str(error), server=error.unavailable)
        await websocket.send_denial_response(JSONResponse(body, status))
        return
    if secret is None and grant is None and not runtime.access.open:
        body = error_body("invalid_api_key", "This API key is not one of this gateway's.")
        await websocket.send_denial_response(JSONResponse(body, 401))
        return
    try:
        session, session_id = opened(
            {} if secret is None else secret.session, websocket.query_params
        )
        allowed = await joins(runtime, secret, session_id, websocket.query_params)
    except ProtocolError as error:
        body = error_body(error.code, error.message, param=error.param)
        await websocket.send_denial_response(JSONResponse(body, 400))
        return
    except StoreError as error:
        body = error_body("store_unavailable", str(error), server=True)
        await websocket.send_denial_response(JSONResponse(body, 503))
        return
    if not allowed:
        body = error_body("session_not_found", NO_SESSION, param="session_id")
        await websocket.send_denial_response(JSONResponse(body, 404))
        return
    protocol: WebSocketProtocol | None = websocket.scope["extensions"].get(EXTENSION)
    if protocol is not None:
        protocol.allow(LONGEST_MESSAGE_BYTES)
    await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
    dialect = OpenAiRealtime(session, new_id=new_id)
    until = None if secret is None else secret.until
    if grant is not None:
        until = runtime.access.until(grant)
    await converse(websocket, runtime, session_id, dialect, until=until)


async def joins(
    runtime: Runtime, secret: ClientSecret | None, session_id: str, parameters: Mapping[str, str]
) -> bool:
    """Whether the client may have the session that it names: not another client's, with a secret.

    Raises `StoreError`.
    """
    if secret is None or runtime.access.open or session_id != parameters.get("session_id"):
        return True
    return await may_join(runtime.store, secret, session_id, now=time.time())


def opened(given: Mapping[str, Any], parameters: Mapping[str, str]) -> tuple[RealtimeSession, str]:
    """The session that a request asks for by a session object and its URL's parameters, and an id.

    `?model=` comes before the object's own. `?role=` says what an interview is about, and
    `?session_id=` names it, to go on with it. Raises `ProtocolError`.
    """
    role, named = parameters.get("role"), parameters.get("session_id")
    interview = None if role is None else InterviewRequest(role)
    session = session_of(given, model=parameters.get("model"), interview=interview)
    if named is None or not session.is_interview:
        return session, new_id("sess")
    if SESSION_ID.fullmatch(named) is None:
        text = "A session id has 1 to 64 of A-Z a-z 0-9 _ -."
        raise ProtocolError("invalid_value", text, param="session_id")
    return session, named
