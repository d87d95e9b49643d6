"""Shortcuts through aiortc: what takes them, and what does not."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pylibsrtp
import pytest
from aiortc import RTCDtlsTransport
from aiortc.rtcdtlstransport import State

from gateway.transports.webrtc.aiortc_private import LONGEST, MOST_SSRCS, at_once, receive_at_once

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
    dtls.come(kind.ljust(LONGEST + 1))
    dtls.come(kind.ljust(4000))
    assert dtls.handled == dtls.queued == []
    assert dtls._RTCDtlsTransport__rx_packets == 0


def test_the_longest_datagram_is_taken(dtls: Dtls) -> None:
    dtls.come(RTP.ljust(LONGEST))
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


def test_the_names_that_are_used_are_those_of_aiortc() -> None:
    names = RTCDtlsTransport.__init__.__code__.co_names
    assert {"_RTCDtlsTransport__rx_bytes", "_RTCDtlsTransport__rx_packets"} <= set(names)
    assert {"_rx_srtp", "_state"} <= set(names)


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
