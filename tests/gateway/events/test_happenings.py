"""Breakers that open and steps down the ladder become events. Virtual time."""

import asyncio
from typing import Any

from gateway.events.event import EVENT_KIND, events_of
from gateway.events.happenings import LAST_S, MOST_NOTED, GatewayHappenings
from gateway.store import StoreUnavailable, Write
from pipeline.ladder import LadderStep
from pipeline.testing import run_virtual
from tests.support.memory_store import MemoryStore


class Away(MemoryStore):
    """A store that can be away for writers."""

    away = False

    async def commit(self, *writes: Write) -> tuple[int, ...]:
        if self.away:
            raise StoreUnavailable("away")
        return await super().commit(*writes)


async def told(store: MemoryStore) -> list[tuple[str, dict[str, Any]]]:
    events = events_of(await store.since(EVENT_KIND, after=0, limit=1000))
    assert {(one.session_id, one.number) for one in events} <= {(None, None)}
    return [(one.type, dict(one.data)) for one in events]


def opened(name: str) -> tuple[str, dict[str, Any]]:
    return "breaker.opened", {"breaker": name}


def test_a_breaker_is_told_of_each_time_that_it_opens() -> None:
    async def main() -> None:
        clock = asyncio.get_running_loop().time
        store, states = Away(clock), {"stt.a": False, "llm.b": False}
        async with GatewayHappenings(store, lambda: states.items(), clock).running():
            await asyncio.sleep(5)
            assert await told(store) == []
            states["llm.b"] = True
            await asyncio.sleep(5)
            assert await told(store) == [opened("llm.b")]
            states["llm.b"] = False
            await asyncio.sleep(2)
            states.update({"llm.b": True, "stt.a": True})
            await asyncio.sleep(2)
            assert await told(store) == [opened("llm.b"), opened("llm.b"), opened("stt.a")]

    run_virtual(main())


def test_a_step_down_is_told_of_and_one_up_is_not() -> None:
    async def main() -> None:
        clock = asyncio.get_running_loop().time
        store = Away(clock)
        happenings = GatewayHappenings(store, tuple, clock)
        async with happenings.running():
            happenings.stepped(LadderStep.EVERYTHING, LadderStep.FEWER_PICTURES, "busy")
            happenings.stepped(LadderStep.FEWER_PICTURES, LadderStep.EVERYTHING, "calm")
            await asyncio.sleep(2)
        data = {"from": "everything", "to": "fewer pictures", "reason": "busy"}
        assert await told(store) == [("degraded", data)]

    run_virtual(main())


def test_what_happens_while_the_store_is_away_is_stored_later_within_a_bound() -> None:
    async def main() -> None:
        clock = asyncio.get_running_loop().time
        store = Away(clock)
        happenings = GatewayHappenings(store, tuple, clock)
        async with happenings.running():
            store.away = True
            for number in range(MOST_NOTED + 9):
                happenings.stepped(LadderStep.EVERYTHING, LadderStep.FEWER_PICTURES, f"{number}")
            await asyncio.sleep(5)
            store.away = False
            await asyncio.sleep(5)
        reasons = [data["reason"] for _, data in await told(store)]
        assert reasons == [f"{number}" for number in range(9, MOST_NOTED + 9)]

    run_virtual(main())


def test_what_was_stored_although_that_seemed_to_fail_holds_up_nothing() -> None:
    class Unsure(MemoryStore):
        fails = 1

        async def commit(self, *writes: Write) -> tuple[int, ...]:
            done = await super().commit(*writes)
            if self.fails:
                self.fails -= 1
                raise StoreUnavailable("no answer in time")
            return done

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        store = Unsure(clock)
        happenings = GatewayHappenings(store, tuple, clock)
        async with happenings.running():
            for number in range(3):
                happenings.stepped(LadderStep.EVERYTHING, LadderStep.FEWER_PICTURES, f"{number}")
            await asyncio.sleep(5)
            assert [data["reason"] for _, data in await told(store)] == ["0", "1", "2"]

    run_virtual(main())


def test_what_happens_just_before_the_end_is_stored_and_a_store_that_hangs_is_not_waited_for() -> (
    None
):
    class Hanging(MemoryStore):
        hangs = False

        async def commit(self, *writes: Write) -> tuple[int, ...]:
            if self.hangs:
                await asyncio.Event().wait()
            return await super().commit(*writes)

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        store, states = Hanging(clock), {"llm.b": False}
        async with GatewayHappenings(store, lambda: states.items(), clock).running():
            states["llm.b"] = True
        assert await told(store) == [opened("llm.b")]
        async with GatewayHappenings(store, lambda: states.items(), clock).running():
            store.hangs = True
        assert clock() <= LAST_S

    run_virtual(main())
