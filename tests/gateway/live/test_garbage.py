"""When full garbage collections happen."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from gateway.live.garbage import (
    LONGEST_S,
    LOOK_S,
    MIDDLE,
    MOST_ENDED,
    OLD,
    TALKING_S,
    YOUNG,
    GarbagePolicy,
    collect,
)
from gateway.live.registry import LiveSessions
from pipeline.testing import run_virtual


@pytest.fixture
def thresholds() -> Iterator[tuple[int, int, int]]:
    before = gc.get_threshold()
    yield before
    gc.set_threshold(*before)


def test_a_session_that_ended_is_collected_once_nobody_talks() -> None:
    policy = GarbagePolicy(0.0)
    found = [policy.due(live, ended, 5.0) for live, ended in ((2, 0), (1, 1), (0, 2), (0, 2))]
    assert found == [False, False, True, False]


def test_among_others_it_waits_for_a_hundred_that_ended() -> None:
    policy = GarbagePolicy(0.0)
    found = [policy.due(10, ended, 5.0) for ended in (1, MOST_ENDED - 1, MOST_ENDED, MOST_ENDED)]
    assert found == [False, False, True, False]


def test_it_waits_for_twice_as_many_as_are_live() -> None:
    policy = GarbagePolicy(0.0)
    assert [policy.due(300, ended, 5.0) for ended in (599, 600)] == [False, True]


def test_without_sessions_it_happens_after_ten_minutes() -> None:
    policy = GarbagePolicy(0.0)
    times = (LONGEST_S - 1, LONGEST_S, LONGEST_S + 1, 2 * LONGEST_S)
    assert [policy.due(0, 0, now) for now in times] == [False, True, False, True]


def test_where_somebody_talks_all_along_it_happens_once_an_hour() -> None:
    policy = GarbagePolicy(0.0)
    times = (TALKING_S - 1, TALKING_S, TALKING_S + 1, 2 * TALKING_S)
    assert [policy.due(1, 0, now) for now in times] == [False, True, False, True]


def test_full_collections_happen_only_when_due(
    thresholds: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> tuple[list[float], tuple[int, int, int]]:
        loop = asyncio.get_running_loop()
        at: list[float] = []
        monkeypatch.setattr(gc, "collect", lambda: at.append(loop.time()) or 0)
        live = LiveSessions(10)
        began = loop.time()
        collecting = asyncio.create_task(collect(live, loop.time))
        with live.connected("a"):
            await asyncio.sleep(3 * LOOK_S)
        inside = gc.get_threshold()
        await asyncio.sleep(3 * LOOK_S)
        collecting.cancel()
        await asyncio.wait([collecting])
        return [moment - began for moment in at], inside

    at, inside = run_virtual(story())
    assert inside == (YOUNG, MIDDLE, OLD)
    assert len(at) == 1
    assert 3 * LOOK_S <= at[0] <= 4 * LOOK_S
    assert gc.get_threshold() == thresholds
