"""The face on its way out, in virtual time: real pictures and encoders, no threads, no network."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pytest
from aiortc import RTCRtpCodecParameters, RTCRtpSender
from aiortc.codecs import depayload
from aiortc.rtcrtpparameters import (
    RTCRtcpParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpSendParameters,
)
from aiortc.rtp import (
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    HeaderExtensionsMap,
    RtcpPsfbPacket,
    RtcpRtpfbPacket,
    RtpPacket,
    unwrap_rtx,
)

from gateway.transports.webrtc import video, video_codecs
from gateway.transports.webrtc.opus import FRAME
from gateway.transports.webrtc.sending import Transmission
from gateway.transports.webrtc.video import Video
from gateway.transports.webrtc.video_codecs import choose
from pipeline.frames import AvatarFrame, AvatarMood, ReplyAudio, Viseme, Visemes
from pipeline.testing import run_virtual
from stages.avatar.decoding import JpegDecoder
from stages.avatar.encoding import Codec, VideoEncoder
from stages.avatar.face import FACES, FaceError, load
from stages.avatar.loops import GROUP, LOOP_FRAME_MS, Loop, record, record_pictures
from stages.avatar.quality import QUALITY_LEVELS, QualityLevel
from stages.avatar.renderer import Bytes, LayerBitmaps, Picture
from stages.avatar.studio import StudioClosed
from stages.avatar.timeline import Pose, idle_pose
from tests.support.video import decoded, is_keyframe, jpeg, luma, psnr

CODECS: tuple[Codec, ...] = ("h264", "vp8")
FULL = QualityLevel("25 fps", 40, 160)
HALF = QualityLevel("12 fps", 80, 160)
SMALL = QualityLevel("12 fps, small", 80, 96)
NOTHING = QUALITY_LEVELS[-1]


@pytest.fixture(scope="module")
def plates() -> dict[int, LayerBitmaps]:
    return {size: LayerBitmaps(load(FACES / "mira"), size) for size in (160, 96)}


@pytest.fixture(scope="module")
def recorded() -> dict[tuple[Any, ...], Loop]:
    return {}


class Atelier:
    """A studio without threads: what it makes is real, and there `delay_s` after it was asked."""

    def __init__(self, plates: dict[int, LayerBitmaps], loops: dict[tuple[Any, ...], Loop]) -> None:
        self.faces = {"mira": None, "jonas": None}
        self.default = "mira"
        self.level = FULL
        self.plates = plates
        self.loops = loops
        self.told: list[Callable[[QualityLevel, QualityLevel, str], None]] = []
        self.takes: list[Sitting] = []
        self.asked: list[tuple[str, int, AvatarMood]] = []
        self.delay_s = 0.0
        self.refuses = 0
        self.error: Exception | None = None
        self.loop_error: Exception | None = None

    def changed(
        self, told: Callable[[QualityLevel, QualityLevel, str], None]
    ) -> Callable[[], None]:
        self.told.append(told)
        return lambda: self.told.remove(told)

    def step(self, rung: QualityLevel, reason: str = "busy") -> None:
        before, self.level = self.level, rung
        for told in self.told:
            told(before, rung, reason)

    async def loop(self, face: str, codec: Codec, size: int, mood: AvatarMood) -> Loop:
        self.asked.append((face, size, mood))
        if self.loop_error is not None:
            raise self.loop_error
        await asyncio.sleep(0.01)
        key = codec, size, mood
        if key not in self.loops:
            self.loops[key] = record(self.plates[size], mood, codec)
        return self.loops[key]

    async def film(
        self,
        face: str,
        codec: Codec,
        size: int,
        mood: AvatarMood,
        pictures: Sequence[tuple[int, bytes]],
        length_ms: int,
    ) -> Loop:
        return record_pictures(pictures, length_ms, mood, codec, size)

    def encoding_session(self, face: str, codec: Codec, size: int, frame_ms: int) -> "Sitting":
        sitting = Sitting(self, VideoEncoder(codec, size, frame_ms), Picture(self.plates[size]))
        self.takes.append(sitting)
        return sitting


class Sitting:
    def __init__(self, atelier: Atelier, encoder: VideoEncoder, picture: Picture) -> None:
        self.atelier, self.encoder, self.canvas = atelier, encoder, picture
        self.poses: list[tuple[float, Pose]] = []
        self.closed = False

    async def picture(
        self, pose: Pose | bytes, *, due: float, keyframe: bool = False
    ) -> bytes | None:
        if self.atelier.error is not None:
            raise self.atelier.error
        if self.atelier.refuses:
            self.atelier.refuses -= 1
            return None
        if isinstance(pose, bytes):
            i420 = JpegDecoder(self.canvas.i420.shape[1]).decode(pose)
        else:
            self.poses.append((due, pose))
            self.canvas.show(pose)
            i420 = self.canvas.i420
        unit = self.encoder.encode(i420, keyframe=keyframe)
        await asyncio.sleep(self.atelier.delay_s)
        return unit

    def close(self) -> None:
        self.closed = True


class Line:
    """In place of a DTLS transport: notes what is sent and when."""

    state = "connected"
    _stats_id = "transport"

    def __init__(self) -> None:
        self.extensions = HeaderExtensionsMap()
        self.sent: list[tuple[float, RtpPacket]] = []
        self.broken = False

    def _register_rtp_sender(self, sender: object, parameters: RTCRtpSendParameters) -> None:
        self.extensions.configure(parameters)

    def _unregister_rtp_sender(self, sender: object) -> None:
        pass

    async def _send_rtp(self, data: bytes) -> None:
        if self.broken:
            raise ConnectionError
        if not 192 <= data[1] <= 223:  # RTCP
            packet = RtpPacket.parse(data, self.extensions)
            self.sent.append((asyncio.get_running_loop().time(), packet))


class Stage:
    """A track in an evening's play, with what a receiver makes of it."""

    def __init__(self, codec: Codec, atelier: Atelier) -> None:
        self.codec = codec
        self.atelier = atelier
        self.line = Line()
        self.sender: Any = RTCRtpSender("video", self.line)  # type: ignore[arg-type]
        self.position: tuple[int, float, float] | None = None  # turn, from when, until when
        self.steps: list[tuple[str, str, str]] = []
        self.replaced: list[tuple[int, str, str, str]] = []
        self.video = Video(
            self.sender,
            atelier,  # type: ignore[arg-type]
            self.cursor,
            self.stepped,
            lambda *told: self.replaced.append(told),
        )
        self._from = asyncio.get_running_loop().time()

    def cursor(self, now: float) -> tuple[int, float] | None:
        if self.position is None or not self.position[1] <= now < self.position[2]:
            return None
        return self.position[0], (now - self.position[1]) * 1000

    def stepped(self, old: QualityLevel, new: QualityLevel, reason: str) -> None:
        self.steps.append((old.name, new.name, reason))

    def speak(self, seconds: float, *, mood: AvatarMood = "speaking", shape: str = "aa") -> None:
        now = asyncio.get_running_loop().time()
        self.position = 1, now, now + seconds
        self.video.add(Visemes(1, 0, (Viseme(0, int(seconds * 1000), shape),)))
        if mood != "idle":
            self.video.mood(mood)

    async def begin(self) -> None:
        mime = "video/H264" if self.codec == "h264" else "video/VP8"
        parameters = RTCRtpSendParameters(
            codecs=[
                RTCRtpCodecParameters(mimeType=mime, clockRate=90000, payloadType=101),
                RTCRtpCodecParameters(
                    mimeType="video/rtx",
                    clockRate=90000,
                    payloadType=102,
                    parameters={"apt": 101},
                ),
            ],
            headerExtensions=[
                RTCRtpHeaderExtensionParameters(1, "urn:ietf:params:rtp-hdrext:sdes:mid"),
                RTCRtpHeaderExtensionParameters(
                    3, "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
                ),
            ],
            muxId="v",
            rtcp=RTCRtcpParameters(cname="cname"),
        )
        await self.sender.send(parameters)
        self.video.begin("mira")

    async def until(self, seconds: float) -> None:
        await asyncio.sleep(self._from + seconds - asyncio.get_running_loop().time())

    @property
    def packets(self) -> list[RtpPacket]:
        return [packet for _, packet in self.line.sent if packet.payload_type == 101]

    def slots(self) -> list[int]:
        """Of all pictures, in ms since the track began."""
        return [
            (stamp - self.video._timestamp & 0xFFFFFFFF) // 90
            for stamp, _ in groupby(self.packets, lambda packet: packet.timestamp)
        ]

    def units(self) -> list[bytes]:
        parameters = RTCRtpCodecParameters(
            mimeType="video/H264" if self.codec == "h264" else "video/VP8", clockRate=90000
        )
        return [
            b"".join(depayload(parameters, packet.payload) for packet in packets)
            for _, packets in groupby(self.packets, lambda packet: packet.timestamp)
        ]

    def keyframes(self) -> list[int]:
        units = zip(self.slots(), self.units(), strict=True)
        return [slot for slot, unit in units if is_keyframe(self.codec, unit)]

    def shown(self) -> dict[int, Bytes]:
        return dict(zip(self.slots(), decoded(self.codec, self.units()), strict=True))


