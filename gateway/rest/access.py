"""Which requests are let through: the table of `gateway.security.access`, applied over HTTP.

A client presents its key, token, ticket or pass in `Authorization: Bearer` or `X-API-Key`. A link
in a page can do neither, so a pass is also a cookie of its session's path; it is taken for reading
alone, and browsers keep it from the pages of other sites.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel
from starlette.requests import HTTPConnection, Request
from starlette.websockets import WebSocket

from gateway.interviews.sessions import NoSuchSession
from gateway.rest.limits import HttpLimits
from gateway.rest.once import CLIENT
from gateway.rest.operation import Check, HttpReply
from gateway.rest.problems import OF_LIMITS, TOKEN_KEYS_UNAVAILABLE, TOKEN_REFUSED, Kind
from gateway.rest.subpath import SUBPATH
from gateway.security import (
    Access,
    ApiKeys,
    Grant,
    Need,
    bearer,
    digest_of,
    knows_roles,
    may_connect,
    need_of,
    offered_key,
    origin_of,
    presented,
)
from gateway.security.clients import client_identity
from gateway.security.identities import TokenRefused
from gateway.security.roles import RANKS, ROLES, ClientRole

REALM = 'Bearer realm="parley"'
CHALLENGE = {"www-authenticate": REALM}
WRONG = {"www-authenticate": f'{REALM}, error="invalid_token"'}

ACCESS_REQUIRED = Kind("access_required", 401, "This is for clients with a key, a ticket or a pass")
FOREIGN_PAGE = Kind("foreign_page", 403, "A page of another site may not do this")
HOW = "Send one that holds as Authorization: Bearer …, or as X-API-Key"
ACCESS_DENIED = Kind("access_denied", 403, "Your credential does not hold for this")

OVER_WEBRTC = ("/webrtc/", "/whip/", "/whep/")

COOKIE = "parley_pass"
SAFE = ("GET", "HEAD", "OPTIONS")

BY_ROLE = (Need.KEY, Need.PROGRAM, Need.SERVICE)
"""The needs that a role alone meets."""

OF_CLIENTS = (
    *BY_ROLE,
    Need.NEW_SESSION,
    Need.SESSION,
    Need.OFFER,
    Need.CONNECTION,
    Need.LISTEN,
    Need.NOTIFICATIONS,
)
"""The needs that are checked here; others are the endpoint's own business."""

OFFERED = b"sec-websocket-protocol"

ADMITTED = "parley.admitted"
"""The key of a request's `Admitted` in its scope."""

OPERATOR = "parley.operator"
"""True in the scope of a request of a client whose role is the operator's."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that was let through, and what its credential allows.

    `shown_in` are the headers with credentials of the gateway's, where a service has others.
    """

    access: Access
    grant: Grant
    shown_in: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Maker:
    """By whose credential a connection over WebRTC was made: its `digest`, and as whom its requests
    are counted. A ticket that is used says no more what it was for."""

    digest: str
    counted: str


class Credential(BaseModel):
    """A ticket or a pass. `expires_at` is a Unix time."""

    value: str
    expires_at: int


