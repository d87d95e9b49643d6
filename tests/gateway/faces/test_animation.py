"""Speech to an avatar server and pictures back, in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gateway.faces import animation as module
from gateway.faces.animation import (
    KEPT_MS,
    MISSED_MS,
    MOST_FRAMES,
    MOST_MS,
    MOST_WAITING_MS,
    Animation,
)
from gateway.faces.loops import Loops
from pipeline.breaker import Breaker, BreakerPolicy, BreakerState
from pipeline.errors import StageFailed
from pipeline.frames import AvatarFrame, Spoken, Viseme
from pipeline.guard import Candidate, Guard, Limits
from pipeline.playout import LOOK_AHEAD_MS
from pipeline.testing import Script, run_virtual
from stages.avatar.remote import MOST_FRAME_BYTES
from stages.fakes import FakeAnimator

RATE_HZ = 16_000
LIMITS = Limits(first_s=2.0, slow_first_s=1.0, stall_s=1.0, total_s=15.0)


class Server:
    """An animation, who animates it, and what became known of failures."""

    def __init__(self) -> None:
        self.animator: Any = FakeAnimator()
        self.breaker = Breaker(BreakerPolicy(open_s=5, consecutive_failures=3))
        self.gave_way: list[tuple[int, str, str]] = []
        self.animation: Animation

    def hold(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            guard = Guard("avatar", [Candidate("fake-avatar", self.animator, self.breaker, LIMITS)])
            self.animation = Animation(
                guard,
                Loops(guard, 80),
                face="mira",
                size=320,
                frame_ms=80,
                gave_way=self.note,
            )
            async with self.animation.running():
                await story()
            assert len(asyncio.all_tasks()) == 1

        run_virtual(main())

    def note(self, turn: int, source: str, target: str | None, reason: str) -> None:
        assert target is None
        self.gave_way.append((turn, source, reason))

    def say(self, turn: int, at_ms: int, ms: int, *, last: bool = False, cues: Any = ()) -> None:
        pcm = np.zeros(ms * RATE_HZ // 1000, np.int16)
        self.animation.hear(Spoken(turn, at_ms, RATE_HZ, pcm, tuple(cues), last))

    def at(self, turn: int, position_ms: int) -> int | None:
        """The time that the picture for a position belongs to."""
        frame = self.animation.frame_at(turn, position_ms)
        return None if frame is None else frame.at_ms

    @property
    def scenes(self) -> list[tuple[int, int]]:
        """Where the scenes that were asked for began, and how long they were."""
        return [
            (scene.speech.at_ms, len(scene.speech.pcm) * 1000 // RATE_HZ)
            for scene in self.animator.scenes
        ]


@pytest.fixture
def server() -> Server:
    return Server()


def test_speech_becomes_pictures_for_its_positions(server: Server) -> None:
    async def story() -> None:
        server.say(0, 0, 1000, last=True)
        await asyncio.sleep(0.1)
        assert [server.at(0, at) for at in (0, 80, 100, 159, 960)] == [0, 80, 80, 80, 960]
        assert server.at(1, 0) is None

    server.hold(story)
    assert server.scenes == [(0, 1000)]
    assert server.gave_way == []


def test_a_scene_is_a_sentence_or_two_seconds_of_it(server: Server) -> None:
    async def story() -> None:
        for at_ms in range(0, 5000, 100):
            server.say(0, at_ms, 100, last=at_ms == 4900)
        server.say(0, 5000, 300, last=True)
        await asyncio.sleep(0.1)

    server.hold(story)
    assert server.scenes == [(0, MOST_MS), (2000, MOST_MS), (4000, 1000), (5000, 300)]


def test_speech_in_drops_is_gathered_for_a_moment(server: Server) -> None:
    async def story() -> None:
        server.say(0, 0, 100)
        await asyncio.sleep(0.05)
        server.say(0, 100, 100)
        await asyncio.sleep(1)
        for at_ms in range(200, 800, 100):
            server.say(0, at_ms, 100)
        await asyncio.sleep(0.01)

    server.hold(story)
    assert server.scenes == [(0, 200), (200, 600)]


def test_mouth_shapes_go_with_their_speech_cut_at_its_ends(server: Server) -> None:
    async def story() -> None:
        cues = [Viseme(at, 300, "aa") for at in range(0, 2400, 300)]
        for at_ms in range(0, 2400, 200):
            here = [cue for cue in cues if at_ms <= cue.at_ms < at_ms + 200]
            server.say(3, at_ms, 200, cues=here, last=at_ms == 2200)
        await asyncio.sleep(0.1)

    server.hold(story)
    first, second = (scene.speech.cues for scene in server.animator.scenes)
    assert [(cue.at_ms, cue.duration_ms) for cue in first] == [
        *((at, 300) for at in range(0, 1800, 300)),
        (1800, 200),
    ]
    assert [(cue.at_ms, cue.duration_ms) for cue in second] == [(2000, 100), (2100, 300)]


def test_another_rate_is_another_scene(server: Server) -> None:
    async def story() -> None:
        server.say(0, 0, 500)
        server.animation.hear(Spoken(0, 500, 8000, np.zeros(4000, np.int16), last=True))
        await asyncio.sleep(0.1)

    server.hold(story)
    assert [scene.speech.rate_hz for scene in server.animator.scenes] == [16_000, 8000]


def test_the_scenes_of_a_reply_are_animated_one_after_the_other(server: Server) -> None:
    server.animator = FakeAnimator(Script(first_s=0.5))

    async def story() -> None:
        for at_ms in range(0, 4000, 1000):
            server.say(0, at_ms, 1000, last=True)
        await asyncio.sleep(0.6)
        assert server.scenes == [(0, 1000), (1000, 1000)]
        await asyncio.sleep(2)
        assert server.at(0, 3990) == 3960

    server.hold(story)


def test_what_is_late_is_dropped_and_what_is_in_time_shown(server: Server) -> None:
    server.animator = FakeAnimator(Script(first_s=0.7, gap_s=0.02))

    async def story() -> None:
        server.say(0, 0, 2000, last=True)
        for position_ms in range(0, 640, 80):
            assert server.at(0, position_ms) is None
            await asyncio.sleep(0.08)
        await asyncio.sleep(1)
        assert server.at(0, 320) is None
        assert server.at(0, 800) == 800

    server.hold(story)
    assert server.gave_way == []


def test_a_picture_stands_for_two_of_its_kind_and_no_longer(server: Server) -> None:
    server.animator = FakeAnimator(Script(after=5, stall=True))

    async def story() -> None:
        server.say(0, 0, 2000, last=True)
        await asyncio.sleep(0.1)
        assert [server.at(0, at) for at in (320, 400, 479, 480)] == [320, 320, 320, None]

    server.hold(story)


def test_speech_that_was_sent_meanwhile_is_not_asked_for(server: Server) -> None:
    server.animator = FakeAnimator(Script(first_s=1.0))

    async def story() -> None:
        server.say(0, 0, 500, last=True)
        server.say(0, 500, 500, last=True)
        server.say(0, 1000, 500, last=True)
        await asyncio.sleep(0.5)
        server.at(0, 1040)
        await asyncio.sleep(2)

    server.hold(story)
    assert server.scenes == [(0, 500), (1000, 500)]


def test_what_waits_for_a_server_is_bounded(server: Server) -> None:
    server.animator = FakeAnimator(Script(first_s=1.9))

    async def story() -> None:
        server.say(0, 0, 500, last=True)
        await asyncio.sleep(0.1)
        for at_ms in range(500, 60_000, 500):
            server.say(0, at_ms, 500, last=True)
        await asyncio.sleep(2)
        assert server.scenes[1] == (60_000 - MOST_WAITING_MS, 500)

    server.hold(story)


def test_pictures_that_wait_are_bounded(server: Server) -> None:
    async def story() -> None:
        for at_ms in range(0, 60_000, 2000):
            server.say(0, at_ms, 2000, last=True)
            await asyncio.sleep(0.01)
        newest = 60_000 - 80
        assert server.at(0, newest - (MOST_FRAMES - 1) * 80) is not None
        assert server.at(0, newest) == newest

    server.hold(story)


def test_the_largest_pictures_of_speech_that_waits_have_room(server: Server) -> None:
    class Large(FakeAnimator):
        async def animate(self, scene: Any) -> Any:
            async for frame in super().animate(scene):
                yield replace(frame, data=bytes(MOST_FRAME_BYTES))

    server.animator = Large()

    async def story() -> None:
        for at_ms in range(0, KEPT_MS + LOOK_AHEAD_MS + MOST_MS, 2000):
            server.say(0, at_ms, 2000, last=True)
            await asyncio.sleep(0.1)
        assert [server.at(0, at) for at in (0, 80, 160)] == [0, 80, 160]

    server.hold(story)


def test_a_reply_is_given_up_once(server: Server) -> None:
    async def story() -> None:
        server.say(0, 0, 1000, last=True)
        await asyncio.sleep(0.1)
        server.animation.reject(0, "it is no picture")
        server.animation.reject(0, "it is no picture")

    server.hold(story)
    assert server.gave_way == [(0, "fake-avatar", "it is no picture")]


def test_large_pictures_that_wait_are_bounded(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 60)

    async def story() -> None:
        server.say(0, 0, 2000, last=True)
        await asyncio.sleep(0.1)
        # "speaking 1920" has 13 bytes.
        assert [server.at(0, at) for at in (1920, 1680, 1520)] == [1920, 1680, None]

    server.hold(story)


def test_pictures_are_kept_for_a_word_that_is_said_again(server: Server) -> None:
    async def story() -> None:
        server.say(0, 0, 8000, last=True)
        await asyncio.sleep(0.1)
        assert server.at(0, 6000) == 6000
        assert server.at(0, 3200) == 3200
        assert server.at(0, 6000) == 6000
        assert server.at(0, 1000) is None

    server.hold(story)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (Script(error=StageFailed("avatar", "fake-avatar", "connect", "refused")), "refused"),
        (Script(error=ValueError("what?")), "ValueError: what?"),
        (Script(after=3, error=StageFailed("avatar", "fake-avatar", "stream")), "stream"),
        (Script(after=3, stall=True), "stall"),
        (Script(stall=True), "first"),
        (Script(end=True), "empty"),
    ],
)
def test_a_failure_costs_the_rest_of_the_reply_its_pictures(
    server: Server, script: Script, reason: str
) -> None:
    server.animator = FakeAnimator(script, Script())

    async def story() -> None:
        server.say(4, 0, 1000, last=True)
        assert server.animation.follows(4)
        await asyncio.sleep(3)
        server.say(4, 1000, 1000, last=True)
        await asyncio.sleep(0.1)
        assert not server.animation.follows(4)
        assert server.animation.given_up
        assert server.at(4, 1000) is None
        server.say(5, 0, 1000, last=True)
        await asyncio.sleep(0.1)
        assert server.animation.follows(5)
        assert server.at(5, 960) == 960

    server.hold(story)
    [(turn, provider, told)] = server.gave_way
    assert (turn, provider) == (4, "fake-avatar")
    assert reason in told
    assert server.scenes == [(0, 1000), (0, 1000)]


def test_a_fault_of_our_own_costs_the_picture_only(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        server.animation._keep = None  # type: ignore[assignment,method-assign]
        server.say(0, 0, 1000, last=True)
        await asyncio.sleep(0.1)

    server.hold(story)
    assert server.gave_way == [(0, "fake-avatar", "internal")]
    assert "a scene failed" in caplog.text


def test_a_server_that_is_always_late_is_given_up(server: Server) -> None:
    server.animator = FakeAnimator(Script(first_s=1.9))

    async def story() -> None:
        server.say(0, 0, 8000, last=True)
        for position_ms in range(0, 4000, 80):
            server.at(0, position_ms)

    server.hold(story)
    assert server.gave_way == [(0, "fake-avatar", "its pictures come too late")]
    assert MISSED_MS < 4000


def test_after_some_failures_the_server_is_left_alone_and_comes_back(server: Server) -> None:
    broken = Script(error=StageFailed("avatar", "fake-avatar", "connect", "refused"))
    server.animator = FakeAnimator(broken, broken, broken, Script())

    async def story() -> None:
        for turn in range(3):
            server.say(turn, 0, 1000, last=True)
            await asyncio.sleep(0.5)
        assert server.breaker.state is BreakerState.OPEN
        server.say(3, 0, 1000, last=True)
        assert not server.animation.follows(3)
        await asyncio.sleep(0.5)
        assert len(server.scenes) == 3
        await asyncio.sleep(5)
        server.say(4, 0, 1000, last=True)
        assert not server.animation.follows(4)  # another turn begins
        await asyncio.sleep(0.1)
        assert server.animation.follows(4)
        assert server.at(4, 480) == 480
        server.say(5, 0, 1000, last=True)
        assert server.animation.follows(5)

    server.hold(story)
    assert [turn for turn, _, _ in server.gave_way] == [0, 1, 2, 3]
    assert server.breaker.state is BreakerState.CLOSED


def test_a_reply_that_is_over_is_cancelled_upstream_and_forgotten(server: Server) -> None:
    cancelled = []

    class Slow(FakeAnimator):
        async def animate(self, scene: Any) -> Any:
            self.scenes.append(scene)
            try:
                yield AvatarFrame(scene.speech.turn, 0, "image/jpeg", b"")
                await asyncio.sleep(60)
            except (GeneratorExit, asyncio.CancelledError):
                cancelled.append(scene.speech.turn)
                raise

    server.animator = Slow()

    async def story() -> None:
        server.say(0, 0, 1000, last=True)
        await asyncio.sleep(0.1)
        assert server.at(0, 0) == 0
        server.animation.drop(7)
        assert server.at(0, 0) == 0
        server.animation.drop(0)
        server.animation.drop(0)
        await asyncio.sleep(0.1)
        assert cancelled == [0]
        assert server.at(0, 0) is None
        server.say(1, 0, 1000, last=True)
        await asyncio.sleep(0.1)
        server.say(2, 0, 1000, last=True)
        await asyncio.sleep(0.1)
        assert cancelled == [0, 1]

    server.hold(story)
    assert cancelled == [0, 1, 2]
    assert server.gave_way == []


@pytest.mark.parametrize(
    "thing",
    [
        b"a picture",
        None,
        AvatarFrame(0, 80, "image/jpeg", "text"),  # type: ignore[arg-type]
        AvatarFrame(0, 80, b"image/jpeg", b"x"),  # type: ignore[arg-type]
        AvatarFrame(0, "80", "image/jpeg", b"x"),  # type: ignore[arg-type]
        AvatarFrame(0, 80.5, "image/jpeg", b"x"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_picture_counts_for_nothing(server: Server, thing: Any) -> None:
    class Odd(FakeAnimator):
        async def animate(self, scene: Any) -> Any:
            yield thing
            if not scene.speech.turn:
                yield AvatarFrame(0, 0, "image/jpeg", b"x")
                yield thing

    server.animator = Odd()

    async def story() -> None:
        server.say(0, 0, 1000, last=True)
        await asyncio.sleep(0.1)
        assert [server.at(0, at) for at in (0, 80, 320)] == [0, 0, None]
        server.say(1, 0, 1000, last=True)
        await asyncio.sleep(0.1)
        assert not server.animation.follows(1)

    server.hold(story)
    [(turn, provider, reason)] = server.gave_way
    assert (turn, provider) == (1, "fake-avatar")
    assert "empty" in reason


def test_pictures_of_another_turn_or_out_of_order_are_not_kept(server: Server) -> None:
    class Odd(FakeAnimator):
        async def animate(self, scene: Any) -> Any:
            for turn, at_ms in ((0, 0), (0, 160), (0, 80), (0, 160), (1, 320), (0, None)):
                yield AvatarFrame(turn, at_ms, "image/jpeg", b"x")

    server.animator = Odd()

    async def story() -> None:
        server.say(0, 0, 1000, last=True)
        await asyncio.sleep(0.1)
        assert [server.at(0, at) for at in (0, 80, 160, 320)] == [0, 0, 160, None]

    server.hold(story)


def test_a_picture_that_cannot_be_shown_ends_the_animation_of_its_reply(
    server: Server,
) -> None:
    async def story() -> None:
        server.say(1, 0, 1000, last=True)
        await asyncio.sleep(0.1)
        server.animation.reject(0, "of a reply that is over")
        assert server.animation.follows(1)
        server.animation.reject(1, "no whole picture")
        assert not server.animation.follows(1)
        assert await server.animation.silence("thinking") != []

    server.hold(story)
    assert server.gave_way == [(1, "fake-avatar", "no whole picture")]
