"""Private names of aiortc: which there are, that only one module uses them, and what it does."""

import ast
import asyncio
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pylibsrtp
import pytest
from aioice import ice
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.exceptions import InvalidStateError
from aiortc.rtcdtlstransport import State
from aiortc.rtcrtpreceiver import TimestampMapper
from aiortc.rtp import RtcpSenderInfo, RtcpSrPacket, RtpPacket

from gateway.transports.webrtc import aioice_private, aiortc_private
from gateway.transports.webrtc.aioice_private import use_addresses
from gateway.transports.webrtc.aiortc_private import (
    LONGEST_DATAGRAM_BYTES,
    MOST_SSRCS,
    RtpSenderPort,
    at_once,
    connect_quietly,
    observe_receiver,
    receive_at_once,
)

RTP = bytes([0x80, 111]) + bytes(30)
FORGED = bytes([0x80, 111]) + bytes(31)
RTCP = bytes([0x80, 200]) + bytes(30)
DTLS = bytes([22, 254]) + bytes(30)


class Dtls:
    """In place of a connected transport over a connection: notes what takes which way."""

    def __init__(self) -> None:
        self.handled: list[bytes] = []
        self.queued: list[bytes] = []
        self.connection = SimpleNamespace(data_received=self._queue)
        self.transport = SimpleNamespace(_connection=self.connection)
        self._state = State.CONNECTED
        self._rx_srtp = self
        self._RTCDtlsTransport__rx_bytes = 0
        self._RTCDtlsTransport__rx_packets = 0

    def _queue(self, data: bytes, component: int) -> None:
        self.queued.append(data)

    def unprotect(self, data: bytes) -> bytes:
        if data == FORGED:
            raise pylibsrtp.Error("authentication failure")
        return data[:-10]

    async def _handle_rtp_data(self, data: bytes, arrival_time_ms: int) -> None:
        self.handled.append(data)

    def come(self, data: bytes) -> None:
        self.connection.data_received(data, 1)


@pytest.fixture
def dtls() -> Dtls:
    transport: Any = Dtls()
    receive_at_once(transport)
    assert isinstance(transport, Dtls)
    return transport


def test_rtp_is_decrypted_and_handled_as_it_comes(dtls: Dtls) -> None:
    dtls.come(RTP)
    dtls.come(RTP)
    assert dtls.handled == [RTP[:-10]] * 2
    assert dtls.queued == []


def test_what_comes_is_counted(dtls: Dtls) -> None:
    dtls.come(RTP)
    dtls.come(FORGED)
    assert dtls._RTCDtlsTransport__rx_packets == 2
    assert dtls._RTCDtlsTransport__rx_bytes == len(RTP) + len(FORGED)


def test_what_was_forged_is_dropped(dtls: Dtls) -> None:
    dtls.come(FORGED)
    assert dtls.handled == []
    assert dtls.queued == []


@pytest.mark.parametrize("data", [RTCP, DTLS], ids=["RTCP", "DTLS"])
def test_all_else_goes_the_usual_way(dtls: Dtls, data: bytes) -> None:
    dtls.come(data)
    assert dtls.handled == []
    assert dtls.queued == [data]


@pytest.mark.parametrize("state", [State.CONNECTING, State.CLOSED])
def test_rtp_is_dropped_before_the_handshake_and_after_the_end(dtls: Dtls, state: State) -> None:
    dtls._state = state
    dtls.come(RTP)
    dtls.come(DTLS)
    assert dtls.handled == []
    assert dtls.queued == [DTLS]


@pytest.mark.parametrize("state", [State.CONNECTING, State.CONNECTED])
@pytest.mark.parametrize("kind", [RTP, RTCP, DTLS], ids=["RTP", "RTCP", "DTLS"])
def test_datagrams_of_a_size_that_ends_the_transport_are_dropped(
    dtls: Dtls, state: State, kind: bytes
) -> None:
    dtls._state = state
    dtls.come(b"")
    dtls.come(kind.ljust(LONGEST_DATAGRAM_BYTES + 1))
    dtls.come(kind.ljust(4000))
    assert dtls.handled == dtls.queued == []
    assert dtls._RTCDtlsTransport__rx_packets == 0


def test_the_longest_datagram_is_taken(dtls: Dtls) -> None:
    dtls.come(RTP.ljust(LONGEST_DATAGRAM_BYTES))
    assert len(dtls.handled) == 1


