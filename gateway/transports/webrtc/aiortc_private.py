"""All uses of private names of aiortc, as functions and classes named by what they do.

Written for aiortc 1.15 and 1.16. `tests/gateway/transports/webrtc/test_aiortc_private.py` lists the
names, and those of aioice, which `aioice_private` uses: it fails where a new version lacks one of
them, and where another module of the gateway uses one.

aiortc passes every received packet to a task through a queue, and sends with coroutines that a task
has to run. Each costs a turn of the event loop, about as much as the work on the packet itself. The
coroutines used here never wait, so a plain call runs them (`at_once`).
"""

import asyncio
import logging
import secrets
import struct
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeAlias, cast

import pylibsrtp
from aiortc import (
    RTCDtlsTransport,
    RTCPeerConnection,
    RTCRtpCodecParameters,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSctpTransport,
    clock,
)
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.exceptions import InvalidStateError
from aiortc.rtcdtlstransport import State
from aiortc.rtp import RTP_HISTORY_SIZE, HeaderExtensions, RtcpSrPacket, RtpPacket, is_rtcp
from OpenSSL import SSL

logger = logging.getLogger("parley.webrtc")

LONGEST_DATAGRAM_BYTES = 1500
"""The size of libsrtp's buffer and of an Ethernet packet. A longer datagram, which anybody can
send, raises an error that ends aiortc's transport."""

MOST_SSRCS = 16
"""aiortc keeps statistics of every source until the connection ends, and its reports hold 255."""

MOST_FRAGMENTS = 1024
"""Fragments of incomplete messages that a data channel may hold. That many of 1200 bytes fill
aiortc's receive window; smaller ones cost far more memory than their bytes."""

MOST_STREAMS = 64
"""SCTP streams that a peer may use."""

# --- packets of the DTLS transport ----------------------------------------------------------------


