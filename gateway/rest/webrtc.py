"""WebRTC signalling: `/webrtc/{id}`, modelled on WHIP (RFC 9725), and `/api/offer`."""

import secrets
from contextlib import AsyncExitStack
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from gateway.ice import links, parse_ice_servers, split
from gateway.interviews.sessions import SESSION_ID, NoSuchSession
from gateway.live.epoch import epoch_clock
from gateway.protocols.dialect import Dialect
from gateway.protocols.request import SessionRequest
from gateway.protocols.rtvi import Rtvi
from gateway.rest.access import CHALLENGE, WRONG, enter, holder, until
from gateway.rest.operation import Handler, HttpReply, Operation, ResponseSpec
from gateway.rest.problems import (
    NO_PLACE,
    NO_SUCH_SESSION,
    RETRY,
    UNSUPPORTED_MEDIA_TYPE,
    Kind,
    Problem,
)
from gateway.rest.reading import BODY_S, Body, chunks, media_type
from gateway.runtime import Runtime
from gateway.security import ApiKeys, bearer
from gateway.settings import Settings
from gateway.status import MediaCounts
from gateway.transports.webrtc.offers import MAX_BYTES, OfferError
from gateway.transports.websocket.endpoint import address_of

if TYPE_CHECKING:  # they need the extra
    from gateway.transports.webrtc.peer import Peer
    from gateway.transports.webrtc.peers import Answered, Peers

INVALID_OFFER = Kind("invalid_offer", 400, "The offer cannot be understood")
UNUSABLE_OFFER = Kind("unusable_offer", 422, "The offer asks for what is not to be had here")
NO_SUCH_PEER = Kind("no_such_peer", 404, "There is no such connection, or it has ended")
TOKEN_REQUIRED = Kind("token_required", 401, "This is for clients that have a token")
NOT_INSTALLED = Kind("webrtc_not_installed", 503, "This gateway was installed without WebRTC")

SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"
EXTRA = "pip install 'parley-gateway[webrtc]'"


ENDPOINT, CONNECTION = "/webrtc/{id}", "/webrtc/{id}/{peer}"
TAGS = ("webrtc",)
OFFERED = (
    "Takes an SDP offer with an Opus section and, for the messages of the native dialect, a data"
    " channel."
)
MADE = {
    "Location": "The connection: PATCH and DELETE it there",
    "Link": "A STUN or TURN server, if there are any",
}

TAKEN = {"Accept-Post": "The type of offers", "Accept-Patch": "The type of candidates"}

_OF_ONE = (NO_SUCH_SESSION, NO_SUCH_PEER, NOT_INSTALLED, TOKEN_REQUIRED)

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class NewOffer(Body):
    """An SDP offer. `pc_id` names a connection of the same session that this one replaces."""

    sdp: Annotated[str, Field(max_length=MAX_BYTES)]
    type: Literal["offer"]
    pc_id: Id | None = None
    restart_pc: Annotated[
        bool | None, Field(description="sent by Pipecat's clients: the data channel speaks RTVI")
    ] = None
    request_data: Annotated[
        Any, Field(alias="requestData", description="of Pipecat's clients; ignored")
    ] = None
    session_id: Annotated[Id | None, Field(description="a new one where it is left out")] = None


class OfferAnswer(BaseModel):
    """The answer to an offer, with all candidates of the server."""

    sdp: str
    type: Literal["answer"] = "answer"
    pc_id: str
    session_id: str


