"""A candidate that a turn cannot wait for: the next one answers, and it is watched to its end."""

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pipeline.breaker import BreakerPolicy, BreakerState, Outcome
from pipeline.candidate import Candidate, Limits
from pipeline.errors import StageFailed
from pipeline.guard import Guard
from pipeline.pace import WINDOW
from pipeline.patience import Soon
from pipeline.testing import run_virtual
from tests.support.breakers import Recorder

SUCCESS, SLOW, FAILURE, NEUTRAL = Outcome.SUCCESS, Outcome.SLOW, Outcome.FAILURE, Outcome.NEUTRAL
LIMITS = Limits(first_s=4.0, slow_first_s=1.5, stall_s=2.0)
HANG = math.inf
SOON = Soon(0.3, 0.5)

Step = float | str | Exception


class Plays:
    """Plays its steps in every call: texts, pauses in seconds, errors."""

    def __init__(self, *steps: Step, stands_by: bool = False) -> None:
        self.steps = steps
        self.stands_by = stands_by
        self.calls = 0
        self.closed = 0

    async def play(self) -> AsyncIterator[str]:
        self.calls += 1
        try:
            for step in self.steps:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, str):
                    yield step
                elif step == HANG:
                    await asyncio.Event().wait()
                else:
                    await asyncio.sleep(step)
        finally:
            self.closed += 1


class Story:
    """A slow candidate, and one that is ready, and may stand by. `ask` makes a call."""

    def __init__(
        self,
        *steps: Step,
        policy: BreakerPolicy | None = None,
        stands_by: bool = True,
        soon: Soon = SOON,
    ) -> None:
        self.soon = soon
        self.breaker = Recorder(policy)
        self.late = Plays(*steps)
        self.slow: Candidate[Plays] = Candidate("slow", self.late, self.breaker, LIMITS)
        ready = Plays("ready", stands_by=stands_by)
        self.guard: Guard[Plays] = Guard(
            "llm", [self.slow, Candidate("ready", ready, Recorder(), LIMITS)]
        )
        self.degraded: list[tuple[str, str, str]] = []

    async def ask(
        self, *, media: bool = True, used: bool = True, cancel_s: float = HANG, ahead: bool = False
    ) -> tuple[list[str], float]:
        """The words that a consumer gets, and after how long the first of them."""
        loop = asyncio.get_running_loop()
        began, first = loop.time(), math.nan
        items: list[str] = []

        async def consume() -> None:
            nonlocal first
            stream = self.guard.stream(
                lambda stage: stage.play(),
                useful=bool,
                media_s=(lambda item: len(item) / 10) if media else None,
                soon=self.soon,
                probe=not ahead,
                begun=None if used else lambda: len(items) > 1,
                restart=items.clear,
                on_degraded=lambda *what: self.degraded.append(what),
            )
            async with stream as words:
                async for word in words:
                    if not items:
                        first = round(loop.time() - began, 3)
                    items.append(word)

        task = asyncio.create_task(consume())
        await asyncio.wait([task], timeout=None if cancel_s == HANG else cancel_s)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
            return items, first
        task.result()
        return items, first


@pytest.mark.parametrize(
    ("steps", "outcome", "usual_s"),
    [
        ((1.2, "twenty letters, ten s"), SUCCESS, 1.2),
        ((1.2, "short"), SUCCESS, 1.2),
        ((2.0, "twenty letters, ten s"), SLOW, 2.0),
        ((HANG,), FAILURE, None),
        ((1.2, "T", HANG), FAILURE, None),
        ((1.2, *["T", 0.9] * 20), FAILURE, None),
        ((1.2,), FAILURE, None),
        ((1.2, OSError("gone")), FAILURE, None),
        ((1.2, StageFailed("llm", "slow", "connect")), FAILURE, None),
    ],
    ids=["well", "short", "slow", "hangs", "stalls", "drips", "empty", "raises", "fails"],
)
def test_an_unknown_candidate_is_watched_to_its_end(
    steps: tuple[Step, ...], outcome: Outcome, usual_s: float | None
) -> None:
    story = Story(*steps)

    async def main() -> None:
        assert await story.ask() == (["ready"], 0.5)
        assert story.breaker.settled == []
        await asyncio.sleep(10)
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())
    assert story.breaker.settled == [outcome]
    assert story.slow.pace.usual_s == usual_s
    assert (story.slow.trouble is None) == (outcome is not FAILURE)
    assert (story.late.closed, story.slow.watched) == (1, False)
    assert story.degraded == [("slow", "ready", "too slow to begin")]