def at_once(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that does not wait. Raises what it raises, `RuntimeError` if it waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError(f"{coroutine} waits")


def receive_at_once(transport: RTCDtlsTransport) -> None:
    """Handle incoming RTP by plain calls instead of aiortc's queue and task. Idempotent.

    Three kinds of datagrams are dropped: RTP while the transport is not connected, lengths that
    aiortc cannot bear, and RTP of more than `MOST_SSRCS` sources. Everything that is not RTP takes
    aiortc's usual way, and decryption, counting, parsing and routing remain aiortc's. Call it
    before the handshake, so that no datagram comes earlier.
    """
    dtls: Any = transport
    connection = dtls.transport._connection
    if getattr(connection, "receives_at_once", False):
        return
    connection.receives_at_once = True
    usual = connection.data_received
    ssrcs: set[bytes] = set()

    def data_received(data: bytes, component: int) -> None:
        if not 0 < len(data) <= LONGEST_DATAGRAM_BYTES:
            return
        if not 127 < data[0] < 192 or is_rtcp(data):  # RFC 7983
            usual(data, component)
            return
        if dtls._state is not State.CONNECTED:
            return
        dtls._RTCDtlsTransport__rx_bytes += len(data)
        dtls._RTCDtlsTransport__rx_packets += 1
        try:
            packet = dtls._rx_srtp.unprotect(data)
        except pylibsrtp.Error:
            return  # forged or repeated
        ssrc = packet[8:12]
        if ssrc not in ssrcs:
            if len(ssrcs) >= MOST_SSRCS:
                return
            ssrcs.add(ssrc)
        at_once(dtls._handle_rtp_data(packet, arrival_time_ms=clock.current_ms()))

    connection.data_received = data_received


def packets_received(transport: RTCDtlsTransport) -> int:
    """The number of packets of any kind that the transport has received."""
    inside: Any = transport
    return int(inside._RTCDtlsTransport__rx_packets)


# --- negotiation ----------------------------------------------------------------------------------


def negotiated_codecs(transceiver: RTCRtpTransceiver) -> list[RTCRtpCodecParameters]:
    """The offered codecs that aiortc knows, with the payload types of the offer."""
    inside: Any = transceiver
    return list(inside._codecs)


def choose_codecs(transceiver: RTCRtpTransceiver, codecs: list[RTCRtpCodecParameters]) -> None:
    """Answer with these of the negotiated codecs alone."""
    inside: Any = transceiver
    inside._codecs = codecs


def offered_direction(transceiver: RTCRtpTransceiver) -> str | None:
    """The direction of the peer's offer, as seen from this side."""
    inside: Any = transceiver
    return cast("str | None", inside._offerDirection)


def answer_passively(transport: RTCDtlsTransport) -> None:
    """Leave the DTLS handshake to a peer that does not offer to wait; before the answer is made.

    aiortc would begin it. Its client offers no cipher for the RSA certificates of GStreamer, while
    its server takes any client.
    """
    inside: Any = transport
    inside._set_role("server")


# --- receiving ------------------------------------------------------------------------------------


class PacketBuffer(Protocol):
    """A replacement of aiortc's jitter buffer that leaves nothing for aiortc to decode."""

    def add(self, packet: RtpPacket) -> tuple[bool, None]: ...


def take_over_receiver(receiver: RTCRtpReceiver, buffer: PacketBuffer) -> None:
    """Give every packet of a receiver to `buffer`, and end aiortc's decoder thread as it starts."""
    inside: Any = receiver
    inside._RTCRtpReceiver__jitter_buffer = buffer
    receive = receiver.receive

    async def without_thread(parameters: Any) -> None:
        await receive(parameters)
        inside._RTCRtpReceiver__stop_decoder()
        receive_at_once(receiver.transport)

    inside.receive = without_thread


def observe_receiver(
    receiver: RTCRtpReceiver,
    on_packet: Callable[[RtpPacket], None],
    on_report: Callable[[RtcpSrPacket], None],
) -> None:
    """Call back for each RTP packet and each sender report before aiortc handles it."""
    inside: Any = receiver
    handle_rtp, handle_rtcp = inside._handle_rtp_packet, inside._handle_rtcp_packet

    async def rtp(packet: RtpPacket, arrival_time_ms: int) -> None:
        on_packet(packet)
        await handle_rtp(packet, arrival_time_ms)

    async def rtcp(packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket):
            on_report(packet)
        await handle_rtcp(packet)

    inside._handle_rtp_packet, inside._handle_rtcp_packet = rtp, rtcp


def first_timestamp(receiver: RTCRtpReceiver) -> int:
    """The RTP timestamp that a receiver's decoded frames count from, once there is a frame."""
    inside: Any = receiver
    return int(inside._RTCRtpReceiver__timestamp_mapper._origin)


# --- sending --------------------------------------------------------------------------------------

RunLoop: TypeAlias = Callable[[RTCRtpCodecParameters], Coroutine[Any, Any, None]]

_pack_header = struct.Struct("!BBHII").pack


async def _refuse(data: bytes) -> None:
    raise ConnectionError("the sender has not started")


class RtpSenderPort:
    """An `RTCRtpSender` with a send loop of the gateway's in place of aiortc's.

    aiortc starts and cancels `run` as it would its own loop; `run` calls `started` first and
    `exited` last. RTCP reports, statistics and the answers to RTCP feedback remain aiortc's.
    """

    def __init__(self, sender: RTCRtpSender, run: RunLoop) -> None:
        self._inside = cast("Any", sender)
        self._inside._run_rtp = run
        self._now = asyncio.get_running_loop().time
        self._write: Callable[[bytes], Coroutine[Any, Any, None]] = _refuse
        self._payload_type = 0
        self._ssrc = 0
        self._mid = ""
        self._version = 0x80
        self._extension = b""
        self._sequence = secrets.randbits(15)  # SRTP's roll-over counter wants the lower half

    def started(self, codec: RTCRtpCodecParameters) -> None:
        """The loop runs: packets of this codec may be sent, and the sender can be stopped."""
        inside = self._inside
        inside._RTCRtpSender__rtp_started.set()
        # Bound here because each of them is a property or a long lookup for every packet.
        self._write = inside.transport._send_rtp
        self._payload_type = codec.payloadType or 0
        self._ssrc, self._mid = inside._ssrc, inside._RTCRtpSender__mid
        extensions = HeaderExtensions(mid=self._mid)
        profile, value = inside._RTCRtpSender__rtp_header_extensions_map.set(extensions)
        if value:
            self._version = 0x90
            self._extension = struct.pack("!HH", profile, len(value) // 4) + value

    def exited(self) -> None:
        """The loop has ended: `RTCRtpSender.stop` waits for this."""
        self._inside._RTCRtpSender__rtp_exited.set()

    def fraction_lost(self) -> int:
        """The loss that the peer reported last, in 256ths; 0 before its first report."""
        stats = self._inside._RTCRtpSender__stats.values()
        return max((getattr(stat, "fractionLost", 0) for stat in stats), default=0)

    def send(self, payload: bytes, *, marker: bool, timestamp: int, due: float) -> None:
        """Send a packet by one plain call. Raises `ConnectionError` if the transport is closed.

        The next sender report says that `timestamp` was due at `due`, in seconds of the loop's
        clock. Of the header extensions only `mid` is sent, which never changes: the time of sending
        serves estimates of the network's capacity, and says nothing at a constant rate.
        """
        sequence = self._sequence
        self._sequence = sequence + 1 & 0xFFFF
        second = marker << 7 | self._payload_type
        header = _pack_header(self._version, second, sequence, timestamp, self._ssrc)
        at_once(self._write(header + self._extension + payload))
        inside = self._inside
        late = self._now() - due
        inside._RTCRtpSender__ntp_timestamp = clock.current_ntp_time() - int(late * (1 << 32))
        inside._RTCRtpSender__rtp_timestamp = timestamp
        inside._RTCRtpSender__octet_count += len(payload)
        inside._RTCRtpSender__packet_count += 1


class VideoSenderPort(RtpSenderPort):
    """An `RtpSenderPort` that keeps its packets for retransmission.

    `keyframe_wanted` is called for each PLI or FIR. At most `most_resent` packets are sent again
    between two pictures; aiortc would send as many as the peer's NACKs name.
    """

    def __init__(
        self,
        sender: RTCRtpSender,
        run: RunLoop,
        keyframe_wanted: Callable[[], None],
        most_resent: int,
    ) -> None:
        super().__init__(sender, run)
        self._most_resent = most_resent
        self._resent = 0
        self._resend = self._inside._retransmit
        self._inside._send_keyframe = keyframe_wanted
        self._inside._retransmit = self._retransmit

    async def _retransmit(self, sequence_number: int) -> None:
        if self._resent < self._most_resent:
            self._resent += 1
            await self._resend(sequence_number)

    async def send_picture(self, payloads: Sequence[bytes], *, timestamp: int, due: float) -> None:
        """Send the packets of a picture, in other respects as `send` does."""
        inside = self._inside
        extensions = inside._RTCRtpSender__rtp_header_extensions_map
        history = inside._RTCRtpSender__rtp_history
        for number, payload in enumerate(payloads, 1):
            packet = RtpPacket(
                payload_type=self._payload_type,
                marker=int(number == len(payloads)),
                sequence_number=self._sequence,
                timestamp=timestamp,
                ssrc=self._ssrc,
                payload=payload,
            )
            packet.extensions.mid = self._mid
            packet.extensions.abs_send_time = clock.current_ntp_time() >> 14 & 0x00FFFFFF
            history[self._sequence % RTP_HISTORY_SIZE] = packet
            self._sequence = self._sequence + 1 & 0xFFFF
            await self._write(packet.serialize(extensions))
            inside._RTCRtpSender__octet_count += len(payload)
            inside._RTCRtpSender__packet_count += 1
        self._resent = 0
        late = self._now() - due
        inside._RTCRtpSender__ntp_timestamp = clock.current_ntp_time() - int(late * (1 << 32))
        inside._RTCRtpSender__rtp_timestamp = timestamp


def h264_payloads(unit: bytes) -> list[bytes]:
    """The RTP payloads of an H.264 access unit in Annex B form (RFC 6184)."""
    return list(H264Encoder._packetize(H264Encoder._split_bitstream(unit)))


def vp8_payloads(unit: bytes, picture_id: int) -> list[bytes]:
    """The RTP payloads of a VP8 frame; `picture_id` has 15 bits (RFC 7741)."""
    return list(Vp8Encoder._packetize(unit, picture_id))


# --- the data channel, and the end ----------------------------------------------------------------


def bound_sctp_window(sctp: RTCSctpTransport, overrun: Callable[[], None]) -> None:
    """Hold the peer to the receive window that aiortc announces and does not enforce.

    A datagram is dropped while the window is full, or more than `MOST_FRAGMENTS` or `MOST_STREAMS`
    are held; `overrun` is called for each.
    """
    inside: Any = sctp
    handle = inside._handle_data

    async def bounded(data: bytes) -> None:
        streams = inside._inbound_streams
        if (
            inside._advertised_rwnd <= 0
            or len(streams) > MOST_STREAMS
            or sum(len(stream.reassembly) for stream in streams.values()) > MOST_FRAGMENTS
        ):
            overrun()
        else:
            await handle(data)

    inside._handle_data = bounded


def connect_quietly(connection: RTCPeerConnection) -> None:
    """Keep asyncio from reporting aiortc's connecting task if the connection is closed under it."""
    _end_quietly(connection, "_RTCPeerConnection__connect", InvalidStateError)


def transmit_quietly(sctp: RTCSctpTransport) -> None:
    """Keep asyncio from reporting aiortc's transmitting tasks if the connection is closed."""
    _end_quietly(sctp, "_transmit", ConnectionError, SSL.Error)


def _end_quietly(owner: object, name: str, *errors: type[Exception]) -> None:
    inside: Any = owner
    method = getattr(inside, name)

    async def quietly() -> None:
        try:
            await method()
        except errors as error:
            logger.debug("the connection was closed meanwhile: %r", error)

    setattr(inside, name, quietly)
