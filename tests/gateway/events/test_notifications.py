"""Every client gets every event that it may see, in order, at its own pace. Virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.events import catch_ups, notification_stream
from gateway.events import notifications as notifications_module
from gateway.events.catch_ups import MOST_CATCHING_UP, PACE_S, PAGE, CatchUpsFull
from gateway.events.event import EventDraft, OutboxEvent
from gateway.events.notification_stream import NotificationStream
from gateway.events.notifications import (
    CHECK_S,
    MOST_OF_ONE,
    MOST_STREAMS,
    POLL_S,
    Notifications,
    NotificationsClosed,
    TooManyStreams,
)
from gateway.events.outbox import gateway_event, session_events
from gateway.events.viewers import EventViewer
from gateway.store import Page, Store, StoreUnavailable
from gateway.store.redis import RedisStore
from pipeline.testing import run_virtual
from tests.support.memory_store import MemoryStore
from tests.support.stores import RedisServer

ANSWER = EventDraft("answer.accepted", {"question": 1})
CREATED = EventDraft("session.created")
ANNA, BERT, STAFF = EventViewer("anna"), EventViewer("bert"), EventViewer("staff", everything=True)
Told = list[tuple[str | None, int | None]]


def play(story: Callable[[MemoryStore], Any]) -> None:
    async def main() -> None:
        await story(MemoryStore(asyncio.get_running_loop().time))

    run_virtual(main())


async def tell(
    store: Store, session: str, before: int, count: int = 1, owner: str | None = "anna"
) -> None:
    await store.commit(*session_events(session, [ANSWER] * count, before, owner))


def shape(events: list[OutboxEvent]) -> Told:
    return [(event.session_id, event.number) for event in events]


async def everything(stream: NotificationStream, pause_s: float = 0.0) -> Told:
    """The events until none comes for a second; the client takes its time for each page."""
    found: Told = []
    while events := await stream.next(1.0):
        found += shape(events)
        await asyncio.sleep(pause_s)
    return found


def test_each_client_is_told_what_it_may_see_of_what_happens_from_then_on() -> None:
    async def story(store: MemoryStore) -> None:
        await tell(store, "a", 0)
        notifications = Notifications(store)
        async with notifications.running():
            anna, bert, staff, root = [
                await notifications.open(viewer, viewer.identity)
                for viewer in (
                    ANNA,
                    BERT,
                    STAFF,
                    EventViewer("root", everything=True, operator=True),
                )
            ]
            await tell(store, "a", 1, 2)
            await tell(store, "b", 0, owner="bert")
            await tell(store, "old", 4, owner=None)
            await store.commit(gateway_event(EventDraft("degraded"), 0.0))
            assert await everything(anna) == [("a", 2), ("a", 3)]
            assert await everything(bert) == [("b", 1)]
            assert await everything(staff) == [("a", 2), ("a", 3), ("b", 1), ("old", 5)]
            assert await everything(root) == [
                ("a", 2), ("a", 3), ("b", 1), ("old", 5), (None, None)
            ]  # fmt: skip

    play(story)


def test_what_another_process_stores_is_told_within_the_time_between_two_looks() -> None:
    async def story(store: MemoryStore) -> None:
        now = asyncio.get_running_loop().time
        other = MemoryStore(store._clock, store._tables)
        notifications = Notifications(store)
        async with notifications.running():
            stream = await notifications.open(ANNA, "anna")
            for number in range(5):
                waiting = asyncio.create_task(stream.next(60.0))
                await asyncio.sleep(3.3)
                happened = now()
                await tell(other, "a", number)
                assert shape(await waiting) == [("a", number + 1)]
                assert now() - happened <= POLL_S

    play(story)


def test_a_client_that_comes_back_is_told_what_it_has_missed_once_and_in_order() -> None:
    async def story(store: MemoryStore) -> None:
        await tell(store, "a", 0, 3)
        first, second = Notifications(store), Notifications(store)
        async with first.running():
            stream = await first.open(ANNA, "anna", after=0)
            events = await stream.next(1.0)
            assert shape(events) == [("a", 1), ("a", 2), ("a", 3)]
            last = events[1].position  # the third did not arrive
            stream.close()
        await tell(store, "a", 3, PAGE + 7)
        async with second.running():
            stream = await second.open(ANNA, "anna", after=last)
            told = await everything(stream)
            assert told == [("a", number) for number in range(3, PAGE + 11)]

    play(story)


@pytest.mark.parametrize("pause_s", [0.0, 0.003, 0.7], ids=["prompt", "quick", "slow"])
def test_nothing_is_lost_or_told_twice_while_much_happens(pause_s: float) -> None:
    async def story(store: MemoryStore) -> None:
        notifications = Notifications(store)

        async def happen(session: str, owner: str) -> None:
            for number in range(300):
                await tell(store, session, number, owner=owner)
                await asyncio.sleep(0.0017 if number % 7 else 0.31)

        async with notifications.running():
            streams = [await notifications.open(viewer, "x") for viewer in (ANNA, BERT, STAFF)]
            async with asyncio.TaskGroup() as group:
                told = [group.create_task(everything(one, pause_s)) for one in streams]
                for session, owner in (("a", "anna"), ("b", "bert"), ("c", "anna")):
                    group.create_task(happen(session, owner))
        whole = {name: [(name, number + 1) for number in range(300)] for name in "abc"}
        seen = [["a", "c"], ["b"], ["a", "b", "c"]]
        for task, names in zip(told, seen, strict=True):
            found = task.result()
            assert len(found) == 300 * len(names)
            for name in names:
                assert [one for one in found if one[0] == name] == whole[name]

    play(story)


def test_a_client_is_told_on_when_the_store_is_back() -> None:
    class Failing(MemoryStore):
        fails = False

        async def _begin(self) -> None:
            await super()._begin()
            if self.fails:
                raise StoreUnavailable("away")

    async def story(plain: MemoryStore) -> None:
        store = Failing(plain._clock, plain._tables)
        notifications = Notifications(store)
        async with notifications.running():
            stream = await notifications.open(ANNA, "anna")
            assert await stream.next(1.0) == []
            store.fails = True
            with pytest.raises(StoreUnavailable):
                await notifications.open(BERT, "bert")
            await tell(plain, "a", 0)
            assert await stream.next(30.0) == []
            await tell(plain, "a", 1)
            store.fails = False
            assert await everything(stream) == [("a", 1), ("a", 2)]
            # The one that failed has no place of the client's.
            several = [await notifications.open(BERT, "bert") for _ in range(MOST_OF_ONE)]
            assert len(several) == MOST_OF_ONE

    play(story)


def test_of_a_session_that_is_deleted_nothing_more_is_told() -> None:
    async def story(store: MemoryStore) -> None:
        notifications = Notifications(store)
        async with notifications.running():
            stream = await notifications.open(ANNA, "anna")
            await tell(store, "a", 0, PAGE + 1)
            await tell(store, "b", 0)
            await asyncio.sleep(1)
            assert len(await stream.next(1.0)) == PAGE
            await store.erase("a")
            notifications.deleted("a")
            assert await everything(stream) == [("b", 1)]
            await tell(store, "b", 1)
            await asyncio.sleep(1)
            await store.erase("b")  # on another machine: nobody says so here
            await tell(store, "c", 0)
            await asyncio.sleep(CHECK_S + 1)
            back = await notifications.open(ANNA, "anna", after=0)
            assert await everything(back) == [("c", 1)]

    play(story)


def test_a_stream_of_a_session_ends_where_the_session_is_made_anew() -> None:
    async def story(store: MemoryStore) -> None:
        notifications = Notifications(store)
        bound = EventViewer("passes-of:a", everything=True, session_id="a", bound=True)
        async with notifications.running():
            await store.commit(*session_events("a", [CREATED, ANSWER], 0, "anna"))
            stream = await notifications.open(bound, "pass", after=0)
            assert await everything(stream) == [("a", 1), ("a", 2)]
            staff = await notifications.open(
                EventViewer("staff", everything=True, session_id="a"), "staff"
            )
            await tell(store, "a", 2)
            await store.commit(*session_events("a", [CREATED, ANSWER], 0, "bert"))
            assert await everything(stream) == [("a", 3)]
            assert (stream.over, stream.replaced) == (True, True)
            assert await everything(staff) == [("a", 3), ("a", 1), ("a", 2)]
            assert not staff.over

    play(story)


def test_a_client_that_sees_nothing_still_gets_on() -> None:
    async def story(store: MemoryStore) -> None:
        notifications = Notifications(store)
        async with notifications.running():
            stream = await notifications.open(BERT, "bert")
            assert await stream.next(1.0) == []
            await tell(store, "a", 0, 2 * PAGE)
            assert await stream.next(2.0) == []
            newest = (await store.page("event", limit=1)).entries[0][1].version
            assert stream.position == newest

    play(story)


class Counting(MemoryStore):
    """Counts its reads of events, and how many are under way at most."""

    reads = 0
    at_once = 0
    most_at_once = 0

    async def since(self, kind: str, *, after: int, limit: int) -> Page:
        async with self._read():
            return await super().since(kind, after=after, limit=limit)

    async def page(self, kind: str, *, limit: int, before: int | None = None) -> Page:
        async with self._read():
            return await super().page(kind, limit=limit, before=before)

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[None]:
        self.reads += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.001)
        yield
        self.at_once -= 1


def test_streams_cost_the_store_no_reads_while_things_happen() -> None:
    async def story(plain: MemoryStore) -> None:
        store = Counting(plain._clock, plain._tables)
        notifications = Notifications(store)
        async with notifications.running():
            streams = [await notifications.open(STAFF, f"{n}") for n in range(50)]
            store.reads = 0
            async with asyncio.TaskGroup() as group:
                told = [group.create_task(everything(one)) for one in streams]
                for number in range(50):
                    await tell(store, "a", number)
                    await asyncio.sleep(0.1)
            assert store.reads <= 2 * 6 / POLL_S  # at most one page and one look that finds nothing
            whole = [("a", number + 1) for number in range(50)]
            assert [task.result() for task in told] == [whole] * 50
            # Those who come back soon are served without the store, too, but for its position.
            store.reads = 0
            back = await notifications.open(ANNA, "anna", after=0)
            assert shape(await back.next(0.1)) == whole
            assert store.reads == 1

    play(story)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few events are kept in memory and read at a time."""
    monkeypatch.setattr(notifications_module, "MOST_RECENT", 20)
    for module in (notifications_module, catch_ups, notification_stream):
        monkeypatch.setattr(module, "PAGE", 10)
    monkeypatch.setattr(catch_ups, "COUNTED", 15)
    monkeypatch.setattr(catch_ups, "MOST_EARLIER", 60)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("after", [0, 1, 37, 41, 59, 79, 80, 81, 99, 100])
