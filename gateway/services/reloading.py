"""Other services while the gateway runs: the file is read again, as a whole or not at all."""

import asyncio
import logging
from pathlib import Path

from gateway.services.current import CurrentServices
from gateway.services.sources import ServicesUnusable, read_services

logger = logging.getLogger("parley.services")


class ServicesReload:
    """Reads the file at `path` again when it is told to."""

    def __init__(self, path: Path, current: CurrentServices) -> None:
        self._path = path
        self._current = current
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
            await self._current.have(specs)
            logger.warning("services from %s: %s", self._path, ", ".join(specs))
