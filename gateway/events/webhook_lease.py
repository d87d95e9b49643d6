"""Which of the processes that share a store delivers to a webhook."""

from typing import Final

from gateway.store import Conflict, Put, Store

LEASE_S: Final = 10.0
RENEW_S: Final = 3.0

GONE_S: Final = 0.001
"""A lease that is given up ends by itself: deleting it would take one that another process has."""


class WebhookLease:
    """A process's lease of one webhook, which it takes, renews and gives up.

    `token` is the process's own. A lease, like a webhook's progress, holds no person's data.
    """

    def __init__(self, store: Store, name: str, token: bytes) -> None:
        self._store = store
        self._key = f"webhook-lease:{name}"
        self._token = token
        self._version: int | None = None

    async def held(self) -> bool:
        """Take or renew the lease for `LEASE_S`; returns whether this process has it now.

        Raises `StoreError`.
        """
        if self._version is None and await self._store.get(self._key) is not None:
            return False
        try:
            await self._put(LEASE_S)
        except Conflict:
            self._version = None
        return self._version is not None

    async def give_up(self) -> None:
        """End it, if this process has it. Raises `StoreError`."""
        if self._version is None:
            return
        try:
            await self._put(GONE_S)
        except Conflict:
            pass  # another process has it
        finally:
            self._version = None

    async def _put(self, ttl_s: float) -> None:
        put = Put(self._key, self._token, self._version, ttl_s, "")
        (self._version,) = await self._store.commit(put)
