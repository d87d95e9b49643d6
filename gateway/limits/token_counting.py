"""Where the tokens of quotas are counted: in this process, or in Redis for all processes."""

import time
from collections import ChainMap, OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from gateway.limits.counting import MOST_KEPT, Evaluate
from gateway.limits.token_quotas import TokenQuota, TokenVerdict, judged, spent

SPEND = """
local prefix, tokens, anyway = KEYS[1], tonumber(ARGV[1]), ARGV[2] == '1'
local once, used, refused = ARGV[3], {}, false
for name in string.gmatch(ARGV[4], '%S+') do redis.call('DEL', prefix .. 'counted:' .. name) end

-- A quota is its key, the most, and the milliseconds for which it is kept.
if once ~= '' then
  local kept_ms = 0
  for at = 5, #ARGV, 3 do kept_ms = math.max(kept_ms, tonumber(ARGV[at + 2])) end
  kept_ms = string.format('%.0f', kept_ms)
  if not redis.call('SET', prefix .. 'counted:' .. once, 1, 'NX', 'PX', kept_ms) then
    return used
  end
end
for at = 5, #ARGV, 3 do
  local before = tonumber(redis.call('GET', prefix .. ARGV[at]) or 0)
  used[#used + 1] = before
  if before >= tonumber(ARGV[at + 1]) then refused = true end
end
if anyway or not refused then
  for at = 5, #ARGV, 3 do
    local after = math.max(0, used[(at - 5) / 3 + 1] + tokens)
    redis.call('SET', prefix .. ARGV[at], string.format('%.0f', after), 'PX', ARGV[at + 2])
  end
end
return used
"""
"""Adds tokens to all quotas or, where one is used up, to none, as one step; returns those before.
What comes a second time under its own name is not added again, for as long as the longest of its
quotas is kept: after that it is of no use. Names that will not come again are deleted.

Which day and month it is, the process says: they differ by its clock's error alone.
"""

LEAST_KEPT_MS = 1000

FORGOTTEN_AT_ONCE = 100
"""Names that are deleted with one call."""

MOST_TO_FORGET = 10_000
"""Beyond it the oldest names stay until the periods of their quotas are over."""


class TokenCounting(Protocol):
    """Counts tokens. `begin` and `add` raise `StoreError` where nothing can be counted now."""

    async def begin(
        self, quotas: Sequence[TokenQuota], tokens: int, now: float
    ) -> tuple[TokenVerdict, ...]:
        """Count a call of at least so many tokens in all quotas, or in none."""

    async def add(
        self, quotas: Sequence[TokenQuota], tokens: int, now: float, once: str = ""
    ) -> None:
        """Count tokens, which may be less than none, in the periods of `now`.

        Those of the name `once` are counted once, however often they come after an attempt that was
        broken off; in memory none is.
        """

    def forget(self, once: str) -> None:
        """Nothing more comes under this name. A plain call, only for what came a single time: of
        several attempts an earlier one may still be on its way."""


class MemoryTokens:
    """The tokens of one process, at most `most_kept` counts of each quota: those that were counted
    least recently are forgotten. A client names its sessions itself, and none of them pushes the
    count of a client out."""

    def __init__(self, *, most_kept: int = MOST_KEPT) -> None:
        self._most_kept = most_kept
        self._kept: dict[str, OrderedDict[str, int]] = {}
        """By the policies of quotas, which are few."""

    def __len__(self) -> int:
        return sum(map(len, self._kept.values()))

    async def begin(
        self, quotas: Sequence[TokenQuota], tokens: int, now: float
    ) -> tuple[TokenVerdict, ...]:
        kept = ChainMap(*self._kept.values())
        used = [kept.get(quota.key(now), 0) for quota in quotas]
        verdicts = judged(quotas, used, tokens, now)
        allowed = all(verdict.allowed for verdict in verdicts)
        await self.add(quotas, tokens if allowed else 0, now)  # who is refused has come, too
        return verdicts

    async def add(
        self, quotas: Sequence[TokenQuota], tokens: int, now: float, once: str = ""
    ) -> None:
        after = spent(quotas, ChainMap(*self._kept.values()), tokens, now)
        for quota in quotas:
            key, kept = quota.key(now), self._kept.setdefault(quota.policy, OrderedDict())
            kept[key] = after[key]
            kept.move_to_end(key)
            while len(kept) > self._most_kept:
                kept.popitem(last=False)

    def forget(self, once: str) -> None:
        """Nothing is remembered here."""


class RedisTokens:
    """The tokens that all processes share. `clock` gives seconds since the epoch."""

    def __init__(self, evaluate: Evaluate, *, clock: Callable[[], float] = time.time) -> None:
        self._evaluate = evaluate
        self._clock = clock
        self._to_forget: deque[str] = deque(maxlen=MOST_TO_FORGET)

    async def begin(
        self, quotas: Sequence[TokenQuota], tokens: int, now: float
    ) -> tuple[TokenVerdict, ...]:
        used = await self._evaluate(SPEND, [tokens, 0, "", *self._arguments(quotas, now)])
        return judged(quotas, [int(before) for before in used], tokens, now)

    async def add(
        self, quotas: Sequence[TokenQuota], tokens: int, now: float, once: str = ""
    ) -> None:
        await self._evaluate(SPEND, [tokens, 1, once, *self._arguments(quotas, now)])

    def forget(self, once: str) -> None:
        """The next call deletes it; where that fails it stays until its quotas end."""
        self._to_forget.append(once)

    def _arguments(self, quotas: Sequence[TokenQuota], now: float) -> list[Any]:
        # A call may end after its period: what it adds is of no use then.
        left_ms = [round((quota.ends_at(now) - self._clock()) * 1000) for quota in quotas]
        kept = [
            part
            for quota, left in zip(quotas, left_ms, strict=True)
            for part in (quota.key(now), quota.most, max(LEAST_KEPT_MS, left))
        ]
        forgotten = min(FORGOTTEN_AT_ONCE, len(self._to_forget))
        return [" ".join(self._to_forget.popleft() for _ in range(forgotten)), *kept]