def test_no_more_sources_are_admitted_than_can_be_reported_on(dtls: Dtls) -> None:
    packets = [RTP[:8] + number.to_bytes(4) + RTP[12:] for number in range(300)]
    for packet in packets * 2:
        dtls.come(packet)
    assert dtls.handled == [packet[:-10] for packet in packets[:MOST_SSRCS] * 2]


def test_who_comes_in_twice_comes_once(dtls: Dtls) -> None:
    before = dtls.connection.data_received
    transport: Any = dtls
    receive_at_once(transport)
    assert dtls.connection.data_received is before


def test_a_coroutine_that_does_not_wait_has_run() -> None:
    ran = []

    async def append() -> None:
        ran.append(1)

    at_once(append())
    assert ran == [1]


def test_what_it_raises_is_raised() -> None:
    async def fail() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        at_once(fail())


def test_one_that_waits_is_refused() -> None:
    with pytest.raises(RuntimeError, match="waits"):
        at_once(asyncio.sleep(0))


async def _no_run(codec: object) -> None:
    raise AssertionError


def test_a_sender_that_has_not_started_sends_nothing() -> None:
    async def main() -> None:
        port = RtpSenderPort(RTCRtpSender("audio", _transport()), _no_run)
        with pytest.raises(ConnectionError):
            port.send(b"opus", marker=True, timestamp=0, due=0.0)
        assert port.fraction_lost() == 0

    asyncio.run(main())


def _transport() -> Any:
    return SimpleNamespace(state="connected", _stats_id="transport")


def test_an_observer_sees_packets_and_sender_reports_before_aiortc() -> None:
    order: list[str] = []

    class Receiver:
        async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
            order.append(f"aiortc: packet {packet.sequence_number} at {arrival_time_ms}")

        async def _handle_rtcp_packet(self, packet: object) -> None:
            order.append(f"aiortc: {packet}")

    receiver: Any = Receiver()
    observe_receiver(
        receiver,
        lambda packet: order.append(f"packet {packet.sequence_number}"),
        lambda report: order.append(f"report of {report.sender_info.rtp_timestamp}"),
    )
    at_once(receiver._handle_rtp_packet(RtpPacket(sequence_number=7), arrival_time_ms=5))
    assert order == ["packet 7", "aiortc: packet 7 at 5"]
    order.clear()
    report = RtcpSrPacket(ssrc=1, sender_info=RtcpSenderInfo(0, 960, 0, 0))
    at_once(receiver._handle_rtcp_packet(report))
    at_once(receiver._handle_rtcp_packet("another"))
    assert order == ["report of 960", f"aiortc: {report}", "aiortc: another"]


def test_a_connection_that_is_closed_while_it_connects_ends_quietly() -> None:
    class Connection:
        error: Exception = InvalidStateError("RTCPeerConnection is closed")

        async def _RTCPeerConnection__connect(self) -> None:
            raise self.error

    connection: Any = Connection()
    connect_quietly(connection)
    at_once(connection._RTCPeerConnection__connect())
    connection.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        at_once(connection._RTCPeerConnection__connect())


def test_addresses_replace_those_that_are_found_or_come_beside_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["192.0.2.1", "::1"])
    with use_addresses("127.0.0.1", "::2", only=True):
        assert ice.get_host_addresses(use_ipv4=True, use_ipv6=True) == ["127.0.0.1", "::2"]
        assert ice.get_host_addresses(use_ipv4=True, use_ipv6=False) == ["127.0.0.1"]
    with use_addresses("127.0.0.1", "::1", only=False):
        found = ice.get_host_addresses(use_ipv4=True, use_ipv6=True)
        assert found == ["192.0.2.1", "::1", "127.0.0.1"]
    assert ice.get_host_addresses(use_ipv4=True, use_ipv6=True) == ["192.0.2.1", "::1"]


# --- the private names ---------------------------------------------------------------------------

GATEWAY = Path(aiortc_private.__file__).parents[2]
PRIVATE = {Path(aiortc_private.__file__), Path(aioice_private.__file__)}
"""The modules that may use private names, and aioice at all."""

