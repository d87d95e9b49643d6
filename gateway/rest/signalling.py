"""The WebRTC peers of a process, as the endpoints see them: who may connect, what is wrong."""

from contextlib import AsyncExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING

from starlette.requests import Request

from gateway.ice import links, parse_ice_servers, split
from gateway.interviews.sessions import SESSION_ID, NoSuchSession
from gateway.live.sideband import Sidebands
from gateway.protocols.dialect import Dialect
from gateway.rest.access import CHALLENGE, WRONG, Maker, enter, is_person, maker_of, until
from gateway.rest.problems import NO_PLACE, RETRY, UNSUPPORTED_MEDIA_TYPE, Kind, Problem
from gateway.rest.reading import BODY_S, chunks, media_type
from gateway.runtime import Runtime
from gateway.security import ApiKeys, bearer
from gateway.settings import Settings
from gateway.status import MediaCounts
from gateway.transports.webrtc.offers import MAX_BYTES, OfferError, Purpose
from gateway.transports.websocket.endpoint import address_of

if TYPE_CHECKING:  # they need the extra
    from gateway.live.audience import Audience, Voices
    from gateway.transports.webrtc.link import PeerLink
    from gateway.transports.webrtc.peers import Answered, Peers

INVALID_OFFER = Kind("invalid_offer", 400, "The offer cannot be understood")
UNUSABLE_OFFER = Kind("unusable_offer", 422, "The offer asks for what is not to be had here")
NO_SUCH_PEER = Kind("no_such_peer", 404, "There is no such connection, or it has ended")
TOKEN_REQUIRED = Kind("token_required", 401, "This is for clients that have a token")
NOT_INSTALLED = Kind("webrtc_not_installed", 503, "This gateway was installed without WebRTC")

SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"
EXTRA = "pip install 'parley-gateway[webrtc]'"


