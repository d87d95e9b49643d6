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
from gateway.store import StoreUnavailable
from gateway.store.redis import RedisStore
from pipeline.testing import run_virtual
from tests.support.memory_store import MemoryStore
from tests.support.stores import RedisServer

SLOW = Rate(3600.0, 5)
"""Five at once, and no further one while a test lasts."""


def test_memory_has_a_bound_and_forgets_who_came_least_recently() -> None:
    async def main() -> None:
        counting = MemoryCounting(clock=lambda: 1e9, most_kept=100)
        kept = Bucket("address", "kept", Rate(60.0, 3))
        for number in range(1000):
            await counting.count([Bucket("address", f"{number}", SLOW)])
            if number in (0, 50, 140):
                await counting.count([kept])
        assert len(counting) == 100
        again = Bucket("address", "kept", Rate(60.0, 3))
        (forgotten,) = await counting.count([again])
        assert forgotten.remaining == 2

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

        async def passes(counted: Awaitable[tuple[LimitVerdict, ...]]) -> bool:
            try:
                assert await counted == ()
            except LimitsUnavailable:
                return False
            return True

        assert await passes(limiter.client("a", None, changes=False)) is read
        assert await passes(limiter.client("a", None, changes=True)) is change
        assert await passes(limiter.address("203.0.113.9")) is address

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
