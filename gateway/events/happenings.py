"""Events of the gateway itself: breakers that open, and steps down the ladder.

They happen in memory, in plain calls that must not wait. So they are noted, and stored within a
second, or when the process ends; one that happens in the last second of a process that is killed is
lost.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

from gateway.events.event import EventDraft
from gateway.events.outbox import gateway_event
from gateway.store import Conflict, Put, Store, StoreError
from pipeline.ladder import LadderStep

logger = logging.getLogger("parley.events")

EVERY_S: Final = 1.0
LAST_S: Final = 2.0
"""How long the end of the process waits for the store."""

MOST_NOTED: Final = 256
"""The largest number of events that wait for the store; beyond it the oldest are dropped."""

OpenBreakers = Callable[[], Iterable[tuple[str, bool]]]
"""The breakers by their names, and whether each is open."""


class GatewayHappenings:
    """Notes what happens, and stores it while `running` lasts. Belongs to one event loop."""

    def __init__(
        self, store: Store, breakers: OpenBreakers, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._breakers = breakers
        self._clock = clock
        self._open: set[str] = set()
        self._noted: deque[Put] = deque(maxlen=MOST_NOTED)

    def stepped(self, before: LadderStep, after: LadderStep, reason: str) -> None:
        """The process has taken a step of the ladder. A plain call."""
        if after > before:
            self._note(
                EventDraft("degraded", {"from": before.label, "to": after.label, "reason": reason})
            )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Store what happens while the block lasts. A failure of the store never fails it."""
        keeping = asyncio.create_task(self._run())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_S):
                    await self._store_news()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await self._store_news()

    async def _store_news(self) -> None:
        try:
            self._look()
        except Exception:  # a breaker of a third party's may do anything
            logger.exception("not every breaker can be seen")
        try:
            await self._keep()
        except StoreError as error:
            logger.info("events of the gateway are not stored yet: %s", error)
        except Exception:  # whatever it is: the next round may do better
            logger.exception("events of the gateway are not stored yet")

    def _look(self) -> None:
        is_open = {name for name, is_open in self._breakers() if is_open}
        for name in sorted(is_open - self._open):
            self._note(EventDraft("breaker.opened", {"breaker": name}))
        self._open = is_open

    async def _keep(self) -> None:
        """Store what was noted, the oldest first. Raises `StoreError`."""
        while self._noted:
            first = self._noted[0]
            with contextlib.suppress(Conflict):  # it was stored although that seemed to fail
                await self._store.commit(first)
            if self._noted and self._noted[0] is first:
                self._noted.popleft()

    def _note(self, draft: EventDraft) -> None:
        self._noted.append(gateway_event(draft, self._clock()))