Story = Callable[[Stage], Awaitable[None]]


@pytest.fixture
def atelier(
    plates: dict[int, LayerBitmaps],
    recorded: dict[tuple[Any, ...], Loop],
    monkeypatch: pytest.MonkeyPatch,
) -> Atelier:
    monkeypatch.setattr(video, "QUALITY_LEVELS", (FULL, HALF, SMALL, NOTHING))
    return Atelier(plates, recorded)


def perform(codec: Codec, atelier: Atelier, story: Story) -> Stage:
    """Play a story; at its end nothing is left of the track."""

    async def main() -> Stage:
        stage = Stage(codec, atelier)
        await stage.begin()
        await story(stage)
        await stage.sender.stop()
        assert atelier.told == []
        assert all(take.closed for take in atelier.takes)
        assert len(asyncio.all_tasks()) == 1
        return stage

    return run_virtual(main())


def pose_of(plates: LayerBitmaps, pose: Pose) -> Bytes:
    picture = Picture(plates)
    picture.show(pose)
    return picture.i420.copy()


# --- what is seen -------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", CODECS)
def test_the_ways_between_loop_and_live_pictures_are_not_seen(
    codec: Codec, atelier: Atelier, plates: dict[int, LayerBitmaps]
) -> None:
    """A reply without a sound: every picture is that of an idle face at its time, however made."""

    async def story(stage: Stage) -> None:
        for at_s in (1.03, 5.37, 9.71):
            await stage.until(at_s)
            stage.speak(1.5, mood="idle", shape="sil")
        await stage.until(16)

    stage = perform(codec, atelier, story)
    shown = stage.shown()
    steps = [b - a for a, b in pairwise(shown)]
    assert len(atelier.takes) == 3
    assert {40, 80} == set(steps)
    assert steps.count(40) >= 3 * 1500 / 40
    expected = {slot: pose_of(plates[160], idle_pose("idle", slot)) for slot in shown}
    # Up to the loop's first keyframe its pictures may be one off (`schedule.Schedule`).
    first = LOOP_FRAME_MS * GROUP
    assert min(psnr(shown[slot], expected[slot]) for slot in shown if slot >= first) > 36
    for before, slot in pairwise([slot for slot in shown if slot < first]):
        assert max(psnr(shown[slot], expected[at]) for at in (before, slot)) > 36
    # From picture to picture nothing moves but what the pose moves, and what encoding changes: a
    # bit more than one of 255 steps of brightness where live pictures and a loop meet.
    for one, other in pairwise([slot for slot in shown if slot >= first]):
        moved = np.abs(expected[one].astype(int) - expected[other]).mean()
        seen = np.abs(shown[one].astype(int) - shown[other]).mean()
        assert seen <= moved + 1.2, (one, other)


