"""The lease of a process: an entry by which other processes know that it still runs.

It ends `LEASE_S` after its last renewal by the store's clock. So the sessions of a process that was
killed are free after that time, even if another process has its host name or its process id by
then. A process has one lease for all its sessions.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.interviews.keys import lease_key
from gateway.interviews.sessions import SessionOwner
from gateway.store import Keep, Store, StoreError, put_if_absent

logger = logging.getLogger("parley.leases")

LEASE_S = 15.0
RENEW_S = 5.0
RETRY_S = 1.0
"""Seconds before another attempt, after a renewal that failed."""


async def renew(store: Store, owner: SessionOwner, about: bytes = b"") -> None:
    """Extend the lease, which tells `about` the process, to `LEASE_S` from now. Raises
    `StoreUnavailable` and `StoreClosed`."""
    key = lease_key(owner.token)
    # The lease may expire between the two steps, so that there is nothing to keep.
    while await put_if_absent(store, key, about, ttl_s=LEASE_S) is not None:
        await store.commit(Keep(key, LEASE_S))
        if await store.get(key) is not None:
            return


@asynccontextmanager
async def leased(store: Store, owner: SessionOwner, about: bytes = b"") -> AsyncIterator[None]:
    """Renew the lease, which tells `about` the process, until the block ends, then give it up.

    A store that does not work now is asked again; it never fails the block.
    """
    wait_s = await _renewed(store, owner, about)
    renewing = asyncio.create_task(_keep(store, owner, about, wait_s))
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])
        try:
            await store.delete(lease_key(owner.token))
        except StoreError as error:
            logger.info("the lease was not given up: %s", error)
        except Exception:  # the process ends all the same, and the lease ends by itself
            logger.exception("the lease was not given up")


async def _keep(store: Store, owner: SessionOwner, about: bytes, wait_s: float) -> None:
    while True:
        await asyncio.sleep(wait_s)
        wait_s = await _renewed(store, owner, about)


async def _renewed(store: Store, owner: SessionOwner, about: bytes) -> float:
    """Try to renew; returns after how many seconds to renew again."""
    try:
        await renew(store, owner, about)
    except StoreError as error:
        logger.warning("the lease of this process was not renewed: %s", error)
        return RETRY_S
    except Exception:  # whatever a client of a store may raise: the next try may do better
        logger.exception("the lease of this process was not renewed")
        return RETRY_S
    return RENEW_S
