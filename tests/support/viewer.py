"""A viewer of the interviewer's face: aiortc's receiver, and how it sees and hears what is sent.

It notes at which RTP timestamps beeps begin and mouths open and close, and, as a browser does, puts
both streams on the sender's clock by their RTCP sender reports. Viewers run in processes of their
own, so that what they decode does not hold the gateway up.

`python -m tests.support.viewer URL TASK` takes the fields of a `Task` as JSON and
prints those of an `Apart`, or of a list of `Closing`.
"""

import asyncio
import itertools
import json
import random
import sys
import time
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import Any, Literal

import aioice.ice
import numpy as np
import numpy.typing as npt
from aiortc import MediaStreamTrack, RTCRtpReceiver
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtcpSrPacket

from stages.avatar.face import FACES, load
from stages.avatar.renderer import LayerBitmaps, Picture
from stages.avatar.timeline import MAX_HEAD, QUARTERS, Pose, mix
from tests.support.relay import Relay, Weather
from tests.support.webrtc import Browser

Kind = Literal["audio", "video"]
CLOCK_HZ: dict[Kind, int] = {"audio": 48_000, "video": 90_000}

NEAREST_MS = 200.0
"""A flash further away belongs to another beep."""

SIZE = 320
REPORTS = 20
"""How many of the last sender reports are averaged; Chromium takes so many."""

_LOUD = 3_000
_QUIET = 1_500
_BEFORE = 4_800
"""Samples of quiet that go before a beep whose beginning was heard: a decoder is quiet after a
loss, too, but for one or two frames."""

NTP_S = 2_208_988_800
"""Between the beginnings of NTP's time and Unix's."""

INTERVIEW = {"role": "data analyst", "totalQuestions": 15}


@dataclass(frozen=True, slots=True)
class Beep:
    """It begins at `ticks` of the stream's clock; `at_s` is when it came out of the receiver."""

    ticks: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Look:
    """A picture of `ticks`: how far its mouth is open, and when it came out of the receiver."""

    ticks: int
    at_s: float
    openness: float


@dataclass(frozen=True, slots=True)
class Report:
    """A sender report: `ticks` of the stream were sent at `ntp_s` of the sender's clock."""

    ticks: int
    ntp_s: float
    at_s: float


