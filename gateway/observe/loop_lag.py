"""Samples how late the event loop's timers fire, eight times a second."""

import asyncio
from collections.abc import Callable
from contextvars import Context

EVERY_S = 0.125


class LoopLag:
    """Calls `late` with the seconds by which each sample was late, from `start` until `stop`."""

    def __init__(self, late: Callable[[float], None]) -> None:
        self._late = late
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        """End. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + EVERY_S
        self._timer = loop.call_at(due, self._sample, loop, due, context=Context())

    def _sample(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._late(max(0.0, loop.time() - due))
        self._arm(loop)
