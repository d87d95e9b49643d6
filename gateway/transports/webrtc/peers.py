"""All WebRTC peers of a process: their admission, their tasks and their end."""

import asyncio
import logging
import secrets
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from gateway.ice import Addresses, IceServer
from gateway.live.audience import Audience, AudienceFull, Voices
from gateway.live.sideband import Sidebands
from gateway.protocols.dialect import Dialect
from gateway.runtime import Runtime
from gateway.status import MediaCounts
from gateway.transports.webrtc.aioice_private import use_addresses
from gateway.transports.webrtc.link import Network, PeerLink
from gateway.transports.webrtc.offers import Purpose
from gateway.transports.webrtc.peer import Peer
from gateway.transports.webrtc.viewer import Viewer

logger = logging.getLogger("parley.webrtc")

ANSWER_S = 8.0
"""Time limit of an answer; aiortc waits five seconds for a STUN or TURN server."""

MOST_GONE = 256
"""The latest peers that are remembered after they ended by themselves."""

MOST_OF_PERSON = 2
"""Players of the person of one session: the present one, and the one before it, which ends."""

END_S = 10.0
"""Time limit for the peers to end by themselves before their tasks are cancelled."""


class PeerRefused(Exception):
    """The process cannot take another peer now."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to an offer, and the id of the new peer. `version` is that of `PeerLink`."""

    id: str
    sdp: str
    version: str = ""


