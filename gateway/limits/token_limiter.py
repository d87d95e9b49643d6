"""Which quotas of tokens a call of a model has, and what happens while none can be counted."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial

from gateway.limits.asked_store import AskedStore, NotCounted
from gateway.limits.limiter import Down, LimitsUnavailable
from gateway.limits.token_counting import MemoryTokens, RedisTokens, TokenCounting
from gateway.limits.token_payer import TokenPayer
from gateway.limits.token_quotas import Period, TokenQuota, TokenVerdict, crowded
from gateway.settings import Settings
from gateway.store import Store

ANYBODY = "anybody"
"""By which calls are counted where nobody has to say who it is."""


@dataclass(frozen=True, slots=True)
class TokenQuotaRules:
    """The most tokens: of a client in a day and in a month, of one session in a day.

    None: there is no such quota. `down` is as in `gateway.limits.limiter.LimitRules`.
    """

    day: int | None = None
    month: int | None = None
    session: int | None = None
    down: Down = "auto"

    def quotas(self, client: str, session: str) -> tuple[TokenQuota, ...]:
        """The quotas for a call of a client, with the session's if the call names a session."""
        found: list[tuple[str, str, int | None, Period]] = [
            ("tokens-day", client, self.day, "day"),
            ("tokens-month", client, self.month, "month"),
        ]
        if session:
            found.append(("tokens-session", f"{client}:{session}", self.session, "day"))
        return tuple(
            TokenQuota(policy, name, most, period)
            for policy, name, most, period in found
            if most is not None
        )


class CallsUnderWay(Exception):
    """Other calls of a quota may take what is left of it. The text is for the client."""


@dataclass(slots=True)
class Spending:
    """One call that was let through, in the periods in which it began. It may still take the tokens
    that are `reserved`, beside those that are `counted`."""

    quotas: tuple[TokenQuota, ...]
    verdicts: tuple[TokenVerdict, ...]
    counted: int
    began_at: float
    reserved: int = 0


class TokenLimiter:
    """Counts tokens by the rules; it may be cancelled. `clock` gives seconds since the epoch.

    `refused` counts the calls that may not begin, by the policy that refused.
    Tokens that cannot be counted when their call ends are owed, and counted while `running` lasts;
    no call waits for that.
    """

    def __init__(
        self,
        rules: TokenQuotaRules,
        counting: TokenCounting,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.refused: Counter[str] = Counter()
        self._rules = rules
        self._counting = counting
        self._clock = clock
        self._asked = AskedStore("tokens")
        self._payer = TokenPayer(counting, self._asked)
        self._under_way: Counter[str] = Counter()
        """By the keys of quotas: what the calls of this process may still take."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Count what is owed as soon as the store answers again, while the block lasts."""
        return self._payer.running()

    @property
    def owed(self) -> int:
        """The calls whose tokens are not counted yet."""
        return self._payer.owed

    @property
    def on(self) -> bool:
        """Whether there is a quota."""
        return bool(self.quotas())

    @property
    def counts(self) -> bool:
        """Whether the last call could be counted."""
        return not self._asked.lost

    def quotas(self) -> tuple[TokenQuota, ...]:
        """The quotas that there are, of anybody."""
        return self._rules.quotas(ANYBODY, ANYBODY)

    def window_s(self, quota: TokenQuota) -> int:
        """How long its period of now is."""
        return quota.window_s(self._clock())

    async def begin(self, client: str, session: str, tokens: int, most: int = 0) -> Spending:
        """Count a call with the tokens that it has at least; a verdict says where it may not be.

        It may take `most` tokens. Raises `LimitsUnavailable` and `CallsUnderWay`.
        """
        now = self._clock()
        quotas = self._rules.quotas(client, session)
        if not quotas:
            return Spending((), (), 0, now)
        spending = Spending(quotas, (), 0, now, max(0, most - tokens))
        under_way = [self._under_way[quota.key(now)] for quota in quotas]
        # Before anything is waited for: of many calls at once the first may begin.
        self._reserve(spending)
        try:
            await self._begin(spending, tokens, under_way)
        except BaseException:
            self._release(spending)
            raise
        if not all(verdict.allowed for verdict in spending.verdicts):
            self._release(spending)
        return spending

    async def _begin(self, spending: Spending, tokens: int, under_way: list[int]) -> None:
        begin = partial(self._counting.begin, spending.quotas, tokens, spending.began_at)
        try:
            spending.verdicts = await self._asked.ask(begin)
        except NotCounted:
            if self._rules.down != "open":
                raise LimitsUnavailable from None
            return
        spending.counted = tokens
        refused = [one.limit.policy for one in spending.verdicts if not one.allowed]
        self.refused.update(refused)
        if refused or (full := crowded(spending.verdicts, under_way)) is None:
            return
        self.refused[full.limit.policy] += 1
        await self._add(spending, -tokens)
        raise CallsUnderWay(
            f"other calls may take what is left of {full.most} tokens in a {full.limit.period}"
        )

    async def end(self, spending: Spending, tokens: int) -> None:
        """The call has taken so many tokens in all. If this is cancelled, they are owed."""
        self._release(spending)
        await self._add(spending, tokens - spending.counted)

    def _reserve(self, spending: Spending) -> None:
        for quota in spending.quotas:
            self._under_way[quota.key(spending.began_at)] += spending.reserved

    def _release(self, spending: Spending) -> None:
        """Idempotent."""
        for quota in spending.quotas:
            key = quota.key(spending.began_at)
            self._under_way[key] -= spending.reserved
            if not self._under_way[key]:
                del self._under_way[key]
        spending.reserved = 0

    async def _add(self, spending: Spending, more: int) -> None:
        if spending.quotas and more:
            await self._payer.count(spending.quotas, more, spending.began_at)


def token_limiter_of(settings: Settings, store: Store) -> TokenLimiter:
    """The token limiter for these settings; it counts in Redis if the store is there."""
    rules = TokenQuotaRules(
        settings.tokens_day, settings.tokens_month, settings.tokens_session, settings.limits_down
    )
    if settings.redis_url is None:
        return TokenLimiter(rules, MemoryTokens())
    from gateway.store.redis import RedisStore  # needs the extra

    assert isinstance(store, RedisStore)
    return TokenLimiter(rules, RedisTokens(store.evaluate))