PRIVATE_NAMES = {
    "RTCPeerConnection": ["_RTCPeerConnection__connect"],
    "RTCRtpTransceiver": ["_codecs", "_offerDirection"],
    "RTCRtpSender": [
        "_RTCRtpSender__mid",
        "_RTCRtpSender__ntp_timestamp",
        "_RTCRtpSender__octet_count",
        "_RTCRtpSender__packet_count",
        "_RTCRtpSender__rtp_exited",
        "_RTCRtpSender__rtp_header_extensions_map",
        "_RTCRtpSender__rtp_history",
        "_RTCRtpSender__rtp_started",
        "_RTCRtpSender__rtp_timestamp",
        "_RTCRtpSender__stats",
        "_retransmit",
        "_run_rtp",
        "_send_keyframe",
        "_ssrc",
    ],
    "RTCRtpReceiver": [
        "_RTCRtpReceiver__jitter_buffer",
        "_RTCRtpReceiver__stop_decoder",
        "_RTCRtpReceiver__timestamp_mapper",
        "_handle_rtcp_packet",
        "_handle_rtp_packet",
    ],
    "TimestampMapper": ["_origin"],
    "RTCDtlsTransport": [
        "_RTCDtlsTransport__rx_bytes",
        "_RTCDtlsTransport__rx_packets",
        "_handle_rtp_data",
        "_rx_srtp",
        "_send_rtp",
        "_set_role",
        "_state",
    ],
    "RTCSctpTransport": ["_advertised_rwnd", "_handle_data", "_inbound_streams", "_transmit"],
    "RTCIceTransport": ["_connection", "_recv"],
    "RTCIceGatherer": ["_remote_candidates_end"],
    "Connection": [
        "_check_list",
        "_check_list_done",
        "_check_list_state",
        "_early_checks",
        "_early_checks_done",
        "_local_password",
        "_local_username",
        "_nominated",
        "_nominating",
        "_query_consent_task",
        "_queue",
        "_remote_candidates",
        "_remote_candidates_end",
        "check_incoming",
        "data_received",
        "query_consent",
        "remote_password",
        "remote_username",
        "request_received",
    ],
    "H264Encoder": ["_packetize", "_split_bitstream"],
    "Vp8Encoder": ["_packetize"],
    "aioice.ice": ["get_host_addresses"],
}
"""What `aiortc_private` and `aioice_private` use, by the class that has it."""


async def _owners() -> dict[str, Any]:
    """One object of each class, as they are in a peer connection."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    transceiver = pc.addTransceiver("video")
    pc.createDataChannel("parley")
    dtls: Any = transceiver.sender.transport
    found = [pc, transceiver, transceiver.sender, transceiver.receiver, dtls, dtls.transport]
    found += [dtls.transport.iceGatherer]
    found += [pc.sctp, dtls.transport._connection, TimestampMapper()]
    owners = {type(one).__name__: one for one in found}
    await pc.close()
    return owners | {"H264Encoder": H264Encoder, "Vp8Encoder": Vp8Encoder, "aioice.ice": ice}


def test_aiortc_has_the_private_names_that_the_gateway_uses() -> None:
    owners = asyncio.run(_owners())
    lacking = [
        f"{owner}.{name}"
        for owner, names in PRIVATE_NAMES.items()
        for name in names
        if not hasattr(owners[owner], name)
    ]
    assert lacking == [], (
        f"aiortc {version('aiortc')} with aioice {version('aioice')} lacks these names. Read how "
        "its source does now what gateway/transports/webrtc/aiortc_private.py or aioice_private.py "
        "says, then change that module and PRIVATE_NAMES; until then pyproject.toml must not allow "
        "this version."
    )


def _private_names(source: Path) -> Iterator[str]:
    """The private attributes of other objects that a module names, also as text."""
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                if name.startswith("_") and not name.startswith("__") and name.isidentifier():
                    yield name


def test_the_list_of_private_names_is_complete() -> None:
    listed = {name for names in PRIVATE_NAMES.values() for name in names if name.startswith("_")}
    assert listed == {name for module in PRIVATE for name in _private_names(module)}


def test_no_other_module_of_the_gateway_uses_a_private_name_of_aiortc() -> None:
    listed = {name for names in PRIVATE_NAMES.values() for name in names if name.startswith("_")}
    using = {
        f"{source.relative_to(GATEWAY)}: {name}"
        for source in GATEWAY.rglob("*.py")
        if source not in PRIVATE
        for name in _private_names(source)
        if name in listed or name.startswith("_RTC")
    }
    assert using == set(), "add a function to gateway/transports/webrtc/aiortc_private.py"


def test_no_other_module_of_the_gateway_imports_aioice() -> None:
    importing = [
        str(source.relative_to(GATEWAY))
        for source in GATEWAY.rglob("*.py")
        if source not in PRIVATE and "import aioice" in source.read_text()
    ]
    assert importing == []
