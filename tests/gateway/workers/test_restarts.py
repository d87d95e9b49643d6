import asyncio

from gateway.workers.restarts import LONGEST_WAIT_S, MOST_FAILED, YOUNG_S, Restarts
from pipeline.testing import run_virtual


def test_a_process_that_never_served_is_not_started_again() -> None:
    assert Restarts().ended(1.0) is None


def test_a_process_that_served_for_long_is_started_again_at_once() -> None:
    restarts = Restarts()
    for began in (0.0, 1000.0, 2000.0):
        restarts.ready(began)
        assert restarts.ended(began + YOUNG_S) == 0.0


def test_waits_grow_to_a_bound_while_a_process_ends_young() -> None:
    restarts = Restarts()
    restarts.ready(0.0)
    waits = []
    for now in range(1, 10):
        waits.append(restarts.ended(float(now)))
        restarts.ready(float(now))
    assert waits == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_WAIT_S, LONGEST_WAIT_S]


def test_starts_that_come_to_nothing_are_hopeless_after_a_number_of_them() -> None:
    restarts = Restarts()
    restarts.ready(0.0)
    restarts.ended(100.0)
    hopeless = []
    for _ in range(MOST_FAILED):
        hopeless.append(restarts.hopeless)
        restarts.ended(100.0)
    assert hopeless == [False] * MOST_FAILED
    assert restarts.hopeless
    restarts.ready(200.0)
    assert not restarts.hopeless


def test_a_process_that_dies_every_second_is_started_eight_times_a_minute() -> None:
    """The rule as the supervisor lives by it: a start a wait, and a second in between."""

    async def starts_within_s(within_s: float) -> int:
        loop, restarts, starts = asyncio.get_running_loop(), Restarts(), 0
        until = loop.time() + within_s
        while loop.time() < until:
            starts += 1
            restarts.ready(loop.time())
            await asyncio.sleep(1.0)
            wait_s = restarts.ended(loop.time())
            assert wait_s is not None
            await asyncio.sleep(wait_s)
        return starts

    assert run_virtual(starts_within_s(60.0)) == 8
    assert run_virtual(starts_within_s(600.0)) == 26
