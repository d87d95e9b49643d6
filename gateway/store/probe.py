"""Whether the store answers, asked in the background: nobody waits for it."""

import asyncio
import logging
import math
import time
from collections.abc import Callable

from gateway.status import StoreReport
from gateway.store.protocol import Store, StoreError

logger = logging.getLogger("parley.store")

PROBE_S = 1.5
CACHE_S = 5.0


class StoreProbe:
    """The latest answer of a store, asked for again when it is older than `cache_s`.

    It owns the question under way: `aclose` ends it. The store is the caller's.
    """

    def __init__(
        self,
        store: Store,
        *,
        cache_s: float = CACHE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._cache_s = cache_s
        self._clock = clock
        self._asked_at = -math.inf
        self._problem: str | None = None
        self._asking: asyncio.Task[StoreReport] | None = None

    async def ask(self) -> StoreReport:
        """Ask now, for `PROBE_S` at most. The log says why it does not answer, and when it does."""
        self._asked_at = self._clock()
        before, self._problem = self._problem, await self._find()
        if self._problem is not None and before is None:
            logger.warning("store: %s", self._problem)
        elif self._problem is None and before is not None:
            logger.info("store: %s answers again", self._store.kind)
        return self._report()

    def latest(self) -> StoreReport:
        """What was last found. A plain call; it asks again in the background when that is due."""
        due = self._clock() - self._asked_at >= self._cache_s
        if due and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self.ask())
        return self._report()

    async def aclose(self) -> None:
        """End the question under way."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    async def _find(self) -> str | None:
        try:
            async with asyncio.timeout(PROBE_S):
                await self._store.ping()
        except StoreError as error:
            return str(error)
        except TimeoutError:
            return f"{self._store.kind} does not answer within {PROBE_S:g} s"
        return None

    def _report(self) -> StoreReport:
        return StoreReport(self._store.kind, "offline" if self._problem else "online")