class Peers:
    """The peers of a process. An async context manager, inside the runtime's; leaving it ends them.

    `ice_servers` are offered to the clients and used by the peers.
    """

    def __init__(
        self, runtime: Runtime, addresses: Addresses, ice_servers: tuple[IceServer, ...] = ()
    ) -> None:
        self.ice_servers = ice_servers
        self._runtime = runtime
        self._addresses = addresses
        self._network = Network(addresses, ice_servers)
        # Bounded by max_sessions, by as many observers, and by `MOST_OF_PERSON` for each session.
        self._live: dict[str, tuple[PeerLink, asyncio.Task[None]]] = {}
        self._observers = 0  # in the process, from the moment they are let in
        self._persons: Counter[str] = Counter()  # likewise, those who listen to their own session
        self._at_addresses = ExitStack()
        self._ended = MediaCounts()  # of the peers that have ended
        self._asked: set[str] = set()  # live peers that were asked to end
        # Session, id and purpose of the latest that ended without that.
        self._gone: deque[tuple[str, str, Purpose]] = deque(maxlen=MOST_GONE)

    def __len__(self) -> int:
        return len(self._live)

    async def __aenter__(self) -> "Peers":
        if self._addresses.local:
            self._at_addresses.enter_context(use_addresses(*self._addresses.local, only=True))
        return self

    async def __aexit__(self, *exc: object) -> None:
        for peer, _ in self._live.values():
            peer.hang_up()
        tasks = [task for _, task in self._live.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=END_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        self._at_addresses.close()

    async def answer(
        self,
        session_id: str,
        sdp: str,
        dialect: Dialect | None = None,
        *,
        address: str | None = None,
        until: float | None = None,
        replaces: bool = False,
        purpose: Purpose = "call",
        sidebands: Sidebands | None = None,
    ) -> Answered:
        """Answer an offer and run the peer in a task.

        `address` is the client's, whose credential says `until` when it may go on. Without
        `dialect` the data channel speaks the native one, which begins with a `hello`. A peer that
        `replaces` a live one is answered although all places are taken. `sidebands` are those of
        the call, and end with it.

        Raises `OfferError`, and `PeerRefused` if the process is full or the answer takes longer
        than `ANSWER_S`.
        """
        back = session_id if dialect is None else None  # another dialect has no way back
        refusal = self._runtime.live.refusal(back, address, replaces=replaces)
        if refusal is not None:
            self._runtime.metrics.refused("webrtc")
            raise PeerRefused(refusal)
        with ExitStack() as admission:
            admission.enter_context(self._runtime.live.connected(address))
            peer = Peer(
                session_id,
                self._runtime,
                self._network,
                dialect=dialect,
                waits=dialect is None,
                address=address,
                until=until,
                purpose=purpose,
                sidebands=sidebands,
            )
            return await self._begin(peer, sdp, admission)

    async def show(
        self,
        session_id: str,
        sdp: str,
        audience: Audience,
        *,
        until: float | None = None,
        person: bool | None = False,
        voices: Voices | None = None,
    ) -> Answered:
        """Answer an offer of somebody who listens to a live session, and run the peer in a task.

        The `person` of the session takes no observer's place, and is not refused for the load: a
        conversation without it is none. Where that is not known (None), it is the first who listens
        while somebody speaks by WHIP. The person hears the interviewer and any other both `voices`,
        unless they are named. Raises as `answer` does.
        """
        if person is None:
            person = not audience.has_person and self._speaks_by_whip(session_id)
        with ExitStack() as admission:
            try:
                admission.enter_context(self._listening(session_id, person))
                viewer = Viewer(
                    session_id,
                    self._runtime,
                    self._network,
                    audience,
                    until=until,
                    person=person,
                    voices=voices or ("interviewer" if person else "both"),
                )
            except (PeerRefused, AudienceFull) as refused:
                self._runtime.metrics.refused("webrtc")
                raise PeerRefused(str(refused)) from None
            return await self._begin(viewer, sdp, admission)

    @contextmanager
    def _listening(self, session_id: str, person: bool) -> Iterator[None]:
        """Count somebody who listens until the block ends. Raises `PeerRefused` at the limit."""
        live = self._runtime.live
        if live.draining:
            raise PeerRefused("the server is shutting down")
        if person:
            if self._persons[session_id] >= MOST_OF_PERSON:
                raise PeerRefused("your last connections have not ended yet")
        elif (pressed := live.pressed("voice")) is not None:
            raise PeerRefused(pressed)
        elif self._observers >= live.places:
            raise PeerRefused("too many are listening to sessions")
        self._observers += not person
        self._persons[session_id] += person
        try:
            yield
        finally:
            self._observers -= not person
            self._persons[session_id] -= person
            if not self._persons[session_id]:
                del self._persons[session_id]

    def _speaks_by_whip(self, session_id: str) -> bool:
        return any(
            (peer.session_id, peer.purpose) == (session_id, "ingest")
            for peer, _ in self._live.values()
        )

    async def _begin(self, peer: PeerLink, sdp: str, admission: ExitStack) -> Answered:
        """Have the peer answer, and run it; what it was admitted with is closed at its end."""
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await peer.answer(sdp)
        except TimeoutError:
            await peer.close()
            raise PeerRefused("no answer could be made in time") from None
        except BaseException:
            await peer.close()
            raise
        peer_id = self._runtime.elsewhere.mark + secrets.token_urlsafe(16)
        hold = self._hold(peer_id, peer, admission.pop_all())
        self._live[peer_id] = (peer, asyncio.create_task(hold))
        return Answered(peer_id, answer, peer.version)

    async def _hold(self, peer_id: str, peer: PeerLink, admission: ExitStack) -> None:
        try:
            await peer.run()
        except Exception:
            logger.exception("session %s: the peer failed", peer.session_id)
        finally:
            admission.close()
            del self._live[peer_id]
            self._ended += peer.media
            if peer_id not in self._asked:
                self._gone.append((peer.session_id, peer_id, peer.purpose))
            self._asked.discard(peer_id)

    def media(self) -> MediaCounts:
        """The counts of the audio packets of all peers since the start, by what became of them."""
        return sum((peer.media for peer, _ in self._live.values()), self._ended)

    def find(self, session_id: str, peer_id: str, purpose: Purpose = "call") -> PeerLink | None:
        """The live peer of this session, id and purpose, or None."""
        found = self._live.get(peer_id)
        peer = None if found is None else found[0]
        if (
            peer is None
            or not peer.open
            or (peer.session_id, peer.purpose) != (session_id, purpose)
        ):
            return None
        return peer

    def hang_up(self, session_id: str, peer_id: str, purpose: Purpose = "call") -> bool:
        """End a peer. False if no such peer is live."""
        peer = self.find(session_id, peer_id, purpose)
        if peer is not None:
            peer.hang_up()
        return peer is not None

    def end(self, session_id: str, peer_id: str, purpose: Purpose = "call") -> bool:
        """End a peer for its client, once. False if there is none.

        True also if it has just ended by itself: a client that leaves closes its connection and
        asks for this at the same time, and either may arrive first.
        """
        peer, _ = self._live.get(peer_id, (None, None))
        if peer is None:
            wanted = (session_id, peer_id, purpose)
            known = wanted in self._gone
            if known:
                self._gone.remove(wanted)
            return known
        if (peer.session_id, peer.purpose) != (session_id, purpose) or peer_id in self._asked:
            return False
        self._asked.add(peer_id)
        peer.hang_up()
        return True

    def session_of(self, peer_id: str, purpose: Purpose = "call") -> str | None:
        """The session of a live peer, or None."""
        found = self._live.get(peer_id)
        return found[0].session_id if found is not None and found[0].purpose == purpose else None

    def live(self, peer_id: str) -> bool:
        """Whether a peer of any purpose is live."""
        return peer_id in self._live
