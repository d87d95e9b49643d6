"""Reads events for streams that go on from before the recent ones.

It reads one page at a time for a whole process, with a pause after each, so that what streams ask
for never fills the store's queue nor the event loop. A client catches up once at a time, and
`MOST_CATCHING_UP` clients do. None goes back further than `MOST_EARLIER` events.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from gateway.events.event import EVENT_KIND
from gateway.store import Page, Store

MOST_CATCHING_UP: Final = 8
"""Clients; they take turns. An assumed value."""

MOST_EARLIER: Final = 10_000
"""Events before the recent ones to which a client can go back: 100 pages, an assumed value."""

PAGE: Final = 100

COUNTED: Final = 500
"""Events of a page that is read to find where to begin; its events are not parsed."""

PACE_S: Final = 0.02
"""Between two pages: an event loop that parses 100 events every 20 ms does little else meanwhile,
which the others do not notice."""


class CatchUpsFull(Exception):
    """The limit is reached: of the process, or `of_one` client."""

    def __init__(self, *, of_one: bool) -> None:
        super().__init__(of_one)
        self.of_one = of_one


class CatchUps:
    """The clients of one process that catch up, and their reads. Belongs to one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._clients: set[str] = set()
        self._turn = asyncio.Lock()

    def claim(self, client: str) -> None:
        """Begin for a client, until `release`. Raises `CatchUpsFull`."""
        if client in self._clients:
            raise CatchUpsFull(of_one=True)
        if len(self._clients) >= MOST_CATCHING_UP:
            raise CatchUpsFull(of_one=False)
        self._clients.add(client)

    def release(self, client: str) -> None:
        """End for a client. Idempotent."""
        self._clients.discard(client)

    async def start(self, after: int, before: int) -> tuple[int, bool]:
        """The position to read on from, for one who goes on after `after` and needs what comes up
        to `before`; and whether events between `after` and that position are left out.

        Raises `StoreError`.
        """
        count, at = 0, before + 1
        while True:
            async with self._paced():
                page = await self._store.page(EVENT_KIND, limit=COUNTED, before=at)
            versions = [entry.version for _, entry in page.entries]
            later = sum(version > after for version in versions)
            if count + later > MOST_EARLIER:
                return versions[MOST_EARLIER - count], True
            if later < len(versions) or page.next is None:
                return after, False
            count, at = count + later, page.next

    async def page(self, after: int) -> Page:
        """The events after a position, as `Store.since`. Raises `StoreError`."""
        async with self._paced():
            return await self._store.since(EVENT_KIND, after=after, limit=PAGE)

    @asynccontextmanager
    async def _paced(self) -> AsyncIterator[None]:
        async with self._turn:
            yield
            await asyncio.sleep(PACE_S)
