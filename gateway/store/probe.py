"""Whether the store answers, asked in the background: no request waits for the answer."""

import logging

from gateway.refreshed import Refreshed
from gateway.status import StoreReport
from gateway.store.protocol import Store, StoreError

logger = logging.getLogger("parley.store")

PROBE_S = 1.5
CACHE_S = 5.0


class StoreProbe:
    """The latest answer of a store, asked for again when it is older than `cache_s`.

    It owns the question under way: `aclose` ends it. The store is the caller's.
    """

    def __init__(self, store: Store, *, cache_s: float = CACHE_S) -> None:
        self._store = store
        self._cache_s = cache_s
        self._ping = Refreshed(store.ping, None, limit_s=PROBE_S, changed=self._log)

    async def ask(self) -> StoreReport:
        """Ask now, for `PROBE_S` at most. The log says why it does not answer, and when it does."""
        await self._ping.refresh()
        return self._report()

    def latest(self) -> StoreReport:
        """What was last found. A plain call; it asks again in the background when that is due."""
        self._ping.latest(self._cache_s)
        return self._report()

    async def aclose(self) -> None:
        """End the question under way."""
        await self._ping.aclose()

    def _log(self, error: Exception | None) -> None:
        kind = self._store.kind
        match error:
            case None:
                logger.info("store: %s answers again", kind)
            case StoreError():
                logger.warning("store: %s", error)
            case TimeoutError():
                logger.warning("store: %s does not answer within %g s", kind, PROBE_S)
            case _:
                logger.error("store: %s cannot be asked", kind, exc_info=error)

    def _report(self) -> StoreReport:
        return StoreReport(self._store.kind, "offline" if self._ping.error else "online")
