"""Keeps full garbage collections out of conversations.

A full collection stops every session: it looks at all objects of all of them, 60,000 at 100
sessions. CPython begins one whenever its oldest generation has grown by a quarter, which it does
again and again while sessions begin. Here it happens where nobody is talking, or seldom, but at
least once an hour. The two young generations, which hold nearly all garbage, are collected as ever,
in larger portions.
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
"""Collections of the middle generation before a full one: never."""

LOOK_S = 5.0
"""How often `run` looks whether one is due."""

MOST_ENDED = 100
"""Sessions, of which each may have left some 100 kB in cycles, before a full collection in the
midst of others; or twice as many as are live, as a session costs the collection its part."""

LONGEST_S = 600.0
"""Without any session, what requests have left is collected after this time."""

TALKING_S = 3600.0
"""And after this time though somebody talks all along: what requests leave must not grow without an
end where one client stays for days."""


class GarbagePolicy:
    """When a full collection is due. Pure."""

    def __init__(self, now: float) -> None:
        self._ended = 0
        self._at = now

    def due(self, live: int, ended: int, now: float) -> bool:
        """Whether to collect now, with so many live sessions, and so many ended since the start."""
        left = ended - self._ended
        since_s = now - self._at
        idle = not live and (left > 0 or since_s >= LONGEST_S)
        if not idle and left < max(MOST_ENDED, 2 * live) and since_s < TALKING_S:
            return False
        self._ended, self._at = ended, now
        return True


def settle() -> None:
    """The libraries are loaded: what is alive now lives as long as the process, and is looked at no
    more."""
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