@pytest.mark.parametrize("codec", CODECS)
def test_the_mouth_moves_while_it_speaks_and_closes_after_an_interruption(
    codec: Codec, atelier: Atelier, plates: dict[int, LayerBitmaps]
) -> None:
    cleared: list[float] = []

    async def story(stage: Stage) -> None:
        await stage.until(1.01)
        stage.speak(60)
        await stage.until(2.005)
        stage.position = None
        stage.video.clear()
        stage.video.mood("listening")
        cleared.append(stage.video._now_ms())
        await stage.until(4)

    stage = perform(codec, atelier, story)
    shown = stage.shown()
    at = plates[160]._mouth.window
    rows, columns = slice(at.y, at.y + at.height), slice(at.x, at.x + at.width)

    def openness(slot: int) -> float:
        mood: AvatarMood = "idle" if slot < 1000 else "listening"
        closed = pose_of(plates[160], idle_pose(mood, slot))[rows, columns]
        return float(np.abs(shown[slot][rows, columns].astype(int) - closed).mean())

    open_until = [slot for slot in shown if openness(slot) > 4]
    assert min(open_until) == 1040
    assert set(open_until) == {s for s in shown if min(open_until) <= s <= max(open_until)}
    assert 0 <= max(open_until) + 20 - cleared[0] <= 80


def test_a_rung_down_and_up_again_changes_the_size_in_the_middle_of_the_stream(
    atelier: Atelier,
) -> None:
    async def story(stage: Stage) -> None:
        stage.speak(8)
        for at_s, rung in ((1.0, HALF), (2.0, SMALL), (3.0, NOTHING), (5.0, SMALL), (6.0, FULL)):
            await stage.until(at_s)
            atelier.step(rung)
        await stage.until(7)

    stage = perform("vp8", atelier, story)
    sizes = {slot: picture.shape[1] for slot, picture in stage.shown().items()}
    assert {size for slot, size in sizes.items() if slot < 2000} == {160}
    assert {size for slot, size in sizes.items() if 2000 <= slot < 6000} == {96}
    assert {size for slot, size in sizes.items() if slot >= 6000} == {160}
    counts = [len([s for s in sizes if at <= s < at + 1000]) for at in range(0, 7000, 1000)]
    assert counts == pytest.approx([25, 12, 12, 12, 12, 12, 25], abs=1)
    drawn = [due for take in atelier.takes for due, _ in take.poses]
    assert not any(3.85 < due < 5 for due in drawn), "only the loop is shown"
    assert [step[:2] for step in stage.steps] == [
        ("25 fps", "12 fps"),
        ("12 fps", "12 fps, small"),
        ("12 fps, small", "visemes"),
        ("visemes", "12 fps, small"),
        ("12 fps, small", "25 fps"),
    ]
    assert {step[2] for step in stage.steps} == {"busy"}