class WebRtcEndpoints:
    """The endpoints for WebRTC peers. Enter this context inside that of the runtime."""

    def __init__(self, runtime: Runtime, settings: Settings) -> None:
        self._runtime = runtime
        self._servers = parse_ice_servers(settings.ice_servers.get_secret_value())
        self._addresses = tuple(filter(None, settings.webrtc_addresses.split(",")))
        self._links = links(self._servers)
        token = settings.webrtc_token
        self.token = None if token is None else ApiKeys(token.get_secret_value())
        """What opens WebRTC where it is set; the credentials of the whole gateway do, too."""
        self._holders: dict[str, str] = {}  # of the live peers, by whose credential
        self._peers: Peers | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "WebRtcEndpoints":
        if find_spec("aiortc") is not None:
            from gateway.transports.webrtc.peers import Peers

            peers = Peers(self._runtime, split(self._addresses), self._servers)
            self._peers = await self._stack.enter_async_context(peers)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def _open(self) -> "Peers":
        if self._peers is None:
            raise NOT_INSTALLED(EXTRA)
        return self._peers

    async def answer(
        self,
        session_id: str,
        sdp: str,
        dialect: Dialect,
        address: str | None,
        *,
        until: float | None = None,
    ) -> "Answered":
        """Answer an offer of a client at `address`, whose data channel speaks `dialect`.

        The client's credential says `until` when (a Unix time) it may go on.

        Raises `OfferError`, `Problem`.
        """
        from gateway.transports.webrtc.peers import PeerRefused

        try:
            return await self._open().answer(session_id, sdp, dialect, address=address, until=until)
        except PeerRefused as error:
            raise NO_PLACE(str(error), headers=RETRY) from None

    def hang_up(self, peer_id: str) -> bool:
        """End a connection; False if there is none."""
        peers = self._open()
        session_id = peers.session_of(peer_id)
        return session_id is not None and peers.hang_up(session_id, peer_id)

    def session_of(self, peer_id: str | None) -> str | None:
        """The session of a live connection, None if there is none."""
        return None if peer_id is None else self._open().session_of(peer_id)

    def peer(self, session_id: str, peer_id: str) -> "Peer | None":
        """The live connection of this session and id."""
        return self._open().find(session_id, peer_id)

    def ice_servers(self) -> list[dict[str, str]]:
        """The STUN and TURN servers, as browsers want them."""
        found = [
            {"urls": server.url, "username": server.user, "credential": server.password}
            for server in self._servers
        ]
        return [{name: value for name, value in one.items() if value} for one in found]

    def media(self) -> MediaCounts:
        """What became of the audio packets of all peers since the start."""
        return MediaCounts() if self._peers is None else self._peers.media()

    def operations(self) -> list[Operation]:
        """The endpoints."""
        refusals = (INVALID_OFFER, UNUSABLE_OFFER, NO_PLACE, NOT_INSTALLED, TOKEN_REQUIRED)
        guarded = partial(Operation, tags=TAGS, guard=self.guard)
        return [
            guarded(
                method="POST",
                path="/api/offer",
                name="offer",
                handler=self._offer,
                summary="Connect over WebRTC",
                description=OFFERED,
                body=NewOffer,
                answers={200: ResponseSpec("The answer", OfferAnswer)},
                errors=refusals,
            ),
            guarded(
                method="POST",
                path=ENDPOINT,
                name="whip",
                handler=self._whip,
                summary="Connect over WebRTC, in the shape of WHIP",
                description=f"{OFFERED} This is RFC 9725, but for audio that goes both ways.",
                text=SDP,
                answers={201: ResponseSpec("The answer", media=(SDP,), headers=MADE)},
                errors=(*refusals, NO_SUCH_SESSION),
            ),
            guarded(
                method="PATCH",
                path=CONNECTION,
                name="whipTrickle",
                handler=self._trickle,
                summary="Further candidates of the client",
                text=FRAGMENT,
                answers={204: ResponseSpec("Usable candidates are tried")},
                errors=(INVALID_OFFER, UNUSABLE_OFFER, *_OF_ONE),
            ),
            guarded(
                method="DELETE",
                path=CONNECTION,
                name="whipHangUp",
                handler=self._delete,
                summary="Hang up",
                answers={200: ResponseSpec("The connection ends")},
                errors=_OF_ONE,
            ),
            _taken("OPTIONS", ENDPOINT, "whipOptions", self._options),
            _taken("GET", ENDPOINT, "whipProbe", self._options),
            _taken("OPTIONS", CONNECTION, "whipConnectionOptions", self._options),
            guarded(
                method="GET",
                path=CONNECTION,
                name="whipConnection",
                handler=self._look,
                summary="Whether the connection exists",
                answers={204: ResponseSpec("It does")},
                errors=_OF_ONE,
            ),
        ]

    def guard(self, request: Request) -> None:
        """Raise `Problem` for a client without the token, where one alone opens WebRTC."""
        if self.token is None or not self._runtime.access.open:
            return  # nothing is needed, or it was checked before (`gateway.rest.access`)
        given = bearer(request.headers.get("authorization"))
        if not given:
            raise TOKEN_REQUIRED(headers=CHALLENGE)
        if not self.token.accepts(given):
            raise TOKEN_REQUIRED("This is not the token", headers=WRONG)

    def made_with(self, peer_id: str) -> str | None:
        """The digest of the credential with which a live connection was made."""
        return self._holders.get(peer_id)

    def remember(self, peer_id: str, digest: str) -> None:
        """Keep by whose credential a connection was made, as long as it lives."""
        held = {id: by for id, by in self._holders.items() if self.session_of(id) is not None}
        self._holders = {**held, peer_id: digest}

    async def _offer(self, request: Request, offer: NewOffer) -> OfferAnswer:
        peers = self._open()
        session_id = offer.session_id or secrets.token_hex(16)
        old = None if offer.pc_id is None else peers.session_of(offer.pc_id)
        if old is not None:
            session_id = old
        await enter(request, session_id, use=False)
        dialect = None
        if offer.restart_pc is not None:
            dialect = Rtvi(SessionRequest(avatar="off"), epoch_clock())
        answered = await _answered(peers, session_id, offer.sdp, request, dialect)
        self.remember(answered.id, holder(request))
        if old is not None and offer.pc_id is not None:
            # Only now: a refused offer must not end the connection that works.
            peers.hang_up(old, offer.pc_id)
        return OfferAnswer(sdp=answered.sdp, pc_id=answered.id, session_id=session_id)

    async def _whip(self, request: Request) -> Response:
        peers = self._open()
        session_id = _session_of(request)
        answered = await _answered(peers, session_id, await _text(request, SDP), request)
        self.remember(answered.id, holder(request))
        headers = {
            "location": f"/webrtc/{session_id}/{answered.id}",
            "cache-control": "no-store",
        }
        response = Response(answered.sdp, 201, headers, media_type=SDP)
        for link in self._links:
            response.headers.append("link", link)
        return response

    async def _trickle(self, request: Request) -> HttpReply:
        peer = self._peer(request)
        try:
            await peer.trickle(await _text(request, FRAGMENT))
        except OfferError as error:
            raise offer_problem(error) from None
        return HttpReply(status=204)

    async def _delete(self, request: Request) -> HttpReply:
        peer = self._peer(request)
        peer.hang_up()
        return HttpReply(status=200)

    async def _look(self, request: Request) -> HttpReply:
        self._peer(request)
        return HttpReply(status=204)

    async def _options(self, request: Request) -> HttpReply:
        _session_of(request)
        return HttpReply(status=204, headers={"accept-post": SDP, "accept-patch": FRAGMENT})

    def _peer(self, request: Request) -> "Peer":
        found = self._open().find(_session_of(request), request.path_params["peer"])
        if found is None:
            raise NO_SUCH_PEER()
        return found


