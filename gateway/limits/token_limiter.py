"""Which quotas of tokens a call of a model has, and what happens while none can be counted."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.limits.limiter import Down, LimitsUnavailable
from gateway.limits.token_counting import MemoryTokens, RedisTokens, TokenCounting
from gateway.limits.token_quotas import Period, TokenQuota, TokenVerdict
from gateway.settings import Settings
from gateway.store import Store, StoreError

logger = logging.getLogger("parley.limits")

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
        """Those that a call of a client has, in a session if it names one."""
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


@dataclass(slots=True)
class Spending:
    """One call that was let through, in the periods in which it began."""

    quotas: tuple[TokenQuota, ...]
    verdicts: tuple[TokenVerdict, ...]
    counted: int
    began_at: float


class TokenLimiter:
    """Counts tokens by the rules. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        rules: TokenQuotaRules,
        counting: TokenCounting,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._counting = counting
        self._clock = clock
        self._lost = False

    @property
    def on(self) -> bool:
        """Whether there is a quota."""
        rules = self._rules
        return (rules.day, rules.month, rules.session) != (None,) * 3

    async def begin(self, client: str, session: str, tokens: int) -> Spending:
        """Count a call with the tokens that it has at least; a verdict says where it may not be.

        Raises `LimitsUnavailable`.
        """
        now = self._clock()
        quotas = self._rules.quotas(client, session)
        if not quotas:
            return Spending((), (), 0, now)
        try:
            verdicts = await self._counting.begin(quotas, tokens, now)
        except StoreError as error:
            if not self._lost:
                logger.warning("tokens cannot be counted: %s", error)
            self._lost = True
            if self._rules.down != "open":
                raise LimitsUnavailable from None
            return Spending(quotas, (), 0, now)
        if self._lost:
            logger.info("tokens are counted again")
        self._lost = False
        return Spending(quotas, verdicts, tokens, now)

    async def end(self, spending: Spending, tokens: int) -> None:
        """The call has taken so many tokens in all. They are lost where they cannot be counted."""
        more = tokens - spending.counted
        if not spending.quotas or not more:
            return
        try:
            await self._counting.add(spending.quotas, more, spending.began_at)
        except StoreError as error:
            logger.warning("%d tokens of a call were not counted: %s", more, error)


def token_limiter_of(settings: Settings, store: Store) -> TokenLimiter:
    """What counts tokens by the settings, in Redis where the store is."""
    rules = TokenQuotaRules(
        settings.tokens_day, settings.tokens_month, settings.tokens_session, settings.limits_down
    )
    if settings.redis_url is None:
        return TokenLimiter(rules, MemoryTokens())
    from gateway.store.redis import RedisStore  # needs the extra

    assert isinstance(store, RedisStore)
    return TokenLimiter(rules, RedisTokens(store.evaluate))