def test_the_mouth_closes_with_the_sound_that_leaves_at_the_same_time(atelier: Atelier) -> None:
    """Lips meet every 430 ms; half of the pictures show it early, half late, by half a picture."""
    words = [n * 430 for n in range(1, 20)]

    async def story(stage: Stage) -> None:
        line = Line()
        sender: Any = RTCRtpSender("audio", line)  # type: ignore[arg-type]
        transmission = Transmission(sender)
        stage.video._cursor = transmission.cursor
        opus = RTCRtpCodecParameters(
            mimeType="audio/opus", clockRate=48000, channels=2, payloadType=111
        )
        running = asyncio.create_task(sender._run_rtp(opus))
        await stage.until(1.013)
        cues = [(Viseme(at - 330, 330, "aa"), Viseme(at, 100, "PP")) for at in words]
        stage.video.add(Visemes(1, 0, tuple(cue for pair in cues for cue in pair)))
        stage.video.mood("speaking")
        tone = np.full(FRAME, 8000, np.int16)
        for frame in range(0, 9000, 20):  # 200 ms ahead, as a session sends it
            transmission.push(ReplyAudio(1, tone, frame))
            if frame >= 180:
                await asyncio.sleep(0.02)
        running.cancel()
        await asyncio.wait([running])
        began = next(at for at, packet in line.sent if packet.marker)
        closed = [due for due, pose in atelier.takes[0].poses if pose.mouth == (("PP", 4),)]
        for at in words:
            heard = began + at / 1000
            seen = min(due for due in closed if due > heard - 0.06)
            skews.append((seen - heard) * 1000)

    skews: list[float] = []
    perform("vp8", atelier, story)
    assert len(skews) == 19
    # Seven eighths of the way from one shape to another are shown as the whole, 9 ms before it.
    assert -29 < min(skews) <= max(skews) < 20.001
    assert abs(sum(skews) / len(skews)) < 10


# --- what is on the wire ------------------------------------------------------------------------


@pytest.mark.parametrize("codec", CODECS)
def test_pictures_leave_in_their_slots_as_packets_with_a_marker_on_the_last(
    codec: Codec, atelier: Atelier
) -> None:
    async def story(stage: Stage) -> None:
        await stage.until(1.01)
        stage.speak(0.5)
        await stage.until(3)

    stage = perform(codec, atelier, story)
    packets = stage.packets
    numbers = [packet.sequence_number for packet in packets]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert {packet.extensions.mid for packet in packets} == {"v"}
    assert None not in {packet.extensions.abs_send_time for packet in packets}
    assert {packet.ssrc for packet in packets} == {stage.sender._ssrc}
    assert max(len(packet.payload) for packet in packets) <= 1300
    for _, group in groupby(packets, lambda packet: packet.timestamp):
        *others, last = group
        assert last.marker == 1
        assert not any(packet.marker for packet in others)
    times = [
        at
        for (at, _), (_, packet) in pairwise([(0.0, None), *stage.line.sent])
        if packet is not None
    ]
    assert len(times) == len(packets)
    for (at, packet), slot in zip(stage.line.sent, _slots_of(stage), strict=True):
        assert at == pytest.approx(slot / 1000), packet
    assert stage.video.pictures == len(stage.units())
    assert stage.sender._RTCRtpSender__packet_count == len(packets)
    assert stage.sender._RTCRtpSender__octet_count == sum(len(p.payload) for p in packets)


def _slots_of(stage: Stage) -> Iterator[int]:
    for packet in stage.packets:
        yield (packet.timestamp - stage.video._timestamp & 0xFFFFFFFF) // 90


