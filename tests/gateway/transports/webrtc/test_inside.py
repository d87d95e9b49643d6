"""Shortcuts through aiortc: what takes them, and what does not."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pylibsrtp
import pytest
from aiortc import RTCDtlsTransport
from aiortc.rtcdtlstransport import State

from gateway.transports.webrtc.inside import at_once, receive_at_once

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


def test_nothing_is_handled_after_the_end(dtls: Dtls) -> None:
    dtls._state = State.CLOSED
    dtls.come(RTP)
    assert dtls.handled == []


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