def test_streams_that_begin_anywhere_are_told_everything_since(after: int) -> None:
    async def story(store: MemoryStore) -> None:
        await tell(store, "a", 0, 80)
        notifications = Notifications(store)
        async with notifications.running():
            stream = await notifications.open(ANNA, "anna", after=min(after, 80))
            told = asyncio.create_task(everything(stream))
            for number in range(80, 120):  # while it catches up
                await tell(store, "a", number)
                await asyncio.sleep(0.01)
            assert await told == [("a", number + 1) for number in range(min(after, 80), 120)]
            assert not stream.missed

    play(story)


@pytest.mark.usefixtures("small")
def test_one_page_is_read_at_a_time_however_many_catch_up() -> None:
    async def story(plain: MemoryStore) -> None:
        await tell(plain, "a", 0, 80)
        store = Counting(plain._clock, plain._tables)
        notifications = Notifications(store)
        async with notifications.running():
            live = await notifications.open(ANNA, "live")
            streams = [
                await notifications.open(EventViewer("nobody"), f"{n}", after=0)
                for n in range(MOST_CATCHING_UP)
            ]
            for client, of_one in (("0", True), ("another", False)):
                with pytest.raises(CatchUpsFull) as full:
                    await notifications.open(ANNA, client, after=0)
                assert full.value.of_one == of_one
            now = asyncio.get_running_loop().time
            began, store.reads, store.most_at_once = now(), 0, 0
            async with asyncio.TaskGroup() as group:
                for one in streams:
                    group.create_task(one.next(30.0))
                await tell(store, "a", 80)
                assert shape(await live.next(1.0)) == [("a", 81)]
                assert now() - began <= POLL_S + 0.1  # those who catch up hold nobody up
                while not all(one.position > 80 for one in streams):
                    await asyncio.sleep(0.01)
                assert store.most_at_once <= 2  # one of those who catch up, one of the process
                assert store.reads <= (now() - began) * (1 / PACE_S + 2 / POLL_S) + 2
                # A place is free as soon as it is not needed, or its stream ends.
                assert notifications.catch_ups._clients == set()
                begun = await notifications.open(ANNA, "0", after=0)
                begun.close()
                await notifications.open(ANNA, "0", after=0)

    play(story)


