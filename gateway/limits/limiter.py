"""Applies the limits of a deployment to requests, also while nothing can be counted."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from gateway.limits.asked_store import AskedStore, NotCounted
from gateway.limits.buckets import DAY_S, Bucket, Limit, LimitVerdict, Quota
from gateway.limits.counting import Counting, MemoryCounting, RedisCounting
from gateway.rates import Rate, parse_rate
from gateway.settings import Settings
from gateway.store import Store

Down = Literal["auto", "open", "closed"]


class LimitsUnavailable(Exception):
    """Requests cannot be counted now, and this one is not let through uncounted."""


class LimitRule(NamedTuple):
    """One limit, by its policy: at most `most` requests in `window_s` seconds."""

    policy: str
    most: int
    window_s: int


@dataclass(frozen=True, slots=True)
class LimitRules:
    """The limits of a deployment; None: there is none.

    `down` says what happens to requests that cannot be counted. "auto": they are let through,
    except those that a quota counts.
    """

    address: Rate | None = None
    key: Rate | None = None
    service: Rate | None = None
    day: int | None = None
    down: Down = "auto"

    @property
    def none(self) -> bool:
        """Whether nothing is limited."""
        return (self.address, self.key, self.service, self.day) == (None,) * 4

    def __iter__(self) -> Iterator[LimitRule]:
        rates = {"address": self.address, "key": self.key, "service": self.service}
        for policy, rate in rates.items():
            if rate is not None:
                yield LimitRule(policy, rate.burst, max(1, math.ceil(rate.window_s)))
        if self.day is not None:
            yield LimitRule("day", self.day, DAY_S)


class Limiter:
    """Counts requests by the rules. Every method raises `LimitsUnavailable`; it may be cancelled.

    A request that one of its limits refuses is counted against none; `refused` counts these
    requests, by the policy that refused. If too many requests wait to be counted, or the process is
    too busy to count, the requests beyond are refused: limits are made for such load. They are not
    let through, as requests are while the store is away.
    """

    def __init__(self, rules: LimitRules, counting: Counting) -> None:
        self.rules = rules
        self.refused: Counter[str] = Counter()
        self._counting = counting
        self._asked = AskedStore("requests")

    @property
    def counts(self) -> bool:
        """Whether the last request could be counted."""
        return not self._asked.lost

    async def address(self, network: str) -> tuple[LimitVerdict, ...]:
        """Count a request of a client's network address."""
        rate = self.rules.address
        return await self._count([] if rate is None else [Bucket("address", network, rate)])

    async def client(
        self, client: str | None, service: str | None, *, changes: bool
    ) -> tuple[LimitVerdict, ...]:
        """Count a request of a known client; None: clients need not say who they are.

        `service` is the service behind the gateway that the request goes to. `changes` says whether
        it does more than read: a quota counts only such requests.
        """
        rules = self.rules
        limits: list[Limit] = []
        if client is not None and rules.key is not None:
            limits.append(Bucket("key", client, rules.key))
        if service is not None and rules.service is not None:
            limits.append(Bucket("service", service, rules.service))
        if client is not None and changes and rules.day is not None:
            limits.append(Quota("day", client, rules.day))
        return await self._count(limits)

    async def _count(self, limits: Sequence[Limit]) -> tuple[LimitVerdict, ...]:
        if not limits:
            return ()
        try:
            verdicts = await self._asked.ask(partial(self._counting.count, limits))
        except NotCounted as error:
            return self._uncounted(limits, busy=error.busy)
        self.refused.update(one.limit.policy for one in verdicts if not one.allowed)
        return verdicts

    def _uncounted(self, limits: Sequence[Limit], *, busy: bool) -> tuple[LimitVerdict, ...]:
        """Let a request through that cannot be counted, or raise `LimitsUnavailable`."""
        down = self.rules.down
        quota = any(isinstance(limit, Quota) for limit in limits)
        if down == "closed" or (down == "auto" and (quota or busy)):
            raise LimitsUnavailable from None
        return ()


def limiter_of(settings: Settings, store: Store) -> Limiter | None:
    """The limiter of the settings; it counts in Redis if that is the store. None without limits."""
    rules = LimitRules(
        _rate(settings.limit_address),
        _rate(settings.limit_key),
        _rate(settings.limit_service),
        settings.quota_day,
        settings.limits_down,
    )
    if rules.none:
        return None
    if settings.redis_url is None:
        return Limiter(rules, MemoryCounting())
    from gateway.store.redis import RedisStore  # needs the extra

    assert isinstance(store, RedisStore)
    return Limiter(rules, RedisCounting(store.evaluate))


def _rate(text: str) -> Rate | None:
    return parse_rate(text) if text else None
