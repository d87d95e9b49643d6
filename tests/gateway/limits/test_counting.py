"""Where limits are counted: within bounds in memory, and as one in Redis."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from gateway.limits.buckets import DAY_S, Bucket, Limit, LimitVerdict, Quota
from gateway.limits.counting import MemoryCounting, RedisCounting
from gateway.limits.limiter import Limiter, LimitRules, LimitsUnavailable, limiter_of
from gateway.rates import Rate
from gateway.settings import Settings
from gateway.store import StoreBusy, StoreUnavailable
from gateway.store.redis import RedisStore
from pipeline.testing import VirtualLoop, run_virtual
from tests.support.memory_store import MemoryStore
from tests.support.stores import RedisServer

SLOW = Rate(3600.0, 5)
"""Five at once, and no further one while a test lasts."""


def test_memory_has_a_bound_and_forgets_who_came_least_recently() -> None:
    async def main() -> None:
        counting = MemoryCounting(clock=lambda: 1e9, most_kept=100)
        idle, busy = (Bucket("address", name, SLOW) for name in ("idle", "busy"))
        for _ in range(5):
            await counting.count([idle])
            await counting.count([busy])
        for number in range(1000):
            await counting.count([Bucket("address", f"{number}", SLOW)])
            if number % 50 == 0:
                (refused,) = await counting.count([busy])
                assert not refused.allowed
        assert len(counting) == 100
        (forgotten,) = await counting.count([idle])
        assert forgotten.remaining == 4

    run_virtual(main())


def test_strangers_push_no_key_and_no_quota_out_of_memory() -> None:
    async def main() -> None:
        counting = MemoryCounting(clock=lambda: 1e9, most_kept=10)
        limits: list[Limit] = [
            Bucket("key", "a", SLOW),
            Quota("day", "a", 5),
            Bucket("service", "s", SLOW),
        ]
        for _ in range(2):
            await counting.count(limits)
        for number in range(100):
            await counting.count([Bucket("address", f"{number}", SLOW)])
        assert [one.remaining for one in await counting.count(limits)] == [2, 2, 2]
        assert len(counting) == 10 + 3

    run_virtual(main())


def in_redis(server: RedisServer, story: Callable[[list[RedisCounting]], Awaitable[None]]) -> None:
    """Two processes that count in one Redis."""

    async def main() -> None:
        stores = [RedisStore(server.url) for _ in range(2)]
        try:
            await story([RedisCounting(store.evaluate) for store in stores])
        finally:
            for store in stores:
                await store.aclose()

    server.ask("FLUSHALL")
    asyncio.run(main())


def test_processes_count_as_one(redis_server: RedisServer) -> None:
    async def story(processes: list[RedisCounting]) -> None:
        bucket = Bucket("key", "a", SLOW)
        found = await asyncio.gather(*(each.count([bucket]) for each in processes * 10))
        assert sorted(one.allowed for (one,) in found) == [False] * 15 + [True] * 5
        (other,) = await processes[0].count([Bucket("key", "b", SLOW)])
        assert (other.allowed, other.remaining) == (True, 4)

    in_redis(redis_server, story)


def test_redis_decides_as_memory_does(redis_server: RedisServer) -> None:
    limits: list[Limit] = [Bucket("key", "a", SLOW), Quota("day", "a", 3)]
    orders: list[Sequence[Limit]] = [limits, limits[:1], limits[1:], limits, limits, limits[1:]]

    def seen(verdicts: Sequence[LimitVerdict]) -> list[tuple[str, bool, int]]:
        return [(one.limit.policy, one.allowed, one.remaining) for one in verdicts]

    async def story(processes: list[RedisCounting]) -> None:
        memory = MemoryCounting()
        for order in orders:
            expected, found = await memory.count(order), await processes[0].count(order)
            assert seen(expected) == seen(found)
            for one, two in zip(expected, found, strict=True):
                assert abs(one.wait_s - two.wait_s) < 60
                assert abs(one.reset_s - two.reset_s) < 60

    in_redis(redis_server, story)


def test_what_redis_keeps_ends_with_its_day_or_with_the_bucket(redis_server: RedisServer) -> None:
    async def story(processes: list[RedisCounting]) -> None:
        await processes[0].count([Bucket("key", "a", Rate(1.0, 5)), Quota("day", "a", 3)])

    in_redis(redis_server, story)
    names = redis_server.ask("KEYS", "*")
    left_s = {bytes(name).split(b":")[1]: redis_server.ask("PTTL", name) / 1000 for name in names}
    assert left_s.keys() == {b"rate", b"quota"}
    assert 0 < left_s[b"rate"] <= 1.1
    assert 0 < left_s[b"quota"] <= DAY_S - time.time() % DAY_S + 1


def test_a_bucket_in_redis_fills_with_time(redis_server: RedisServer) -> None:
    async def story(processes: list[RedisCounting]) -> None:
        bucket = Bucket("key", "a", Rate(0.05, 1))
        (first,) = await processes[0].count([bucket])
        (second,) = await processes[1].count([bucket])
        assert first.allowed
        while not second.allowed:
            assert 0 < second.wait_s <= 0.05
            await asyncio.sleep(second.wait_s)
            (second,) = await processes[1].count([bucket])

    in_redis(redis_server, story)


# --- without Redis -----------------------------------------------------------------------------


class Down:
    """Counts nothing: Redis is away."""

    async def count(self, limits: Sequence[Limit]) -> tuple[LimitVerdict, ...]:
        raise StoreUnavailable("Redis cannot be reached")


@pytest.mark.parametrize(
    ("down", "read", "change", "address"),
    [("auto", True, False, True), ("open", True, True, True), ("closed", False, False, False)],
)
def test_a_redis_that_is_away_lets_reads_through_and_no_quota_as_configured(
    down: str, read: bool, change: bool, address: bool
) -> None:
    async def main() -> None:
        rules = LimitRules(address=SLOW, key=SLOW, day=5, down=down)  # type: ignore[arg-type]
        limiter = Limiter(rules, Down())

        assert await passes(limiter.client("a", None, changes=False)) is read
        assert await passes(limiter.client("a", None, changes=True)) is change
        assert await passes(limiter.address("203.0.113.9")) is address

    run_virtual(main())


async def passes(counted: Awaitable[tuple[LimitVerdict, ...]]) -> bool:
    """Whether a request that nobody counts may go on."""
    try:
        assert await counted == ()
    except LimitsUnavailable:
        return False
    return True


class Flooded:
    """As many wait to be counted as may."""

    async def count(self, limits: Sequence[Limit]) -> tuple[LimitVerdict, ...]:
        raise StoreBusy("512 operations are waiting already")


@pytest.mark.parametrize(("down", "passed"), [("auto", False), ("open", True), ("closed", False)])
def test_a_flood_does_not_switch_limits_off(down: str, passed: bool) -> None:
    async def main() -> None:
        limiter = Limiter(LimitRules(address=SLOW, key=SLOW, down=down), Flooded())  # type: ignore[arg-type]
        for _ in range(2):
            assert await passes(limiter.address("203.0.113.9")) is passed
            assert await passes(limiter.client("a", None, changes=False)) is passed

    run_virtual(main())


def test_more_than_may_wait_for_redis_is_a_flood(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.redis.MAX_PENDING", 5)

    async def story(processes: list[RedisCounting]) -> None:
        limiter = Limiter(LimitRules(address=Rate(3600.0, 100)), processes[0])
        asked = [limiter.address("203.0.113.9") for _ in range(12)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        refused = [one for one in found if isinstance(one, LimitsUnavailable)]
        assert (len(refused), () in found) == (7, False)
        (verdict,) = await limiter.address("203.0.113.9")
        assert verdict.remaining == 100 - 5 - 1

    in_redis(redis_server, story)


class Hanging:
    """A Redis that answers nothing until it is `well`."""

    def __init__(self) -> None:
        self.well = asyncio.Event()
        self.asked = 0
        self._memory = MemoryCounting()

    async def count(self, limits: Sequence[Limit]) -> tuple[LimitVerdict, ...]:
        self.asked += 1
        await self.well.wait()
        return await self._memory.count(limits)


def test_a_redis_that_hangs_keeps_one_request_at_a_time_waiting() -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time
        hanging = Hanging()
        limiter = Limiter(LimitRules(address=SLOW), hanging)

        async def waited_s() -> float:
            begun = now()
            assert await limiter.address("203.0.113.9") == ()
            return round(now() - begun, 6)

        async def at_once(requests: int) -> list[float]:
            return sorted(await asyncio.gather(*(waited_s() for _ in range(requests))))

        assert await at_once(5) == [1.0] * 5, "that it hangs is found out"
        assert (await at_once(50), hanging.asked) == ([0.0] * 50, 5)
        await asyncio.sleep(1.0)
        assert (await at_once(50), hanging.asked) == ([0.0] * 49 + [1.0], 6)
        await asyncio.sleep(1.0)
        trying = asyncio.create_task(limiter.address("203.0.113.9"))
        await asyncio.sleep(0.5)
        assert (await waited_s(), hanging.asked) == (0.0, 7)
        hanging.well.set()
        (verdict,) = await trying
        assert verdict.remaining == 4
        (verdict,) = await limiter.address("203.0.113.9")
        assert verdict.remaining == 3

    run_virtual(main())


class Answers:
    """A store that answers at once, or that has a deadline of its own, as `RedisStore` has."""

    def __init__(self, *, own_s: float | None = None, silent: bool = False) -> None:
        self._own_s = own_s
        self._silent = silent
        self._memory = MemoryCounting()

    async def count(self, limits: Sequence[Limit]) -> tuple[LimitVerdict, ...]:
        try:
            async with asyncio.timeout(self._own_s):
                await asyncio.sleep(3600 if self._silent else 0.01)
        except TimeoutError:
            raise StoreUnavailable("Redis does not answer in time") from None
        for _ in range(20):  # an answer takes a few turns of the loop to come through
            await asyncio.sleep(0)
        return await self._memory.count(limits)


def hold_up(for_s: float) -> None:
    """What a part of the process does that computes for so long."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._jumping.now += for_s


