"""The timers around the jitter buffer, in virtual time; the rest of reception is tested whole."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import uvloop
from aiortc.rtp import RtpPacket

from gateway.media.opus import OpusEncoder
from gateway.transports.webrtc.jitter import Item, Jitter
from gateway.transports.webrtc.opus import FRAME
from gateway.transports.webrtc.receiving import Reception
from pipeline.testing import VirtualLoop, run_virtual

OPUS = b"\x78" + bytes(40)


def packet(number: int) -> RtpPacket:
    return RtpPacket(sequence_number=number, timestamp=960 * number, ssrc=1, payload=OPUS)


def reception(told: Callable[[], None] = lambda: None) -> Reception:
    """One whose receiver is never asked for anything."""
    receiver: Any = type("Receiver", (), {"receive": None})()
    return Reception(receiver, lambda pcm: told())


def stall(seconds: float) -> None:
    """The event loop does nothing else for so long."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._jumping.now += seconds


@pytest.mark.parametrize("unread", [1, 3])
def test_what_came_while_the_loop_was_held_up_is_not_late(unread: int) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        one = reception()
        one.add(packet(0))
        one.add(packet(unread + 1))  # what lies between comes late

        def read(number: int) -> None:
            one.add(packet(number))
            if number < unread:
                loop.call_soon(read, number + 1)  # one a turn

        stall(0.2)
        loop.call_later(0, read, 1)
        await asyncio.sleep(0.1)
        assert (one.jitter.lost, one.jitter.late, one.jitter.held) == (0, 0, 0)
        one.close()

    run_virtual(main())


def test_a_deadline_that_is_past_is_met_on_uvloop() -> None:
    expired: list[float] = []

    class Overdue(Jitter):
        @property
        def deadline(self) -> float | None:
            return None if expired else 0.0

        def expire(self, now: float) -> list[Item]:
            expired.append(now)
            return []

    async def main() -> None:
        one = reception()
        one.jitter = Overdue()
        one.add(packet(0))  # for a time that is past, uvloop makes a handle that knows no time
        one.add(packet(1))
        await asyncio.sleep(0.2)
        one.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    assert len(expired) == 1


def test_a_loop_that_is_always_late_gives_up_gaps_all_the_same() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        given: list[float] = []
        one = reception(lambda: given.append(loop.time()))
        one.add(packet(0))
        one.add(packet(2))

        def hold_up() -> None:
            stall(0.05)
            loop.call_soon(hold_up)

        hold_up()
        await asyncio.sleep(0.5)
        assert one.jitter.held == 0
        assert one.jitter.lost == 1
        assert given[1] <= 0.3
        one.close()

    run_virtual(main())


def test_silence_that_went_ahead_of_late_speech_is_left_out_again() -> None:
    encoder = OpusEncoder()
    tone = (6000 * np.sin(2 * np.pi * np.arange(FRAME) / 120)).astype(np.int16)
    talk = [encoder.encode(tone) for _ in range(40)]
    quiet = [encoder.encode(np.zeros(FRAME, np.int16)) for _ in range(60)]

    async def main() -> None:
        heard: list[int] = []
        receiver: Any = type("Receiver", (), {"receive": None})()
        one = Reception(receiver, lambda pcm: heard.append(len(pcm)))
        for number, payload in enumerate(talk):
            if number == 20:
                await asyncio.sleep(0.4)  # the network stalls, and then delivers at once
            elif not 20 < number < 40:
                await asyncio.sleep(0.02)
            packet = RtpPacket(sequence_number=number, timestamp=960 * number, ssrc=1)
            packet.payload = payload
            one.add(packet)
        surplus_ms = sum(heard) / 16 - 40 * 20
        assert surplus_ms > 150
        for number, payload in enumerate(quiet, 40):
            await asyncio.sleep(0.02)
            packet = RtpPacket(sequence_number=number, timestamp=960 * number, ssrc=1)
            packet.payload = payload
            one.add(packet)
        assert sum(heard) / 16 == pytest.approx(100 * 20, abs=20)
        one.close()

    run_virtual(main())


def test_after_a_pause_in_which_the_senders_clock_stood_still_quiet_is_heard_again_soon() -> None:
    encoder = OpusEncoder()
    tone = (6000 * np.sin(2 * np.pi * np.arange(FRAME) / 120)).astype(np.int16)
    talk = [encoder.encode(tone) for _ in range(100)]
    quiet = [encoder.encode(np.zeros(FRAME, np.int16)) for _ in range(200)]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        heard: list[tuple[float, int]] = []
        receiver: Any = type("Receiver", (), {"receive": None})()
        one = Reception(receiver, lambda pcm: heard.append((loop.time(), len(pcm))))
        fell_quiet = 0.0
        for number, payload in enumerate(talk + quiet):
            if number == 50:
                await asyncio.sleep(30)
            elif number == 100:
                fell_quiet = loop.time()
            await asyncio.sleep(0.02)
            packet = RtpPacket(sequence_number=number, timestamp=960 * number, ssrc=1)
            packet.payload = payload
            one.add(packet)
        after_ms = sum(length for at, length in heard if at > fell_quiet) / 16
        assert after_ms == pytest.approx(4000 - 2000, abs=100)
        one.close()

    run_virtual(main())