@pytest.mark.parametrize("media", [True, False])
def test_keep_alives_show_nothing(media: bool) -> None:
    story = Story("", 1.0, "", 1.0, "", HANG)

    async def main() -> None:
        await story.ask(media=media)
        await asyncio.sleep(5)

    run_virtual(main())
    assert story.breaker.settled == [FAILURE]
    assert story.slow.pace.usual_s is None


def test_where_nothing_measures_its_media_the_first_item_is_enough() -> None:
    story = Story(1.2, "T", HANG)

    async def main() -> None:
        await story.ask(media=False)
        await asyncio.sleep(2)

    run_virtual(main())
    assert story.breaker.settled == [SUCCESS]
    assert story.late.closed == 1


def test_what_was_learned_counts_in_the_next_turn() -> None:
    story = Story(1.2, "twenty letters, ten s")

    async def main() -> None:
        await story.ask()
        await asyncio.sleep(5)
        assert await story.ask() == (["twenty letters, ten s"], 1.2)

    run_virtual(main())
    assert story.breaker.settled == [SUCCESS, SUCCESS]


def test_a_candidate_that_failed_is_asked_beside_the_other_until_it_is_well_again() -> None:
    story = Story(HANG)

    async def main() -> None:
        await story.ask()
        await asyncio.sleep(5)
        for _ in range(3):
            assert await story.ask() == (["ready"], 0.3)
            await asyncio.sleep(5)
        story.late.steps = (0.4, "twenty letters, ten s")
        assert await story.ask() == (["ready"], 0.3)
        await asyncio.sleep(5)
        assert await story.ask() == (["twenty letters, ten s"], 0.4)

    run_virtual(main())
    assert story.breaker.settled == [FAILURE] * 4 + [SUCCESS] * 2


OPENS = BreakerPolicy(open_s=5, open_growth=2, open_grown_s=10, open_max_s=60)


@pytest.mark.parametrize("stands_by", [True, False])
def test_a_candidate_that_hung_and_then_takes_its_time_is_used_again(stands_by: bool) -> None:
    story = Story(HANG, policy=OPENS, stands_by=stands_by)

    async def main() -> None:
        for _ in range(6):
            await story.ask()
            await asyncio.sleep(5)
        story.late.steps = (0.8, "twenty letters, ten s")
        for _ in range(3):  # 15 s
            await story.ask()
            await asyncio.sleep(5)
        assert await story.ask() == (["twenty letters, ten s"], 0.8)

    run_virtual(main())


@pytest.mark.parametrize("budget_s", [0.3, 0.6])
@pytest.mark.parametrize("stands_by", [True, False])
def test_a_candidate_that_becomes_slower_is_known_to_be_slower(
    stands_by: bool, budget_s: float
) -> None:
    story = Story(0.8, "twenty letters, ten s", stands_by=stands_by, soon=Soon(budget_s, 1.0))
    for _ in range(WINDOW):
        story.slow.pace.note(0.1)

    async def main() -> None:
        for _ in range(8):
            await story.ask()
            await asyncio.sleep(5)
        assert await story.ask() == (["twenty letters, ten s"], 0.8)

    run_virtual(main())
    assert story.breaker.state is BreakerState.CLOSED


def test_five_turns_that_hang_open_the_breaker_and_a_watched_probe_closes_it() -> None:
    story = Story(HANG, policy=BreakerPolicy(open_s=5))

    async def main() -> None:
        for _ in range(5):
            await story.ask()
            await asyncio.sleep(5)
        assert story.breaker.state is BreakerState.OPEN
        assert await story.ask() == (["ready"], 0.0)
        await asyncio.sleep(5)
        story.late.steps = (0.4, "twenty letters, ten s")
        assert await story.ask() == (["ready"], 0.3)
        await asyncio.sleep(1)
        assert story.breaker.state is BreakerState.CLOSED

    run_virtual(main())


def test_before_the_decision_a_probe_is_watched_beside_the_next_candidate() -> None:
    story = Story(0.4, "twenty letters, ten s", policy=BreakerPolicy(open_s=5))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(5):
            permit = story.breaker.try_acquire(loop.time())
            assert permit is not None
            story.breaker.settle(permit, FAILURE, loop.time())
        assert await story.ask(ahead=True) == (["ready"], 0.0)
        assert story.late.calls == 0
        await asyncio.sleep(5)
        story.guard.candidates[1].stage.stands_by = False
        assert await story.ask(ahead=True) == (["ready"], 0.0)
        assert story.late.calls == 1
        await asyncio.sleep(1)
        assert story.breaker.state is BreakerState.CLOSED

    run_virtual(main())
    assert story.degraded == [("slow", "ready", "circuit open")] * 2