@pytest.mark.usefixtures("small")
def test_events_too_far_back_are_left_out_and_the_client_can_know() -> None:
    async def story(store: MemoryStore) -> None:
        await tell(store, "a", 0, 100)
        notifications = Notifications(store)
        async with notifications.running():
            stream = await notifications.open(ANNA, "anna", after=3)
            assert await stream.next(1.0) == []
            assert (stream.missed, stream.position) == (True, 20)
            stream.missed = False
            assert await everything(stream) == [("a", number + 1) for number in range(20, 100)]
            stream.close()
            # Exactly as far back as can be gone.
            stream = await notifications.open(ANNA, "anna", after=20)
            assert await everything(stream) == [("a", number + 1) for number in range(20, 100)]
            assert not stream.missed

    play(story)


@pytest.mark.usefixtures("small")
def test_a_slow_client_that_was_overtaken_catches_up() -> None:
    async def story(store: MemoryStore) -> None:
        notifications = Notifications(store)
        async with notifications.running():
            stream = await notifications.open(ANNA, "anna")
            other = await notifications.open(ANNA, "anna")
            await tell(store, "a", 0, 5)
            assert shape(await stream.next(1.0)) == [("a", number + 1) for number in range(5)]
            await tell(store, "a", 5, 45)
            await asyncio.sleep(5)

            async def until_the_last(one: NotificationStream) -> Told:
                found: Told = []
                while ("a", 50) not in found:
                    found += shape(await one.next(1.0))
                return found

            # One after the other: they are one client.
            async with asyncio.timeout(10):
                told = await asyncio.gather(until_the_last(stream), until_the_last(other))
            whole = [("a", number + 1) for number in range(50)]
            assert told == [whole[5:], whole]

    play(story)


