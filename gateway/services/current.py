"""Which services there are now: those of the file, and the instances that have registered."""

import asyncio
from collections.abc import Mapping

from gateway.services.definition import ServiceSpec
from gateway.services.leases import Leases
from gateway.services.probing import Prober
from gateway.services.registry import Registry
from gateway.services.upstreams import Upstreams


class CurrentServices:
    """Keeps the registry, the connections and the probes at one list of services.

    `specs` are those of the file; `leases` may be changed before `have`.
    """

    def __init__(
        self,
        specs: Mapping[str, ServiceSpec],
        registry: Registry,
        upstreams: Upstreams,
        prober: Prober,
    ) -> None:
        self.leases = Leases()
        self._specs = specs
        self._registry = registry
        self._upstreams = upstreams
        self._prober = prober

    async def have(self, specs: Mapping[str, ServiceSpec] | None = None) -> None:
        """Take the services of the file, which may have changed, and all instances with a lease.

        Calls under way go on with the services they began with.
        """
        if specs is not None:
            self._specs = specs
        found = self.leases.merged(self._specs)
        self._registry.replace(found, asyncio.get_running_loop().time())
        urls = {one.url for spec in found.values() for one in spec.instances}
        self._prober.changed()
        await self._upstreams.retain(urls)
