"""Tokens that cannot be counted when their call ends: owed, and counted once, in nobody's way."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.limits.owed_tokens import OwedTokens, TokenDebts
from gateway.limits.token_counting import MemoryTokens, RedisTokens
from gateway.limits.token_limiter import Spending, TokenLimiter, TokenQuotaRules
from gateway.limits.token_payer import TokenPayer
from gateway.limits.token_quotas import TokenQuota, TokenVerdict
from gateway.store import StoreUnavailable
from gateway.store.redis import RedisStore
from pipeline.testing import run_virtual
from tests.support.gateway import Gateway
from tests.support.stores import RedisServer

NOON = datetime(2026, 12, 31, 12, tzinfo=UTC).timestamp()
DAY = TokenQuota("tokens-day", "a", 100, "day")
MONTH = TokenQuota("tokens-month", "a", 150, "month")


class Leaving(MemoryTokens):
    """Redis: it may be away, hang, take its time, or answer late what it has done."""

    away = hangs = late = wrong = False
    takes_s = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.forgotten: list[str] = []
        self.asked = 0
        self.at_once = self.most_at_once = 0
        """Of `add`."""

    async def begin(self, *given: Any) -> tuple[TokenVerdict, ...]:
        await self._reached()
        return await super().begin(*given)

    async def add(
        self, quotas: Sequence[TokenQuota], tokens: int, now: float, once: str = ""
    ) -> None:
        if not once:  # of its own `begin`
            return await super().add(quotas, tokens, now)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self._reached()
            if once not in self.names:
                await super().add(quotas, tokens, now)
            self.names.add(once)
            if self.late:
                await asyncio.Event().wait()
        finally:
            self.at_once -= 1

    def forget(self, once: str) -> None:
        self.forgotten.append(once)

    async def _reached(self) -> None:
        self.asked += 1
        if self.wrong:
            raise RuntimeError("nobody has thought of this")
        if self.away:
            raise StoreUnavailable("Redis cannot be reached")
        if self.hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(self.takes_s)


def limiter_of(tokens: Leaving) -> TokenLimiter:
    return TokenLimiter(TokenQuotaRules(day=1000), tokens, clock=lambda: NOON)


async def left(limiter: TokenLimiter, client: str = "a") -> int:
    (verdict,) = (await limiter.begin(client, "", 0)).verdicts
    return verdict.remaining


async def owing(limiter: TokenLimiter, tokens: Leaving, calls: int) -> None:
    """Have calls of clients 0, 1, … end with 2 tokens each while Redis is away."""
    begun = [await limiter.begin(f"{number}", "", 1) for number in range(calls)]
    tokens.away = True
    for spending in begun:
        await limiter.end(spending, 2)
    assert (limiter.owed, limiter.counts) == (calls, False)


def test_tokens_of_calls_that_end_while_redis_is_away_are_counted_when_it_is_back() -> None:
    async def main() -> None:
        tokens = Leaving()
        limiter = limiter_of(tokens)
        async with limiter.running():
            calls = [await limiter.begin(client, "", 10) for client in "aab"]
            tokens.away = True
            for spending in calls:
                await limiter.end(spending, 60)
            assert not limiter.counts
            tokens.away = False
            await asyncio.sleep(1.1)  # nobody calls meanwhile
            assert (limiter.owed, limiter.counts) == (0, True)
            for _ in range(2):
                assert (await left(limiter), await left(limiter, "b")) == (880, 940)

    run_virtual(main())


def test_no_call_waits_for_the_tokens_of_others() -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time
        tokens = Leaving()
        limiter = limiter_of(tokens)
        async with limiter.running():
            first = await limiter.begin("a", "", 0)
            await owing(limiter, tokens, 200)
            tokens.away, tokens.takes_s = False, 0.05
            while not limiter.counts:
                await asyncio.sleep(0.01)
            tokens.most_at_once = 0
            for wanted in range(3):
                begun = now()
                spending = await limiter.begin("b", "", 0)
                assert round(now() - begun, 6) == 0.05, wanted
            assert tokens.most_at_once == 1
            for ending in (first, spending):
                begun = now()
                await limiter.end(ending, 5)
                assert round(now() - begun, 6) == 0.05
            assert limiter.owed > 150
            await asyncio.sleep(200 * 0.05)
            assert limiter.owed == 0
            assert tokens.most_at_once == 2  # one that was owed, and one of a call that ended
            assert [await left(limiter, f"{number}") for number in (0, 199)] == [998, 998]

    run_virtual(main())


def test_a_call_that_finds_redis_back_has_what_is_owed_counted_at_once() -> None:
    async def main() -> None:
        tokens = Leaving()
        limiter = limiter_of(tokens)
        async with limiter.running():
            await owing(limiter, tokens, 3)
            await asyncio.sleep(0.5)
            tokens.away = False
            await limiter.end(Spending((DAY,), (), 0, NOON), 5)  # which always asks
            await asyncio.sleep(0.01)
            assert limiter.owed == 0

    run_virtual(main())


@pytest.mark.parametrize("hangs", [False, True], ids=["refuses", "hangs"])
def test_while_redis_is_away_it_is_asked_about_once_a_second(hangs: bool) -> None:
    async def main() -> None:
        tokens = Leaving()
        limiter = limiter_of(tokens)
        async with limiter.running():
            await owing(limiter, tokens, 3)
            tokens.away, tokens.hangs = not hangs, hangs
            before = tokens.asked
            await asyncio.sleep(60)
            assert limiter.owed + tokens.at_once == 3
            assert 25 <= tokens.asked - before <= 61

    run_virtual(main())


@pytest.mark.parametrize("cancelled", [False, True], ids=["silence", "cancelled"])
def test_tokens_that_redis_has_counted_without_an_answer_are_not_counted_twice(
    cancelled: bool,
) -> None:
    async def main() -> None:
        tokens = Leaving()
        limiter = limiter_of(tokens)
        async with limiter.running():
            spending = await limiter.begin("a", "", 10)
            tokens.late = True
            ending = asyncio.create_task(limiter.end(spending, 60))
            await asyncio.sleep(0.5)
            if cancelled:
                ending.cancel()
            await asyncio.wait([ending])
            await asyncio.sleep(3.0)
            tokens.late = False
            await asyncio.sleep(3.0)
            assert limiter.owed == 0
            assert await left(limiter) == 940
            # An attempt that was broken off may come to Redis even now.
            assert tokens.forgotten == []
            await limiter.end(await limiter.begin("a", "", 0), 1)
            assert (len(tokens.names), len(tokens.forgotten)) == (2, 1)

    run_virtual(main())


def test_the_task_goes_on_after_a_fault(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        tokens = Leaving()
        limiter = limiter_of(tokens)
        async with limiter.running():
            await owing(limiter, tokens, 2)
            tokens.wrong = True
            await asyncio.sleep(2.0)
            assert limiter.owed == 2
            tokens.wrong = tokens.away = False
            await asyncio.sleep(1.1)
            assert limiter.owed == 0

    run_virtual(main())
    assert "tokens of calls are not counted yet" in caplog.messages


@pytest.mark.parametrize(
    ("state", "took_s", "lost"),
    [
        pytest.param({"takes_s": 0.01}, 0.1, 0, id="back"),
        pytest.param({"away": True}, 0.0, 10, id="away"),
        pytest.param({"hangs": True}, 1.0, 10, id="hangs"),
        pytest.param({"takes_s": 0.3}, 1.0, 7, id="slow"),
    ],
)
def test_the_end_of_the_process_has_a_last_second_to_count_what_is_owed(
    state: dict[str, Any], took_s: float, lost: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time
        tokens = Leaving()
        limiter = limiter_of(tokens)
        async with limiter.running():
            await owing(limiter, tokens, 10)
            await asyncio.sleep(0.1)
            tokens.away = False
            for name, value in state.items():
                setattr(tokens, name, value)
            ended = now()
        assert (round(now() - ended, 6), limiter.owed) == (took_s, lost)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with caplog.at_level(logging.WARNING, "parley.limits"):
        run_virtual(main())
    said = [one for one in caplog.messages if "never" in one]
    assert said == [f"the tokens of {lost} calls are never counted"] * (lost > 0)


def test_what_is_owed_has_a_bound() -> None:
    debts = TokenDebts(most=3)
    made = [OwedTokens(f"{number}", (DAY,), 1, NOON) for number in range(5)]
    assert [debts.owe(one) for one in made] == [None, None, None, made[0], made[1]]
    assert debts.owe(made[0], first=True) is made[0]  # the oldest gives way again
    assert [debts.take() for _ in range(4)] == [*made[2:], None]
    assert debts.owe(made[1]) is None
    assert debts.owe(made[0], first=True) is None
    assert [debts.take(), debts.take(), len(debts)] == [made[0], made[1], 0]


def test_the_application_counts_what_is_owed_until_it_ends(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def running(payer: TokenPayer) -> AsyncIterator[None]:
        seen.append("begins")
        yield
        seen.append("ends")

    monkeypatch.setattr(TokenPayer, "running", running)

    async def story() -> None:
        assert seen == ["begins"]

    gateway.run(story)
    assert seen == ["begins", "ends"]


HOURS_MS = 12 * 3_600_000


def test_redis_counts_what_comes_twice_under_one_name_once_until_its_quotas_end(
    redis_server: RedisServer,
) -> None:
    async def main() -> None:
        store = RedisStore(redis_server.url)
        began = NOON - 86_400
        try:
            tokens = RedisTokens(store.evaluate, clock=lambda: began)
            for once, more in (("x", 30), ("x", 30), ("y", 5), ("", 1), ("", 1)):
                await tokens.add([DAY, MONTH], more, began, once)
            day, month = await tokens.begin([DAY, MONTH], 0, began)
            assert (day.remaining, month.remaining) == (63, 113)
            await tokens.add([DAY], 1, began, "z")
            for name, kept_ms in (("x", 3 * HOURS_MS), ("y", 3 * HOURS_MS), ("z", HOURS_MS)):
                left_ms = redis_server.ask("PTTL", f"{{parley}}:counted:{name}")
                assert kept_ms - 60_000 < left_ms <= kept_ms
        finally:
            await store.aclose()

    redis_server.ask("FLUSHALL")
    asyncio.run(main())


def test_redis_keeps_one_name_of_calls_that_are_counted_at_once(redis_server: RedisServer) -> None:
    async def main() -> None:
        store = RedisStore(redis_server.url)
        try:
            limiter = TokenLimiter(
                TokenQuotaRules(month=1000), RedisTokens(store.evaluate, clock=lambda: NOON)
            )
            async with limiter.running():
                for number in range(20):
                    await limiter.end(await limiter.begin("a", "", 1), 1 + number)
                assert len(redis_server.ask("KEYS", "*:counted:*")) == 1
                assert await left(limiter) == 1000 - sum(range(1, 21))
                assert redis_server.ask("KEYS", "*:counted:*") == []
        finally:
            await store.aclose()

    redis_server.ask("FLUSHALL")
    asyncio.run(main())
