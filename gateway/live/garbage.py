"""Keeps full garbage collections out of conversations.

A full collection stops every session: it looks at all objects of all of them, 60,000 at 100
sessions. CPython begins one whenever its oldest generation has grown by a quarter, which it does
again and again while sessions begin. Here it happens while nobody is talking, or otherwise seldom,
but at least once an hour. CPython still collects the two young generations, which hold nearly all
garbage, but less often.
"""

import asyncio
import gc
import time
from collections.abc import Callable

from gateway.live.registry import LiveSessions

YOUNG, MIDDLE = 2_000, 5
"""New objects before a collection of the youngest generation, and how many of these before one of
the next: `gc.set_threshold`. The defaults are 700 and 10."""

OLD = 1_000_000
"""Collections of the middle generation before CPython begins a full one: never."""

LOOK_S = 5.0
"""How often `run` checks whether a collection is due."""

MOST_ENDED = 100
"""The number of ended sessions, each of which may have left some 100 kB in cycles, after which a
full collection is made while others are live. If more sessions are live, it is twice their number,
because the collection takes longer with each."""

LONGEST_S = 600.0
"""After this time without any session, the garbage of requests is collected."""

TALKING_S = 3600.0
"""After this time it is collected even if somebody talks all along: the garbage of requests must
not grow without a limit if one client stays for days."""


class GarbagePolicy:
    """When a full collection is due. Pure."""

    def __init__(self, now: float) -> None:
        self._ended = 0
        self._at = now

    def due(self, live: int, ended: int, now: float) -> bool:
        """Whether to collect now, with `live` sessions and `ended` sessions since the start."""
        left = ended - self._ended
        since_s = now - self._at
        idle = not live and (left > 0 or since_s >= LONGEST_S)
        if not idle and left < max(MOST_ENDED, 2 * live) and since_s < TALKING_S:
            return False
        self._ended, self._at = ended, now
        return True


def settle() -> None:
    """Exempt all present objects from collections: what the libraries have loaded lives as long as
    the process."""
    gc.collect()
    gc.freeze()


async def collect(live: LiveSessions, clock: Callable[[], float] = time.monotonic) -> None:
    """Collect in full when it is due, and only then, until cancelled."""
    before = gc.get_threshold()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    policy = GarbagePolicy(clock())
    try:
        while True:
            await asyncio.sleep(LOOK_S)
            if policy.due(live.connections, live.ended, clock()):
                gc.collect()
    finally:
        gc.set_threshold(*before)