async def held_up(at: Sequence[float], for_s: float) -> None:
    begun = asyncio.get_running_loop().time()
    for moment in at:
        await asyncio.sleep(begun + moment - asyncio.get_running_loop().time())
        hold_up(for_s)


@pytest.mark.parametrize("for_s", [0.9, 1.5, 10.0])
def test_an_answer_that_came_while_the_loop_was_held_up_is_heard(for_s: float) -> None:
    async def main() -> None:
        limiter = Limiter(LimitRules(address=SLOW), Answers())
        for moment in (0.0, 0.001):
            held = asyncio.create_task(held_up([moment], for_s))
            assert len(await limiter.address("203.0.113.9")) == 1
            await held
        assert limiter.counts

    run_virtual(main())


@pytest.mark.parametrize(("down", "passed"), [("auto", False), ("open", True), ("closed", False)])
def test_a_deadline_that_a_held_up_loop_missed_does_not_switch_limits_off(
    down: str, passed: bool
) -> None:
    async def main() -> None:
        rules = LimitRules(address=SLOW, down=down)  # type: ignore[arg-type]
        limiter = Limiter(rules, Answers(own_s=3.0))
        held = asyncio.create_task(held_up([0.0], 4.0))
        assert await passes(limiter.address("203.0.113.9")) is passed
        await held
        assert limiter.counts
        assert len(await limiter.address("203.0.113.9")) == 1

    run_virtual(main())


