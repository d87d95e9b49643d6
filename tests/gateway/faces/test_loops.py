import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.faces import loops as module
from gateway.faces.loops import LOOP_MS, RETRY_S, Loops
from pipeline.breaker import Breaker
from pipeline.errors import StageFailed
from pipeline.frames import AvatarFrame
from pipeline.guard import Candidate, Guard
from pipeline.testing import Script, run_virtual
from stages.fakes import FakeAnimator


def watch(
    animator: Any, story: Callable[[Callable[..., bytes | None], Loops], Coroutine[Any, Any, None]]
) -> None:
    async def main() -> None:
        guard = Guard("avatar", [Candidate("fake-avatar", animator, Breaker())])
        loops = Loops(guard, 80)

        def look(mood: Any = "idle") -> bytes | None:
            frame = loops.picture("mira", 320, mood, asyncio.get_running_loop().time())
            return None if frame is None else frame.data

        await story(look, loops)
        await loops.aclose()
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


def test_a_silent_face_is_asked_for_once_and_shown_again_and_again() -> None:
    animator = FakeAnimator()

    async def story(look: Any, loops: Loops) -> None:
        assert look() is None
        assert loops.pending("mira", 320, "idle")
        assert look() is None
        await asyncio.sleep(LOOP_MS / 1000 + 1)
        assert look() == b"idle 960"
        await asyncio.sleep(LOOP_MS / 1000)
        assert look() == b"idle 960"
        await asyncio.sleep(0.08)
        assert look() == b"idle 1040"
        assert look("listening") is None

    watch(animator, story)
    assert [scene.mood for scene in animator.scenes] == ["idle"]
    [scene] = animator.scenes
    assert len(scene.speech.pcm) == LOOP_MS * scene.speech.rate_hz // 1000
    assert not scene.speech.pcm.any()


def test_a_server_that_has_none_is_asked_again_later() -> None:
    animator = FakeAnimator(Script(error=StageFailed("avatar", "fake-avatar", "connect")), Script())

    async def story(look: Any, loops: Loops) -> None:
        look()
        await asyncio.sleep(1)
        assert look() is None
        assert not loops.pending("mira", 320, "idle")
        await asyncio.sleep(RETRY_S)
        look()
        await asyncio.sleep(0.1)
        assert look() is not None

    watch(animator, story)
    assert len(animator.scenes) == 2


def test_a_loop_is_bounded_and_begins_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(FakeAnimator):
        async def animate(self, scene: Any) -> Any:
            for at_ms in range(500, 10**9, 100):
                yield AvatarFrame(-1, at_ms, "image/jpeg", str(at_ms).encode())

    async def story(look: Any, loops: Loops) -> None:
        look()
        await asyncio.sleep(0.2)
        assert look() == b"500"
        await asyncio.sleep(3.7)
        assert look() == b"3900"

    watch(Endless(), story)
    monkeypatch.setattr(module, "MOST_BYTES", 7)

    async def short(look: Any, loops: Loops) -> None:
        look()
        await asyncio.sleep(3.9)
        assert look() == b"600"

    watch(Endless(), short)


def test_a_loop_that_begins_after_its_end_is_none(caplog: pytest.LogCaptureFixture) -> None:
    class Late(FakeAnimator):
        async def animate(self, scene: Any) -> Any:
            self.scenes.append(scene)
            yield AvatarFrame(-1, LOOP_MS, "image/jpeg", b"late")

    animator = Late()

    async def story(look: Any, loops: Loops) -> None:
        look()
        await asyncio.sleep(1)
        assert look() is None

    caplog.set_level("INFO")
    watch(animator, story)
    assert len(animator.scenes) == 1
    [record] = caplog.records
    assert (record.levelname, record.exc_info) == ("INFO", None)


def test_a_bug_is_logged_and_no_face_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    animator = FakeAnimator()

    async def story(look: Any, loops: Loops) -> None:
        loops._ask = None  # type: ignore[assignment,method-assign]
        look()
        await asyncio.sleep(0.1)
        assert look() is None

    watch(animator, story)
    assert "idle loop of mira" in caplog.text


def test_a_loop_that_cannot_be_shown_is_asked_for_again_later() -> None:
    animator = FakeAnimator()

    async def story(look: Any, loops: Loops) -> None:
        assert await loops.pictures("mira", 320, "idle") != []
        loops.reject("mira", 320, "idle")
        assert look() is None
        assert await loops.pictures("mira", 320, "idle") == []
        assert len(animator.scenes) == 1
        await asyncio.sleep(RETRY_S)
        assert await loops.pictures("mira", 320, "idle") != []

    watch(animator, story)
    assert len(animator.scenes) == 2


def test_the_end_takes_what_is_under_way_along() -> None:
    async def story(look: Any, loops: Loops) -> None:
        look()
        await asyncio.sleep(0.1)

    watch(FakeAnimator(Script(stall=True)), story)


def test_a_whole_loop_is_waited_for_and_empty_if_the_server_has_none() -> None:
    failure = Script(error=StageFailed("avatar", "fake-avatar", "connect"))
    animator = FakeAnimator(failure, Script(first_s=0.5))

    async def story(look: Any, loops: Loops) -> None:
        loop = asyncio.get_running_loop()
        assert await loops.pictures("mira", 320, "idle") == []
        begun = loop.time()
        assert await loops.pictures("mira", 320, "idle") == []  # too soon to ask again
        assert loop.time() == begun
        await asyncio.sleep(RETRY_S)
        both = [loops.pictures("mira", 320, "idle") for _ in range(2)]
        first, second = await asyncio.gather(*both)
        assert first == second
        assert first == [(at, f"idle {at}".encode()) for at in range(0, LOOP_MS, 80)]

    watch(animator, story)
    assert len(animator.scenes) == 2