def test_a_position_that_the_store_has_not_reached_is_replaced_by_its_newest() -> None:
    async def story(store: MemoryStore) -> None:
        await tell(store, "a", 0, 3)
        notifications = Notifications(store)
        async with notifications.running():
            stream = await notifications.open(ANNA, "anna", after=2**53)
            assert (stream.missed, stream.position) == (True, 3)
            stream.missed = False
            await tell(store, "a", 3)
            assert await everything(stream) == [("a", 4)]
            # The newest was deleted: the position is of this store all the same.
            await store.erase("a")
            stream = await notifications.open(ANNA, "anna", after=4)
            assert (stream.missed, stream.position) == (False, 4)

    play(story)


def test_one_client_has_no_more_streams_than_it_may_and_nor_have_all() -> None:
    async def story(store: MemoryStore) -> None:
        notifications = Notifications(store)
        async with notifications.running():
            streams = [await notifications.open(ANNA, "anna") for _ in range(MOST_OF_ONE)]
            with pytest.raises(TooManyStreams) as one:
                await notifications.open(ANNA, "anna")
            assert one.value.of_one
            streams.pop().close()
            streams.append(await notifications.open(ANNA, "anna"))
            streams += [
                await notifications.open(BERT, f"{number}")
                for number in range(MOST_STREAMS - MOST_OF_ONE)
            ]
            with pytest.raises(TooManyStreams) as all_of_them:
                await notifications.open(BERT, "another")
            assert not all_of_them.value.of_one
            for stream in streams:
                stream.close()
                stream.close()
            (await notifications.open(BERT, "another")).close()

    play(story)


def test_every_stream_ends_with_the_process() -> None:
    async def story(store: MemoryStore) -> None:
        now = asyncio.get_running_loop().time
        notifications = Notifications(store)
        async with notifications.running():
            stream = await notifications.open(ANNA, "anna")
            waiting = asyncio.create_task(stream.next(600.0))
            await asyncio.sleep(5)
            ended = now()
            notifications.close()
            assert await waiting == []
            assert (stream.over, now()) == (True, ended)
            assert await stream.next(600.0) == []
            with pytest.raises(NotificationsClosed):
                await notifications.open(BERT, "bert")

    play(story)


@pytest.mark.slow
def test_gateways_with_one_redis_tell_of_what_happens_at_each_other(
    redis_server: RedisServer,
) -> None:
    async def main() -> None:
        here, there = [RedisStore(redis_server.url) for _ in range(2)]
        notifications = Notifications(here)
        try:
            async with asyncio.timeout(20), notifications.running():
                stream = await notifications.open(ANNA, "anna")
                for number in range(3):
                    await tell(there, "a", number)
                    await tell(there, "b", number, owner="bert")
                    assert shape(await stream.next(10.0)) == [("a", number + 1)]
                last = stream.position
                stream.close()
                await tell(there, "a", 3, PAGE + 1)
                stream = await notifications.open(ANNA, "anna", after=last)
                told = [*await stream.next(10.0), *await stream.next(10.0)]
                assert shape(told) == [("a", number) for number in range(4, PAGE + 5)]
        finally:
            await here.aclose()
            await there.aclose()

    redis_server.ask("FLUSHALL")
    asyncio.run(main())
