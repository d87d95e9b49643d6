"""The face over WebRTC, beside a whole conversation: a client of aiortc's decodes it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import pytest
from aiortc import RTCSessionDescription

from gateway.transports.webrtc.video import Video
from pipeline.frames import AvatarMood, Sentence, Speech, Viseme
from pipeline.ladder import Ladder, LadderStep
from stages.avatar.face import FACES, load
from stages.avatar.quality import QUALITY_LEVELS
from stages.avatar.renderer import Bytes, LayerBitmaps, Picture
from stages.avatar.studio import Studio
from stages.avatar.timeline import Pose, idle_pose
from stages.fakes import FakeSynthesizer
from tests.support.video import psnr
from tests.support.webrtc import Browser, Doorway, Seen

pytestmark = pytest.mark.realtime

CODECS = ("video/H264", "video/VP8")


class Chewer:
    """A tone for every word, with a mouth that opens and closes."""

    provider = "chewer"
    rate_hz = 16_000

    def __init__(self) -> None:
        self._tone = FakeSynthesizer(ms_per_word=400)

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        async for speech in self._tone.speak(sentence):
            at_ms = speech.cues[0].at_ms
            yield replace(speech, cues=(Viseme(at_ms, 200, "aa"), Viseme(at_ms + 200, 200, "PP")))

    async def aclose(self) -> None:
        pass


@pytest.fixture(scope="module")
def plates() -> dict[str, LayerBitmaps]:
    return {face: LayerBitmaps(load(FACES / face), 320) for face in ("mira", "jonas")}


@pytest.fixture
def doorway(doorway: Doorway, monkeypatch: pytest.MonkeyPatch) -> Doorway:
    doorway.synthesizer = Chewer()
    # However busy the machine of the tests is.
    monkeypatch.setattr(Ladder, "strained", lambda *_: None)
    monkeypatch.setattr(Ladder, "drew", lambda *_: None)
    return doorway


def video_of(doorway: Doorway) -> Video:
    (live, _), *_ = doorway.peers()._live.values()
    assert live._transport.video is not None
    return live._transport.video


def studio_of(doorway: Doorway) -> Studio:
    studio: Studio | None = doorway.app.state.runtime.studio
    assert studio is not None
    return studio


async def seen(browser: Browser, count: int) -> list[Seen]:
    """The next pictures."""
    before = len(browser.pictures)
    async with asyncio.timeout(10):
        while len(browser.pictures) < before + count:
            await asyncio.sleep(0.02)
    return browser.pictures[before:]


def slots(browser: Browser, video: Video) -> list[tuple[int, Bytes]]:
    """What was seen by slots of the track's clock: the client's timestamps begin at 0."""
    transceiver = next(t for t in browser.pc.getTransceivers() if t.kind == "video")
    inside: Any = transceiver.receiver
    origin = inside._RTCRtpReceiver__timestamp_mapper._origin - video._timestamp & 0xFFFFFFFF
    return [(round((p.stamp_ms * 90 + origin) / 90), p.i420) for p in browser.pictures]


def mouth(plates: LayerBitmaps, i420: Bytes) -> Bytes:
    at = plates._mouth.window
    return i420[at.y : at.y + at.height, at.x : at.x + at.width]


def pose_of(plates: LayerBitmaps, pose: Pose) -> Bytes:
    picture = Picture(plates)
    picture.show(pose)
    return picture.i420.copy()


@pytest.mark.parametrize("codec", CODECS)
def test_the_face_speaks_with_the_reply_and_closes_its_mouth_when_interrupted(
    doorway: Doorway, plates: dict[str, LayerBitmaps], codec: str
) -> None:
    async def story() -> None:
        async with doorway.browser(video=codec) as browser:
            assert "a=sendonly" in browser.answer
            assert (await browser.until("ready"))["providers"]["avatar"] == "face"
            assert browser.answer.count("a=rtpmap") == 3, "Opus, one codec and its repetitions"
            video = video_of(doorway)
            cleared: list[float] = []
            clear = video.clear

            def cleared_now() -> None:
                cleared.append(video._now_ms())
                clear()

            video.clear = cleared_now  # type: ignore[method-assign]
            while not any(peak > 1000 for _, peak in browser.loudness[-3:]):
                await asyncio.sleep(0.02)
            await seen(browser, 50)
            browser.say(type="interrupt")
            await browser.until("reply.done", turn=0, interrupted=True)
            await seen(browser, 25)

            def openness(slot: int, i420: Bytes) -> float:
                poses = [idle_pose(mood, slot) for mood in ("idle", "speaking", "listening")]
                closed = [mouth(plates["mira"], pose_of(plates["mira"], pose)) for pose in poses]
                shown = mouth(plates["mira"], i420).astype(int)
                return min(float(np.abs(shown - one).mean()) for one in closed)

            opened = [(slot, openness(slot, i420) > 4) for slot, i420 in slots(browser, video)]
            changes = sum(a[1] != b[1] for a, b in pairwise(opened))
            assert changes >= 6, "two seconds of it, five changes a second"
            still_open = max(slot for slot, is_open in opened if is_open)
            assert still_open - cleared[0] <= 60, "the next picture is 20 ms later, and closed"
            assert not video.drawing or (await seen(browser, 25) and not video.drawing)

    doorway.run(story)


@pytest.mark.parametrize("asked", [None, "jonas"])
def test_the_face_that_hello_asks_for_is_shown(
    doorway: Doorway, plates: dict[str, LayerBitmaps], asked: str | None
) -> None:
    hello = {} if asked is None else {"face": asked}

    async def story() -> None:
        async with doorway.browser(video="video/VP8", **hello) as browser:
            await seen(browser, 5)
            moods: tuple[AvatarMood, ...] = ("idle", "thinking", "speaking")
            slot, i420 = slots(browser, video_of(doorway))[4]
            expected = plates[asked or "mira"]
            likeness = max(psnr(i420, pose_of(expected, idle_pose(m, slot))) for m in moods)
            other = plates["mira" if asked else "jonas"]
            assert likeness > 25 > psnr(i420, pose_of(other, idle_pose("idle", slot)))

    doorway.run(story)


def test_a_face_that_is_not_known_is_told_and_the_default_shown(doorway: Doorway) -> None:
    async def story() -> None:
        async with doorway.browser(video="video/VP8", face="../../etc") as browser:
            error = await browser.until("error")
            assert (error["code"], error["fatal"]) == ("unknown_face", False)
            assert error["message"] == (
                "face: '../../etc' is not one of jonas, lin, mira; mira is shown"
            )
            assert video_of(doorway)._face == "mira"
            await seen(browser, 3)

    doorway.run(story)


def test_who_has_no_channel_is_shown_the_default(doorway: Doorway) -> None:
    async def story() -> None:
        browser = Browser(doorway, channel=False, video="video/VP8")
        try:
            await browser.connect()
            await seen(browser, 3)
            assert video_of(doorway)._face == "mira"
        finally:
            await browser.close()

    doorway.run(story)


def test_a_gateway_that_draws_nothing_answers_without_video(doorway: Doorway) -> None:
    doorway.settings["avatar_video"] = "off"

    async def story() -> None:
        async with doorway.browser(video="video/H264", face="nobody") as browser:
            assert "m=video" in browser.answer
            assert "a=inactive" in browser.answer
            assert (await browser.until("ready"))["providers"]["avatar"] == "visemes"
            assert (await browser.until("visemes"))["turn"] == 0
            assert "error" not in browser.types()
        assert browser.pictures == []

    doorway.run(story)


def test_a_camera_that_only_sends_is_not_answered(doorway: Doorway) -> None:
    async def story() -> None:
        browser = Browser(doorway)
        browser.pc.addTransceiver("video", direction="sendonly")
        async with httpx.AsyncClient(base_url=doorway.url, timeout=30) as client:
            headers = {"content-type": "application/sdp"}
            made = await client.post("/webrtc/c", content=await browser.offer(), headers=headers)
        assert "a=inactive" in made.text
        await browser.pc.setRemoteDescription(RTCSessionDescription(made.text, "answer"))
        await browser.until("ready")
        await browser.close()

    doorway.run(story)


def test_a_step_of_the_ladder_is_told_and_seen(doorway: Doorway) -> None:
    async def story() -> None:
        async with doorway.browser(video="video/H264") as browser:
            await browser.until("reply.started", turn=0)
            studio = studio_of(doorway)
            await seen(browser, 30)
            for down in range(3):
                studio.ladder._down(LadderStep(down + 1), "it is a test", 0.0)
                assert studio.level is QUALITY_LEVELS[down + 1]
                told = await browser.until("degraded", to=QUALITY_LEVELS[down + 1].name)
                assert told["from"] == QUALITY_LEVELS[down].name
                assert (told["stage"], told["turn"]) == ("avatar", 0)
                assert told["reason"] == "it is a test"
                await seen(browser, 12)
            assert {p.i420.shape[1] for p in browser.pictures[:30]} == {320}
            assert browser.pictures[-1].i420.shape[1] == 192
            async with asyncio.timeout(5):
                while video_of(doorway).drawing:
                    await asyncio.sleep(0.02)
            studio.ladder._change(LadderStep.SMALL_PICTURES)
            await browser.until("degraded", to="12 fps, small")
            while not video_of(doorway).drawing:
                await asyncio.sleep(0.02)

    doorway.run(story)