class HttpAccess:
    """Makes the check for each route of an application.

    `origins` are the pages of others that may change something. `webrtc_token` opens WebRTC, too.
    `maker` is whose credential a connection over WebRTC was made with.
    `roles` says which roles may what. `limits` counts requests, where they are limited.
    """

    def __init__(
        self,
        access: Access,
        *,
        origins: str,
        webrtc_token: ApiKeys | None,
        maker: Callable[[str], Maker | None],
        roles: Mapping[Need, frozenset[ClientRole]] = ROLES,
        limits: HttpLimits | None = None,
    ) -> None:
        self._limits = limits
        self._roles = roles
        self._access = access
        self._origins = origins
        self._webrtc_token = webrtc_token
        self._maker = maker

    def check(self, method: str, path: str) -> Check | None:
        """The check to call before the request is read; None if nothing is needed.

        Raises `LookupError` for a route that is not in the table.
        """
        need = need_of(method, path)
        if need is Need.OPERATOR:
            return None if self._access.open else self._know_operator
        if need is Need.ENDPOINT:
            return None if self._limits is None else self._limits.address
        if need is Need.NOTHING and method in SAFE:
            return None  # there is nothing to see to
        webrtc = path.startswith(OVER_WEBRTC) or need is Need.OFFER

        async def check(request: Request) -> None:
            if method not in SAFE:
                self._check_page(request)
            if self._limits is not None:
                await self._limits.address(request)
            if self._access.open or need is Need.NOTHING:
                await self._count(request, None)
            elif need is Need.SERVICE:
                await self.admit_to_service(request, service_credentials(request))
            else:
                await self._admit(request, need, webrtc)

        return check

    async def check_websocket(self, client: WebSocket) -> None:
        """Check a WebSocket before it goes to a service. Raises `Problem`.

        A page cannot set headers, so it offers its key as a subprotocol.
        """
        await self.check_handshake(client)
        if self._access.open:
            await self._count(client, None)
        else:
            given = service_credentials(client)
            if offered := offered_key(client.scope["subprotocols"]):
                given[OFFERED] = offered
            await self.admit_to_service(client, given)

    async def check_handshake(self, client: WebSocket) -> None:
        """Refuse a WebSocket of a page of another site, or of an address that asks too often.

        Raises `Problem`.
        """
        self._check_page(client)
        if self._limits is not None:
            await self._limits.address(client)

    async def _know_operator(self, request: Request) -> None:
        """Mark a request of an operator by role. The endpoint refuses any other."""
        credential = bearer(request.headers.get("authorization"))
        grant = await self._access.look(credential) if knows_roles(credential) else None
        request.scope[OPERATOR] = grant is not None and grant.role in self._roles[Need.OPERATOR]

    def _check_page(self, request: HTTPConnection) -> None:
        """Refuse pages of other sites: browsers send them some requests without asking first."""
        headers = request.headers
        origin = origin_of(headers.getlist("origin"))
        if not may_connect(origin, headers.get("host", ""), self._origins):
            raise FOREIGN_PAGE("PARLEY_CORS_ORIGINS names the pages that may")

    async def _admit(self, request: Request, need: Need, webrtc: bool) -> None:
        credential = _credential(request, need)
        if webrtc and need is not Need.LISTEN and self._is_token(credential):
            client_identity.set(digest_of(credential))
            await self._count(request, digest_of(credential))
            return
        if need is Need.CONNECTION and (maker := self._made(request, credential)) is not None:
            await self._count(request, maker.counted)
            return
        grant = await self._access.look(credential)
        if grant is None and need is Need.LISTEN:
            grant = await self._access.observer(credential)
        if grant is None:
            raise ACCESS_REQUIRED(HOW, headers=WRONG if credential else CHALLENGE)
        await self._count(request, counted_as(grant))
        request.scope[ADMITTED] = Admitted(self._access, grant)
        request.scope[CLIENT] = grant.identity
        client_identity.set(grant.identity)
        await self._hold(need, grant, request)

    async def admit_to_service(self, client: HTTPConnection, given: Mapping[bytes, str]) -> None:
        """Let a client with an API key pass to a service; `given` are its headers' credentials.

        A credential may be the service's own. One of the gateway's goes no further, whichever
        header it came in. Raises `Problem`.
        """
        own: dict[bytes, Grant] = {}
        foreign: TokenRefused | None = None
        for name, value in given.items():
            try:
                grant = await self._access.look(value)
            except TokenRefused as error:  # it may be the service's
                foreign = error
            else:
                if grant is not None:
                    own[name] = grant
        if not own:
            raise foreign or ACCESS_REQUIRED(HOW, headers=WRONG if given else CHALLENGE)
        best = max(own.values(), key=lambda one: RANKS.index(one.role))
        self._allow(Need.SERVICE, best)
        await self._count(client, counted_as(best))
        client.scope[ADMITTED] = Admitted(self._access, best, frozenset(own))

    async def _count(self, request: HTTPConnection, client: str | None) -> None:
        """Count a request of a client that is known, before a ticket of its is used."""
        if self._limits is not None:
            await self._limits.client(request, client)

    def _allow(self, need: Need, grant: Grant) -> None:
        """Raise `Problem` for a role that may not; tickets and passes open sessions alone."""
        of_session = not grant.everything and not grant.owner
        if grant.role not in self._roles[need] or (of_session and need in BY_ROLE):
            if not grant.owner:
                raise ACCESS_DENIED("This needs an API key")
            raise ACCESS_DENIED(f"This is not for the role {grant.role}")

    async def _hold(self, need: Need, grant: Grant, request: Request) -> None:
        """Raise `Problem` or `NoSuchSession` if the grant does not hold for the request."""
        self._allow(need, grant)
        if need is Need.NEW_SESSION and not await self._access.begin(grant):
            raise ACCESS_DENIED("It is for another session")
        if need in (Need.LISTEN, Need.NOTIFICATIONS) and grant.ticket is not None:
            raise ACCESS_REQUIRED("A ticket opens a session: send a pass for it", headers=WRONG)
        if need in (Need.SESSION, Need.CONNECTION, Need.LISTEN):
            session_id = request.path_params["id"]
            if grant.owner and not await self._access.owns(grant, session_id):
                raise NoSuchSession(session_id)
            await enter(request, session_id)
        if need is Need.OFFER and "id" in request.path_params:
            await enter(request, request.path_params["id"], use=False)

    def _is_token(self, credential: str) -> bool:
        return self._webrtc_token is not None and self._webrtc_token.accepts(credential)

    def _made(self, request: Request, credential: str) -> Maker | None:
        maker = self._maker(request.path_params["peer"])
        if maker is None or not credential or maker.digest != digest_of(credential):
            return None
        return maker