def _taken(method: str, path: str, name: str, handler: Handler) -> Operation:
    return Operation(
        method=method,
        path=path,
        name=name,
        handler=handler,
        summary="The types that are accepted here",
        tags=TAGS,
        answers={204: ResponseSpec("Said by the headers", headers=TAKEN)},
        errors=(NO_SUCH_SESSION,),
    )


async def _answered(
    peers: "Peers", session_id: str, sdp: str, request: Request, dialect: Dialect | None = None
) -> "Answered":
    """Answer an offer, with which a ticket is used up. Raises `Problem` and `NoSuchSession`.

    An offer that is refused uses none: the client has it for another one.
    """
    from gateway.transports.webrtc.peers import PeerRefused

    try:
        answered = await peers.answer(
            session_id, sdp, dialect, address=address_of(request), until=until(request)
        )
    except OfferError as error:
        raise offer_problem(error) from None
    except PeerRefused as error:
        raise NO_PLACE(str(error), headers=RETRY) from None
    try:
        await enter(request, session_id)
    except BaseException:  # another request was faster with the ticket, or this one has ended
        peers.hang_up(session_id, answered.id)
        raise
    return answered


def offer_problem(error: OfferError) -> Problem:
    """What is wrong with an offer, as an error response."""
    return (UNUSABLE_OFFER if error.unusable else INVALID_OFFER)(error.reason)


def _session_of(request: Request) -> str:
    session_id: str = request.path_params["id"]
    if SESSION_ID.fullmatch(session_id) is None:
        raise NoSuchSession(session_id)
    return session_id


async def _text(request: Request, kind: str) -> str:
    """The body as text, if its media type is `kind`. Raises `Problem`."""
    if media_type(request) != kind:
        raise UNSUPPORTED_MEDIA_TYPE(f"The body must be {kind}", headers={"accept": kind})
    body = bytearray()
    async for chunk in chunks(request, MAX_BYTES, BODY_S):
        body += chunk
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise INVALID_OFFER("The SDP is not UTF-8 text") from None
