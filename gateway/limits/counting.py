"""Keeps the counts of limits: in this process, or in Redis for all processes.

In memory, each limit keeps at most `MOST_KEPT` counts and drops the least recently used ones, so
that the number of clients does not matter for memory; a client that was dropped begins anew.
Unknown clients are counted by network address only, so however many come, no count of a key, quota
or service is dropped for them.
"""

import time
from collections import ChainMap, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from gateway.limits.buckets import Bucket, Limit, LimitVerdict, Quota, take

MOST_KEPT = 20_000

TAKE = """
local prefix, time = KEYS[1], redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local day = math.floor(time[1] / 86400)
local day_left_us = (day + 1) * 86400000000 - now_us
local answers, changes, refused = {}, {}, false

-- A limit is 'bucket', its key, the microseconds of a request, and the burst; or 'quota', the key
-- with a place for the day, the most, and nothing.
for at = 1, #ARGV, 4 do
  local key, step, most = prefix .. ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  if ARGV[at] == 'quota' then
    key = prefix .. string.gsub(ARGV[at + 1], '@', string.format('%.0f', day), 1)
    local used = tonumber(redis.call('GET', key) or 0)
    if used >= step then
      refused = true
      answers[#answers + 1] = {0, 0, day_left_us, day_left_us}
    else
      changes[#changes + 1] = {key, used + 1, math.ceil(day_left_us / 1000)}
      answers[#answers + 1] = {1, step - used - 1, day_left_us, 0}
    end
  else
    local before = math.max(tonumber(redis.call('GET', key) or 0), now_us)
    local full_at, window = before + step, step * most
    local over = full_at - now_us - window
    if over > 0 then
      refused = true
      answers[#answers + 1] = {0, 0, before - now_us, over}
    else
      changes[#changes + 1] = {key, full_at, math.ceil((full_at - now_us) / 1000) + 1}
      answers[#answers + 1] = {
        1, math.floor((window - (full_at - now_us)) / step), full_at - now_us,
        math.max(0, over + step)}
    end
  end
end

if not refused then
  for _, change in ipairs(changes) do
    redis.call('SET', change[1], string.format('%.0f', change[2]), 'PX',
      string.format('%.0f', change[3]))
  end
end
return answers
"""
"""A script that decides as `buckets.take` does, in one step, by the clock of Redis in whole
microseconds."""


class Counting(Protocol):
    """Counts requests."""

    async def count(self, limits: Sequence[Limit]) -> tuple[LimitVerdict, ...]:
        """Count a request against all limits, or against none if one refuses it.

        Raises `StoreError` if nothing can be counted now.
        """


class MemoryCounting:
    """The counts of one process, at most `most_kept` of each limit.

    `clock` gives seconds since the epoch.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.time, most_kept: int = MOST_KEPT
    ) -> None:
        self._clock = clock
        self._most_kept = most_kept
        self._kept: dict[str, OrderedDict[str, float]] = {}
        """The counts by the limits' policies, of which there are few."""

    def __len__(self) -> int:
        return sum(map(len, self._kept.values()))

    async def count(self, limits: Sequence[Limit]) -> tuple[LimitVerdict, ...]:
        now = self._clock()
        taken = take(limits, ChainMap(*self._kept.values()), now)
        for limit in limits:
            key = limit.key(now) if isinstance(limit, Quota) else limit.key
            kept = self._kept.setdefault(limit.policy, OrderedDict())
            if key in taken.changes:
                kept[key] = taken.changes[key][0]
            if key in kept:  # who is refused has come, too
                kept.move_to_end(key)
            while len(kept) > self._most_kept:
                kept.popitem(last=False)
        return taken.verdicts


Evaluate = Callable[[str, Sequence[Any]], Any]
"""Runs a script in Redis with arguments: `gateway.store.redis.RedisStore.evaluate`."""


class RedisCounting:
    """The counts that all processes share."""

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate

    async def count(self, limits: Sequence[Limit]) -> tuple[LimitVerdict, ...]:
        arguments = [part for limit in limits for part in _arguments(limit)]
        answers = await self._evaluate(TAKE, arguments)
        return tuple(
            LimitVerdict(limit, bool(allowed), int(remaining), reset_us / 1e6, wait_us / 1e6)
            for limit, (allowed, remaining, reset_us, wait_us) in zip(limits, answers, strict=True)
        )


def _arguments(limit: Limit) -> tuple[str, str, int, int]:
    if isinstance(limit, Quota):
        return "quota", f"quota:{limit.policy}:@:{limit.name}", limit.most, 0
    assert isinstance(limit, Bucket)
    step_us = max(1, round(limit.rate.every_s * 1e6))
    return "bucket", limit.key, step_us, limit.rate.burst