def test_sender_reports_name_the_time_of_the_slot_however_long_encoding_takes(
    atelier: Atelier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def now() -> int:
        return int(asyncio.get_running_loop().time() * (1 << 32))

    monkeypatch.setattr("aiortc.clock.current_ntp_time", now)
    atelier.delay_s = 0.03

    async def story(stage: Stage) -> None:
        stage.speak(5)
        for at_s in (1.0, 2.0, 3.3):
            await stage.until(at_s)
            inside = stage.sender
            slot_ms = (inside._RTCRtpSender__rtp_timestamp - stage.video._timestamp) % 2**32 / 90
            reported = inside._RTCRtpSender__ntp_timestamp / (1 << 32)
            assert reported == pytest.approx(slot_ms / 1000, abs=1e-4)
            assert stage.line.sent[-1][0] == pytest.approx(slot_ms / 1000 + 0.03, abs=1e-3)

    perform("vp8", atelier, story)


def test_pictures_that_take_too_long_are_left_out_and_never_sent_in_bursts(
    atelier: Atelier,
) -> None:
    atelier.delay_s = 0.07

    async def story(stage: Stage) -> None:
        stage.speak(5)
        await stage.until(4)

    stage = perform("vp8", atelier, story)
    times = [at for at, packet in stage.line.sent if packet.marker]
    assert min(b - a for a, b in pairwise(times)) >= 0.0699
    assert len(times) == pytest.approx(4 / 0.07, abs=3)
    decoded("vp8", stage.units())


def test_pictures_that_are_refused_leave_a_keyframe_to_the_next(atelier: Atelier) -> None:
    async def story(stage: Stage) -> None:
        await stage.until(0.95)
        atelier.refuses = 3
        stage.speak(2)
        await stage.until(2)

    stage = perform("h264", atelier, story)
    slots = [slot for slot in stage.slots() if slot > 880]
    assert slots[:2] == [1080, 1120]
    assert 1080 in stage.keyframes()
    decoded("h264", stage.units())


@pytest.mark.parametrize("speaks", [False, True])
def test_a_receiver_that_lost_the_picture_gets_a_keyframe(atelier: Atelier, speaks: bool) -> None:
    async def story(stage: Stage) -> None:
        if speaks:
            stage.speak(5)
        await stage.until(1.29)
        pli = RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=0, media_ssrc=stage.sender._ssrc)
        await stage.sender._handle_rtcp_packet(pli)
        await stage.until(2)

    stage = perform("vp8", atelier, story)
    later = [slot for slot in stage.keyframes() if slot > 1280]
    assert later[0] == (1320 if speaks else 1360)
    decoded("vp8", stage.units()[stage.slots().index(later[0]) :])


def test_a_packet_that_was_lost_is_sent_again(atelier: Atelier) -> None:
    async def story(stage: Stage) -> None:
        await stage.until(0.5)
        lost = stage.packets[-2]
        nack = RtcpRtpfbPacket(
            fmt=RTCP_RTPFB_NACK, ssrc=0, media_ssrc=stage.sender._ssrc, lost=[lost.sequence_number]
        )
        await stage.sender._handle_rtcp_packet(nack)
        again = stage.line.sent[-1][1]
        assert again.payload_type == 102
        whole = unwrap_rtx(again, payload_type=101, ssrc=stage.sender._ssrc)
        assert (whole.sequence_number, whole.payload) == (lost.sequence_number, lost.payload)

    perform("vp8", atelier, story)


def test_a_request_for_everything_is_not_answered_with_everything(atelier: Atelier) -> None:
    async def story(stage: Stage) -> None:
        await stage.until(0.5)
        lost = [packet.sequence_number for packet in stage.packets[-10:]]
        nack = RtcpRtpfbPacket(
            fmt=RTCP_RTPFB_NACK, ssrc=0, media_ssrc=stage.sender._ssrc, lost=lost * 595
        )
        again: list[int] = []
        for end in (0.5, 0.75):
            await stage.until(end)
            before = len(stage.line.sent)
            await stage.sender._handle_rtcp_packet(nack)
            await stage.sender._handle_rtcp_packet(nack)
            again.append(len(stage.line.sent) - before)
        assert again == [video.MOST_RESENT] * 2

    perform("vp8", atelier, story)


# --- life ---------------------------------------------------------------------------------------


def test_nothing_is_sent_before_it_begins_and_then_the_face_that_was_asked_for(
    atelier: Atelier,
) -> None:
    async def main() -> None:
        stage = Stage("vp8", atelier)
        stage.video.begin = lambda face: None  # type: ignore[method-assign]
        await stage.begin()
        await stage.until(0.5)
        assert stage.packets == []
        atelier.step(HALF)
        assert stage.steps == []
        del stage.video.begin
        stage.video.begin("jonas")
        await stage.until(0.65)
        assert stage.keyframes() == [480 if 480 in stage.slots() else 560]
        assert {face for face, _, _ in atelier.asked} == {"jonas"}
        assert stage.steps == [("25 fps", "12 fps", "the server is busy")]
        await stage.sender.stop()

    run_virtual(main())


def test_a_ladder_that_was_climbed_before_it_begins_is_at_its_top(atelier: Atelier) -> None:
    async def main() -> None:
        atelier.step(SMALL)
        stage = Stage("vp8", atelier)
        atelier.step(FULL)
        await stage.begin()
        stage.speak(2)
        await stage.until(1)
        assert stage.steps == []
        assert {picture.shape[1] for picture in stage.shown().values()} == {160}
        await stage.sender.stop()

    run_virtual(main())


def test_a_track_that_never_begins_leaves_nothing(atelier: Atelier) -> None:
    async def main() -> None:
        stage = Stage("vp8", atelier)
        await stage.begin()
        await stage.sender.stop()
        assert (atelier.told, len(asyncio.all_tasks())) == ([], 1)

    run_virtual(main())


