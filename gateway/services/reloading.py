"""Changes the services while the gateway runs: takes a changed file as a whole or not at all."""

import asyncio
import logging
from pathlib import Path

from gateway.services.current import CurrentServices
from gateway.services.model_specs import Models
from gateway.services.sources import ServicesUnusable, read_services

logger = logging.getLogger("parley.services")


class ServicesReload:
    """Reads the file of services at `path` again on request."""

    def __init__(self, path: Path, current: CurrentServices, models: Models) -> None:
        self._path = path
        self._current = current
        self._models = models
        self._one = asyncio.Lock()

    async def reload(self) -> None:
        """Use the services and models of the file. Calls under way go on with the old ones.

        Raises `ServicesUnusable` for a file with a mistake, which changes nothing.
        """
        async with self._one:
            try:
                found = await asyncio.to_thread(read_services, self._path)
            except ServicesUnusable as error:
                logger.error("the services stay as they are: %s", error)
                raise
            self._models.replace(found.models)
            await self._current.have(found.services)
            logger.warning("services from %s: %s", self._path, ", ".join(found.services))
