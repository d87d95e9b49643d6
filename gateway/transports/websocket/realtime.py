"""`/v1/realtime`: a session over one WebSocket, in the dialect of OpenAI's Realtime API, or a
sideband of a call over WebRTC (`?call_id=`)."""

import logging
import secrets
import time
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from gateway.interviews.sessions import SESSION_ID
from gateway.live.client_secrets import ClientSecret, find_secret, may_join
from gateway.live.sideband import SidebandsFull, names_of
from gateway.protocols.dialect import ProtocolError
from gateway.protocols.openai_realtime import OpenAiRealtime, RealtimeSession
from gateway.protocols.openai_realtime.opening import error_body, session_of
from gateway.protocols.request import InterviewRequest
from gateway.runtime import Runtime
from gateway.security import ApiKeys, Grant, key_of
from gateway.security.clients import client_identity
from gateway.security.identities import TokenRefused
from gateway.store import StoreError
from gateway.transports.websocket.endpoint import converse, denied
from gateway.transports.websocket.protocol import EXTENSION, WebSocketProtocol
from gateway.transports.websocket.sideband import follow

logger = logging.getLogger("parley.sidebands")

SUBPROTOCOL = "realtime"

NO_SESSION = "There is no such session, or it is another client's."

CALL_PREFIX = "rtc_"
"""The first letters of the ids of calls."""

NO_CALL = "call_id_not_found"
NO_CALL_TEXT = "There is no such call, it has ended, or it is another client's."

LONGEST_MESSAGE_BYTES = 21 * 1024 * 1024
"""15 MiB of audio, as many as OpenAI takes in an event, are as long in base64. The dialect answers
them with an error; a message that is even longer is answered by close code 1009."""


def new_id(kind: str) -> str:
    """An id that nobody can guess, such as "item_…"."""
    return f"{kind}_{secrets.token_hex(12)}"


async def realtime_endpoint(websocket: WebSocket) -> None:
    """The endpoint of the route. Needs uvicorn with `WebSocketProtocol`."""
    runtime: Runtime = websocket.app.state.runtime
    call_id = websocket.query_params.get("call_id")
    if await denied(websocket, runtime, begins=call_id is None):
        return
    offered = websocket.scope["subprotocols"]
    subprotocol = SUBPROTOCOL if SUBPROTOCOL in offered else None
    key = key_of(websocket.headers.get("authorization"), offered)
    try:
        secret, grant = await _known(runtime, key)
        until = None if secret is None else secret.until
        if grant is not None:
            until = runtime.access.until(grant)
        if call_id is not None:
            names = _names(runtime, secret, grant, key)
            by_secret = secret is not None
            await _follow(websocket, runtime, call_id, names, subprotocol, until, by_secret)
            return
        session, session_id = await _session(runtime, secret, websocket.query_params)
    except _Denied as refused:
        await websocket.send_denial_response(JSONResponse(refused.body, refused.status))
        return
    protocol: WebSocketProtocol | None = websocket.scope["extensions"].get(EXTENSION)
    if protocol is not None:
        protocol.allow(LONGEST_MESSAGE_BYTES)
    await websocket.accept(subprotocol)
    dialect = OpenAiRealtime(session, new_id=new_id)
    if grant is not None:
        client_identity.set(grant.identity)
    elif secret is not None and secret.client is not None:
        client_identity.set(secret.client)
    await converse(websocket, runtime, session_id, dialect, until=until)


class _Denied(Exception):
    """A handshake is refused."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        server: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(code, message, param=param, server=server)


async def _known(runtime: Runtime, key: str) -> tuple[ClientSecret | None, Grant | None]:
    """The client's secret or what its API key allows; neither where none is needed.

    Raises `_Denied`.
    """
    try:
        secret = await find_secret(runtime.store, key, now=time.time())
        if secret is not None or runtime.access.open:
            return secret, None
        grant = await runtime.access.opens_all(key)
    except StoreError as error:
        raise _Denied(503, "store_unavailable", str(error), server=True) from None
    except TokenRefused as error:
        status = 503 if error.unavailable else 401
        raise _Denied(status, error.reason, str(error), server=error.unavailable) from None
    if grant is None:
        raise _no_key()
    return None, grant


def _no_key() -> _Denied:
    return _Denied(401, "invalid_api_key", "This API key is not one of this gateway's.")


async def _session(
    runtime: Runtime, secret: ClientSecret | None, parameters: Mapping[str, str]
) -> tuple[RealtimeSession, str]:
    """The session that a client asks for, and its id. Raises `_Denied`."""
    try:
        session, session_id = opened({} if secret is None else secret.session, parameters)
        if not await joins(runtime, secret, session_id, parameters):
            raise _Denied(404, "session_not_found", NO_SESSION, param="session_id")
    except ProtocolError as error:
        raise _Denied(400, error.code, error.message, param=error.param) from None
    except StoreError as error:
        raise _Denied(503, "store_unavailable", str(error), server=True) from None
    return session, session_id


def _names(
    runtime: Runtime, secret: ClientSecret | None, grant: Grant | None, key: str
) -> frozenset[str] | None:
    """By which the maker of a call is known; None: this client may hold any call.

    Raises `_Denied` where the token of WebRTC is asked for, as when the call was made.
    """
    if secret is None and runtime.access.open:
        token = runtime.settings.webrtc_token
        if token is not None and not ApiKeys(token.get_secret_value()).accepts(key):
            raise _no_key()
        return None
    return names_of(secret, grant)


async def _follow(
    websocket: WebSocket,
    runtime: Runtime,
    call_id: str,
    names: frozenset[str] | None,
    subprotocol: str | None,
    until: float | None,
    by_secret: bool,
) -> None:
    """Be a sideband of a call, to its end. Raises `_Denied`."""
    sidebands = runtime.controlled.find(call_id.removeprefix(CALL_PREFIX), names)
    if sidebands is None:
        logger.info("a sideband is refused: there is no such call for its credential")
        raise _Denied(404, NO_CALL, NO_CALL_TEXT, param="call_id")
    try:
        await follow(
            websocket,
            sidebands,
            subprotocol,
            until,
            call_id=call_id,
            by_secret=by_secret,
            message_bytes=LONGEST_MESSAGE_BYTES,
        )
    except SidebandsFull as full:
        logger.info("call %s: a sideband is refused: no place is left", call_id)
        raise _Denied(429, "too_many_sidebands", str(full), param="call_id") from None


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

    `?model=` and `?animation=` come before the object's own; the latter names outputs, with commas
    between them. `?role=` says what an interview is about, and `?session_id=` names it, to go on
    with it. Raises `ProtocolError`.
    """
    if (animation := parameters.get("animation")) is not None:
        given = {**given, "animation": {"outputs": [name for name in animation.split(",") if name]}}
    role, named = parameters.get("role"), parameters.get("session_id")
    interview = None if role is None else InterviewRequest(role)
    session = session_of(given, model=parameters.get("model"), interview=interview)
    if named is None or not session.is_interview:
        return session, new_id("sess")
    if SESSION_ID.fullmatch(named) is None:
        text = "A session id has 1 to 64 of A-Z a-z 0-9 _ -."
        raise ProtocolError("invalid_value", text, param="session_id")
    return session, named
