import asyncio
import gc
import math
import weakref
from dataclasses import dataclass, field

import pytest

from gateway.refreshed import Refreshed
from pipeline.testing import run_virtual

LIMIT_S = 2.0


@dataclass
class Source:
    """Gives 1, 2, 3 and so on, each after `delay_s`; raises `error` where there is one."""

    delay_s: float = 0.0
    error: Exception | None = None
    asked: int = 0
    changes: list[Exception | None] = field(default_factory=list)

    async def __call__(self) -> int:
        self.asked += 1
        number = self.asked
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        return number

    def refreshed(self) -> Refreshed[int]:
        return Refreshed(self, 0, limit_s=LIMIT_S, changed=self.changes.append)


def now() -> float:
    return asyncio.get_running_loop().time()


def test_the_latest_value_is_given_at_once_and_renewed_when_it_is_due() -> None:
    async def main() -> None:
        source = Source(delay_s=1.0)
        value = source.refreshed()
        assert [value.latest(5.0) for _ in range(5)] == [0] * 5
        await asyncio.sleep(4.9)
        assert (value.latest(5.0), source.asked) == (1, 1)
        await asyncio.sleep(0.1)
        assert value.latest(5.0) == 1
        await asyncio.sleep(1.1)
        assert (value.latest(5.0), source.asked) == (2, 2)
        assert pytest.approx(now()) == 6.1

    run_virtual(main())


def test_many_callers_share_one_refresh() -> None:
    async def main() -> None:
        source = Source(delay_s=1.0)
        value = source.refreshed()
        assert await asyncio.gather(*(value.refresh() for _ in range(20))) == [1] * 20
        assert (source.asked, now()) == (1, 1.0)

    run_virtual(main())


def test_a_caller_that_is_cancelled_leaves_the_refresh_to_the_others() -> None:
    async def main() -> None:
        value = Source(delay_s=1.0).refreshed()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await value.refresh()
        assert await value.refresh() == 1
        assert now() == 1.0

    run_virtual(main())


def test_waiting_ends_with_the_refresh_or_with_the_callers_patience() -> None:
    async def main() -> None:
        value = Source(delay_s=1.0).refreshed()
        assert await value.wait(0.4) == 0  # nothing is under way
        assert now() == 0.0
        value.latest(5.0)
        assert await value.wait(0.4) == 0
        assert now() == 0.4
        assert await value.wait(5.0) == 1
        assert now() == 1.0

    run_virtual(main())


def test_a_failure_keeps_the_value_and_its_reason() -> None:
    async def main() -> None:
        source = Source()
        value = source.refreshed()
        await value.refresh()
        source.error = OSError("away")
        await asyncio.sleep(3.0)
        assert await value.refresh() == 1
        assert (source.error, 3.0, 0.0) == (value.error, value.age_s, value.since_begun_s)
        source.error = None
        assert await value.refresh() == 3
        assert (value.error, value.age_s) == (None, 0.0)

    run_virtual(main())


def test_a_source_that_hangs_fails_after_the_limit() -> None:
    async def main() -> None:
        source = Source(delay_s=3600.0)
        value = source.refreshed()
        assert await value.refresh() == 0
        assert now() == LIMIT_S
        assert isinstance(value.error, TimeoutError)
        assert math.inf == value.age_s
        source.delay_s = 0.0
        assert await value.refresh() == 2

    run_virtual(main())


def test_a_change_between_failing_and_answering_is_reported_once() -> None:
    async def main() -> None:
        source = Source()
        value = source.refreshed()
        first, second = OSError("away"), ValueError("nonsense")
        for error in (None, first, second, None, None):
            source.error = error
            await value.refresh()
        assert [first, None] == source.changes

    run_virtual(main())


def test_closing_ends_the_refresh_under_way_for_good() -> None:
    async def main() -> None:
        source = Source(delay_s=1.0)
        value = source.refreshed()
        waiting = asyncio.create_task(value.refresh())
        await asyncio.sleep(0.5)
        await value.aclose()
        assert (await waiting, value.error) == (0, None)
        assert (value.latest(0.0), await value.refresh()) == (0, 0)
        await value.aclose()
        assert {asyncio.current_task()} == asyncio.all_tasks()
        assert (source.asked, now()) == (1, 0.5)

    run_virtual(main())


def test_a_failure_does_not_keep_those_before_it() -> None:
    class Failure(Exception):
        pass

    async def main() -> None:
        source = Source()
        value = source.refreshed()
        failures = []
        for number in range(3):
            source.error = Failure(number)
            failures.append(weakref.ref(source.error))
            await value.refresh()
        source.changes.clear()
        gc.collect()
        assert [failure() is None for failure in failures] == [True, True, False]

    run_virtual(main())
