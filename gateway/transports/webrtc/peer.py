"""`Peer`: the conversation of one client over WebRTC.

The tasks, timers and sockets of a peer and its session end before `run` returns.
"""

import asyncio
import logging

from aiortc import RTCDataChannel, RTCRtpTransceiver

from gateway.live.connection import Connection
from gateway.live.sideband import Sidebands
from gateway.protocols.dialect import CloseCode, Dialect
from gateway.protocols.native import NativeDialect
from gateway.runtime import Runtime
from gateway.status import MediaCounts
from gateway.transports.webrtc.aiortc_private import bound_sctp_window, transmit_quietly
from gateway.transports.webrtc.jitter import CLOCK_HZ
from gateway.transports.webrtc.link import LINGER_S, Network, PeerLink
from gateway.transports.webrtc.offers import Offer, Purpose
from gateway.transports.webrtc.receiving import Reception
from gateway.transports.webrtc.rejected import mids_of
from gateway.transports.webrtc.sending import Transmission
from gateway.transports.webrtc.transport import PeerTransport

logger = logging.getLogger("parley.webrtc")


class Peer(PeerLink):
    """The person of one session.

    `address` is its client's, whose credential says `until` when it may go on. The data channel
    speaks `dialect`. With `waits` the session begins with the peer's first message, or a second
    after the connection stands; without, when the data channel opens. With the purpose "ingest" it
    is heard here, and hears nothing. Its `sidebands` end with it.
    """

    def __init__(
        self,
        session_id: str,
        runtime: Runtime,
        network: Network,
        *,
        dialect: Dialect | None = None,
        waits: bool = True,
        address: str | None = None,
        until: float | None = None,
        purpose: Purpose = "call",
        sidebands: Sidebands | None = None,
    ) -> None:
        super().__init__(session_id, network)
        self.purpose = purpose
        self._address = address
        self._until = until
        self._runtime = runtime
        self._dialect = NativeDialect() if dialect is None else dialect
        self._transport = PeerTransport(session_id, self.hang_up, waits=waits)
        self._sidebands = self._transport.sidebands = sidebands
        self._reception: Reception | None = None
        self._pc.on("datachannel", self._opened)

    @property
    def media(self) -> MediaCounts:
        if self._reception is None:
            return MediaCounts()
        jitter = self._reception.jitter
        concealed_ms = jitter.concealed * 1000 // CLOCK_HZ
        return MediaCounts(lost=jitter.lost, late=jitter.late, concealed_ms=concealed_ms)

    @property
    def open(self) -> bool:
        return self._transport.open

    def hang_up(self) -> None:
        self._transport.end()
        self._ready.set()

    async def close(self) -> None:
        if self._sidebands is not None:
            self._sidebands.close(CloseCode.FINISHED, "the call has ended")
        if self._reception is not None:
            self._reception.close()
        await super().close()

    # --- what travels ------------------------------------------------------------------------

    def _refused(self, offer: Offer) -> set[str]:
        refused = super()._refused(offer)
        if self.purpose == "ingest":
            # An encoder's picture, which nobody looks at. The section that has the transport of the
            # bundle stays, inactive: GStreamer's has it in the first, which is video, and takes no
            # other.
            refused |= {*mids_of(offer, "video")} - {offer.mid}
        return refused

    def _prepare(self) -> None:
        if self._pc.sctp is not None:
            transmit_quietly(self._pc.sctp)
            bound_sctp_window(self._pc.sctp, self._overrun)
        for transceiver in self._pc.getTransceivers():
            if transceiver.kind != "audio":
                continue
            self._choose_opus(transceiver)
            transceiver.direction = "recvonly" if self.purpose == "ingest" else "sendrecv"
            self._transport.transmission = Transmission(
                transceiver.sender, self._transport.began, self.hang_up
            )
            self._reception = Reception(transceiver.receiver, self._transport.receive_audio)
        for transceiver in self._pc.getTransceivers():
            if transceiver.kind == "video":
                self._prepare_video(transceiver)

    def _prepare_video(self, transceiver: RTCRtpTransceiver) -> None:
        if self.purpose == "ingest":
            transceiver.direction = "inactive"
            return
        transport = self._transport
        sent = transport.transmission
        transport.faces = self._runtime.calls().faces
        transport.video = self._video(
            transceiver,
            self._runtime.studio,
            None if sent is None else sent.cursor,
            transport.stepped,
            transport.replaced,
        )

    def _opened(self, channel: RTCDataChannel) -> None:
        if self._transport.opened(channel):
            self._ready.set()

    # --- running -----------------------------------------------------------------------------

    async def _hold(self) -> None:
        calls = self._runtime.calls()
        connection = Connection(
            self._transport,
            self._dialect,
            calls,
            self.session_id,
            self._address,
            until=self._until,
        )
        transport, sidebands = self._transport, self._sidebands
        transport.refuse = connection.complain
        if sidebands is not None:
            connection.joined = lambda: sidebands.begin(
                connection.perform, lambda: transport.unsent
            )
        code, reason = await connection.run()
        if sidebands is not None:
            sidebands.close(code, reason)
        try:
            async with asyncio.timeout(LINGER_S):
                await transport.gone()
        except TimeoutError:
            pass

    def _stuck(self, now: float) -> bool:
        return not self._transport.reads(now)

    def _overrun(self) -> None:
        if self._transport.open:  # log a flood once
            logger.info("session %s: the peer sends more than it was allowed", self.session_id)
        self.hang_up()
