"""The HTTP side of OpenAI's Realtime API: calls over WebRTC, and client secrets.

Its errors are those of that API, `{"error": {…}}`, so the operations are not described in
`/openapi.json`; `docs/openai-realtime.md` describes them.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.live.client_secrets import ClientSecret, find_secret, make_secret
from gateway.live.sideband import Sidebands, makers_of, names_of
from gateway.protocols.dialect import ProtocolError
from gateway.protocols.openai_realtime import OpenAiRealtime, RealtimeSession
from gateway.protocols.openai_realtime.opening import error_body
from gateway.rest.access import counted_as
from gateway.rest.limits import HttpLimits
from gateway.rest.operation import Operation, ResponseSpec
from gateway.rest.problems import problem_of
from gateway.rest.reading import BODY_S, chunks, media_type, parse_object, read_json
from gateway.rest.signalling import Signalling
from gateway.runtime import Runtime
from gateway.security import ApiKeys, Grant, bearer, may_connect, origin_of
from gateway.security.clients import client_identity
from gateway.transports.webrtc.offers import MAX_BYTES, OfferError
from gateway.transports.websocket.endpoint import address_of
from gateway.transports.websocket.realtime import (
    CALL_PREFIX,
    NO_CALL,
    NO_CALL_TEXT,
    NO_SESSION,
    joins,
    new_id,
    opened,
)

SDP = "application/sdp"
MULTIPART = "multipart/form-data"
LONGEST_BODY = 4 * MAX_BYTES

LIFETIME_S = 600
"""How long a client secret lives if the request names no other time."""

GRANT = "parley.realtime_grant"
"""The key of what a request's API key allows, in its scope."""

CALLS, CALL = "/v1/realtime/calls", "/v1/realtime/calls/{call}"


