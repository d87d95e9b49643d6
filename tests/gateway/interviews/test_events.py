"""Events of sessions: a watcher gets all of them, or an event that some are missing."""

import asyncio

import pytest

from gateway.interviews.events import (
    MAX_RINGS,
    MAX_WATCHERS_OF_ONE,
    RING,
    Events,
    Happened,
    TooManyWatchers,
    Watch,
)
from pipeline.testing import run_virtual


def kinds(found: list[Happened]) -> list[str]:
    return [event.kind for event in found]


def test_a_watcher_sees_what_happens_from_then_on() -> None:
    async def story() -> None:
        events = Events()
        events.publish("a", "answer", {"question": 1})
        watch = events.watch("a")
        events.publish("b", "answer", {"question": 9})
        waiting = asyncio.create_task(watch.next(60))
        await asyncio.sleep(1)
        events.publish("a", "answer", {"question": 2})
        assert [event.data for event in await waiting] == [{"question": 2}]
        began = asyncio.get_running_loop().time()
        assert await watch.next(5) == []
        assert asyncio.get_running_loop().time() - began == 5

    run_virtual(story())


def test_a_watcher_resumes_after_the_last_event_seen() -> None:
    async def story() -> None:
        events = Events()
        first = events.watch("a")
        for question in (1, 2, 3):
            events.publish("a", "answer", {"question": question})
        seen = await first.next(1)
        again = events.watch("a", seen[0].id)
        assert await again.next(1) == seen[1:]

    run_virtual(story())


def test_a_slow_watcher_gets_an_event_that_some_are_missing() -> None:
    async def story() -> None:
        events = Events()
        watch = events.watch("a")
        for question in range(RING + 5):
            events.publish("a", "answer", {"question": question})
        missed, first, *rest = await watch.next(1)
        assert (missed.kind, first.data, len(rest)) == ("missed", {"question": 5}, RING - 1)
        events.publish("a", "answer", {"question": RING + 5})
        assert kinds(await watch.next(1)) == ["answer"]

    run_virtual(story())


@pytest.mark.parametrize("unknown", ["other-1", "x", "-", "other-" + "9" * 40])
def test_an_id_of_another_process_begins_with_what_is_kept(unknown: str) -> None:
    async def story() -> None:
        events = Events()
        events.publish("b", "answer", {})
        events.publish("a", "answer", {})
        assert kinds(await events.watch("a", unknown).next(1)) == ["missed", "answer"]

    run_virtual(story())


def test_rings_without_watchers_are_dropped_for_others() -> None:
    async def story() -> None:
        events = Events()
        watch = events.watch("watched")
        events.publish("gone", "answer", {})
        for number in range(MAX_RINGS):
            events.publish(f"s{number}", "answer", {})
        events.publish("watched", "completed", {})
        assert kinds(await watch.next(1)) == ["completed"]
        assert kinds(await events.watch("gone", "other-1").next(1)) == ["missed"]

    run_virtual(story())


def test_places_are_limited_and_given_back() -> None:
    async def story() -> None:
        events = Events()
        watches = [events.watch("a") for _ in range(MAX_WATCHERS_OF_ONE)]
        with pytest.raises(TooManyWatchers):
            events.watch("a")
        watches[0].close()
        watches[0].close()
        events.watch("a")
        with pytest.raises(TooManyWatchers):
            events.watch("a")
        many: list[Watch] = []
        with pytest.raises(TooManyWatchers):
            many.extend(events.watch(f"s{number}") for number in range(10_000))

    run_virtual(story())


def test_at_the_end_of_the_process_every_watcher_ends() -> None:
    async def story() -> None:
        events = Events()
        watch = events.watch("a")
        waiting = asyncio.create_task(watch.next(3600))
        await asyncio.sleep(1)
        assert not watch.over
        events.close()
        assert await waiting == []
        assert watch.over
        assert asyncio.get_running_loop().time() < 10

    run_virtual(story())
