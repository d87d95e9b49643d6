"""Decides whether a request may come now: token buckets, and quotas of a day. Pure.

A bucket is one number: the time at which it will be full again. That is the same as counting tokens
which drip in at the rate (the generic cell rate algorithm): each request moves this time by
`every_s`, but not further away than the whole burst.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.rates import Rate

DAY_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Bucket:
    """A limit on the requests of `name`; `policy` says which limit it is."""

    policy: str
    name: str
    rate: Rate

    @property
    def key(self) -> str:
        return f"rate:{self.policy}:{self.name}"


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `most` requests of `name` in each day (UTC)."""

    policy: str
    name: str
    most: int

    def key(self, now: float) -> str:
        return f"quota:{self.policy}:{math.floor(now / DAY_S)}:{self.name}"


Limit = Bucket | Quota


@dataclass(frozen=True, slots=True)
class LimitVerdict:
    """The verdict of one limit on a request.

    After the request, `remaining` requests may come at once; `most` requests may come at once in
    `reset_s` seconds, and the next request in `wait_s` seconds.
    """

    limit: Limit
    allowed: bool
    remaining: int
    reset_s: float
    wait_s: float

    @property
    def most(self) -> int:
        """How many requests may come at once, or in a day."""
        return self.limit.rate.burst if isinstance(self.limit, Bucket) else self.limit.most

    @property
    def window_s(self) -> int:
        """The time, in seconds, in which `most` requests may come."""
        if isinstance(self.limit, Quota):
            return DAY_S
        return max(1, math.ceil(self.limit.rate.window_s))


@dataclass(frozen=True, slots=True)
class Taken:
    """The verdicts, and the changes to keep: each key's number, and when it may be dropped.

    `changes` is empty if a limit refuses: then the request is counted nowhere.
    """

    verdicts: tuple[LimitVerdict, ...]
    changes: Mapping[str, tuple[float, float]]


def take(limits: Sequence[Limit], kept: Mapping[str, float], now: float) -> Taken:
    """Count a request that comes `now` (a Unix time) against all limits, or against none.

    `kept` has the numbers of the keys that are known.
    """
    found = [_look(limit, kept, now) for limit in limits]
    if not all(verdict.allowed for verdict, _ in found):
        return Taken(tuple(verdict for verdict, _ in found), {})
    changes = dict(change for _, change in found)
    return Taken(tuple(verdict for verdict, _ in found), changes)


def _look(
    limit: Limit, kept: Mapping[str, float], now: float
) -> tuple[LimitVerdict, tuple[str, tuple[float, float]]]:
    if isinstance(limit, Quota):
        key = limit.key(now)
        ends_at = (math.floor(now / DAY_S) + 1) * DAY_S
        used = kept.get(key, 0.0)
        left_s = ends_at - now
        if used >= limit.most:
            return LimitVerdict(limit, False, 0, left_s, left_s), (key, (used, ends_at))
        remaining = limit.most - int(used) - 1
        return LimitVerdict(limit, True, remaining, left_s, 0.0), (key, (used + 1, ends_at))
    rate = limit.rate
    before = max(kept.get(limit.key, now), now)
    full_at = before + rate.every_s
    over_s = full_at - now - rate.window_s
    # Rounding must not refuse the last request of a burst.
    if over_s > rate.every_s * 1e-6:
        refused = LimitVerdict(limit, False, 0, before - now, over_s)
        return refused, (limit.key, (before, before))
    remaining = math.floor((rate.window_s - (full_at - now)) / rate.every_s + 1e-6)
    wait_s = max(0.0, over_s + rate.every_s)
    return LimitVerdict(limit, True, remaining, full_at - now, wait_s), (
        limit.key,
        (full_at, full_at),
    )
