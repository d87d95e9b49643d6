"""An avatar server's pictures over WebRTC: a client of aiortc's sees them beside a conversation.

The server is a real process whose pictures are grey, and the lighter the louder.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.breaker import Breaker, BreakerPolicy
from pipeline.frames import AvatarFrame, Sentence, Speech
from pipeline.guard import Candidate, Guard, Limits
from pipeline.ladder import Ladder
from pipeline.stage import Scene
from stages.avatar.remote import RemoteAnimator
from stages.fakes import FakeSynthesizer
from tests.support.video import luma
from tests.support.webrtc import Browser, Doorway, Seen

pytestmark = pytest.mark.realtime

PATIENT = Limits(first_s=10, slow_first_s=10, stall_s=0.5, total_s=20)
SILENT, BUILT_IN = "silent", "built in"


class Switch:
    """The server as it is now: `behaviour` may change."""

    provider = "remote"

    def __init__(self, url: str) -> None:
        self.behaviour = "hello"
        self._url = url
        self._stages: dict[str, RemoteAnimator] = {}

    async def animate(self, scene: Scene) -> AsyncIterator[AvatarFrame]:
        behaviour = self.behaviour
        if behaviour not in self._stages:
            self._stages[behaviour] = RemoteAnimator(f"{self._url}/{behaviour}/webrtc/v1")
        async for frame in self._stages[behaviour].animate(scene):
            yield frame

    async def aclose(self) -> None:
        for stage in self._stages.values():
            await stage.aclose()


class Slow:
    """A voice that pauses for 400 ms after every word of 400 ms."""

    provider = "slow"
    rate_hz = 16_000

    def __init__(self) -> None:
        self._tone = FakeSynthesizer(ms_per_word=800)

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        async for speech in self._tone.speak(sentence):
            pcm = speech.pcm.copy()
            for start in range(0, len(pcm), 12_800):
                pcm[start + 6_400 : start + 12_800] = 0
            yield replace(speech, pcm=pcm)

    async def aclose(self) -> None:
        pass


@pytest.fixture
def switch(doorway: Doorway, avatar_peer: Any, monkeypatch: pytest.MonkeyPatch) -> Switch:
    # However busy the machine of the tests is.
    monkeypatch.setattr(Ladder, "strained", lambda *_: None)
    monkeypatch.setattr(Ladder, "drew", lambda *_: None)
    switch = Switch(avatar_peer.url)
    scripted = doorway.scripted
    breaker = Breaker(BreakerPolicy(consecutive_failures=50))

    def animated() -> Any:
        candidate = Candidate(switch.provider, switch, breaker, PATIENT)
        return replace(scripted(), animators=Guard("avatar", [candidate]))

    doorway.scripted = animated  # type: ignore[method-assign]
    doorway.synthesizer = Slow()
    return switch


def hold(doorway: Doorway, switch: Switch, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        try:
            await story()
        finally:
            await switch.aclose()

    doorway.run(main)


def shade(seen: Seen) -> str:
    """What a picture shows; of speech, how light it is."""
    plane = seen.i420[: seen.i420.shape[1]]
    if plane.std() > 4:
        return BUILT_IN
    grey = (plane.mean() - 16) * 255 / 219
    return SILENT if abs(plane.mean() - luma(40)) < 4 else f"{grey:.0f}"


async def until_seen(browser: Browser, what: Any, since: int = 0) -> int:
    """The number of the first picture that is as wanted."""
    async with asyncio.timeout(15):
        while True:
            for number in range(since, len(browser.pictures)):
                if what(shade(browser.pictures[number])):
                    return number
            since = len(browser.pictures)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("codec", ["video/H264", "video/VP8"])
def test_pictures_of_the_server_are_seen_while_it_speaks_and_while_it_does_not(
    doorway: Doorway, switch: Switch, codec: str
) -> None:
    async def story() -> None:
        async with doorway.browser(video=codec) as browser:
            ready = await browser.until("ready")
            assert ready["providers"]["avatar"] == "remote"
            await until_seen(browser, str.isdigit)
            await asyncio.sleep(2.5)
            browser.say(type="interrupt")
            await browser.until("reply.done", turn=0, interrupted=True)
            await asyncio.sleep(1)
            shades = [shade(picture) for picture in browser.pictures]
            assert BUILT_IN not in shades
            assert shades[-1] == SILENT
            assert "degraded" not in browser.types()

    hold(doorway, switch, story)


def lag_ms(browser: Browser, since: float) -> int:
    """By how much pictures get light after sound gets loud, as both came, over two seconds."""
    times = np.arange(since, since + 2, 0.02)
    heard = np.array([at for at, _ in browser.loudness])
    peaks = np.array([peak > 1000 for _, peak in browser.loudness], float)
    seen = np.array([picture.at for picture in browser.pictures])
    light = np.array([shade(picture).isdigit() for picture in browser.pictures], float)

    def likeness(lag: int) -> float:
        at_heard = np.searchsorted(heard, times, side="right") - 1
        at_seen = np.searchsorted(seen, times + lag / 1000, side="right") - 1
        return float((peaks[at_heard] == light[at_seen]).mean())

    best = max(range(-400, 401, 20), key=likeness)
    assert likeness(best) > 0.8
    return best


def test_sound_and_pictures_of_the_server_come_together(doorway: Doorway, switch: Switch) -> None:
    async def story() -> None:
        async with doorway.browser(video="video/H264") as browser:
            first = await until_seen(browser, str.isdigit)
            since = browser.pictures[first].at + 0.5
            await asyncio.sleep(3.5)
            # Without the client's own correction; its audio waits in a jitter buffer.
            assert abs(lag_ms(browser, since)) <= 120

    hold(doorway, switch, story)


def test_the_built_in_face_is_seen_after_the_server_has_failed_until_it_is_back(
    doorway: Doorway, switch: Switch
) -> None:
    async def story() -> None:
        async with doorway.browser(video="video/VP8") as browser:
            await until_seen(browser, str.isdigit)
            switch.behaviour = "garbage"
            browser.say(type="text", text="this is what I think")
            told = await browser.until("degraded", stage="avatar")
            assert (told["from"], told["to"]) == ("remote", "face")
            own = await until_seen(browser, lambda seen: seen == BUILT_IN)
            assert any(peak > 1000 for _, peak in browser.loudness[-100:]), "it speaks on"
            await asyncio.sleep(1.5)
            shades = {shade(picture) for picture in browser.pictures[own:]}
            assert shades == {BUILT_IN}
            # A second reply fails, and is not told of again.
            browser.say(type="text", text="and this as well")
            await asyncio.sleep(1.5)
            degraded = [m for m in browser.messages if m["type"] == "degraded"]
            assert len(degraded) == 1
            switch.behaviour = "hello"
            since = len(browser.pictures)
            browser.say(type="text", text="but this is better")
            await until_seen(browser, str.isdigit, since)
            told = await browser.until("degraded", to="remote")
            assert told["from"] == "face"
            browser.say(type="interrupt")
            await until_seen(browser, lambda seen: seen == SILENT, since)

    hold(doorway, switch, story)
