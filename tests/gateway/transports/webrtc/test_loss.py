"""Speech over a bad network: how much of it the engine hears, how late, and what aiortc would do.

A client of aiortc's speaks to a real gateway through a relay that loses and overtakes packets as a
seed says. Beside each runs a second one with the same packets and the same fates, to a peer whose
reception is aiortc's own. What is compared is the sound that came out: see `marks`.
"""

import asyncio
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError

from pipeline.frames import Samples
from pipeline.stage import OnChunk, VadStream
from tests.support import marks
from tests.support.held import Held, enough
from tests.support.relay import Relay, Weather
from tests.support.webrtc import Browser, Doorway

pytestmark = pytest.mark.realtime

WEATHERS = {
    "no loss": Weather(),
    "1 %": Weather(loss=0.01),
    "5 %": Weather(loss=0.05),
    "5 % in bursts": Weather(loss=0.05, burst=4),
    "2 %, and 5 % overtaken": Weather(loss=0.02, late=0.05),
    "overtaken only": Weather(late=0.05),
    "stalls of 0.4 s": Weather(stall=(100, 21)),
}

SPEECH_S = 20.0
SILENCE_S = 5.0
AFTERWARDS_S = 2.0
CLIP = ((False, 1.0), (True, SPEECH_S), (False, SILENCE_S), (True, AFTERWARDS_S), (False, 0.6))

MOST_LOST = 1.5
"""Times what was dropped on the wire."""

LONGEST_DELAY_MS = 80.0

FEWEST = 700
"""Packets of speech that must have been judged, of 1100."""


class Record:
    """What one session's detector is fed: all that the engine hears, and when."""

    def __init__(self) -> None:
        self.pieces: list[marks.Piece] = []

    def feed(self, pcm: Samples) -> None:
        self.pieces.append(marks.Piece(asyncio.get_running_loop().time(), pcm.copy()))

    def close(self) -> None:
        pass


class Recorder:
    """A detector that writes down and never detects."""

    provider = "recorder"

    def __init__(self) -> None:
        self.records: list[Record] = []

    def open(self, on_chunk: OnChunk) -> VadStream:
        self.records.append(Record())
        return self.records[-1]

    async def aclose(self) -> None:
        pass


class Speaker(MediaStreamTrack):  # type: ignore[misc]
    """Packets in real time once it is `started`, and the weather with them; silence around."""

    kind = "audio"

    def __init__(self, packets: list[bytes], relay: Relay) -> None:
        super().__init__()
        self._relay = relay
        relay.calm = True
        self._packets = packets
        self._number = 0
        self._first: int | None = None
        self._at = asyncio.get_running_loop().time()
        self.started = asyncio.Event()
        self.done = asyncio.Event()
        self.begins = 0  # how many packets of silence went before

    async def recv(self) -> av.Packet:
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        self._at += marks.FRAME_MS / 1000
        await asyncio.sleep(max(0.0, self._at - loop.time()))
        if self._first is None and self.started.is_set():
            self._first = self.begins = self._number
            self._relay.calm = False
        position = -1 if self._first is None else self._number - self._first
        if position >= len(self._packets):
            self.done.set()
            position = -1
        packet = av.Packet(self._packets[max(position, 0)])
        packet.pts = self._number * 960
        packet.time_base = Fraction(1, 48_000)
        self._number += 1
        return packet


@dataclass
class Line:
    """One client's way in, and what came out at its end."""

    weather: str
    relay: Relay
    speaker: Speaker
    pieces: list[marks.Piece] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """Of one line: packets of speech sent, dropped on the wire and not heard, and the delay that
    was added to those heard after the silence: median, 95 of 100 and the most, in ms. Packets that
    were sent while the machine was busy with others are left out.
    """

    sent: int
    dropped: int
    lost: int
    impossible: int
    """Dropped and heard all the same: the listener's mistakes."""

    before_ms: float
    """The median delay before the silence."""

    after_ms: tuple[float, float, float]


def outcome(line: Line, marked: list[bool], held: Held) -> Outcome:
    """Compare what came out with what was sent."""
    (stream,) = line.relay.streams("up").values()
    clock = stream[0].timestamp  # the first packet of all has the number 0
    first = line.speaker.begins
    sent_s = [0.0] * len(marked)
    passed_s = [0.0] * len(marked)
    dropped: set[int] = set()
    for passing in stream:
        number = (passing.timestamp - clock & 0xFFFFFFFF) // 960 - first
        if 0 <= number < len(marked):
            sent_s[number] = passing.at_s
            passed_s[number] = passing.at_s + (passing.delay_s or 0.0)
            if passing.delay_s is None:
                dropped.add(number)
    assert all(sent_s), "the relay saw all packets"
    heard = marks.heard(line.pieces, sent_s)
    speech = {number for number, is_marked in enumerate(marked) if is_marked}
    assert heard.keys() <= speech, "nothing is heard where nothing was said"
    wall_s = time.time() - asyncio.get_running_loop().time()
    speech = {number for number in speech if not held.at(wall_s + sent_s[number])}
    heard = {number: at_s for number, at_s in heard.items() if number in speech}
    resumed = max(n for n in range(1, len(marked)) if marked[n] and not marked[n - 1])
    before = [(heard[n] - passed_s[n]) * 1000 for n in heard if n < resumed]
    after = [(heard[n] - passed_s[n]) * 1000 for n in heard if n >= resumed]
    return Outcome(
        sent=len(speech),
        dropped=len(dropped & speech),
        lost=len(speech - heard.keys()),
        impossible=len(dropped & heard.keys()),
        before_ms=percentile(before, 50),
        after_ms=(percentile(after, 50), percentile(after, 95), percentile(after, 100)),
    )


