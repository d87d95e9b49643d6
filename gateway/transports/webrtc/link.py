"""`PeerLink`: one aiortc connection to a client, whatever travels over it.

It answers the client's offer, takes further candidates, notices when the client has gone, and
releases every task, timer and socket before `run` returns.
"""

import asyncio
import logging
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from aiortc import (
    RTCConfiguration,
    RTCDtlsTransport,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidStateError
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp

from gateway.ice import Addresses, IceServer, with_public
from gateway.status import MediaCounts
from gateway.transports.webrtc.aioice_private import IceRestart
from gateway.transports.webrtc.aiortc_private import (
    answer_passively,
    choose_codecs,
    connect_quietly,
    negotiated_codecs,
    offered_direction,
    packets_received,
    receive_at_once,
)
from gateway.transports.webrtc.offers import (
    MOST_CANDIDATES,
    Offer,
    OfferError,
    Purpose,
    credentials_of,
    restart_of,
    screen,
    trickled,
)
from gateway.transports.webrtc.rejected import Rejected, mids_of, with_rejected, without
from gateway.transports.webrtc.video import Cursor, Video
from gateway.transports.webrtc.video_codecs import choose, unknown_video
from stages.avatar.quality import QualityLevel
from stages.avatar.studio import Studio

logger = logging.getLogger("parley.webrtc")

CONNECT_S = 10.0
"""A peer that is not connected this long after the answer is given up."""

LOOK_EVERY_S = 5.0
GONE_S = 15.0
"""A peer that sends no packet for this long has gone; ICE alone would take 30 s to notice."""

LINGER_S = 0.3
"""The connection stays open this long after the session, for the last audio and messages."""

MOST_RESTARTS = 16
"""The most restarts of ICE by one connection; each has ten seconds to connect."""

CLOSE_S = 5.0
"""Time limit for the connection to close, and again for its parts if it does not."""


@dataclass(frozen=True, slots=True)
class Network:
    """The addresses that peers are offered, and the STUN and TURN servers that they use."""

    addresses: Addresses
    ice_servers: Sequence[IceServer] = ()


@dataclass(frozen=True, slots=True)
class _Restart:
    """One restart of ICE: what it was `asked` with and its `answer`, and the state before it."""

    ice: IceRestart
    connecting: asyncio.Task[None]
    asked: tuple[str, str]
    answer: str
    before: Offer
    version: str


class PeerLink(ABC):
    """One connection: `answer` its offer, then `run` until the peer or the session ends."""

    purpose: Purpose

    def __init__(self, session_id: str, network: Network) -> None:
        self.session_id = session_id
        self.version = secrets.token_hex(8)
        """Names what ICE has agreed on, for conditional requests."""
        self._addresses = network.addresses
        # Without a list aiortc asks Google's STUN server.
        servers = [RTCIceServer(s.url, s.user, s.password) for s in network.ice_servers]
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        connect_quietly(self._pc)
        self._offer: Offer | None = None
        self._trickled = 0
        self._restarts = 0
        self._restart: _Restart | None = None  # the last one, unless it was undone
        self._ready = asyncio.Event()

    # --- what travels ------------------------------------------------------------------------

    @property
    def media(self) -> MediaCounts:
        """The counts of the peer's audio packets, such as lost ones."""
        return MediaCounts()

    @property
    @abstractmethod
    def open(self) -> bool:
        """Whether the peer has not been hung up."""

    @abstractmethod
    def hang_up(self) -> None:
        """End the peer: `run` returns once all of it has ended. Idempotent."""

    @abstractmethod
    def _prepare(self) -> None:
        """Attach the tracks and channels after the offer was read, before the answer is made."""

    @abstractmethod
    async def _hold(self) -> None:
        """Use the connection, which is established, until the peer or the session ends."""

    def _refused(self, offer: Offer) -> set[str]:
        """The mids of the sections that are rejected, each alone."""
        video = mids_of(offer, "video")
        return {*unknown_video(offer.sdp), *video[1:]}

    def _stuck(self, now: float) -> bool:
        """Whether the peer reads nothing of what it is sent. Called every few seconds."""
        return False

    def _video(
        self,
        transceiver: RTCRtpTransceiver,
        studio: Studio | None,
        cursor: Cursor | None,
        stepped: Callable[[QualityLevel, QualityLevel, str], None],
        replaced: Callable[[int, str, str, str], None],
    ) -> Video | None:
        """The face in a section of video, with the arguments of `Video`; None if there is no
        face, or the peer does not receive it."""
        codecs = choose(negotiated_codecs(transceiver))
        if studio is None or cursor is None or not codecs:
            transceiver.direction = "inactive"
            return None
        choose_codecs(transceiver, codecs)
        transceiver.direction = "sendonly"
        if offered_direction(transceiver) not in ("sendonly", "sendrecv"):
            return None
        return Video(transceiver.sender, studio, cursor, stepped, replaced)

    def _choose_opus(self, transceiver: RTCRtpTransceiver) -> None:
        codecs = negotiated_codecs(transceiver)
        choose_codecs(transceiver, [c for c in codecs if c.mimeType.lower() == "audio/opus"])

    # --- signalling --------------------------------------------------------------------------

    @property
    def mid(self) -> str:
        """The section of the offer whose candidates are tried, "" before there is one."""
        return "" if self._offer is None else self._offer.mid

    async def answer(self, sdp: str) -> str:
        """The answer to an offer, with all local candidates. Raises `OfferError`.

        A section that cannot be answered, such as video in unknown codecs or a second one, is
        rejected, and the rest is answered.
        """
        pc = self._pc
        offer = screen(sdp, public=self._addresses.is_public, purpose=self.purpose)
        self._offer = offer
        rejected: list[Rejected] = []
        pc.on("connectionstatechange", self._changed)
        try:
            self._offer, rejected = without(offer, self._refused(offer))
            await pc.setRemoteDescription(RTCSessionDescription(self._offer.sdp, "offer"))
            for transport in self._transports():
                receive_at_once(transport)
                if "a=setup:passive" not in self._offer.sdp:
                    answer_passively(transport)  # RFC 9725, section 4.2
            self._prepare()
            await pc.setLocalDescription(await pc.createAnswer())
        except OSError as error:
            raise OfferError(f"no candidate could be gathered: {error.strerror}") from None
        except Exception as error:  # aiortc's parser raises errors of any kind
            logger.info("an offer was refused: %r", error)
            raise OfferError("the offer cannot be understood") from None
        answer = with_rejected(str(pc.localDescription.sdp), rejected)
        return with_public(answer, self._addresses.public)

    async def trickle(self, fragment: str) -> None:
        """Add candidates that the peer sends later. Raises `OfferError`."""
        assert self._offer is not None
        public = self._addresses.is_public
        for text in trickled(fragment, ufrag=self._offer.ufrag, public=public):
            self._trickled += 1
            if self._trickled > MOST_CANDIDATES or not self.open:
                return
            try:
                candidate = candidate_from_sdp(text)
                candidate.sdpMid = self._offer.mid
                await self._pc.addIceCandidate(candidate)
            except ValueError as error:  # the peer has ended its candidates before
                logger.debug("a candidate was left out: %s", error)

    async def restart(self, fragment: str) -> str | None:
        """Restart ICE with the credentials and candidates of a fragment, and return this side's;
        None if the fragment has no new credentials. Raises `OfferError`.

        A repeated request, because the answer was lost, gets the same answer. If ICE does not
        connect within `CONNECT_S`, the connection stays as it was before.
        """
        assert self._offer is not None
        if self._restart is not None and credentials_of(fragment) == self._restart.asked:
            await self.trickle(fragment)
            return self._restart.answer
        wanted = restart_of(fragment, ufrag=self._offer.ufrag)
        if wanted is None:
            return None
        transports = self._transports()
        if len(transports) != 1 or self._restarts >= MOST_RESTARTS or not self.open:
            raise OfferError("ICE cannot be restarted here; make a new connection", unusable=True)
        self._undo()  # of the last answer the client knows nothing, or no more
        try:
            ice = IceRestart(transports[0])
        except InvalidStateError:
            raise OfferError("ICE can be restarted once it has connected", unusable=True) from None
        self._restarts += 1
        self._trickled = 0
        gathered = transports[0].transport.iceGatherer.getLocalCandidates()
        lines = [
            f"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{self.mid}",
            f"a=ice-ufrag:{ice.ufrag}",
            f"a=ice-pwd:{ice.password}",
            *(f"a=candidate:{candidate_to_sdp(candidate)}" for candidate in gathered),
            "a=end-of-candidates\r\n",
        ]
        answer = with_public("\r\n".join(lines), self._addresses.public)
        before, self._offer = self._offer, replace(self._offer, ufrag=wanted[0])
        connecting = asyncio.create_task(self._reconnect(ice, *wanted))
        self._restart = _Restart(ice, connecting, wanted, answer, before, self.version)
        self.version = secrets.token_hex(8)
        await self.trickle(fragment)
        return answer

    async def _reconnect(self, ice: IceRestart, ufrag: str, password: str) -> None:
        """Connect anew, or go on with the old pair (RFC 9725, section 4.3.3). If that is dead as
        well, `_watch` hangs up."""
        try:
            async with asyncio.timeout(CONNECT_S):
                await ice.connect(ufrag, password)
        except (ConnectionError, TimeoutError):
            logger.info("session %s: the peer did not connect again", self.session_id)
            self._undo()

    def _undo(self) -> None:
        """Undo the last restart if it has not connected."""
        last = self._restart
        if last is not None and last.ice.undo():
            last.connecting.cancel()
            self._restart, self._offer, self.version = None, last.before, last.version

    def _changed(self) -> None:
        state = self._pc.connectionState
        if state in ("failed", "closed"):
            self.hang_up()
        elif state == "connected" and self._offer is not None and not self._offer.has_channel:
            self._ready.set()

    # --- running -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Use the connection, and close it however that ends."""
        try:
            try:
                async with asyncio.timeout(CONNECT_S):
                    await self._ready.wait()
            except TimeoutError:
                if self._pc.connectionState != "connected":
                    logger.info("session %s: the peer never connected", self.session_id)
                    return
            if not self.open:
                return
            watch = asyncio.create_task(self._watch())
            try:
                await self._hold()
            finally:
                watch.cancel()
                await asyncio.wait([watch])
        finally:
            await self.close()

    async def _watch(self) -> None:
        """Hang up if the peer sends nothing for `GONE_S`, or takes nothing."""
        loop = asyncio.get_running_loop()
        transport = self._pc.getTransceivers()[0].receiver.transport
        seen, at = -1, loop.time()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            packets = packets_received(transport)
            if packets != seen:
                seen, at = packets, loop.time()
            elif loop.time() - at >= GONE_S:
                logger.info("session %s: nothing comes from the peer", self.session_id)
                self.hang_up()
                return
            if self._stuck(loop.time()):
                logger.info("session %s: the peer takes no messages", self.session_id)
                self.hang_up()
                return

    async def close(self) -> None:
        """Release all timers, tasks and sockets. Idempotent."""
        self.hang_up()
        if self._restart is not None:
            self._restart.connecting.cancel()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._pc.close()
        except TimeoutError:
            logger.error("session %s: the connection does not close", self.session_id)
            await self._stop_parts()

    async def _stop_parts(self) -> None:
        """Stop each part by itself: one of them hangs, and must not keep the sockets open."""
        transceivers, transports = self._pc.getTransceivers(), self._transports()
        stops = [part.stop() for t in transceivers for part in (t.sender, t.receiver)]
        if self._pc.sctp is not None:
            stops.append(self._pc.sctp.stop())
        stops += [stop() for dtls in transports for stop in (dtls.stop, dtls.transport.stop)]
        try:
            async with asyncio.timeout(CLOSE_S):
                await asyncio.gather(*stops, return_exceptions=True)
        except TimeoutError:
            pass

    def _transports(self) -> list[RTCDtlsTransport]:
        """The transports of audio, video and the data channel: a single one if they are bundled."""
        found = [transceiver.receiver.transport for transceiver in self._pc.getTransceivers()]
        if self._pc.sctp is not None:
            found.append(self._pc.sctp.transport)
        return list(dict.fromkeys(found))
