"""Asks a store to count calls, and notices when the store does not answer.

Time in which this process's loop was late does not count as silence of the store, because the
store's answer may have come unread. Limits must not be switched off because a process is busy.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from gateway.store import StoreBusy, StoreError

logger = logging.getLogger("parley.limits")

T = TypeVar("T")

ANSWER_S: Final = 1.0
"""How long a call waits to be counted; Redis takes some 0.1 ms. Assumed."""

PAUSE_S: Final = 1.0
"""While the store is away, one call at a time tries it, this long after the last one. The other
calls do not wait."""

TICKS: Final = 4
LATE_S: Final = 0.1
"""A timer that fires this much too late shows that the loop was held up. Assumed."""

MOST_TICKS: Final = 2 * TICKS
"""After this many ticks a call has waited long enough, even if the loop is late all the time."""


class NotCounted(Exception):
    """A call was not counted. `busy`: the store answers, but too many calls wait for it, or this
    process is late."""

    def __init__(self, *, busy: bool = False) -> None:
        super().__init__(busy)
        self.busy = busy


class AskedStore:
    """Asks a store to count; `what` names the counted calls. It may be cancelled."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lost = False
        self._trying = False
        self._try_at = 0.0

    @property
    def lost(self) -> bool:
        """Whether the last call could not be counted because the store was away."""
        return self._lost

    async def ask(self, counted: Callable[[], Awaitable[T]], *, anyway: bool = False) -> T:
        """Return the result of `counted`. Raises `NotCounted`.

        While the store is away, one call at a time tries it; with `anyway`, this one always does.
        """
        loop = asyncio.get_running_loop()
        if self._lost and not anyway and (self._trying or loop.time() < self._try_at):
            raise NotCounted
        if tries := self._lost and not anyway:
            self._trying = True
        silence = _Silence(loop)
        try:
            async with asyncio.timeout(None) as limit:
                silence.begin(limit)
                try:
                    found = await counted()
                finally:
                    silence.end()
        except StoreBusy as error:
            logger.debug("%s are not counted: %s", self._what, error)
            raise NotCounted(busy=not self._lost) from None
        except (StoreError, TimeoutError) as error:
            self._try_at = loop.time() + PAUSE_S
            if silence.is_ours and not self._lost:
                logger.debug("%s are not counted: this process is late", self._what)
                raise NotCounted(busy=True) from None
            if not self._lost:
                why = str(error) or f"no answer within {ANSWER_S:g} s"
                logger.warning("%s cannot be counted: %s", self._what, why)
            self._lost = True
            raise NotCounted from None
        finally:
            if tries:
                self._trying = False
        if self._lost:
            logger.info("%s are counted again", self._what)
        self._lost = False
        return found


class _Silence:
    """Ends a wait after `TICKS` that came in time, or after `MOST_TICKS`.

    A tick that comes late does not count, however late: an answer that has come meanwhile is read
    before the next tick.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._left = TICKS
        self._all_left = MOST_TICKS
        self._late = False
        self._limit: asyncio.Timeout | None = None
        self._handle: asyncio.TimerHandle | None = None

    def begin(self, limit: asyncio.Timeout) -> None:
        self._limit = limit
        self._next()

    def end(self) -> None:
        """End the wait, with an answer or without."""
        if self._handle is not None:
            self._late = self._late or self._is_late(self._handle.when())
            self._handle.cancel()

    @property
    def is_ours(self) -> bool:
        """Whether the silence says nothing about the store, because the loop was late."""
        return self._late and self._left > 0

    def _next(self) -> None:
        self._handle = self._loop.call_later(ANSWER_S / TICKS, self._tick, self._loop.time())

    def _tick(self, since: float) -> None:
        self._all_left -= 1
        if self._is_late(since + ANSWER_S / TICKS):
            self._late = True
        else:
            self._left -= 1
        if self._left > 0 and self._all_left > 0:
            self._next()
            return
        self._handle = None
        assert self._limit is not None
        self._limit.reschedule(self._loop.time())

    def _is_late(self, due: float) -> bool:
        return self._loop.time() - due > LATE_S