def percentile(delays_ms: list[float], share: float) -> float:
    """NaN where the machine was busy all the time, so that no delay counts: see `enough`."""
    return float(np.percentile(delays_ms, share)) if delays_ms else math.nan


class Stock:
    """A peer with aiortc's own reception, and what its track gives out."""

    def __init__(self) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.pieces: list[marks.Piece] = []
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=marks.RATE_HZ)
        self._ear: asyncio.Task[None] | None = None
        self.pc.on("track", self._on_track)

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._ear = asyncio.create_task(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                frame = await track.recv()
                frame.pts = None  # gaps are not to be filled by the resampler
                for resampled in self._resampler.resample(frame):
                    pcm = resampled.to_ndarray()[0]
                    self.pieces.append(marks.Piece(loop.time(), pcm))
        except MediaStreamError:
            pass

    async def answer(self, offer: str) -> str:
        await self.pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        return str(self.pc.localDescription.sdp)

    async def close(self) -> None:
        await self.pc.close()
        if self._ear is not None:
            await asyncio.wait([self._ear])


def table(rows: Iterator[tuple[str, str, Outcome]]) -> str:
    lines = [
        f"{'network':24} {'reception':9} {'sent':>8} {'dropped':>7} {'lost':>5} {'ratio':>6}"
        f" {'delay':>6} {'after 5 s of silence: median, 95 %, most':>42}"
    ]
    for weather, reception, one in rows:
        ratio = f"{one.lost / one.dropped:.2f}" if one.dropped else "-"
        after = ", ".join(f"{ms:.0f}" for ms in one.after_ms)
        lines.append(
            f"{weather:24} {reception:9} {one.sent * 20:>5} ms {one.dropped * 20:>4} ms"
            f" {one.lost * 20:>5} {ratio:>6}"
            f" {one.before_ms:>3.0f} ms {after:>39} ms"
        )
    return "\n".join(lines)


def test_little_more_is_lost_than_the_network_loses_and_the_delay_goes_again(
    doorway: Doorway, patience: None, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = doorway.detector = Recorder()
    packets, marked = marks.clip(CLIP)
    ours: dict[str, Outcome] = {}
    stocks: dict[str, Outcome] = {}

    async def through_gateway(weather: str) -> None:
        async with Relay(weather, up=WEATHERS[weather]) as relay:
            browser = Browser(doorway)
            speaker = browser.microphone = Speaker(packets, relay)  # type: ignore[assignment]
            browser.pc.getSenders()[0].replaceTrack(speaker)
            browser.conceal, browser.reveal = relay.offer, relay.answer
            try:
                await browser.connect(weather.encode().hex())
                await browser.until("ready")
                record = recorder.records[-1]
                connected.release()
                await speak(speaker)
                line = Line(weather, relay, speaker, record.pieces)
                ours[weather] = outcome(line, marked, held)
            finally:
                await browser.close()

    async def through_stock(weather: str) -> None:
        async with Relay(weather, up=WEATHERS[weather]) as relay:
            client, peer = RTCPeerConnection(RTCConfiguration(iceServers=[])), Stock()
            speaker = Speaker(packets, relay)
            client.addTrack(speaker)
            try:
                await client.setLocalDescription(await client.createOffer())
                answer = await peer.answer(relay.offer(client.localDescription.sdp))
                answer = relay.answer(answer)
                await client.setRemoteDescription(RTCSessionDescription(answer, "answer"))
                while not relay.passed:
                    await asyncio.sleep(0.02)
                connected.release()
                await speak(speaker)
                stocks[weather] = outcome(Line(weather, relay, speaker, peer.pieces), marked, held)
            finally:
                await client.close()
                await peer.close()

    async def speak(speaker: Speaker) -> None:
        await begin.wait()
        speaker.started.set()
        await speaker.done.wait()
        await asyncio.sleep(0.2)  # the last ones are under way

    async def story() -> None:
        tasks: list[asyncio.Task[Any]] = []
        for weather in WEATHERS:  # one after the other: records belong to their sessions
            for way in (through_gateway, through_stock):
                tasks.append(asyncio.create_task(way(weather)))
                await connected.acquire()
        begin.set()
        async with held:
            await asyncio.gather(*tasks)

    connected = asyncio.Semaphore(0)
    begin = asyncio.Event()
    held = Held()
    doorway.run(story)
    with capsys.disabled():
        rows = (
            (weather, name, outcomes[weather])
            for weather in WEATHERS
            for name, outcomes in (("parley", ours), ("aiortc", stocks))
        )
        sys.stdout.write(f"\n{table(rows)}\n")
    enough(min(o.sent for o in ours.values()), FEWEST)
    assert {o.impossible for o in [*ours.values(), *stocks.values()]} == {0}
    assert (ours["no loss"].dropped, ours["no loss"].lost) == (0, 0)
    for weather, one in ours.items():
        every, stalled = WEATHERS[weather].stall
        # Silence that goes ahead in a stall cuts the packet before it in two: its mark is lost.
        cut = one.sent // every if stalled else 0
        assert one.lost <= MOST_LOST * one.dropped + cut, weather
        assert one.after_ms[1] < LONGEST_DELAY_MS, weather
