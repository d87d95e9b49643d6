"""A probe of the store, made in the background: no request waits for the answer."""

import logging

from gateway.refreshed import Refreshed
from gateway.status import StoreReport
from gateway.store.protocol import Store, StoreError

logger = logging.getLogger("parley.store")

PROBE_S = 1.5
CACHE_S = 5.0


class StoreProbe:
    """The latest probe of a store, repeated when it is older than `cache_s`.

    This object owns the probe under way, which `aclose` cancels; the caller owns the store.
    """

    def __init__(self, store: Store, *, cache_s: float = CACHE_S) -> None:
        self._store = store
        self._cache_s = cache_s
        self._ping = Refreshed(store.ping, None, limit_s=PROBE_S, changed=self._log)

    async def ask(self) -> StoreReport:
        """Probe now, for `PROBE_S` at most. A failure and the recovery after it are logged."""
        await self._ping.refresh()
        return self._report()

    def latest(self) -> StoreReport:
        """The latest result. Never waits; begins the next probe in the background if it is due."""
        self._ping.latest(self._cache_s)
        return self._report()

    async def aclose(self) -> None:
        """Cancel the probe under way."""
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
