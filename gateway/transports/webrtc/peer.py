"""One WebRTC peer: an aiortc connection and the conversation over it.

The tasks, timers and sockets of a peer and its session end before `run` returns.
"""

import asyncio
import logging
from collections.abc import Sequence

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCDtlsTransport,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.sdp import candidate_from_sdp

from gateway.ice import Addresses, IceServer, with_public
from gateway.live.connection import Connection
from gateway.protocols.dialect import Dialect
from gateway.protocols.native import NativeDialect
from gateway.runtime import Runtime
from gateway.status import MediaCounts
from gateway.transports.webrtc.aiortc_private import (
    bound_sctp_window,
    choose_codecs,
    connect_quietly,
    negotiated_codecs,
    offered_direction,
    packets_received,
    receive_at_once,
    transmit_quietly,
)
from gateway.transports.webrtc.jitter import CLOCK_HZ
from gateway.transports.webrtc.offers import MOST_CANDIDATES, Offer, OfferError, screen, trickled
from gateway.transports.webrtc.receiving import Reception
from gateway.transports.webrtc.rejected import Rejected, spare_video, with_rejected, without
from gateway.transports.webrtc.sending import Transmission
from gateway.transports.webrtc.transport import PeerTransport
from gateway.transports.webrtc.video import Video
from gateway.transports.webrtc.video_codecs import choose, unknown_video

logger = logging.getLogger("parley.webrtc")

CONNECT_S = 10.0
"""A peer that is not connected this long after the answer is given up."""

LOOK_EVERY_S = 5.0
GONE_S = 15.0
"""A peer that sends no packet for this long has gone; ICE alone would take 30 s to notice."""

LINGER_S = 0.3
"""The connection stays open this long after the session, for the last audio and messages."""

CLOSE_S = 5.0
"""Time limit for the connection to close, and again for its parts if it does not."""