class Mouth:
    """How far a mouth is open, from the pixels around it: 0 is closed, 1 wide open, in quarters.

    It is the rendering that comes nearest, of all openings at all positions of the head.
    """

    def __init__(self) -> None:
        face = load(FACES / "mira")
        x, y, width, height = (round(n) for n in face.manifest.moves.mouth)
        self._rows, self._columns = slice(y, y + height), slice(x, x + width)
        picture = Picture(LayerBitmaps(face, SIZE))
        shown, self._openness = [], []
        for head in range(-MAX_HEAD, MAX_HEAD + 1):
            for quarters in range(QUARTERS + 1):
                picture.show(Pose(mix("sil", "aa", quarters / QUARTERS), head=head))
                shown.append(self._cut(picture.i420))
                self._openness.append(quarters / QUARTERS)
        self._shown = np.stack(shown)

    def _cut(self, i420: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return i420[self._rows, self._columns].astype(np.float32)

    def openness(self, i420: npt.NDArray[np.uint8]) -> float:
        """Of a decoded picture."""
        differences = ((self._shown - self._cut(i420)) ** 2).sum((1, 2))
        return self._openness[int(differences.argmin())]


class Viewer(Browser):
    """A peer that watches and listens closely, and forgets what it has judged."""

    def __init__(self, url: str, mouth: Mouth, *, video: str) -> None:
        gateway: Any = SimpleNamespace(url=url)
        super().__init__(gateway, video=video)
        self.beeps: list[Beep] = []
        self.unsure = 0  # beeps whose beginning is lost
        self.looks: list[Look] = []
        self.reports: dict[Kind, list[Report]] = {"audio": [], "video": []}
        self._mouth = mouth
        self._origins: dict[Kind, Any] = {}

    def _on_track(self, track: MediaStreamTrack) -> None:
        super()._on_track(track)
        for receiver in self.pc.getReceivers():
            if receiver.track is track:
                self._note_reports(receiver, "audio" if track.kind == "audio" else "video")

    def _note_reports(self, receiver: RTCRtpReceiver, kind: Kind) -> None:
        inside: Any = receiver
        handle = receiver._handle_rtcp_packet
        self._origins[kind] = inside._RTCRtpReceiver__timestamp_mapper

        async def noted(packet: Any) -> None:
            if isinstance(packet, RtcpSrPacket):
                info, now = packet.sender_info, asyncio.get_running_loop().time()
                report = Report(info.rtp_timestamp, info.ntp_timestamp / 2**32, now)
                self.reports[kind].append(report)
            await handle(packet)

        inside._handle_rtcp_packet = noted

    async def _listen(self, track: MediaStreamTrack) -> None:
        loop = asyncio.get_running_loop()
        ends, quiet, loud = -1, 0, False  # where the last frame ended, and how long it is quiet
        try:
            while True:
                frame: Any = await track.recv()
                pcm = np.abs(frame.to_ndarray()[0, ::2].astype(np.int32))
                self.loudness.append((loop.time(), int(pcm.max())))
                at = int(frame.pts)
                if at != ends:
                    quiet = 0  # what lies between is lost
                (above,) = np.nonzero(pcm > _LOUD)
                if len(above) and not loud:
                    if quiet >= _BEFORE:
                        self.beeps.append(Beep(at + int(above[0]), loop.time()))
                    else:
                        self.unsure += 1
                loud = bool(pcm[-240:].max() > _QUIET)
                quiet = 0 if loud else quiet + len(pcm)
                ends = at + len(pcm)
        except MediaStreamError:
            pass

    async def _watch(self, track: MediaStreamTrack) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                frame: Any = await track.recv()
                i420 = frame.to_ndarray(format="yuv420p")
                openness = self._mouth.openness(i420)
                self.looks.append(Look(int(frame.pts), loop.time(), openness))
        except MediaStreamError:
            pass

    def ntp_s(self, kind: Kind, ticks: int, at_s: float) -> float:
        """The sender's time of a moment in a stream, by the reports that had come at `at_s`."""
        origin, clock_hz = self._origins[kind]._origin, CLOCK_HZ[kind]
        reports = self.reports[kind]
        known = [report for report in reports if report.at_s <= at_s][-REPORTS:] or reports[:1]
        offsets = []
        for report in known:
            # Where they lie in the stream, which the receiver counts from its first packet on.
            apart = (report.ticks - origin - ticks + (1 << 31)) % (1 << 32) - (1 << 31)
            offsets.append(report.ntp_s - (ticks + apart) / clock_hz)
        return ticks / clock_hz + float(np.mean(offsets))

    def flashes(self) -> list[Look]:
        """The first pictures with the mouth wide open, after one with it closed."""
        found: list[Look] = []
        closed = False
        for look in self.looks:
            if look.openness == 0:
                closed = True
            elif closed and look.openness == 1:
                found.append(look)
                closed = False
        return found


@dataclass(frozen=True, slots=True)
class Pair:
    """A beep at `at_s` of the sender's clock, and how far its flash comes after it, in ms."""

    at_s: float
    by_reports_ms: float
    by_arrival_ms: float


@dataclass(frozen=True, slots=True)
class Apart:
    """What a viewer saw and heard. `missed` beeps began in a loss, or had no flash."""

    pairs: list[Pair]
    missed: int


def apart(viewer: Viewer) -> Apart:
    """Pair each beep with the flash that is nearest to it on the sender's clock."""
    flashes = [(viewer.ntp_s("video", f.ticks, f.at_s), f.at_s) for f in viewer.flashes()]
    pairs: list[Pair] = []
    for beep in viewer.beeps:
        sent_s = viewer.ntp_s("audio", beep.ticks, beep.at_s)
        flash_s, came_s = min(flashes, key=lambda flash: abs(flash[0] - sent_s))
        if abs(flash_s - sent_s) * 1000 < NEAREST_MS:
            by_reports_ms, by_arrival_ms = (flash_s - sent_s) * 1000, (came_s - beep.at_s) * 1000
            pairs.append(Pair(sent_s - NTP_S, by_reports_ms, by_arrival_ms))
    missed = len(viewer.beeps) - len(pairs) + viewer.unsure
    return Apart(pairs, missed)


@dataclass(frozen=True, slots=True)
class Closing:
    """A reply that was interrupted: when the client said so, on its own clock, and the pictures
    around it, each with the sender's time and how far the mouth is open.
    """

    said_s: float
    looks: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Task:
    """What a viewer is to do. For `seconds` it lets the interviewer speak, reply after reply, or it
    interrupts so many replies.
    """

    session: str
    codec: str
    loss: float = 0.0
    seconds: float = 0.0
    interruptions: int = 0


async def _next_turn(viewer: Viewer, turn: int) -> None:
    if turn:
        viewer.say(type="text", text="I would look at the raw numbers first of all")
    await viewer.until("reply.started", turn=turn)


async def listen(viewer: Viewer, seconds: float) -> None:
    """Have the interviewer speak for so long."""
    until_s = asyncio.get_running_loop().time() + seconds
    for turn in itertools.count():
        await _next_turn(viewer, turn)
        while not any(m["type"] == "reply.done" and m["turn"] == turn for m in viewer.messages):
            if asyncio.get_running_loop().time() > until_s:
                return
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)


async def interrupt(viewer: Viewer, times: int, seed: str) -> list[Closing]:
    """Interrupt as many replies, each at another moment while the mouth is open."""
    chance = random.Random(seed)
    said: list[float] = []
    for turn in range(times):
        seen = len(viewer.looks)
        await _next_turn(viewer, turn)
        async with asyncio.timeout(20):
            while not any(look.openness == 1 for look in viewer.looks[seen:]):
                await asyncio.sleep(0.01)
        await asyncio.sleep(chance.uniform(0.1, 0.4))
        viewer.say(type="interrupt")
        said.append(time.time())
        await viewer.until("reply.done", turn=turn)
        await asyncio.sleep(chance.uniform(0.4, 0.6))
    looks = [(viewer.ntp_s("video", k.ticks, k.at_s) - NTP_S, k.openness) for k in viewer.looks]
    return [Closing(at, [k for k in looks if abs(k[0] - at) < 0.6]) for at in said]


async def main(url: str, task: Task) -> object:
    async with Relay(task.session, down=Weather(loss=task.loss)) as relay:
        viewer = Viewer(url, Mouth(), video=task.codec)
        viewer.conceal, viewer.reveal = relay.offer, relay.answer
        try:
            await viewer.connect(task.session, interview=INTERVIEW)
            if task.interruptions:
                closings = await interrupt(viewer, task.interruptions, task.session)
                return [asdict(closing) for closing in closings]
            await listen(viewer, task.seconds)
            return asdict(apart(viewer))
        finally:
            await viewer.close()


if __name__ == "__main__":
    inside: Any = aioice.ice
    inside.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    task = Task(**json.loads(sys.argv[2]))
    sys.stdout.write(json.dumps(asyncio.run(main(sys.argv[1], task))))
