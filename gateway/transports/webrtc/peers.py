"""All WebRTC peers of a process: who may come in, and that all of them leave."""

import asyncio
import logging
import secrets
from contextlib import ExitStack
from dataclasses import dataclass

from gateway.ice import Addresses, IceServer
from gateway.protocols.dialect import Dialect
from gateway.runtime import Runtime
from gateway.transports.webrtc.aiortc_private import use_addresses
from gateway.transports.webrtc.peer import Peer

logger = logging.getLogger("parley.webrtc")

ANSWER_S = 8.0
"""How long an answer may take: aiortc gives a STUN or TURN server five seconds."""

END_S = 10.0


class PeerRefused(Exception):
    """No peer can come in now."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A peer that has its answer."""

    id: str
    sdp: str


class Peers:
    """Use it as an async context manager inside the engine's; leaving it ends every peer."""

    def __init__(
        self, runtime: Runtime, addresses: Addresses, ice_servers: tuple[IceServer, ...] = ()
    ) -> None:
        self.ice_servers = ice_servers
        self._runtime = runtime
        self._addresses = addresses
        self._live: dict[str, tuple[Peer, asyncio.Task[None]]] = {}  # bounded by max_sessions
        self._at_addresses = ExitStack()

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

    async def answer(self, session_id: str, sdp: str, dialect: Dialect | None = None) -> Answered:
        """Answer an offer and hold the conversation from then on.

        Without `dialect` the data channel speaks the native one, which begins with a `hello`.

        Raises `OfferError`, and `PeerRefused` where there is no place or no answer in time.
        """
        refusal = self._runtime.live.refusal()
        if refusal is not None:
            raise PeerRefused(refusal)
        with ExitStack() as place:
            place.enter_context(self._runtime.live.connected())
            peer = Peer(
                session_id,
                self._runtime,
                self._addresses,
                self.ice_servers,
                dialect=dialect,
                waits=dialect is None,
            )
            try:
                async with asyncio.timeout(ANSWER_S):
                    answer = await peer.answer(sdp)
            except TimeoutError:
                await peer.close()
                raise PeerRefused("no answer could be made in time") from None
            except BaseException:
                await peer.close()
                raise
            peer_id = secrets.token_urlsafe(16)
            hold = self._hold(peer_id, peer, place.pop_all())
            self._live[peer_id] = (peer, asyncio.create_task(hold))
        return Answered(peer_id, answer)

    async def _hold(self, peer_id: str, peer: Peer, place: ExitStack) -> None:
        try:
            await peer.run()
        except Exception:
            logger.exception("session %s: the peer failed", peer.session_id)
        finally:
            place.close()
            del self._live[peer_id]

    def find(self, session_id: str, peer_id: str) -> Peer | None:
        """A peer that is live, None where there is none."""
        found = self._live.get(peer_id)
        return found[0] if found is not None and found[0].session_id == session_id else None

    def hang_up(self, session_id: str, peer_id: str) -> bool:
        """End a peer; False where there is none."""
        peer = self.find(session_id, peer_id)
        if peer is not None:
            peer.hang_up()
        return peer is not None

    def session_of(self, peer_id: str) -> str | None:
        """The session that a live peer is in."""
        found = self._live.get(peer_id)
        return None if found is None else found[0].session_id
