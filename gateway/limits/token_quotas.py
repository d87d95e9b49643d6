"""Decides whether tokens of models may be used: quotas of a day and of a month (UTC). Pure.

The tokens of a call are known only when it is over. So a call may begin while less than the quota
is used. It is counted with the least that its request has, and the rest is added afterwards. Calls
that are under way when a quota is used up are not stopped. No call begins while calls under way may
use up what is left: otherwise many calls at once could use the quota many times over.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Period = Literal["day", "month"]

DAY_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class TokenQuota:
    """At most `most` tokens of `name` in each period (UTC)."""

    policy: str
    name: str
    most: int
    period: Period

    def key(self, now: float) -> str:
        """The key that counts the tokens of the period that contains `now` (a Unix time)."""
        return f"quota:{self.policy}:{_began(self.period, now):%Y-%m-%d}:{self.name}"

    def ends_at(self, now: float) -> float:
        """The end of that period, a Unix time."""
        began = _began(self.period, now)
        if self.period == "day":
            return began.timestamp() + DAY_S
        year, month = divmod(began.year * 12 + began.month, 12)
        return datetime(year, month + 1, 1, tzinfo=UTC).timestamp()

    def window_s(self, now: float) -> int:
        """The length of that period in seconds."""
        return round(self.ends_at(now) - _began(self.period, now).timestamp())


@dataclass(frozen=True, slots=True)
class TokenVerdict:
    """The verdict of one quota on a call: `remaining` tokens are left after the call, and the whole
    quota is available again in `reset_s` seconds."""

    limit: TokenQuota
    allowed: bool
    remaining: int
    reset_s: float
    window_s: int

    @property
    def most(self) -> int:
        return self.limit.most

    @property
    def wait_s(self) -> float:
        """The seconds until the next call may come; 0 if this one may."""
        return 0.0 if self.allowed else self.reset_s


def judged(
    quotas: Sequence[TokenQuota], used: Sequence[int], tokens: int, now: float
) -> tuple[TokenVerdict, ...]:
    """The verdict of each quota on a call of at least `tokens`, after the tokens that are `used`.

    If one quota refuses, the call is counted in none.
    """
    refused = any(before >= quota.most for quota, before in zip(quotas, used, strict=True))
    return tuple(
        TokenVerdict(
            quota,
            before < quota.most,
            max(0, quota.most - before - (0 if refused else tokens)),
            quota.ends_at(now) - now,
            quota.window_s(now),
        )
        for quota, before in zip(quotas, used, strict=True)
    )


def crowded(verdicts: Sequence[TokenVerdict], under_way: Sequence[int]) -> TokenVerdict | None:
    """The first verdict whose `remaining` tokens the calls under way may use up, or None;
    `under_way` has the tokens that those calls may still take of each quota."""
    found = zip(verdicts, under_way, strict=True)
    return next((one for one, tokens in found if tokens and one.remaining <= tokens), None)


def spent(
    quotas: Sequence[TokenQuota], kept: Mapping[str, int], tokens: int, now: float
) -> dict[str, int]:
    """The new count for the key of each quota: the `kept` one and `tokens`, but at least 0."""
    keys = [quota.key(now) for quota in quotas]
    return {key: max(0, kept.get(key, 0) + tokens) for key in keys}


def _began(period: Period, now: float) -> datetime:
    day = datetime.fromtimestamp(math.floor(now / DAY_S) * DAY_S, UTC)
    return day if period == "day" else day.replace(day=1)