class Peer:
    """One peer: `answer` its offer, then `run` until the peer or the session ends.

    `address` is its client's, whose credential says `until` when it may go on. The data channel
    speaks `dialect`. With `waits` the session begins with the peer's first message, or a second
    after the connection stands; without, when the data channel opens.
    """

    def __init__(
        self,
        session_id: str,
        runtime: Runtime,
        addresses: Addresses,
        ice_servers: Sequence[IceServer] = (),
        *,
        dialect: Dialect | None = None,
        waits: bool = True,
        address: str | None = None,
        until: float | None = None,
    ) -> None:
        self.session_id = session_id
        self._address = address
        self._until = until
        self._runtime = runtime
        self._addresses = addresses
        self._dialect = NativeDialect() if dialect is None else dialect
        # Without a list aiortc asks Google's STUN server.
        servers = [RTCIceServer(s.url, s.user, s.password) for s in ice_servers]
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        connect_quietly(self._pc)
        self._offer: Offer | None = None
        self._trickled = 0
        self._transport = PeerTransport(session_id, self.hang_up, waits=waits)
        self._reception: Reception | None = None
        self._ready = asyncio.Event()

    @property
    def media(self) -> MediaCounts:
        """What became of the peer's audio packets."""
        if self._reception is None:
            return MediaCounts()
        jitter = self._reception.jitter
        concealed_ms = jitter.concealed * 1000 // CLOCK_HZ
        return MediaCounts(lost=jitter.lost, late=jitter.late, concealed_ms=concealed_ms)

    @property
    def mid(self) -> str:
        """The section of the offer whose candidates are tried, "" before there is one."""
        return "" if self._offer is None else self._offer.mid

    # --- signalling --------------------------------------------------------------------------

    async def answer(self, sdp: str) -> str:
        """The answer to an offer, with all local candidates. Raises `OfferError`.

        Video in codecs that are not known, and a second section of it, is rejected, and the rest is
        answered.
        """
        pc = self._pc
        self._offer = offer = screen(sdp, public=self._addresses.is_public)
        rejected: list[Rejected] = []
        pc.on("connectionstatechange", self._changed)
        pc.on("datachannel", self._opened)
        try:
            refused = {*unknown_video(offer.sdp), *spare_video(offer)}
            self._offer, rejected = without(offer, refused)
            await pc.setRemoteDescription(RTCSessionDescription(self._offer.sdp, "offer"))
            self._prepare()
            await pc.setLocalDescription(await pc.createAnswer())
        except OSError as error:
            raise OfferError(f"no candidate could be gathered: {error.strerror}") from None
        except Exception as error:  # aiortc's parser raises errors of any kind
            logger.info("an offer was refused: %r", error)
            raise OfferError("the offer cannot be understood") from None
        answer = with_rejected(str(pc.localDescription.sdp), rejected)
        return with_public(answer, self._addresses.public)

    def _prepare(self) -> None:
        if self._pc.sctp is not None:
            transmit_quietly(self._pc.sctp)
            bound_sctp_window(self._pc.sctp, self._overrun)
        for transport in self._transports():
            receive_at_once(transport)
        for transceiver in self._pc.getTransceivers():
            if transceiver.kind != "audio":
                continue
            codecs = negotiated_codecs(transceiver)
            choose_codecs(transceiver, [c for c in codecs if c.mimeType.lower() == "audio/opus"])
            transceiver.direction = "sendrecv"
            self._transport.transmission = Transmission(
                transceiver.sender, self._transport.began, self.hang_up
            )
            self._reception = Reception(transceiver.receiver, self._transport.receive_audio)
        for transceiver in self._pc.getTransceivers():
            if transceiver.kind == "video":
                self._prepare_video(transceiver)

    def _prepare_video(self, transceiver: RTCRtpTransceiver) -> None:
        studio, transport = self._runtime.studio, self._transport
        codecs = choose(negotiated_codecs(transceiver))
        if studio is None or transport.transmission is None or not codecs:
            transceiver.direction = "inactive"
            return
        choose_codecs(transceiver, codecs)
        transceiver.direction = "sendonly"
        if offered_direction(transceiver) in ("sendonly", "sendrecv"):
            transport.faces = self._runtime.calls().faces
            transport.video = Video(
                transceiver.sender,
                studio,
                transport.transmission.cursor,
                transport.stepped,
                transport.replaced,
            )

    async def trickle(self, fragment: str) -> None:
        """Add candidates that the peer sends later. Raises `OfferError`."""
        assert self._offer is not None
        public = self._addresses.is_public
        for text in trickled(fragment, ufrag=self._offer.ufrag, public=public):
            self._trickled += 1
            if self._trickled > MOST_CANDIDATES or not self._transport.open:
                return
            try:
                candidate = candidate_from_sdp(text)
                candidate.sdpMid = self._offer.mid
                await self._pc.addIceCandidate(candidate)
            except ValueError as error:  # the peer has ended its candidates before
                logger.debug("a candidate was left out: %s", error)

    def _changed(self) -> None:
        state = self._pc.connectionState
        if state in ("failed", "closed"):
            self.hang_up()
        elif state == "connected" and self._offer is not None and not self._offer.has_channel:
            self._ready.set()

    def _opened(self, channel: RTCDataChannel) -> None:
        if self._transport.opened(channel):
            self._ready.set()

    # --- running -----------------------------------------------------------------------------

    def hang_up(self) -> None:
        """End the peer: `run` returns once the session has been stored. Idempotent."""
        self._transport.end()
        self._ready.set()

    async def run(self) -> None:
        """Hold the conversation, and close the connection however it ends."""
        try:
            try:
                async with asyncio.timeout(CONNECT_S):
                    await self._ready.wait()
            except TimeoutError:
                if self._pc.connectionState != "connected":
                    logger.info("session %s: the peer never connected", self.session_id)
                    return
            if not self._transport.open:
                return
            watch = asyncio.create_task(self._watch())
            try:
                await self._converse()
            finally:
                watch.cancel()
                await asyncio.wait([watch])
        finally:
            await self.close()

    async def _converse(self) -> None:
        calls = self._runtime.calls()
        await Connection(
            self._transport,
            self._dialect,
            calls,
            self.session_id,
            self._address,
            until=self._until,
        ).run()
        try:
            async with asyncio.timeout(LINGER_S):
                await self._transport.gone()
        except TimeoutError:
            pass

    async def _watch(self) -> None:
        """Hang up if the peer sends nothing for `GONE_S`."""
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
            if not self._transport.reads(loop.time()):
                logger.info("session %s: the peer takes no messages", self.session_id)
                self.hang_up()
                return

    async def close(self) -> None:
        """Release all timers, tasks and sockets. Idempotent."""
        self.hang_up()
        if self._reception is not None:
            self._reception.close()
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

    def _overrun(self) -> None:
        if self._transport.open:  # log a flood once
            logger.info("session %s: the peer sends more than it was allowed", self.session_id)
        self.hang_up()
