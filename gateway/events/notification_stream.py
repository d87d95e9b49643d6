"""One client's stream of events, in their order, from its own position on."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from gateway.events.catch_ups import PAGE, CatchUps, CatchUpsFull
from gateway.events.event import OutboxEvent, events_of
from gateway.events.recent_events import RecentEvents
from gateway.events.viewers import EventViewer
from gateway.store import StoreError

AGAIN_S: Final = 1.0
"""After the store did not work, or while as many clients catch up as may."""


class StreamSource(Protocol):
    """The events that a stream reads, and the process that it belongs to."""

    recent: RecentEvents
    catch_ups: CatchUps
    closed: bool

    def forget(self, stream: "NotificationStream") -> None:
        """A stream has ended. Idempotent."""


class NotificationStream:
    """The events for one client. Made by `Notifications.open`."""

    def __init__(self, source: StreamSource, viewer: EventViewer, client: str) -> None:
        self.client = client
        self.position = 0
        """Everything up to here that the client may see has been returned."""
        self.missed = False
        """Whether events before the position were left out; set back once the client knows."""
        self.replaced = False
        """Whether the session that its client may see has been made anew, so that it ends."""
        self._source = source
        self._viewer = viewer
        self._newest = 0  # the position of the newest event when it began
        self._behind = True  # there may be something after the position
        self._started = False  # its catch-up knows from where to read
        self._claimed = False
        self._woken = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self._source.closed or self.replaced

    async def next(self, within_s: float) -> list[OutboxEvent]:
        """The next events; waits for them up to `within_s`. [] after that, where it is over, and
        where some were `missed`.

        A failing store is waited for. If this is cancelled, no event is lost.
        """
        now = asyncio.get_running_loop().time
        until = now() + within_s
        while not self.over and not self.missed and now() < until:
            if not self._behind:
                await self._wait(until)
            elif self._source.recent.covers(self.position):
                if found := self._of_recent():
                    return found
            else:
                try:
                    if found := await self._earlier():
                        return found
                except (StoreError, CatchUpsFull):
                    await asyncio.sleep(max(0.0, min(AGAIN_S, until - now())))
        return []

    def close(self) -> None:
        """End it. Idempotent."""
        self._settle()
        self._source.forget(self)

    def begin(self, after: int | None, newest: int) -> None:
        """Begin behind the position `after`, or behind the `newest` one.

        Raises `CatchUpsFull` where it has to catch up and cannot.
        """
        self._newest = newest
        self.missed = after is not None and after > newest  # a position of another store
        self.position = newest if after is None else min(after, newest)
        if not self._source.recent.covers(self.position):
            self._claim()

    def heard(self, events: Sequence[OutboxEvent], read_to: int) -> None:
        """The process has read these events, up to `read_to`."""
        if self._behind:
            return  # it comes to them
        if any(one.position > self.position and self._viewer.sees(one) for one in events):
            self._behind = True
            self.wake()
        else:
            self.position = max(self.position, read_to)

    def wake(self) -> None:
        """End a wait for the next events."""
        self._woken.set()

    async def _wait(self, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    def _of_recent(self) -> list[OutboxEvent]:
        self._settle()
        recent = self._source.recent
        events, more = recent.after(self.position, PAGE)
        if more:
            self.position = events[-1].position
        else:
            self.position = max(self.position, recent.read_to)
            self._behind = False
        return self._seen(events)

    async def _earlier(self) -> list[OutboxEvent]:
        """The next events that are not among the recent ones. Raises `StoreError`."""
        self._claim()
        source = self._source
        if not self._started:
            begins_after = source.recent.begins_after
            start, self.missed = await source.catch_ups.start(self.position, begins_after)
            self.position, self._started = max(self.position, start), True
            if self.missed:
                return []
        begins_after = source.recent.begins_after
        page = await source.catch_ups.page(self.position)
        # No event, although the recent ones begin later: those in between were deleted.
        self.position = begins_after if page.next is None else page.next
        return self._seen(events_of(page))

    def _seen(self, events: Sequence[OutboxEvent]) -> list[OutboxEvent]:
        found = []
        for event in events:
            if not self._viewer.sees(event):
                continue
            if self._viewer.bound and event.begins_session and event.position > self._newest:
                self.replaced = True
                break
            found.append(event)
        return found

    def _claim(self) -> None:
        """Take a place among those that catch up. Raises `CatchUpsFull`."""
        if not self._claimed:
            self._source.catch_ups.claim(self.client)
            self._claimed = True

    def _settle(self) -> None:
        if self._claimed:
            self._source.catch_ups.release(self.client)
            self._claimed = False
        self._started = False