def test_a_loop_that_is_late_all_the_time_keeps_no_request_for_ever() -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time
        limiter = Limiter(LimitRules(address=SLOW), Answers(silent=True))
        held = asyncio.create_task(held_up([0.4 * turn for turn in range(99)], 0.4))
        begun = now()
        assert not await passes(limiter.address("203.0.113.9"))
        assert 3.0 <= now() - begun < 10.0
        assert limiter.counts
        held.cancel()

    run_virtual(main())


def test_a_redis_that_hangs_is_found_out_although_the_loop_was_late_once() -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time
        limiter = Limiter(LimitRules(address=SLOW), Answers(silent=True))
        held = asyncio.create_task(held_up([0.3], 1.0))
        assert await passes(limiter.address("203.0.113.9"))
        await held
        assert (limiter.counts, now() < 2.5) == (False, True)

    run_virtual(main())


def test_who_leaves_while_it_tries_whether_redis_is_back_keeps_nobody_from_it() -> None:
    async def main() -> None:
        hanging = Hanging()
        limiter = Limiter(LimitRules(address=SLOW), hanging)
        assert await limiter.address("203.0.113.9") == ()
        await asyncio.sleep(1.0)
        trying = asyncio.create_task(limiter.address("203.0.113.9"))
        await asyncio.sleep(0.5)
        trying.cancel()
        await asyncio.wait([trying])
        hanging.well.set()
        (verdict,) = await limiter.address("203.0.113.9")
        assert verdict.allowed

    run_virtual(main())


def test_limits_that_are_not_set_count_nothing() -> None:
    async def main() -> None:
        limiter = Limiter(LimitRules(day=5), Down())
        assert await limiter.address("203.0.113.9") == ()
        assert await limiter.client(None, "voice", changes=True) == ()
        assert await limiter.client("a", None, changes=False) == ()

    run_virtual(main())


def test_the_settings_say_what_is_limited() -> None:
    store = MemoryStore(lambda: 0.0)
    assert limiter_of(Settings(), store) is None
    assert limiter_of(Settings(limit_key="5/s"), store) is not None