class Failure(Exception):
    """A request that the API refuses."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(code, message, param=param)


class Expiry(BaseModel):
    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, Field(ge=10, le=7200)] = LIFETIME_S


class SecretRequest(BaseModel):
    """The lifetime and the session of a new client secret."""

    expires_after: Expiry = Expiry()
    session: dict[str, Any] = {}


class RealtimeEndpoints:
    """The endpoints. Offers are answered by `webrtc`."""

    def __init__(self, runtime: Runtime, webrtc: Signalling) -> None:
        self._runtime = runtime
        self._webrtc = webrtc
        self._limits = None if runtime.limiter is None else HttpLimits(runtime.limiter)
        token = runtime.settings.webrtc_token
        # The token of WebRTC guards these calls, too, where nothing else is asked for.
        guarded = runtime.access.open and token is not None
        self._token = ApiKeys(token.get_secret_value()) if guarded and token else None

    def operations(self) -> list[Operation]:
        """The endpoints, as entries of the table of operations."""
        return [
            _hidden("POST", CALLS, "realtimeCall", self._call, 201),
            _hidden("POST", f"{CALL}/hangup", "realtimeHangUp", self._hang_up, 200),
            _hidden("POST", "/v1/realtime/client_secrets", "realtimeSecret", self._secret, 200),
        ]

    async def _call(self, request: Request) -> Response:
        self._check_origin(request)
        secret = await self._admitted(request)
        sdp, given = await _offer(request)
        given = given or ({} if secret is None else secret.session)
        session, session_id = _opened(given, request.query_params)
        if not await joins(self._runtime, secret, session_id, request.query_params):
            raise Failure(404, "session_not_found", NO_SESSION, "session_id")
        dialect = OpenAiRealtime(session, new_id=new_id, media="rtp")
        grant: Grant | None = request.scope.get(GRANT)
        until = None if secret is None else secret.until
        if grant is not None:
            until = self._runtime.access.until(grant)
        sidebands = Sidebands(dialect, makers_of(secret, grant))
        try:
            answered = await self._webrtc.answer(
                session_id, sdp, dialect, address_of(request), until=until, sidebands=sidebands
            )
        except OfferError as error:
            raise Failure(400, "invalid_offer", error.reason, "sdp") from None
        self._runtime.controlled.add(answered.id, sidebands)
        location = f"{CALLS}/{CALL_PREFIX}{answered.id}"
        headers = {"location": location, "cache-control": "no-store"}
        return Response(answered.sdp, 201, headers, media_type=SDP)

    async def _hang_up(self, request: Request) -> Response:
        self._check_origin(request)
        secret = await self._admitted(request)
        call_id = str(request.path_params["call"]).removeprefix(CALL_PREFIX)
        anybody = secret is None and self._runtime.access.open
        names = None if anybody else names_of(secret, request.scope.get(GRANT))
        known = self._runtime.controlled.find(call_id, names) is not None
        if not (known and self._webrtc.hang_up(call_id)):
            raise Failure(404, NO_CALL, NO_CALL_TEXT, "call_id")
        return Response(status_code=200)

    async def _secret(self, request: Request) -> Response:
        grant = await self._known(request, bearer(request.headers.get("authorization")))
        try:
            asked = SecretRequest.model_validate(await read_json(request))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise Failure(400, "invalid_value", f"{where}: {first['msg']}.", where) from None
        session, _ = _opened(asked.session, {})
        now = time.time()
        made = await make_secret(
            self._runtime.store,
            asked.session,
            lifetime_s=asked.expires_after.seconds,
            now=now,
            client=None if grant is None else counted_as(grant),
            until=None if grant is None else self._runtime.access.until(grant),
        )
        body = {
            "value": made.value,
            "expires_at": made.expires_at,
            "session": session.payload(new_id("sess")),
        }
        return JSONResponse(body, headers={"cache-control": "no-store"})

    def _check_origin(self, request: Request) -> None:
        """Refuse pages of other sites: browsers send a form, or no body, without a preflight."""
        origin = origin_of(request.headers.getlist("origin"))
        host = request.headers.get("host", "")
        if not may_connect(origin, host, self._runtime.settings.cors_origins):
            text = "This page may not make calls; PARLEY_CORS_ORIGINS names the pages that may."
            raise Failure(403, "origin_not_allowed", text)

    async def _admitted(self, request: Request) -> ClientSecret | None:
        """The client's secret, None if it used an API key. Counts the request.

        Raises `Failure`, `Problem`, `TokenRefused`.
        """
        key = bearer(request.headers.get("authorization"))
        secret = await find_secret(self._runtime.store, key, now=time.time())
        if secret is None:
            request.scope[GRANT] = await self._known(request, key)
        else:
            await self._count(request, secret.client)
            if secret.client is not None:
                client_identity.set(secret.client)
        return secret

    async def _count(self, request: Request, client: str | None) -> None:
        if self._limits is not None:
            await self._limits.client(request, client)

    async def _known(self, request: Request, key: str) -> Grant | None:
        """The grant of an API key; None if no key is needed. Counts the request.

        Raises `Failure`, `Problem`, `TokenRefused`.
        """
        access = self._runtime.access
        if access.open:
            if self._token is not None and not self._token.accepts(key):
                raise _no_key()
            return None
        grant = await access.opens_all(key)
        if grant is None:
            raise _no_key()
        await self._count(request, counted_as(grant))
        client_identity.set(grant.identity)
        return grant


def _hidden(
    method: str,
    path: str,
    name: str,
    handler: Callable[[Request], Awaitable[Response]],
    status: int,
) -> Operation:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Failure as failure:
            return JSONResponse(failure.body, failure.status)
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                raise
            kind, text = problem.kind, problem.detail or problem.kind.title
            body = error_body(kind.code, text, server=kind.status >= 500)
            return JSONResponse(body, kind.status, problem.headers)

    return Operation(
        method=method,
        path=path,
        name=name,
        handler=answer,
        summary=name,
        answers={status: ResponseSpec("Done")},
        hidden=True,
    )


async def _offer(request: Request) -> tuple[str, dict[str, Any]]:
    """The SDP and the session object of a call. Raises `Failure`, `Problem`."""
    kind = media_type(request)
    if kind == SDP:
        parts: dict[str, bytes] = {"sdp": await _whole(request)}
    elif kind == MULTIPART:
        parts = await _parts(request)
    else:
        raise Failure(415, "unsupported_media_type", f"Send the offer as {SDP} or {MULTIPART}.")
    if "sdp" not in parts:
        raise Failure(400, "missing_required_parameter", "The part 'sdp' is missing.", "sdp")
    try:
        sdp = parts["sdp"].decode()
    except UnicodeDecodeError:
        raise Failure(400, "invalid_offer", "The SDP is not UTF-8 text.", "sdp") from None
    return sdp, parse_object(parts["session"]) if "session" in parts else {}


async def _whole(request: Request) -> bytes:
    return b"".join([chunk async for chunk in chunks(request, MAX_BYTES, BODY_S)])


async def _parts(request: Request) -> dict[str, bytes]:
    """The parts of a form, whatever their types: browsers send them as plain text."""
    parser = MultiPartParser(
        request.headers,
        _generated(request),
        max_files=4,
        max_fields=4,
        max_part_size=LONGEST_BODY,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Failure(400, "invalid_form", f"The form cannot be read: {error.message}.") from None
    found: dict[str, bytes] = {}
    try:
        for name, part in form.multi_items():
            found[name] = await part.read() if isinstance(part, UploadFile) else part.encode()
    finally:
        with suppress(OSError):
            await form.close()
    return found


async def _generated(request: Request) -> AsyncGenerator[bytes, None]:
    async for chunk in chunks(request, LONGEST_BODY, BODY_S):
        yield chunk


def _opened(given: Mapping[str, Any], parameters: Mapping[str, str]) -> tuple[RealtimeSession, str]:
    """The session that is asked for, and its id. Raises `Failure`."""
    try:
        return opened(given, parameters)
    except ProtocolError as error:
        raise Failure(400, error.code, error.message, error.param) from None


def _no_key() -> Failure:
    return Failure(401, "invalid_api_key", "This API key is not one of this gateway's.")
