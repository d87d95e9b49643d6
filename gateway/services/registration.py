"""Instances that register themselves: their leases, in this process or in the store.

With Redis, every gateway sees the leases of all gateways within `POLL_S`. While the store cannot be
read, no lease ends: the instances are probed all the same.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Literal

from gateway.services.current import CurrentServices
from gateway.services.definition import SERVICE_NAME, Endpoint, Scheme
from gateway.services.leases import MOST, Lease
from gateway.services.networks import AllowedNetworks
from gateway.store import Conflict, Store, StoreClosed, StoreError

logger = logging.getLogger("parley.services")

KIND: Final = "service-instance"
"""The kind of the entries in the store: service-instance:{service}:{id}."""

POLL_S: Final = 1.0
PAGE: Final = 200
TRIES: Final = 5

Refusal = Literal["off", "name", "address", "many"]


class RegistrationRefused(Exception):
    """An instance may not register. The text says why, for its sender."""

    def __init__(self, why: Refusal, text: str) -> None:
        super().__init__(text)
        self.why: Refusal = why


class Registration:
    """Takes leases and ends them, while `running` lasts.

    Instances must be in `networks`, and no service may have a name of `own`. `store` is shared with
    other gateways; None: leases are known in this process alone.
    """

    def __init__(
        self,
        current: CurrentServices,
        networks: AllowedNetworks,
        own: frozenset[str],
        store: Store | None,
    ) -> None:
        self._current = current
        self._networks = networks
        self._own = own
        self._store = store
        self._changed = asyncio.Event()
        self._came_or_went = 0
        """How many leases have begun, moved or ended here: what was read before is of no use."""

    @property
    def on(self) -> bool:
        """Whether instances may register at all."""
        return bool(self._networks)

    async def put(self, lease: Lease) -> bool:
        """Let a lease hold from now on. Returns whether it is a new one.

        Raises `RegistrationRefused`, and `StoreError` if the lease cannot be shared.
        """
        lease = self._checked(lease)
        leases = self._current.leases
        new = lease.name not in leases
        if new and not leases.has_room(lease.service):
            raise RegistrationRefused("many", "there are as many instances as there may be")
        if self._store is not None:
            await _stored(self._store, lease)
        if leases.put(lease, asyncio.get_running_loop().time()):
            self._came_or_went += 1
            logger.info("%s at %s has registered", lease.service, lease.endpoint.authority)
            await self._current.have()
        self._changed.set()
        return new

    async def end(self, service: str, id: str) -> bool:
        """End a lease. Returns whether there was one. Raises `StoreError`."""
        if not (SERVICE_NAME.fullmatch(service) and SERVICE_NAME.fullmatch(id)):
            return False
        there = False
        if self._store is not None:
            there = await self._store.get(_key(service, id)) is not None
            await self._store.delete(_key(service, id))
        if self._current.leases.drop(service, id) or there:
            there = True
            self._came_or_went += 1
            logger.info("the instance %s of %s has left", id, service)
            await self._current.have()
        return there

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """End leases in time, and take over those of other gateways, while the block lasts."""
        if not self.on:
            yield
            return
        keeping = asyncio.create_task(self._shared() if self._store else self._alone())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])

    async def _alone(self) -> None:
        now = asyncio.get_running_loop().time
        leases = self._current.leases
        while True:
            self._changed.clear()
            if over := leases.expire(now()):
                for lease in over:
                    logger.warning("the lease of %s of %s has ended", lease.id, lease.service)
                await self._current.have()
            until = leases.next_end()
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _shared(self) -> None:
        readable = True
        while True:
            try:
                before, found = self._came_or_went, await self._read()
                if before == self._came_or_went and self._current.leases.have(found):
                    await self._current.have()
                readable = True
            except StoreClosed:
                return
            except StoreError as error:
                if readable:
                    logger.warning("leases are not heard of now, and none ends: %s", error)
                readable = False
            await asyncio.sleep(POLL_S)

    async def _read(self) -> list[Lease]:
        """The leases in the store that are allowed here. Raises `StoreError`."""
        assert self._store is not None
        found: list[Lease] = []
        before: int | None = None
        for _ in range(2 * MOST // PAGE):
            page = await self._store.page(KIND, limit=PAGE, before=before)
            for key, entry in page.entries:
                try:
                    found.append(self._checked(_lease_of(key, entry.value)))
                except (RegistrationRefused, ValueError, KeyError, TypeError):
                    continue  # another gateway allows more than this one
            if (before := page.next) is None:
                break
        return found

    def _checked(self, lease: Lease) -> Lease:
        if not self.on:
            raise RegistrationRefused("off", "PARLEY_SERVICE_NETWORKS says where instances may be")
        if SERVICE_NAME.fullmatch(lease.service) is None or lease.service in self._own:
            raise RegistrationRefused("name", f"{lease.service} is no name for a service")
        if SERVICE_NAME.fullmatch(lease.id) is None:
            raise RegistrationRefused(
                "name", "an id is letters, digits, hyphens and underscores, at most 64"
            )
        host = self._networks.allowed(lease.endpoint.host)
        if host is None:
            raise RegistrationRefused(
                "address", "host is an address in one of the networks of PARLEY_SERVICE_NETWORKS"
            )
        place = lease.endpoint
        return Lease(
            lease.service,
            lease.id,
            Endpoint(host, place.port, place.protocol, place.weight),
            lease.ttl_s,
        )


def _key(service: str, id: str) -> str:
    return f"{KIND}:{service}:{id}"


async def _stored(store: Store, lease: Lease) -> None:
    key, place = _key(lease.service, lease.id), lease.endpoint
    value = json.dumps(
        {
            "host": place.host,
            "port": place.port,
            "protocol": place.protocol,
            "weight": place.weight,
            "ttl_s": lease.ttl_s,
        }
    ).encode()
    for last in (*[False] * (TRIES - 1), True):
        known = await store.get(key)
        expect = None if known is None else known.version
        try:
            await store.put(key, value, expect=expect, ttl_s=lease.ttl_s)
            return
        except Conflict:  # it was renewed elsewhere, or has ended, in between
            if last:
                raise


def _lease_of(key: str, value: bytes) -> Lease:
    _, service, id = key.split(":")
    said = json.loads(value)
    protocol: Scheme = "https" if said["protocol"] == "https" else "http"
    place = Endpoint(str(said["host"]), int(said["port"]), protocol, int(said["weight"]))
    return Lease(service, id, place, float(said["ttl_s"]))
