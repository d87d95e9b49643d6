"""Quotas of tokens: by day and month, one count in Redis, closed while there is none."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.limits.limiter import Down, LimitsUnavailable
from gateway.limits.token_counting import MemoryTokens, RedisTokens
from gateway.limits.token_limiter import CallsUnderWay, Spending, TokenLimiter, TokenQuotaRules
from gateway.limits.token_quotas import TokenQuota, TokenVerdict
from gateway.store import StoreBusy, StoreUnavailable
from gateway.store.redis import RedisStore
from pipeline.testing import run_virtual
from tests.support.stores import RedisServer

NOON = datetime(2026, 12, 31, 12, tzinfo=UTC).timestamp()
DAY, MONTH = (
    TokenQuota("tokens-day", "a", 100, "day"),
    TokenQuota("tokens-month", "a", 150, "month"),
)


def test_a_day_and_a_month_end_at_midnight_of_utc() -> None:
    assert (DAY.ends_at(NOON) - NOON, DAY.window_s(NOON)) == (12 * 3600, 86_400)
    assert (MONTH.ends_at(NOON) - NOON, MONTH.window_s(NOON)) == (12 * 3600, 31 * 86_400)
    february = datetime(2028, 2, 10, tzinfo=UTC).timestamp()
    assert MONTH.window_s(february) == 29 * 86_400
    assert MONTH.ends_at(february) == datetime(2028, 3, 1, tzinfo=UTC).timestamp()
    assert DAY.key(NOON) == "quota:tokens-day:2026-12-31:a"
    assert MONTH.key(NOON) == "quota:tokens-month:2026-12-01:a"


def seen(verdicts: Sequence[TokenVerdict]) -> list[tuple[bool, int, float]]:
    return [(one.allowed, one.remaining, one.wait_s) for one in verdicts]


STORY = [
    # Time, tokens at least, tokens in all, and what each quota says: allowed, remaining, wait.
    (NOON, 10, 60, [(True, 90, 0.0), (True, 140, 0.0)]),
    (NOON, 10, 50, [(True, 30, 0.0), (True, 80, 0.0)]),
    (NOON, 10, 0, [(False, 0, 43_200.0), (True, 40, 0.0)]),
    (NOON, 10, 0, [(False, 0, 43_200.0), (True, 40, 0.0)]),
    (NOON + 86_400, 10, 10, [(True, 90, 0.0), (True, 140, 0.0)]),
]


def test_a_call_may_begin_while_less_than_its_quota_is_used() -> None:
    async def main() -> None:
        now = NOON
        rules = TokenQuotaRules(day=100, month=150)
        limiter = TokenLimiter(rules, MemoryTokens(), clock=lambda: now)
        for now, least, in_all, expected in STORY:  # noqa: B007 (the clock reads it)
            spending = await limiter.begin("a", "", least)
            assert seen(spending.verdicts) == expected
            if all(verdict.allowed for verdict in spending.verdicts):
                await limiter.end(spending, in_all)

    run_virtual(main())


def test_a_session_has_a_quota_of_its_own_for_each_client() -> None:
    async def main() -> None:
        limiter = TokenLimiter(TokenQuotaRules(session=20), MemoryTokens(), clock=lambda: NOON)
        await limiter.end(await limiter.begin("a", "s-1", 1), 20)
        for client, session, allowed in (
            *(("a", "s-1", [False]), ("a", "s-2", [True])),
            *(("b", "s-1", [True]), ("a", "", [])),
        ):
            spending = await limiter.begin(client, session, 1)
            assert [one.allowed for one in spending.verdicts] == allowed

    run_virtual(main())


def test_a_call_that_ends_in_another_day_counts_for_the_one_in_which_it_began() -> None:
    async def main() -> None:
        now = NOON
        limiter = TokenLimiter(TokenQuotaRules(day=100), MemoryTokens(), clock=lambda: now)
        spending = await limiter.begin("a", "", 10)
        now += 86_400
        await limiter.end(spending, 5)
        (tomorrow,) = (await limiter.begin("a", "", 10)).verdicts
        assert tomorrow.remaining == 90
        now = NOON
        (today,) = (await limiter.begin("a", "", 10)).verdicts
        assert today.remaining == 85

    run_virtual(main())


def test_memory_has_a_bound() -> None:
    async def main() -> None:
        tokens = MemoryTokens(most_kept=10)
        for number in range(30):
            await tokens.add([TokenQuota("tokens-day", f"{number}", 5, "day")], 1, NOON)
        assert len(tokens) == 10

    run_virtual(main())


@pytest.mark.parametrize("refused", [False, True])
def test_sessions_push_no_clients_count_out_of_memory(refused: bool) -> None:
    async def main() -> None:
        limiter = TokenLimiter(
            TokenQuotaRules(day=50, month=50, session=50),
            MemoryTokens(most_kept=10),
            clock=lambda: NOON,
        )
        await limiter.end(await limiter.begin("a", "s", 1), 50 if refused else 40)
        for number in range(100):
            await limiter.begin("b", f"{number}", 0)
            if number % 5 == 0:
                await limiter.begin("c" * number, "", 1)
                (day, month) = (await limiter.begin("a", "", 0)).verdicts
                assert (day.remaining, month.remaining) == ((0, 0) if refused else (10, 10))

    run_virtual(main())


def test_redis_decides_as_memory_does_and_processes_count_as_one(
    redis_server: RedisServer,
) -> None:
    async def main() -> None:
        stores = [RedisStore(redis_server.url) for _ in range(2)]
        shared = [RedisTokens(store.evaluate, clock=lambda: NOON) for store in stores]
        memory = MemoryTokens()
        try:
            for number, (tokens, more) in enumerate(((10, 50), (10, 45), (10, -200), (10, 0))):
                process = shared[number % 2]
                expected = await memory.begin([DAY, MONTH], tokens, NOON)
                assert await process.begin([DAY, MONTH], tokens, NOON) == expected
                if all(one.allowed for one in expected):
                    await memory.add([DAY, MONTH], more, NOON)
                    await process.add([DAY, MONTH], more, NOON)
            keys = [f"{{parley}}:{quota.key(NOON)}".encode() for quota in (DAY, MONTH)]
            assert sorted(redis_server.ask("KEYS", "*")) == sorted(keys)
            left_ms = [redis_server.ask("PTTL", key.decode()) for key in keys]
            assert all(12 * 3_599_000 < left <= 12 * 3_600_000 for left in left_ms), left_ms
        finally:
            for store in stores:
                await store.aclose()

    redis_server.ask("FLUSHALL")
    asyncio.run(main())


class Away:
    """Redis, when it cannot be reached."""

    async def begin(self, *_: object) -> tuple[TokenVerdict, ...]:
        raise StoreUnavailable("Redis cannot be reached")

    async def add(self, *_: object) -> None:
        raise StoreUnavailable("Redis cannot be reached")

    def forget(self, once: str) -> None:
        raise AssertionError


@pytest.mark.parametrize("down", ["auto", "closed"])
def test_no_call_begins_that_cannot_be_counted(down: Down) -> None:
    async def main() -> None:
        limiter = TokenLimiter(TokenQuotaRules(day=100, down=down), Away())
        with pytest.raises(LimitsUnavailable):
            await limiter.begin("a", "", 1)

    run_virtual(main())


def test_an_open_limiter_lets_calls_go_on_that_cannot_be_counted() -> None:
    async def main() -> None:
        limiter = TokenLimiter(TokenQuotaRules(day=100, down="open"), Away())
        spending = await limiter.begin("a", "", 1)
        assert spending.verdicts == ()
        await limiter.end(spending, 50)

    run_virtual(main())


class Hanging:
    """Redis, when it answers nothing."""

    def __init__(self) -> None:
        self.asked = 0

    async def begin(self, *_: object) -> tuple[TokenVerdict, ...]:
        self.asked += 1
        await asyncio.Event().wait()
        raise AssertionError

    async def add(self, *_: object) -> None:
        await self.begin()

    def forget(self, once: str) -> None:
        raise AssertionError


def test_a_redis_that_hangs_holds_a_call_for_a_second_at_its_begin_and_at_its_end() -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time
        hanging = Hanging()
        limiter = TokenLimiter(TokenQuotaRules(day=100), hanging, clock=lambda: NOON)

        async def refused_after_s() -> float:
            begun = now()
            with pytest.raises(LimitsUnavailable):
                await limiter.begin("a", "", 1)
            return round(now() - begun, 6)

        assert await refused_after_s() == 1.0
        assert not limiter.counts
        found = await asyncio.gather(*(refused_after_s() for _ in range(20)))
        assert (found, hanging.asked) == ([0.0] * 20, 1)
        await asyncio.sleep(1.0)
        found = await asyncio.gather(*(refused_after_s() for _ in range(20)))
        assert (sorted(found), hanging.asked) == ([0.0] * 19 + [1.0], 2)
        begun = now()
        await limiter.end(Spending((DAY,), (), 1, NOON), 5)
        assert round(now() - begun, 6) == 1.0

    run_virtual(main())


class Flooded:
    """As many wait to be counted as may, the first time."""

    def __init__(self) -> None:
        self._memory = MemoryTokens()
        self._busy = True

    async def begin(
        self, quotas: Sequence[TokenQuota], tokens: int, now: float
    ) -> tuple[TokenVerdict, ...]:
        if self._busy:
            self._busy = False
            raise StoreBusy("512 operations are waiting already")
        return await self._memory.begin(quotas, tokens, now)

    async def add(self, *_: object) -> None:
        raise AssertionError

    def forget(self, once: str) -> None:
        raise AssertionError


def test_a_flood_is_no_redis_that_is_away() -> None:
    async def main() -> None:
        limiter = TokenLimiter(TokenQuotaRules(day=100), Flooded(), clock=lambda: NOON)
        with pytest.raises(LimitsUnavailable):
            await limiter.begin("a", "", 1)
        assert limiter.counts
        (verdict,) = (await limiter.begin("a", "", 1)).verdicts
        assert verdict.remaining == 99

    run_virtual(main())


def test_the_tokens_of_a_call_are_counted_although_redis_was_away_when_another_began() -> None:
    class Away(MemoryTokens):
        away = False

        async def begin(self, *given: Any) -> tuple[TokenVerdict, ...]:
            if self.away:
                raise StoreUnavailable("Redis cannot be reached")
            return await super().begin(*given)

    async def main() -> None:
        tokens = Away()
        limiter = TokenLimiter(TokenQuotaRules(day=100), tokens, clock=lambda: NOON)
        spending = await limiter.begin("a", "", 10)
        tokens.away = True
        with pytest.raises(LimitsUnavailable):
            await limiter.begin("b", "", 1)
        tokens.away = False
        await limiter.end(spending, 60)
        (verdict,) = (await limiter.begin("a", "", 0)).verdicts
        assert verdict.remaining == 40

    run_virtual(main())


def test_no_call_begins_while_others_may_take_what_is_left() -> None:
    async def main() -> None:
        limiter = TokenLimiter(TokenQuotaRules(day=100), MemoryTokens(), clock=lambda: NOON)
        # A call that may take more than there is begins all the same, alone.
        first = await limiter.begin("a", "", 5, 60)
        second = await limiter.begin("a", "", 5, 60)
        for _ in range(3):
            with pytest.raises(CallsUnderWay, match="what is left of 100 tokens in a day"):
                await limiter.begin("a", "", 5, 60)
        await limiter.end(await limiter.begin("b", "", 5, 600), 10)
        await limiter.end(first, 20)
        third = await limiter.begin("a", "", 5, 60)
        (verdict,) = third.verdicts
        assert (verdict.allowed, verdict.remaining) == (True, 100 - 20 - 5 - 5)
        assert limiter.refused == {"tokens-day": 3}
        for spending in (second, third):
            await limiter.end(spending, 10)
        (verdict,) = (await limiter.begin("a", "", 0)).verdicts
        assert verdict.remaining == 60

    run_virtual(main())


class Slow(MemoryTokens):
    """Redis, which takes its time."""

    async def begin(
        self, quotas: Sequence[TokenQuota], tokens: int, now: float
    ) -> tuple[TokenVerdict, ...]:
        await asyncio.sleep(0.1)
        return await super().begin(quotas, tokens, now)


def test_of_many_calls_at_once_so_many_begin_as_the_quota_has_room_for() -> None:
    async def main() -> None:
        limiter = TokenLimiter(TokenQuotaRules(month=1000), Slow(), clock=lambda: NOON)
        asked = [limiter.begin("a", "", 1, 301) for _ in range(50)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        begun = [one for one in found if isinstance(one, Spending)]
        assert (len(begun), len(found) - len(begun)) == (4, 46)
        assert all(isinstance(one, Spending | CallsUnderWay) for one in found)
        for one in begun:
            await limiter.end(one, 300)
        (verdict,) = (await limiter.begin("a", "", 0)).verdicts
        assert (verdict.allowed, verdict.remaining) == (False, 0)

    run_virtual(main())


def test_a_call_that_does_not_begin_keeps_no_room() -> None:
    async def main() -> None:
        limiter = TokenLimiter(TokenQuotaRules(day=100), Slow(), clock=lambda: NOON)
        leaving = asyncio.create_task(limiter.begin("a", "", 1, 500))
        await asyncio.sleep(0.05)
        leaving.cancel()
        await asyncio.wait([leaving])
        spending = await limiter.begin("a", "", 1, 10)
        await limiter.end(spending, 100)
        refused = await limiter.begin("a", "", 1, 500)
        assert [one.allowed for one in refused.verdicts] == [False]
        assert not limiter._under_way

    run_virtual(main())


def test_where_calls_go_on_uncounted_they_keep_their_room_until_they_end() -> None:
    async def main() -> None:
        limiter = TokenLimiter(TokenQuotaRules(day=100, down="open"), Away(), clock=lambda: NOON)
        spending = await limiter.begin("a", "", 1, 50)
        assert limiter._under_way.total() == 49
        await limiter.end(spending, 50)
        assert not limiter._under_way

    run_virtual(main())
