"""Notifications: clients read events as they happen, in all processes on a store.

One task of a process follows the outbox, twice a second, and keeps the newest events. Streams are
served from these, each from its own position, at its client's pace. One that goes on from before
them catches up in `catch_ups`. Nothing is kept for a slow client. A client keeps its position, and
goes on from it after a break.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from gateway.events.catch_ups import PACE_S, PAGE, CatchUps
from gateway.events.event import EVENT_KIND, events_of
from gateway.events.notification_stream import AGAIN_S, NotificationStream
from gateway.events.recent_events import MOST_RECENT, RecentEvents
from gateway.events.viewers import EventViewer
from gateway.store import Store, StoreClosed, StoreError, StoreUnavailable

logger = logging.getLogger("parley.events")

POLL_S: Final = 0.5
"""How long an event waits at most until it is read."""

CHECK_S: Final = 30.0
"""How long an event is kept at most whose session was deleted on another machine, or which has
expired."""

FIRST_READ_S: Final = 5.0
"""How long a stream waits for the newest events of a process that has just begun."""

MOST_STREAMS: Final = 256
MOST_OF_ONE: Final = 16
"""Of one client. Assumed values, as those of the watchers of sessions."""


class TooManyStreams(Exception):
    """The limit is reached: of the process, or `of_one` client."""

    def __init__(self, *, of_one: bool) -> None:
        super().__init__(of_one)
        self.of_one = of_one


class NotificationsClosed(Exception):
    """The process ends, and no stream begins any more."""


class Notifications:
    """The streams of one process, while `running` lasts. Belongs to one event loop."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.recent = RecentEvents()
        self.catch_ups = CatchUps(store)
        self.closed = False
        """Whether the process ends, and with it every stream."""
        self._streams: set[NotificationStream] = set()
        self._of_one: Counter[str] = Counter()
        self._filled = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read the new events while the block lasts. A failure of the store never fails it."""
        reading = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self.close()
            reading.cancel()
            await asyncio.wait([reading])

    def close(self) -> None:
        """End every stream, because the process ends. A plain call."""
        self.closed = True
        for stream in self._streams:
            stream.wake()

    async def open(
        self, viewer: EventViewer, client: str, after: int | None = None
    ) -> NotificationStream:
        """A stream of the events after the position `after`, or of those from now on.

        `client` is by whom streams are counted. It ends with its `close`. A position that is not of
        this store is replaced by the newest one, and the stream has `missed` events. Raises
        `TooManyStreams`, `CatchUpsFull`, `NotificationsClosed` and `StoreError`.
        """
        if self.closed:
            raise NotificationsClosed
        if len(self._streams) >= MOST_STREAMS:
            raise TooManyStreams(of_one=False)
        if self._of_one[client] >= MOST_OF_ONE:
            raise TooManyStreams(of_one=True)
        stream = NotificationStream(self, viewer, client)
        self._streams.add(stream)
        self._of_one[client] += 1
        try:
            await self._begin(stream, after)
        except BaseException:
            stream.close()
            raise
        return stream

    async def _begin(self, stream: NotificationStream, after: int | None) -> None:
        newest = await self._newest()
        try:
            async with asyncio.timeout(FIRST_READ_S):
                await self._filled.wait()
        except TimeoutError:
            raise StoreUnavailable("events cannot be read now") from None
        # The newest event that was read may have been deleted meanwhile.
        newest = max(newest, self.recent.read_to)
        stream.begin(after, newest)

    def forget(self, stream: NotificationStream) -> None:
        """A stream has ended. Idempotent."""
        if stream in self._streams:
            self._streams.remove(stream)
            self._of_one[stream.client] -= 1
            if not self._of_one[stream.client]:
                del self._of_one[stream.client]

    def deleted(self, session_id: str) -> None:
        """A session was deleted: its events are not shown any more. A plain call."""
        self.recent.drop(session_id)

    async def _run(self) -> None:
        while not self.closed:  # a read that is cancelled may raise what a failing store does
            try:
                if not self._filled.is_set():
                    self.recent = await self._newest_events()
                    self._filled.set()
                await self._follow()
            except StoreClosed:
                return
            except StoreError as error:
                logger.warning("notifications wait: %s", error)
            except Exception:  # whatever it is: the next round may do better
                logger.exception("notifications wait")
            if not self.closed:
                await asyncio.sleep(AGAIN_S)

    async def _newest_events(self) -> RecentEvents:
        """The newest events that are stored when a process begins."""
        events, before = [], None
        read_to, begins_after = 0, 0
        for _ in range(MOST_RECENT // PAGE):
            page = await self.store.page(EVENT_KIND, limit=PAGE, before=before)
            if page.entries:
                read_to = max(read_to, page.entries[0][1].version)
                begins_after = page.entries[-1][1].version - 1
            events += events_of(page)
            if (before := page.next) is None:
                begins_after = 0
                break
        return RecentEvents(
            reversed(events), begins_after=begins_after, read_to=read_to, most=MOST_RECENT
        )

    async def _follow(self) -> None:
        """Read the new events. Raises `StoreError`."""
        now = asyncio.get_running_loop().time
        check_at = now() + CHECK_S
        while not self.closed:
            page = await self.store.since(EVENT_KIND, after=self.recent.read_to, limit=PAGE)
            if page.next is not None:
                events = events_of(page)
                self.recent.add(events, page.next)
                for stream in self._streams:
                    stream.heard(events, page.next)
            elif now() >= check_at:
                await self._check()
                check_at = now() + CHECK_S
            else:
                await asyncio.sleep(POLL_S)

    async def _check(self) -> None:
        """Remove the recent events that are no longer stored. Raises `StoreError`."""
        positions: set[int] = set()
        at = self.recent.begins_after
        while at < self.recent.read_to:
            page = await self.store.since(EVENT_KIND, after=at, limit=PAGE)
            if page.next is None:
                break
            positions.update(entry.version for _, entry in page.entries)
            at = page.next
            await asyncio.sleep(PACE_S)
        self.recent.keep(frozenset(positions), self.recent.read_to)

    async def _newest(self) -> int:
        page = await self.store.page(EVENT_KIND, limit=1)
        return page.entries[0][1].version if page.entries else 0
