"""How a call's time is shared between the candidates that may be asked for it. Pure.

A call has a limit, and a time at which its first useful item is wanted, which may come before. A
candidate that another one can follow keeps `NEXT_S` of the wanted time free for that one, at most
half. Once the wanted time is over, it gets half of what is left. In any case the time that the next
candidate needs is kept free of the limit, at most half of what is left.
"""

import math

NEXT_S = 1.0
"""The part of the time that is kept for the next candidate, at most half of what is left."""


def share(
    now: float, limit: float, wanted: float, next_needs_s: float, least_s: float
) -> tuple[float, float]:
    """When a candidate's first item is due, and when at the latest it gives way to the next one.

    All times are on one clock, in seconds; `wanted` is not after `limit`. Both are infinite where
    the next candidate would have less than `least_s`.
    """
    left_s, wanted_s = limit - now, wanted - now
    if min(NEXT_S, left_s / 2) < least_s:
        return math.inf, math.inf
    latest = limit - min(max(NEXT_S, next_needs_s), left_s / 2)
    if wanted_s > 2 * least_s:
        return min(latest, wanted - min(NEXT_S, wanted_s / 2)), latest
    return min(latest, now + left_s / 2), latest