def counted_as(grant: Grant) -> str:
    """The name under which a client's requests are counted."""
    return grant.identity


def refusals(method: str, path: str) -> tuple[Kind, ...]:
    """The problems of a route's check, beside `NO_SUCH_SESSION`; none for an unknown route."""
    try:
        need = need_of(method, path)
    except LookupError:
        return ()
    if need not in OF_CLIENTS:
        return ()
    denied = (ACCESS_DENIED,) if need in (*BY_ROLE, Need.NEW_SESSION) else ()
    return (
        ACCESS_REQUIRED,
        TOKEN_REFUSED,
        TOKEN_KEYS_UNAVAILABLE,
        *OF_LIMITS,
        *denied,
        *(() if method in SAFE else (FOREIGN_PAGE,)),
    )


async def enter(request: Request, session_id: str, *, use: bool = True) -> None:
    """Use the request's credential for a session. Raises `Problem` and `NoSuchSession`.

    A ticket or a pass for another session raises `NoSuchSession`. Without `use` a ticket is checked
    but not used up: the request may still be refused later.
    """
    admitted: Admitted | None = request.scope.get(ADMITTED)
    if admitted is None:
        return
    access = admitted.access
    if await (access.enter if use else access.holds)(admitted.grant, session_id):
        return
    if admitted.grant.session_id not in (None, session_id) or admitted.grant.ticket is None:
        raise NoSuchSession(session_id)
    raise ACCESS_REQUIRED("The ticket was used, or the session exists", headers=WRONG)


def until(request: Request) -> float | None:
    """When what the request begins has to end (a Unix time): see `gateway.security.Grant.until`."""
    admitted: Admitted | None = request.scope.get(ADMITTED)
    return None if admitted is None else admitted.access.until(admitted.grant)


def is_person(request: Request) -> bool | None:
    """Whether a request has the credential of a session's own person; None where the gateway has no
    keys, and cannot tell."""
    admitted: Admitted | None = request.scope.get(ADMITTED)
    if admitted is None:
        return None
    return not admitted.grant.everything and not admitted.grant.listens


async def with_pass(request: Request, reply: HttpReply, session_id: str) -> HttpReply:
    """The reply with a pass for the session in its field `access`, where clients need one.

    A pass that is made with a pass expires with it, so no client can renew its access endlessly. A
    pass that is made with a ticket holds no longer than what the ticket may open.
    """
    admitted: Admitted | None = request.scope.get(ADMITTED)
    if admitted is None or reply.body is None:
        return reply
    await admitted.access.own(admitted.grant, session_id)
    issued = await admitted.access.session_pass(session_id, until(request))
    shown = Credential(value=issued.value, expires_at=issued.expires_at)
    body = reply.body.model_copy(update={"access": shown})
    secure = "; Secure" if request.scope["scheme"] == "https" else ""
    path = f"{request.scope.get(SUBPATH, '')}/api/sessions/{session_id}"
    cookie = f"{COOKIE}={issued.value}; Path={path}; HttpOnly; SameSite=Strict{secure}"
    return HttpReply(body, reply.status, {**reply.headers, "set-cookie": cookie}, reply.about)


def maker_of(request: Request) -> Maker:
    """Whose credential a request came with; of nobody, where it had none."""
    credential = presented(request.headers.get("authorization"), request.headers.get("x-api-key"))
    digest = digest_of(credential) if credential else ""
    return Maker(digest, request.scope.get(CLIENT) or digest)


def service_credentials(client: HTTPConnection) -> dict[bytes, str]:
    """The credentials of a request to a service, by header: for gateway, service or both."""
    api_key = (client.headers.get("x-api-key") or "").strip()
    token = bearer(client.headers.get("authorization"))
    found = {b"x-api-key": api_key, b"authorization": token}
    return {name: value for name, value in found.items() if value}


def _credential(request: Request, need: Need) -> str:
    headers = request.headers
    given = presented(headers.get("authorization"), headers.get("x-api-key"))
    if not given and need is Need.SESSION and request.method in SAFE:
        return request.cookies.get(COOKIE, "")
    return given
