"""One pacing clock for all sessions of the process: one heap, one timer.

A task per session that sleeps between frames costs a wake-up and a context switch each; here every
session that has audio to send waits in the same heap, and its `pump` is a plain call.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from contextvars import Context

Pump = Callable[[float], float | None]
"""Sends the frames due at the given time; returns the time of its next call, or None."""


RESOLUTION_S = 0.001
"""Pumps due within this are called now: uvloop's clock ticks in milliseconds and its timers fire a
little early by that clock, so that waiting for the rest would only spin."""


class Pacer:
    """Calls pumps when they are due. Belongs to the event loop it is first used on."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Pump]] = []
        self._wanted: dict[Pump, int] = {}  # the valid entry of each pump; others are stale
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")

    def schedule(self, pump: Pump, at: float) -> None:
        """Call `pump` at `at` (loop time), in place of the time scheduled before."""
        number = next(self._numbers)
        self._wanted[pump] = number
        heapq.heappush(self._heap, (at, number, pump))
        if at < self._timer_at:
            self._arm(at)

    def cancel(self, pump: Pump) -> None:
        """Forget a pump. Idempotent."""
        self._wanted.pop(pump, None)

    def __len__(self) -> int:
        return len(self._wanted)

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        # No session's context: its pumps belong to all of them.
        self._timer = asyncio.get_running_loop().call_at(at, self._run, context=Context())

    def _run(self) -> None:
        self._timer = None
        self._timer_at = float("inf")
        heap = self._heap
        loop = asyncio.get_running_loop()
        now = loop.time()
        while heap and heap[0][0] <= now + RESOLUTION_S:
            at, number, pump = heapq.heappop(heap)
            if self._wanted.get(pump) != number:
                continue
            del self._wanted[pump]
            try:
                following = pump(max(now, at))
            except Exception as error:  # one session's fault must not stop the others
                loop.call_exception_handler({"message": "a pump failed", "exception": error})
                continue
            if following is not None:
                self.schedule(pump, following)
        # Entries that were replaced or cancelled are dropped as they come up, so the heap holds
        # at most a few stale entries a session.
        while heap and self._wanted.get(heap[0][2]) != heap[0][1]:
            heapq.heappop(heap)
        if heap and heap[0][0] < self._timer_at:
            self._arm(heap[0][0])
