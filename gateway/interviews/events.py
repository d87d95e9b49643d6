"""The events of sessions, for watchers: numbered, and kept in a bounded ring.

Every session has one ring of its last events. A watcher has no buffer of its own, only a position
in the ring: if it is too slow, it misses the oldest events and gets a `missed` event. Rings and
numbers belong to this process: an event's id begins with the process's token, so that a watcher
cannot resume with a number of another process.
"""

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "upload", "answer", "evaluation", "interview", "failed", "missed", "completed", "deleted"
]

LAST: tuple[Kind, ...] = ("completed", "deleted")
"""The last event of a session is one of these."""

RING = 64
"""Events that are kept for each session."""

MAX_RINGS = 1024
"""Sessions whose events are kept. Beyond that the oldest ring without a watcher is dropped."""

MAX_WATCHERS = 256
MAX_WATCHERS_OF_ONE = 8


Happening = Callable[[str, Kind, dict[str, Any]], None]
"""Called with a session's event. A plain call that must neither block nor raise."""


class TooManyWatchers(Exception):
    """The limit of watchers, of the process or of one session, is reached."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One event. A watcher resumes after its `id`; `data` is JSON."""

    id: str
    kind: Kind
    data: dict[str, Any]


@dataclass(slots=True)
class _Ring:
    events: deque[tuple[int, Kind, dict[str, Any]]] = field(
        default_factory=lambda: deque(maxlen=RING)
    )
    dropped: int = 0  # the number of the newest event that is not kept any more
    watchers: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Events:
    """The events of this process's sessions, and those that were added.

    `happened` is called with each event of this process's sessions, for watchers in other
    processes.
    """

    def __init__(self, happened: Happening | None = None) -> None:
        self._happened = happened
        self._token = secrets.token_hex(4)
        self._rings: OrderedDict[str, _Ring] = OrderedDict()
        self._next = 1
        self._watchers = 0
        self.closed = False

    def publish(self, session_id: str, kind: Kind, data: dict[str, Any]) -> None:
        """Add an event, call `happened`, and wake the session's watchers. Never waits."""
        self.add(session_id, kind, data)
        if self._happened is not None:
            self._happened(session_id, kind, data)

    def add(self, session_id: str, kind: Kind, data: dict[str, Any]) -> None:
        """Add an event, perhaps from another process, and wake the watchers. Never waits."""
        ring = self._ring(session_id)
        if len(ring.events) == RING:
            ring.dropped = ring.events[0][0]
        ring.events.append((self._next, kind, data))
        self._next += 1
        _wake(ring)

    def watch(self, session_id: str, after: str | None = None) -> "Watch":
        """Watch a session's events: those after the id `after`, or those from now on.

        After an id of another process it gets all events that are kept. Raises `TooManyWatchers`.
        """
        ring = self._ring(session_id)
        if self._watchers >= MAX_WATCHERS or ring.watchers >= MAX_WATCHERS_OF_ONE:
            raise TooManyWatchers
        ring.watchers += 1
        self._watchers += 1

        def leave() -> None:
            ring.watchers -= 1
            self._watchers -= 1

        return Watch(self, ring, self._position_of(after), self._token, leave)

    def close(self) -> None:
        """End every watcher, because the process ends."""
        self.closed = True
        for ring in self._rings.values():
            _wake(ring)

    def _position_of(self, after: str | None) -> int:
        if after is None:
            return self._next - 1
        token, _, number = after.partition("-")
        known = token == self._token and number.isascii() and number.isdigit() and len(number) < 19
        return int(number) if known else 0

    def _ring(self, session_id: str) -> _Ring:
        ring = self._rings.get(session_id)
        if ring is not None:
            self._rings.move_to_end(session_id)
            return ring
        if len(self._rings) >= MAX_RINGS:  # at least one is unwatched: `MAX_WATCHERS` is lower
            unwatched = next(name for name, ring in self._rings.items() if not ring.watchers)
            del self._rings[unwatched]
        # A dropped ring of this session may have held earlier events, so they count as missed.
        ring = self._rings[session_id] = _Ring(dropped=self._next - 1)
        return ring


class Watch:
    """One watcher of a session; end it with `close`."""

    def __init__(
        self, events: Events, ring: _Ring, position: int, token: str, leave: Callable[[], None]
    ) -> None:
        self._events = events
        self._ring = ring
        self._position = position
        self._token = token
        self._leave: Callable[[], None] | None = leave

    async def next(self, within_s: float) -> list[Happened]:
        """The new events; waits for the first up to `within_s`. [] after that, or at the end."""
        if not (found := self._new_events()) and not self._events.closed:
            changed = self._ring.changed
            try:
                async with asyncio.timeout(within_s):
                    await changed.wait()
            except TimeoutError:
                return []
            found = self._new_events()
        return found

    @property
    def over(self) -> bool:
        """Whether the process ends, and no more events come."""
        return self._events.closed

    def close(self) -> None:
        """Stop watching. Idempotent."""
        if self._leave is not None:
            self._leave()
            self._leave = None

    def _new_events(self) -> list[Happened]:
        position = self._position
        found = [entry for entry in self._ring.events if entry[0] > position]
        if not found and position >= self._ring.dropped:
            return []
        self._position = found[-1][0] if found else self._ring.dropped
        happened = [Happened(f"{self._token}-{n}", kind, data) for n, kind, data in found]
        if position < self._ring.dropped:
            happened.insert(0, Happened(f"{self._token}-{self._ring.dropped}", "missed", {}))
        return happened


def _wake(ring: _Ring) -> None:
    if ring.watchers:
        ring.changed.set()
        ring.changed = asyncio.Event()
