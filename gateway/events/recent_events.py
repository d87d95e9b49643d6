"""The newest events of the outbox, in memory. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

from gateway.events.event import OutboxEvent

MOST_RECENT: Final = 1_000


class RecentEvents:
    """The newest events, oldest first: all that are stored behind `begins_after`, to `read_to`.

    Both are positions. It keeps the `most` newest events.
    """

    def __init__(
        self,
        events: Iterable[OutboxEvent] = (),
        *,
        begins_after: int = 0,
        read_to: int = 0,
        most: int = MOST_RECENT,
    ) -> None:
        self.begins_after = begins_after
        self.read_to = read_to
        self._most = most
        self._events = list(events)

    def add(self, events: Sequence[OutboxEvent], read_to: int) -> None:
        """Add the events that come next; nothing else is stored up to `read_to`."""
        self._events += events
        self.read_to = max(self.read_to, read_to)
        if (over := len(self._events) - self._most) > 0:
            self.begins_after = max(self.begins_after, self._events[over - 1].position)
            del self._events[:over]

    def covers(self, position: int) -> bool:
        """Whether everything behind a position is here."""
        return position >= self.begins_after

    def after(self, position: int, limit: int) -> tuple[list[OutboxEvent], bool]:
        """The first `limit` events behind a position, and whether more follow."""
        start = bisect_right(self._events, position, key=_position)
        return self._events[start : start + limit], start + limit < len(self._events)

    def drop(self, session_id: str) -> None:
        """Remove the events of a session that is deleted."""
        self._events = [one for one in self._events if one.session_id != session_id]

    def keep(self, positions: frozenset[int], read_to: int) -> None:
        """Remove the events up to `read_to` that are not among those still stored."""
        self._events = [
            one for one in self._events if one.position > read_to or one.position in positions
        ]


def _position(event: OutboxEvent) -> int:
    return event.position
