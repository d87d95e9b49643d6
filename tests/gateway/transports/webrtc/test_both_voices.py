"""Both voices on their way to those who listen, in virtual time: encoded once, sent to each."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from aiortc import RTCRtpSender

from gateway.live.audience import Audience
from gateway.transports.webrtc.both_voices import BothVoices, Relay, both_voices
from gateway.transports.webrtc.jitter import MediaPacket
from gateway.transports.webrtc.opus import PacketDecoder
from pipeline.frames import Clear
from pipeline.testing import run_virtual
from tests.gateway.transports.webrtc.test_sending import CODEC, SPEECH_FRAME, Line

PERSON = (6000 * np.sin(2 * np.pi * np.arange(320) / 32)).astype(np.int16)
"""20 ms of 500 Hz at 16 kHz."""


class Listeners:
    """Connections beside aiortc's senders with our loop in them."""

    def __init__(self, both: BothVoices, count: int) -> None:
        self.failed: list[int] = []
        self.lines = [Line() for _ in range(count)]
        senders: list[Any] = [RTCRtpSender("audio", line) for line in self.lines]  # type: ignore[arg-type]
        self.relays = [
            Relay(sender, lambda number=number: self.failed.append(number))  # type: ignore[misc]
            for number, sender in enumerate(senders)
        ]
        self._running = [asyncio.create_task(sender._run_rtp(CODEC)) for sender in senders]
        self._both = both

    async def close(self) -> None:
        for relay in self.relays:
            self._both.leave(relay)
        for task in self._running:
            task.cancel()
        await asyncio.wait(self._running)


def relayed(count: int, story: Callable[[BothVoices, Listeners], Awaitable[None]]) -> Listeners:
    async def main() -> Listeners:
        both = BothVoices(24_000)
        listeners = Listeners(both, count)
        await asyncio.sleep(0)
        try:
            await story(both, listeners)
        finally:
            await listeners.close()
        return listeners

    return run_virtual(main())


def tones(line: Line) -> list[tuple[bool, bool]]:
    """Of each packet whether the interviewer's 200 Hz and the person's 500 Hz are in it."""
    decoder, found = PacketDecoder(), []
    for _, packet in line.sent:
        pcm = decoder.decode([MediaPacket(packet.payload)])
        bins = np.abs(np.fft.rfft(pcm[-320:] * np.hanning(min(len(pcm), 320)), 320))
        found.append((bool(bins[4] > 80_000), bool(bins[10] > 80_000)))
    return found


def test_both_are_heard_together_by_all_and_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = 0

    async def story(both: BothVoices, listeners: Listeners) -> None:
        encode = both._encoder.encode

        def counted(pcm: Any) -> bytes:
            nonlocal encoded
            encoded += 1
            return encode(pcm)

        monkeypatch.setattr(both._encoder, "encode", counted)
        for relay in listeners.relays:
            both.join(relay)
        for number in range(30):
            both.hear(PERSON)
            if number >= 15:
                both.observe(SPEECH_FRAME, 0.0)
            await asyncio.sleep(0.02)

    listeners = relayed(3, story)
    first, *others = listeners.lines
    assert len(first.sent) == encoded
    for line in others:
        assert [packet.payload for _, packet in line.sent] == [p.payload for _, p in first.sent]
    heard = tones(first)
    assert (False, True) in heard[:15]
    assert heard[-8:] == [(True, True)] * 8
    stamps = [packet.timestamp for _, packet in first.sent]
    assert [b - a & 0xFFFFFFFF for a, b in pairwise(stamps)] == [960] * (len(stamps) - 1)
    assert sum(packet.marker for _, packet in first.sent) == 1


def test_nothing_is_kept_or_sent_where_nobody_listens_and_seldom_where_nobody_speaks() -> None:
    async def story(both: BothVoices, listeners: Listeners) -> None:
        for _ in range(50):
            both.hear(PERSON)
            both.observe(SPEECH_FRAME, 0.0)
            await asyncio.sleep(0.02)
        (relay,), (line,) = listeners.relays, listeners.lines
        assert line.sent == []
        both.join(relay)
        await asyncio.sleep(4.0)
        assert len(line.sent) == pytest.approx(10, abs=2)
        assert tones(line) == [(False, False)] * len(line.sent)
        both.leave(relay)
        both.leave(relay)
        before = len(line.sent)
        await asyncio.sleep(2.0)
        assert len(line.sent) == before

    relayed(1, story)


def test_an_interruption_drops_the_reply_and_the_cursor_tells_where_it_is() -> None:
    async def story(both: BothVoices, listeners: Listeners) -> None:
        loop = asyncio.get_running_loop()
        both.join(listeners.relays[0])
        assert both.cursor(loop.time()) is None
        for _ in range(10):
            both.observe(SPEECH_FRAME, 0.0)
        await asyncio.sleep(0.05)
        turn, at_ms = both.cursor(loop.time()) or (0, 0.0)
        assert (turn, at_ms) == (3, pytest.approx(410, abs=1))
        both.observe(Clear(3, 400), 0.0)
        assert both.cursor(loop.time()) is None
        await asyncio.sleep(0.2)
        heard = tones(listeners.lines[0])
        assert (True, False) in heard[:3]
        assert heard[6:] == [(False, False)] * len(heard[6:])

    relayed(1, story)


def test_a_listener_whose_line_breaks_costs_the_others_nothing() -> None:
    async def story(both: BothVoices, listeners: Listeners) -> None:
        for relay in listeners.relays:
            both.join(relay)
        listeners.lines[0].broken = ValueError
        for _ in range(20):
            both.hear(PERSON)
            await asyncio.sleep(0.02)

    listeners = relayed(2, story)
    assert (listeners.failed, listeners.lines[0].sent) == ([0], [])
    assert len(listeners.lines[1].sent) >= 15


def test_where_the_process_stood_still_nothing_is_sent_in_a_burst() -> None:
    async def story(both: BothVoices, listeners: Listeners) -> None:
        both.join(listeners.relays[0])
        for _ in range(10):
            both.hear(PERSON)
            await asyncio.sleep(0.02)
        before = len(listeners.lines[0].sent)
        both._due -= 1.0  # as if the timer had fired a second late
        both.hear(PERSON)
        await asyncio.sleep(0.1)
        assert len(listeners.lines[0].sent) - before <= 6

    relayed(1, story)


def test_an_encoder_that_fails_sends_all_away_and_the_session_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(both: BothVoices, listeners: Listeners) -> None:
        def fails(pcm: Any) -> bytes:
            raise RuntimeError("no")

        monkeypatch.setattr(both._encoder, "encode", fails)
        for relay in listeners.relays:
            both.join(relay)
        for _ in range(10):
            both.hear(PERSON)
            await asyncio.sleep(0.02)

    assert relayed(2, story).failed == [0, 1]


def test_a_session_has_one_such_track() -> None:
    async def story() -> None:
        audience = Audience(24_000)
        assert both_voices(audience) is both_voices(audience)

    run_virtual(story())