def test_a_line_that_breaks_ends_the_track_and_its_encoder(atelier: Atelier) -> None:
    async def story(stage: Stage) -> None:
        stage.speak(5)
        await stage.until(1)
        assert stage.video.drawing
        stage.line.broken = True
        await stage.until(1.2)
        assert stage.sender._RTCRtpSender__rtp_exited.is_set()
        assert not stage.video.drawing

    perform("vp8", atelier, story)


def test_a_studio_that_closes_ends_the_track(atelier: Atelier) -> None:
    async def story(stage: Stage) -> None:
        def closed(*_: object) -> Sitting:
            raise StudioClosed

        await stage.until(1)
        atelier.encoding_session = closed  # type: ignore[method-assign]
        stage.speak(5)
        await stage.until(1.2)
        assert stage.sender._RTCRtpSender__rtp_exited.is_set()

    perform("vp8", atelier, story)


def test_what_else_ends_the_track_is_logged(
    atelier: Atelier, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(stage: Stage) -> None:
        await stage.until(1)

        def fail(unit: bytes, picture_id: int) -> list[bytes]:
            raise ZeroDivisionError

        monkeypatch.setattr(video_codecs, "vp8_payloads", fail)
        await stage.until(1.2)
        assert stage.sender._RTCRtpSender__rtp_exited.is_set()

    perform("vp8", atelier, story)
    assert "no pictures are sent any more" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_an_encoder_that_fails_leaves_the_loop_and_the_client_is_told(
    atelier: Atelier, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(stage: Stage) -> None:
        atelier.error = RuntimeError("no such encoder")
        await stage.until(1)
        stage.speak(5)
        await stage.until(3)
        atelier.step(HALF)
        await stage.until(4)

    stage = perform("vp8", atelier, story)
    assert stage.steps == [("25 fps", "visemes", "pictures cannot be drawn")]
    assert stage.slots()[-10:] == list(range(3280, 4001, 80))
    assert "no pictures can be drawn for 10 s" in caplog.text


def test_pictures_that_failed_are_tried_again_and_the_client_hears_when_they_are_back(
    atelier: Atelier,
) -> None:
    """Fails at 1 s and, tried again, at 11 s; from then on it would work, and at 31 s it does."""
    takes: list[int] = []

    async def story(stage: Stage) -> None:
        atelier.error = RuntimeError("out of memory")
        await stage.until(1)
        stage.speak(60)
        await stage.until(10)
        takes.append(len(atelier.takes))
        await stage.until(12)
        takes.append(len(atelier.takes))
        atelier.error = None
        await stage.until(30)
        takes.append(len(atelier.takes))
        assert len(stage.steps) == 1
        await stage.until(33)
        assert stage.video.drawing

    stage = perform("vp8", atelier, story)
    assert takes == [1, 2, 2]
    assert stage.steps == [
        ("25 fps", "visemes", "pictures cannot be drawn"),
        ("visemes", "25 fps", "pictures are drawn again"),
    ]
    counts = [len([s for s in stage.slots() if at <= s < at + 1000]) for at in (20_000, 32_000)]
    assert counts == pytest.approx([12, 25], abs=1)
    decoded("vp8", stage.units())


@pytest.mark.parametrize("early_ms", [0.0, 0.4, 0.9])
def test_a_timer_that_fires_early_does_not_make_it_spin(
    atelier: Atelier, monkeypatch: pytest.MonkeyPatch, early_ms: float
) -> None:
    """uvloop's clock ticks in milliseconds, and its timers go by that clock."""
    waits: list[float] = []
    pictures: list[int] = []

    async def story(stage: Stage) -> None:
        wait = stage.video._until

        async def until(when: float) -> None:
            waits.append(when)
            assert len(waits) < 1000
            await wait(when - early_ms / 1000)

        await stage.until(1.01)
        monkeypatch.setattr(stage.video, "_until", until)
        stage.speak(3)
        pictures.append(stage.video.pictures)
        await stage.until(3.01)
        pictures.append(stage.video.pictures)

    perform("vp8", atelier, story)
    shown = pictures[1] - pictures[0]
    assert shown == pytest.approx(50, abs=2)
    assert len(waits) <= shown + 3


def test_loops_that_cannot_be_made_are_asked_for_again(atelier: Atelier) -> None:
    async def story(stage: Stage) -> None:
        atelier.loop_error = FaceError(["no such layer"])
        await stage.until(1)
        assert stage.packets == []
        atelier.loop_error = None
        await stage.until(video.RETRY_S + 1)
        assert stage.packets != []

    perform("vp8", atelier, story)


def test_a_track_whose_studio_has_closed_waits_for_its_end(atelier: Atelier) -> None:
    async def story(stage: Stage) -> None:
        atelier.loop_error = StudioClosed()
        await stage.until(30)
        assert len(atelier.asked) == 1

    perform("vp8", atelier, story)


def test_loops_of_the_size_that_holds_are_fetched(atelier: Atelier) -> None:
    async def story(stage: Stage) -> None:
        await stage.until(0.015)
        atelier.step(SMALL)
        await stage.until(1.5)

    stage = perform("vp8", atelier, story)
    assert [size for _, size, _ in atelier.asked] == [160, 160, 96, 96, 96, 96]
    sizes = {slot: picture.shape[1] for slot, picture in stage.shown().items()}
    assert {size for slot, size in sizes.items() if slot >= GROUP * 80} == {96}


# --- an avatar server's pictures ----------------------------------------------------------------

SILENT, DARK, LIGHT = 40, 90, 200


class Puppet:
    """In place of an animation: dark and light every 400 ms, as long as it is not `gone`."""

    def __init__(self, video: Video) -> None:
        self.video = video
        self.gone = False
        self.missing = False
        self.data: bytes | None = None
        self.loop: list[tuple[int, bytes]] = [(0, jpeg(SILENT))]
        self.rejected: list[AvatarMood] = []
        self.asked = 0

    def follows(self, turn: int) -> bool:
        return not self.gone

    def frame_at(self, turn: int, position_ms: int) -> AvatarFrame | None:
        if self.missing:
            return None
        data = self.data or jpeg(self.grey(position_ms))
        return AvatarFrame(turn, position_ms, "image/jpeg", data)

    @staticmethod
    def grey(position_ms: float) -> int:
        return LIGHT if position_ms // 400 % 2 else DARK

    async def silence(self, mood: AvatarMood) -> list[tuple[int, bytes]]:
        self.asked += 1
        return self.loop

    def reject_silence(self, mood: AvatarMood) -> None:
        self.rejected.append(mood)

    def reject(self, turn: int, reason: str) -> None:
        self.gone = True
        self.video.gave_way(turn, "remote", None, reason)


def animate(stage: Stage) -> Puppet:
    stage.video.animation = puppet = Puppet(stage.video)  # type: ignore[assignment]
    return puppet


def greys(stage: Stage) -> dict[int, int]:
    """The shade that each picture of the server's has; -1 for the built-in face."""
    shades = {luma(grey): grey for grey in (SILENT, DARK, LIGHT)}
    found = {}
    for slot, i420 in stage.shown().items():
        mean = i420[: i420.shape[1]].mean()
        [shade] = [grey for light, grey in shades.items() if abs(mean - light) < 3] or [-1]
        found[slot] = shade if i420[: i420.shape[1]].std() < 3 else -1
    return found


@pytest.mark.parametrize("codec", CODECS)
def test_pictures_of_a_server_are_shown_with_their_sound(codec: Codec, atelier: Atelier) -> None:
    async def story(stage: Stage) -> None:
        animate(stage)
        await stage.until(1.01)
        stage.speak(3)
        await stage.until(6)

    stage = perform(codec, atelier, story)
    found = greys(stage)
    assert {grey for slot, grey in found.items() if slot < 1000 or slot > 4300} == {SILENT}
    for slot in range(1040, 4000, 40):
        standing = found[max(s for s in found if s <= slot)]
        assert standing == Puppet.grey(slot - 1010 + 20), slot
    live = [slot for slot in found if 1010 < slot < 4000]
    assert len(live) == 8, "what has not changed is not sent again"
    assert min(slot for slot in found if slot > 4000 and found[slot] == SILENT) <= 4300
    assert stage.replaced == []


def test_a_peer_that_lost_the_picture_of_a_server_gets_it_again(atelier: Atelier) -> None:
    async def story(stage: Stage) -> None:
        puppet = animate(stage)
        await stage.until(1.01)
        stage.speak(3)
        await stage.until(1.3)
        puppet.missing = True
        await stage.sender._handle_rtcp_packet(
            RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=0, media_ssrc=stage.sender._ssrc)
        )
        await stage.until(2)

    stage = perform("vp8", atelier, story)
    assert [slot for slot in stage.keyframes() if 1000 < slot < 2000] == [1040, 1320]
    assert greys(stage)[1320] == DARK


def test_an_interruption_is_seen_at_once_in_pictures_of_a_server(atelier: Atelier) -> None:
    async def story(stage: Stage) -> None:
        animate(stage)
        await stage.until(1.01)
        stage.speak(60)
        await stage.until(2.505)
        stage.position = None
        stage.video.clear()
        await stage.until(5)

    stage = perform("h264", atelier, story)
    found = greys(stage)
    after = [slot for slot in found if slot > 2505]
    assert after[0] <= 2585
    assert {found[slot] for slot in after} == {SILENT}
    assert len(atelier.takes) == 1


def test_the_built_in_face_takes_over_at_a_keyframe_and_gives_way_again(atelier: Atelier) -> None:
    async def story(stage: Stage) -> None:
        puppet = animate(stage)
        await stage.until(1.01)
        stage.speak(2)
        await stage.until(2.01)
        for _ in range(2):  # told once
            puppet.reject(1, "its pictures come too late")
        await stage.until(5)
        puppet.gone = False
        now = asyncio.get_running_loop().time()
        stage.position = 2, now, now + 1
        stage.video.mood("speaking")
        await stage.until(9)

    stage = perform("vp8", atelier, story)
    found = greys(stage)
    own = [slot for slot, grey in found.items() if grey == -1]
    assert own[0] == 2040
    assert 2040 in stage.keyframes()
    assert set(own) == {slot for slot in found if 2040 <= slot < 5000}
    assert {grey for slot, grey in found.items() if slot > 5100} == {SILENT, DARK, LIGHT}
    assert found[max(found)] == SILENT
    assert stage.replaced == [
        (1, "remote", "face", "its pictures come too late"),
        (2, "face", "remote", "its pictures are there again"),
    ]


def test_a_picture_that_was_under_way_when_the_server_failed_does_not_bring_it_back(
    atelier: Atelier,
) -> None:
    atelier.delay_s = 0.03

    async def story(stage: Stage) -> None:
        puppet = animate(stage)
        await stage.until(1.01)
        stage.speak(3)
        while stage.video._server_picture is None:
            await asyncio.sleep(0.001)
        await stage.until(1.41)  # the first light one was begun at 1.4
        begun = stage.video.pictures
        puppet.reject(1, "stall")
        await stage.until(1.435)
        assert stage.video.pictures == begun + 1
        await stage.until(3)

    stage = perform("vp8", atelier, story)
    assert stage.replaced == [(1, "remote", "face", "stall")]
    assert {grey for slot, grey in greys(stage).items() if slot > 1440} == {-1}


def test_a_picture_that_cannot_be_decoded_leaves_the_reply_to_the_built_in_face(
    atelier: Atelier,
) -> None:
    async def story(stage: Stage) -> None:
        puppet = animate(stage)
        await stage.until(1.01)
        stage.speak(2)
        await stage.until(2.01)
        puppet.data = jpeg(DARK)[:100] + b"\xff\xd9"
        await stage.until(4)

    stage = perform("vp8", atelier, story)
    found = greys(stage)
    assert {grey for slot, grey in found.items() if 1010 < slot < 2000} == {DARK, LIGHT}
    assert {grey for slot, grey in found.items() if slot > 2040} == {-1}
    [(turn, source, target, reason)] = stage.replaced
    assert (turn, source, target) == (1, "remote", "face")
    assert "cannot be shown" in reason


def test_a_server_without_loops_is_asked_for_them_again(atelier: Atelier) -> None:
    puppets: list[Puppet] = []

    async def story(stage: Stage) -> None:
        puppets.append(animate(stage))
        [puppet] = puppets
        puppet.loop = []
        await stage.until(2)
        assert puppet.asked == 4
        puppet.loop = [(0, b"nonsense")]
        await stage.until(video.RETRY_S + 2)
        assert puppet.asked == 8
        assert len(set(puppet.rejected)) == len(puppet.rejected) == 4
        puppet.loop = [(0, jpeg(SILENT))]
        await stage.until(4 * video.RETRY_S)
        assert puppet.asked == 12

    stage = perform("vp8", atelier, story)
    found = greys(stage)
    assert {grey for slot, grey in found.items() if slot < 20_000} == {-1}
    assert {grey for slot, grey in found.items() if slot > 22_000} == {SILENT}


# --- codecs -------------------------------------------------------------------------------------


def offered(*names: tuple[str, int, dict[str, Any]]) -> list[RTCRtpCodecParameters]:
    return [
        RTCRtpCodecParameters(
            mimeType=f"video/{name}", clockRate=90000, payloadType=number, parameters=parameters
        )
        for name, number, parameters in names
    ]


VP8 = ("VP8", 96, {})
VP8_RTX = ("rtx", 97, {"apt": 96})
BASELINE = ("H264", 98, {"profile-level-id": "42001f", "packetization-mode": "1"})
CONSTRAINED = ("H264", 100, {"profile-level-id": "42E01F", "packetization-mode": "1"})
CONSTRAINED_RTX = ("rtx", 101, {"apt": 100})


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((VP8, VP8_RTX, BASELINE, CONSTRAINED, CONSTRAINED_RTX), [100, 101]),
        ((VP8, VP8_RTX, BASELINE), [98]),
        ((VP8, VP8_RTX), [96, 97]),
        ((VP8,), [96]),
        ((), []),
    ],
)
def test_constrained_baseline_is_answered_where_it_is_offered(
    names: tuple[Any, ...], expected: list[int]
) -> None:
    assert [codec.payloadType for codec in choose(offered(*names))] == expected


def test_what_cannot_be_encoded_here_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_codecs, "encodable", lambda: ("vp8",))
    assert [c.payloadType for c in choose(offered(CONSTRAINED, VP8))] == [96]
    monkeypatch.setattr(video_codecs, "encodable", lambda: ())
    assert choose(offered(CONSTRAINED, VP8)) == []