class Signalling:
    """The peers, and what opens them. Enter this context inside that of the runtime."""

    def __init__(self, runtime: Runtime, settings: Settings) -> None:
        self._runtime = runtime
        self._servers = parse_ice_servers(settings.ice_servers.get_secret_value())
        self._addresses = tuple(filter(None, settings.webrtc_addresses.split(",")))
        self.links = links(self._servers)
        """The STUN and TURN servers, as values of `Link`."""
        token = settings.webrtc_token
        self.token = None if token is None else ApiKeys(token.get_secret_value())
        """The token that opens WebRTC, if set; the gateway's credentials open it as well."""
        # Of the live peers: by whose credential, and until when (a Unix time) it lets them go on.
        self._makers: dict[str, tuple[Maker, float | None]] = {}
        self._peers: Peers | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Signalling":
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

    def check(self) -> None:
        """Raise `Problem` where WebRTC is not installed."""
        self._open()

    async def answer(
        self,
        session_id: str,
        sdp: str,
        dialect: Dialect | None,
        address: str | None,
        *,
        until: float | None = None,
        replaces: bool = False,
        purpose: Purpose = "call",
        sidebands: Sidebands | None = None,
    ) -> "Answered":
        """Answer an offer of a client at `address`: see `Peers.answer`.

        Raises `OfferError`, `Problem`.
        """
        from gateway.transports.webrtc.peers import PeerRefused

        try:
            return await self._open().answer(
                session_id,
                sdp,
                dialect,
                address=address,
                until=until,
                replaces=replaces,
                purpose=purpose,
                sidebands=sidebands,
            )
        except PeerRefused as error:
            raise NO_PLACE(str(error), headers=RETRY) from None

    async def admit(
        self,
        request: Request,
        session_id: str,
        sdp: str,
        dialect: Dialect | None = None,
        *,
        replaces: bool = False,
        purpose: Purpose = "call",
    ) -> "Answered":
        """Answer the offer of a request, with which a ticket is used up.

        An offer that is refused uses none: the client has it for another one. Raises `Problem` and
        `NoSuchSession`.
        """
        ends_at = until(request)
        try:
            answered = await self.answer(
                session_id,
                sdp,
                dialect,
                address_of(request),
                until=ends_at,
                replaces=replaces,
                purpose=purpose,
            )
        except OfferError as error:
            raise offer_problem(error) from None
        try:
            await enter(request, session_id)
        except BaseException:  # another request was faster with the ticket, or this one has ended
            self.hang_up(answered.id, purpose)
            raise
        self.remember(answered.id, maker_of(request), ends_at)
        return answered

    async def show(
        self,
        request: Request,
        session_id: str,
        sdp: str,
        audience: "Audience",
        voices: "Voices | None" = None,
    ) -> "Answered":
        """Answer the offer of somebody who listens to a live session. Raises `Problem`."""
        from gateway.transports.webrtc.peers import PeerRefused

        try:
            answered = await self._open().show(
                session_id,
                sdp,
                audience,
                until=until(request),
                person=is_person(request),
                voices=voices,
            )
        except OfferError as error:
            raise offer_problem(error) from None
        except PeerRefused as error:
            raise NO_PLACE(str(error), headers=RETRY) from None
        self.remember(answered.id, maker_of(request))
        return answered

    def hang_up(self, peer_id: str, purpose: Purpose = "call") -> bool:
        """End a connection; False if there is none."""
        peers = self._open()
        session_id = peers.session_of(peer_id, purpose)
        return session_id is not None and peers.hang_up(session_id, peer_id, purpose)

    def end(self, session_id: str, peer_id: str, purpose: Purpose) -> bool:
        """End a connection for its client: see `Peers.end`."""
        return self._open().end(session_id, peer_id, purpose)

    def session_of(self, peer_id: str | None) -> str | None:
        """The session of a live call, None if there is none."""
        return None if peer_id is None else self._open().session_of(peer_id)

    def peer(self, session_id: str, peer_id: str, purpose: Purpose = "call") -> "PeerLink | None":
        """The live connection of this session, id and purpose."""
        return self._open().find(session_id, peer_id, purpose)

    def ice_servers(self) -> list[dict[str, str]]:
        """The STUN and TURN servers, as browsers want them."""
        found = [
            {"urls": server.url, "username": server.user, "credential": server.password}
            for server in self._servers
        ]
        return [{name: value for name, value in one.items() if value} for one in found]

    def media(self) -> MediaCounts:
        """The counts of all peers' audio packets since the start, by what became of them."""
        return MediaCounts() if self._peers is None else self._peers.media()

    def guard(self, request: Request) -> None:
        """Raise `Problem` for a client without the token, where one alone opens WebRTC."""
        if self.token is None or not self._runtime.access.open:
            return  # nothing is needed, or it was checked before (`gateway.rest.access`)
        given = bearer(request.headers.get("authorization"))
        if not given:
            raise TOKEN_REQUIRED(headers=CHALLENGE)
        if not self.token.accepts(given):
            raise TOKEN_REQUIRED("This is not the token", headers=WRONG)

    def maker(self, peer_id: str) -> Maker | None:
        """Whose credential a live connection was made with."""
        return self._makers.get(peer_id, (None, None))[0]

    def ends_at(self, peer_id: str | None) -> float | None:
        """When a live connection has to end by the credential with which it was made."""
        return self._makers.get(peer_id or "", (None, None))[1]

    def remember(self, peer_id: str, maker: Maker, ends_at: float | None = None) -> None:
        """Keep whose credential made a connection, as long as the connection lives."""
        peers = self._open()
        held = {id: by for id, by in self._makers.items() if peers.live(id)}
        self._makers = {**held, peer_id: (maker, ends_at)}


def offer_problem(error: OfferError) -> Problem:
    """The error response that says what is wrong with an offer."""
    return (UNUSABLE_OFFER if error.unusable else INVALID_OFFER)(error.reason)


def session_of(request: Request) -> str:
    """The path's `{id}`. Raises `NoSuchSession` if no session can have it."""
    session_id: str = request.path_params["id"]
    if SESSION_ID.fullmatch(session_id) is None:
        raise NoSuchSession(session_id)
    return session_id


async def text_of(request: Request, kind: str) -> str:
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
