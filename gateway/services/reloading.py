"""Other services while the gateway runs: the file is read again, as a whole or not at all."""

import asyncio
import logging
from pathlib import Path

from gateway.services.probing import Prober
from gateway.services.registry import Registry
from gateway.services.sources import ServicesUnusable, read_services
from gateway.services.upstreams import Upstreams

logger = logging.getLogger("parley.services")


class ServicesReload:
    """Reads the file at `path` again when it is told to."""

    def __init__(
        self, path: Path, registry: Registry, upstreams: Upstreams, prober: Prober
    ) -> None:
        self._path = path
        self._registry = registry
        self._upstreams = upstreams
        self._prober = prober
        self._one = asyncio.Lock()

    async def reload(self) -> None:
        """Have the services of the file. Calls under way go on with those they have.

        Raises `ServicesUnusable` for a file with a mistake, which changes nothing.
        """
        async with self._one:
            try:
                specs = await asyncio.to_thread(read_services, self._path)
            except ServicesUnusable as error:
                logger.error("the services stay as they are: %s", error)
                raise
            self._registry.replace(specs, asyncio.get_running_loop().time())
            urls = {one.url for spec in specs.values() for one in spec.instances}
            await self._upstreams.retain(urls)
            self._prober.changed()
            logger.warning("services from %s: %s", self._path, ", ".join(specs))
