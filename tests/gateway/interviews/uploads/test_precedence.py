"""Live voice outranks uploads: who waits, for how long, and who gives way."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from gateway.interviews.uploads.errors import UploadBusy
from gateway.interviews.uploads.precedence import POLL_S, QUIET_S, LiveFirst, WaitBudget
from pipeline.frames import Transcript
from pipeline.stage import Recognition
from pipeline.testing import run_virtual
from stages._worker import WorkerStats


class Local:
    """A recogniser with a worker process, as far as its jobs are concerned."""

    provider = "local"

    def __init__(self) -> None:
        self.jobs = 0

    def stats(self) -> WorkerStats:
        return WorkerStats(1, True, 1, self.jobs, 0)

    def open(
        self,
        turn: int,
        on_partial: Callable[[Transcript], None] | None = None,
        hints: Sequence[str] = (),
        language: str | None = None,
    ) -> Recognition:
        raise AssertionError("no recognition is expected")

    async def aclose(self) -> None: ...


class Remote(Local):
    """One that tells nothing, or something else."""

    def stats(self) -> WorkerStats:
        return "busy"  # type: ignore[return-value]


class Scene:
    """Live utterances by the clock, and pieces of uploads that take a second each."""

    def __init__(self, *live: tuple[float, float]) -> None:
        self.stage = Local()
        self.first = LiveFirst([self.stage])
        self.began: list[float] = []
        self.ended: list[float] = []
        self._live = live

    async def speak(self) -> None:
        loop = asyncio.get_running_loop()
        for start, end in self._live:
            loop.call_at(start, self._change, 1)
            loop.call_at(end, self._change, -1)
        await asyncio.sleep(0.001)

    def _change(self, by: int) -> None:
        self.stage.jobs += by

    async def piece(self) -> str:
        loop = asyncio.get_running_loop()
        self.began.append(round(loop.time(), 2))
        with self.first.ours(self.stage):
            self.stage.jobs += 1
            try:
                await asyncio.sleep(1)
            finally:
                self.stage.jobs -= 1
        self.ended.append(round(loop.time(), 2))
        return "words"

    def play(self, pieces: int = 1, max_wait_s: float = 60.0) -> None:
        async def main() -> None:
            await self.speak()
            async with asyncio.TaskGroup() as group:
                for _ in range(pieces):
                    group.create_task(self.first.run(self.piece, WaitBudget(max_wait_s)))

        run_virtual(main())


def test_without_live_speech_it_begins_at_once() -> None:
    scene = Scene()
    scene.play()
    assert (scene.began, scene.ended) == ([0.0], [1.0])


def test_one_piece_at_a_time() -> None:
    scene = Scene()
    scene.play(pieces=3)
    assert pytest.approx(scene.began, abs=0.05) == [0.0, 1.0, 2.0]


def test_it_waits_for_live_voice_and_the_reply_to_it() -> None:
    scene = Scene((0.0, 5.0))
    scene.play()
    assert pytest.approx(scene.began, abs=2 * POLL_S) == [5.0 + QUIET_S]


def test_pauses_between_live_utterances_are_no_invitation() -> None:
    scene = Scene((0.0, 2.0), (2.5, 4.0), (4.8, 6.0))
    scene.play()
    assert pytest.approx(scene.began, abs=2 * POLL_S) == [6.0 + QUIET_S]


def test_it_is_cancelled_when_live_speech_begins_and_begins_again() -> None:
    scene = Scene((0.5, 3.0))
    scene.play()
    assert pytest.approx(scene.began, abs=2 * POLL_S) == [0.0, 3.0 + QUIET_S]
    assert pytest.approx(scene.ended, abs=2 * POLL_S) == [5.0]


def test_giving_way_takes_no_longer_than_a_poll() -> None:
    scene = Scene((0.5, 3.0))
    seen: list[int] = []

    async def main() -> None:
        await scene.speak()
        task = asyncio.create_task(scene.first.run(scene.piece, WaitBudget(60)))
        await asyncio.sleep(0.5 + POLL_S + 0.01)
        seen.append(scene.stage.jobs)
        await task

    run_virtual(main())
    assert seen == [1]  # the live one


def test_patience_ends() -> None:
    async def main() -> None:
        scene = Scene((0.0, 500.0))
        await scene.speak()
        with pytest.raises(UploadBusy) as caught:
            await scene.first.run(scene.piece, WaitBudget(20))
        assert pytest.approx(asyncio.get_running_loop().time(), abs=0.1) == 20
        assert (caught.value.code, caught.value.retry_after_s) == ("live_voice_first", 30)
        assert not scene.began

    run_virtual(main())


def test_cancelled_pieces_count_for_the_wait_budget() -> None:
    """Live speech begins 0.9 s after each start: without a limit it would never end."""

    async def main() -> None:
        live = [(start / 10, start / 10 + 0.2) for start in range(9, 3000, 21)]
        scene = Scene(*live)
        await scene.speak()
        with pytest.raises(UploadBusy):
            await scene.first.run(scene.piece, WaitBudget(20))
        assert pytest.approx(asyncio.get_running_loop().time(), abs=2) == 20
        assert len(scene.began) > 3

    run_virtual(main())


def test_a_piece_that_fails_frees_the_place() -> None:
    async def fails() -> str:
        await asyncio.sleep(0.1)
        raise ValueError("no words")

    async def main() -> None:
        scene = Scene()
        with pytest.raises(ValueError, match="no words"):
            await scene.first.run(fails, WaitBudget(5))
        assert await scene.first.run(scene.piece, WaitBudget(5)) == "words"

    run_virtual(main())


def test_cancelling_gives_up_the_piece() -> None:
    async def main() -> None:
        scene = Scene()
        task = asyncio.create_task(scene.first.run(scene.piece, WaitBudget(5)))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert (scene.stage.jobs, scene.ended) == (0, [])
        assert await scene.first.run(scene.piece, WaitBudget(5)) == "words"

    run_virtual(main())


def test_a_piece_that_fails_while_it_gives_way_is_forgotten() -> None:
    async def main() -> None:
        scene = Scene((0.5, 1.0))
        await scene.speak()

        async def grudging() -> str:
            try:
                return await scene.piece()
            except asyncio.CancelledError:
                raise ValueError("not now") from None

        assert await scene.first.run(grudging, WaitBudget(9)) == "words"

    run_virtual(main())


def test_a_recogniser_without_statistics_has_no_live_utterances() -> None:
    assert LiveFirst([Remote()]).live() == 0


def test_live_voice_is_counted_over_all_recognisers() -> None:
    one, two = Local(), Local()
    one.jobs, two.jobs = 2, 1
    first = LiveFirst([one, Remote(), two])
    with first.ours(two):
        assert first.live() == 2
    assert first.live() == 3