def test_a_candidate_that_stalls_before_it_is_used_gives_way_and_is_dropped_by_the_consumer() -> (
    None
):
    story = Story("T", HANG)
    story.slow.failed("stalled", 0.0)

    async def main() -> None:
        items, _ = await story.ask(used=False)
        assert items == ["ready"]
        await asyncio.sleep(5)

    run_virtual(main())
    assert story.breaker.settled == [FAILURE]
    assert story.degraded == [("slow", "ready", "took too long")]


def test_one_call_at_a_time_is_watched_and_another_counts_for_nothing() -> None:
    story = Story(HANG)

    async def main() -> None:
        assert await story.ask() == (["ready"], 0.5)
        # The turn after it knows that the provider hangs, and does not wait past its budget.
        assert await story.ask() == (["ready"], 0.3)
        assert story.breaker.settled == [NEUTRAL]
        assert story.late.closed == 1
        await asyncio.sleep(5)

    run_virtual(main())
    assert story.breaker.settled == [NEUTRAL, FAILURE]
    assert story.late.closed == 2


def test_a_late_result_of_an_old_generation_changes_nothing() -> None:
    story = Story(HANG)

    async def main() -> None:
        await story.ask()
        now = asyncio.get_running_loop().time()
        for _ in range(5):
            permit = story.breaker.try_acquire(now)
            assert permit is not None
            story.breaker.settle(permit, FAILURE, now)
        assert story.breaker.state is BreakerState.OPEN
        await asyncio.sleep(5)

    run_virtual(main())
    assert (story.breaker.generation, story.breaker.late) == (1, 1)


def test_a_quick_candidate_that_is_slow_for_once_has_failed_and_is_closed() -> None:
    story = Story(HANG)
    for _ in range(8):
        story.slow.pace.note(0.1)

    async def main() -> None:
        assert await story.ask() == (["ready"], 0.5)
        assert story.breaker.settled == [FAILURE]
        assert (story.late.closed, story.slow.watched) == (1, False)

    run_virtual(main())


def test_a_consumer_that_leaves_before_that_stops_the_candidate() -> None:
    story = Story(HANG)

    async def main() -> None:
        await story.ask(cancel_s=0.2)
        await asyncio.sleep(0.5)
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())
    assert story.breaker.settled == [NEUTRAL]
    assert (story.late.closed, story.slow.watched) == (1, False)


@pytest.mark.parametrize(
    ("cancels", "closed", "said"),
    [(1, 1, 0), (2, 1, 0), (9, 0, 1)],
    ids=["at once", "at the second time", "never"],
)
def test_a_provider_that_works_on_when_it_is_cancelled_is_cancelled_once_more(
    cancels: int, closed: int, said: int, caplog: pytest.LogCaptureFixture
) -> None:
    over = asyncio.Event()

    class Reluctant(Plays):
        async def play(self) -> AsyncIterator[str]:
            left = cancels
            while left and not over.is_set():
                try:
                    await over.wait()
                except asyncio.CancelledError:
                    left -= 1
            self.closed += 1
            yield ""

    story = Story()
    story.slow.stage = Reluctant()

    async def main() -> None:
        await story.ask(cancel_s=0.2)
        await asyncio.sleep(1)
        assert story.slow.stage.closed == closed
        over.set()
        await asyncio.sleep(0)

    run_virtual(main())
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == said


def test_what_ends_while_it_is_cancelled_is_no_unasked_error() -> None:
    class Clumsy(Plays):
        async def play(self) -> AsyncIterator[str]:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise OSError("gone") from None
            yield ""

    story = Story()
    story.slow.stage = Clumsy()
    complaints: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        await story.ask(cancel_s=0.2)
        await asyncio.sleep(0.5)

    run_virtual(main())
    assert complaints == []


def test_the_end_of_the_process_settles_what_is_watched() -> None:
    story = Story(HANG)

    async def main() -> None:
        await story.ask()
        [watching] = [
            task
            for task in asyncio.all_tasks()
            if "coroutine object watch " in repr(task.get_coro())
        ]
        watching.cancel()
        await asyncio.wait([watching])

    run_virtual(main())
    assert story.breaker.settled == [NEUTRAL]
    assert story.slow.watched is False
