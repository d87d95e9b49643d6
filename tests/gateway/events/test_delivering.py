"""Every event arrives, in the order of its session, whatever fails in between. Virtual time."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.events.dead_letters import LETTER_KIND, newest_letters
from gateway.events.deliveries import DeliveryPolicy
from gateway.events.delivering import WebhookDelivery
from gateway.events.event import EVENT_TYPES, EventDraft, OutboxEvent
from gateway.events.outbox import session_events
from gateway.events.sending import DeliveryOutcome
from gateway.events.webhook_lease import LEASE_S
from gateway.events.webhook_progress import WebhookProgress, progress_of, switch_on
from gateway.events.webhooks_file import Webhook
from gateway.store import Put, Store, StoreUnavailable, Write
from pipeline.testing import run_virtual
from tests.support.memory_store import MemoryStore

HOOK = Webhook("hr", "http://hr.example/hook", (b"x" * 24,), frozenset(EVENT_TYPES))
ANSWER = EventDraft("answer.accepted", {"question": 1})


class Receiver:
    """Takes events while it is up, and notes each delivery."""

    def __init__(self) -> None:
        self.up = True
        self.got: list[tuple[str | None, int | None, str]] = []
        self.refuses: set[int | None] = set()
        self.takes_s = 0.0

    async def __call__(self, webhook: Webhook, event: OutboxEvent) -> DeliveryOutcome:
        await asyncio.sleep(self.takes_s)
        if not self.up or event.number in self.refuses:
            return DeliveryOutcome("Connection refused")
        self.got.append((event.session_id, event.number, event.id))
        return DeliveryOutcome()

    def numbers(self, session: str) -> list[int | None]:
        """Of a session, in the order in which they came first."""
        return [*dict.fromkeys(number for name, number, _ in self.got if name == session)]


def play(story: Callable[[MemoryStore], Any]) -> None:
    async def main() -> None:
        await story(MemoryStore(asyncio.get_running_loop().time))

    run_virtual(main())


def delivery(store: Store, to: Receiver, policy: DeliveryPolicy | None = None) -> WebhookDelivery:
    now = asyncio.get_running_loop().time
    return WebhookDelivery(store, (HOOK,), to, policy=policy, clock=now, chance=lambda: 0.5)


async def tell(store: Store, session: str, before: int, count: int = 1) -> None:
    await store.commit(*session_events(session, [ANSWER] * count, before))


def kill(task: "asyncio.Task[None]", store: MemoryStore) -> None:
    """End a process as SIGKILL does: nothing of it reaches the store any more."""
    store._closed = True
    task.cancel()


def test_a_receiver_that_is_down_for_two_minutes_gets_everything_also_from_another_process() -> (
    None
):
    async def story(store: MemoryStore) -> None:
        to = Receiver()
        of_first = MemoryStore(store._clock, store._tables)

        async def first() -> None:
            async with delivery(of_first, to).running():
                await asyncio.Event().wait()

        process = asyncio.create_task(first())
        await asyncio.sleep(1)
        await tell(store, "a", 0, 3)
        await asyncio.sleep(2)
        assert to.numbers("a") == [1, 2, 3]
        to.up = False
        for second in range(40):  # of two minutes
            await tell(store, "a", 3 + second)
            await tell(store, "b", second)
            await asyncio.sleep(1)
        kill(process, of_first)
        await asyncio.wait([process])
        await tell(store, "b", 40)  # nobody delivers meanwhile
        async with delivery(store, to).running():
            await asyncio.sleep(80)
            assert to.numbers("b") == []
            to.up = True
            await asyncio.sleep(60)
            assert to.numbers("a") == list(range(1, 44))
            assert to.numbers("b") == list(range(1, 42))
        ids = {(session, number): id for session, number, id in to.got}
        assert {(*key, id) for key, id in ids.items()} == set(to.got)  # doubles have the same id
        assert await newest_letters(store, 9) == []

    play(story)


def test_what_was_not_noted_before_a_sudden_end_comes_again_with_the_same_id() -> None:
    async def story(store: MemoryStore) -> None:
        to = Receiver()
        of_first = MemoryStore(store._clock, store._tables)

        async def first() -> None:
            async with delivery(of_first, to).running():
                await asyncio.Event().wait()

        process = asyncio.create_task(first())
        await asyncio.sleep(1)
        await tell(store, "a", 0)
        while not to.got:
            await asyncio.sleep(0)
        kill(process, of_first)
        await asyncio.wait([process])
        async with delivery(store, to).running():
            await asyncio.sleep(LEASE_S + 5)
        assert len(to.got) == 2
        assert len(set(to.got)) == 1

    play(story)


def test_one_process_delivers_and_another_takes_over_when_it_ends() -> None:
    async def story(store: MemoryStore) -> None:
        one, other = Receiver(), Receiver()
        async with delivery(store, other).running():
            await asyncio.sleep(1)
            async with delivery(store, one).running():
                await tell(store, "a", 0)
                await asyncio.sleep(5)
                assert (len(other.got), one.got) == (1, [])
                last = asyncio.create_task(asyncio.sleep(0))
                await last
        async with delivery(store, one).running():
            await tell(store, "a", 1)
            await asyncio.sleep(5)
        assert (one.numbers("a"), other.numbers("a")) == ([2], [1])

    play(story)


def test_what_is_never_taken_becomes_a_dead_letter_and_the_session_goes_on() -> None:
    async def story(store: MemoryStore) -> None:
        to = Receiver()
        to.refuses = {1}
        policy = DeliveryPolicy(tries=3)
        async with delivery(store, to, policy).running():
            await asyncio.sleep(1)
            await tell(store, "a", 0, 2)
            await asyncio.sleep(30)
            assert to.numbers("a") == [2]
            (letter,) = await newest_letters(store, 9)
            assert (letter.webhook, letter.event.number) == ("hr", 1)
            assert (letter.reason, letter.tries) == ("Connection refused", 3)
        found = await progress_of(store, "hr")
        assert found is not None
        progress = found[0]
        assert (progress.delivered, progress.failures, progress.given_up) == (1, 3, 1)
        await store.erase("a")
        assert await newest_letters(store, 9) == []

    play(story)


def test_the_events_of_a_deleted_session_are_not_delivered_any_more() -> None:
    async def story(store: MemoryStore) -> None:
        to = Receiver()
        to.up = False
        async with delivery(store, to).running():
            await asyncio.sleep(1)
            await tell(store, "a", 0, 3)  # the later ones are never tried before
            await asyncio.sleep(5)
            await store.erase("a")
            to.up = True
            await asyncio.sleep(60)
        assert to.got == []

    play(story)


def test_a_new_webhook_begins_with_what_happens_from_then_on() -> None:
    async def story(store: MemoryStore) -> None:
        to = Receiver()
        await tell(store, "a", 0)
        async with delivery(store, to).running():
            await tell(store, "a", 1)
            await asyncio.sleep(2)
        assert to.numbers("a") == [2]

    play(story)


def test_deliveries_go_on_when_the_store_is_back() -> None:
    class Failing(MemoryStore):
        fails = False

        async def _begin(self) -> None:
            await super()._begin()
            if self.fails:
                raise StoreUnavailable("away")

    async def story(plain: MemoryStore) -> None:
        store, to = Failing(plain._clock, plain._tables), Receiver()
        async with delivery(store, to).running():
            await asyncio.sleep(1)
            store.fails = True
            await tell(plain, "a", 0)
            await asyncio.sleep(30)
            assert to.got == []
            store.fails = False
            await asyncio.sleep(LEASE_S + 5)
            assert to.numbers("a") == [1]

    play(story)


def test_what_a_newer_version_stored_is_gone_on_from() -> None:
    async def story(store: MemoryStore) -> None:
        to = Receiver()
        await tell(store, "a", 0, 2)
        await store.put("webhook:hr", b'{"at": 1, "done": [], "later": 1}', expect=None)
        async with delivery(store, to).running():
            await asyncio.sleep(2)
        assert to.numbers("a") == [2]

    play(story)


def test_a_session_that_has_the_name_of_a_webhook_is_deleted_without_it() -> None:
    async def story(store: MemoryStore) -> None:
        to = Receiver()
        async with delivery(store, to).running():
            await tell(store, "a", 0)
            await asyncio.sleep(2)
            await store.erase("hr")
            await tell(store, "a", 1)
            await asyncio.sleep(LEASE_S + 5)
        assert to.got == [*dict.fromkeys(to.got)]
        assert to.numbers("a") == [1, 2]

    play(story)


def test_processes_with_different_files_deliver_each_to_its_own() -> None:
    async def story(store: MemoryStore) -> None:
        one, other = Receiver(), Receiver()
        crm = Webhook("crm", "http://crm.example/", (b"x" * 24,), frozenset(EVENT_TYPES))
        now = asyncio.get_running_loop().time
        async with (
            delivery(store, one).running(),
            WebhookDelivery(store, (crm,), other, clock=now).running(),
        ):
            await tell(store, "a", 0)
            await asyncio.sleep(2)
        assert (one.numbers("a"), other.numbers("a")) == ([1], [1])

    play(story)


def test_a_process_that_was_held_up_leaves_the_lease_to_the_one_that_took_over() -> None:
    class Stalled(MemoryStore):
        until = 0.0

        async def commit(self, *writes: Write) -> tuple[int, ...]:
            if (left_s := self.until - self._clock()) > 0:
                await asyncio.sleep(left_s)
                raise StoreUnavailable("no answer in time")
            return await super().commit(*writes)

    async def story(plain: MemoryStore) -> None:
        store = Stalled(plain._clock, plain._tables)
        one, other, third = Receiver(), Receiver(), Receiver()
        async with delivery(store, one).running():
            await asyncio.sleep(1)
            store.until = plain._clock() + LEASE_S + 8.0
            async with delivery(plain, other).running(), delivery(plain, third).running():
                for number in range(60):
                    await tell(plain, "a", number)
                    await asyncio.sleep(1)
        takers = [each.numbers("a") for each in (other, third)]
        assert sorted(map(len, takers))[0] == 0  # one of them went on alone
        every = [id for each in (one, other, third) for _, _, id in each.got]
        assert len(set(every)) == 60

    play(story)


def test_a_dead_letter_of_a_session_that_is_deleted_just_then_is_not_kept() -> None:
    class Deleting(MemoryStore):
        async def commit(self, *writes: Write) -> tuple[int, ...]:
            if any(isinstance(one, Put) and one.key.startswith(LETTER_KIND) for one in writes):
                await self.erase("a")
            return await super().commit(*writes)

    async def story(plain: MemoryStore) -> None:
        store, to = Deleting(plain._clock, plain._tables), Receiver()
        to.up = False
        async with delivery(store, to, DeliveryPolicy(tries=1)).running():
            await tell(store, "a", 0)
            await asyncio.sleep(2)
        assert await newest_letters(store, 9) == []
        found = await progress_of(store, "hr")
        assert found is not None
        assert (found[0].failures, found[0].given_up, found[0].waiting) == (1, 0, 0)

    play(story)


def test_what_is_done_is_stored_at_the_end_also_where_that_was_under_way() -> None:
    class Slow(MemoryStore):
        stored = 0

        async def commit(self, *writes: Write) -> tuple[int, ...]:
            put = writes[0]
            if isinstance(put, Put) and put.key == "webhook:hr" and put.expect is not None:
                self.stored += 1
                if self.stored == 1:
                    await asyncio.Event().wait()  # until it is cancelled
            return await super().commit(*writes)

    async def story(plain: MemoryStore) -> None:
        store, to = Slow(plain._clock, plain._tables), Receiver()
        async with delivery(store, to).running():
            await tell(store, "a", 0)
            await asyncio.sleep(2)
        async with delivery(plain, to).running():
            await asyncio.sleep(LEASE_S + 5)
        assert (store.stored, len(to.got)) == (2, 1)

    play(story)


class Leaving(Receiver):
    """Takes some events, then answers that it is gone."""

    takes = 2

    async def __call__(self, webhook: Webhook, event: OutboxEvent) -> DeliveryOutcome:
        if len(self.got) >= self.takes:
            self.asked += 1
            return DeliveryOutcome("HTTP 410", gone=True)
        return await super().__call__(webhook, event)

    asked = 0


def test_a_receiver_that_is_gone_is_asked_no_more_at_any_process_until_it_is_switched_on() -> None:
    async def story(store: MemoryStore) -> None:
        to, now = Leaving(), asyncio.get_running_loop().time
        async with delivery(store, to).running(), delivery(store, to).running():
            await asyncio.sleep(5)
            for number in range(40):
                await tell(store, "a", number)
                await asyncio.sleep(30)
            assert (to.numbers("a"), to.asked) == ([1, 2], 1)
            progress, _ = await found_progress(store)
            assert progress.off(HOOK.url)
            assert not progress.off("http://hr.example/other")
            assert (progress.problem, progress.failures, progress.given_up) == ("HTTP 410", 1, 0)
            assert progress.off_at is not None
            assert progress.off_at < now() - 1000
            to.takes = 100
            await switch_on(store, "hr")
            await switch_on(store, "hr")
            await asyncio.sleep(20)
            assert to.numbers("a") == list(range(1, 41))
            await asyncio.sleep(5)
            progress, _ = await found_progress(store)
            assert (progress.off_at, progress.delivered) == (None, 40)
        assert await newest_letters(store, 9) == []

    play(story)


def test_that_a_receiver_is_gone_is_stored_before_its_slow_attempts_are_over() -> None:
    class Slow(Leaving):
        takes = 0

        async def __call__(self, webhook: Webhook, event: OutboxEvent) -> DeliveryOutcome:
            await asyncio.sleep(9.0 if event.session_id == "slow" else 0.0)
            return await super().__call__(webhook, event)

    async def story(store: MemoryStore) -> None:
        async with delivery(store, Slow()).running():
            await asyncio.sleep(1)
            await tell(store, "slow", 0)
            await tell(store, "a", 0)
            await asyncio.sleep(1)
            assert (await found_progress(store))[0].off(HOOK.url)

    play(story)


def test_another_url_for_a_receiver_that_is_gone_gets_what_was_kept() -> None:
    async def story(store: MemoryStore) -> None:
        to = Leaving()
        async with delivery(store, to).running():
            await asyncio.sleep(1)
            await tell(store, "a", 0, 5)
            await asyncio.sleep(60)
        elsewhere = replace(HOOK, url="http://hr.example/other")
        now, other = asyncio.get_running_loop().time, Receiver()
        async with WebhookDelivery(store, (elsewhere,), other, clock=now).running():
            await asyncio.sleep(10)
        assert (to.numbers("a"), other.numbers("a")) == ([1, 2], [3, 4, 5])
        assert (await found_progress(store))[0].off_at is None

    play(story)


async def found_progress(store: Store) -> tuple[WebhookProgress, int]:
    found = await progress_of(store, "hr")
    assert found is not None
    return found
