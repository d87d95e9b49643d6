"""Which event one webhook gets next, when it is tried again, and when it is given up. Pure.

The events of a session go one after the other: the next one waits until the one before has been
taken, or given up. Events of different sessions do not wait for one another.

Progress is one position, up to which every event is done, and the positions done beyond it. It is
stored now and then; after a sudden end, events done since then are delivered again with the same
ids. Tries are not stored: after a sudden end they count from 1 again.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.events.event import OutboxEvent

WINDOW: Final = 1000
"""Wanted events from the first that is not done to the last that was read. Each of them that is
done is stored as a number."""

DOWN_AFTER: Final = 3
"""Failures in a row after which a success means that the receiver is back."""

BACK_WITHIN_S: Final = 5.0
"""The time over which all waiting events are tried again once the receiver is back."""

MOST_EARLY: Final = 5
"""How often a receiver that is back shortens one event's wait. A receiver that refuses some events
for good is back with each other event that it takes, which would use up their tries in minutes."""


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """The wait after the nth failure is anything up to `base_s` * 2 ** (n - 1), at most `cap_s`.

    An event is given up after `tries` of them, or when one fails `age_s` after it happened.
    At most `at_once` are delivered at a time. Assumed values: with them a receiver that is down
    for a night gets every event, and no event is tried longer than the outbox keeps it.
    """

    base_s: float = 1.0
    cap_s: float = 3600.0
    tries: int = 40
    age_s: float = 24 * 3600.0
    at_once: int = 8


@dataclass(slots=True, eq=False)
class _Lane:
    """The events of one session that are not done, in their order."""

    waiting: deque[OutboxEvent] = field(default_factory=deque)
    tries: int = 0
    due_at: float = 0.0
    under_way: bool = False
    early: int = 0
    asked_until: float = 0.0
    """Of the first one: how often its wait was made shorter, and until when the receiver asked not
    to be tried again."""


class Deliveries:
    """The deliveries of one webhook. `now` is monotonic seconds.

    `at` and `done` are the stored progress of an earlier process.
    """

    def __init__(
        self, policy: DeliveryPolicy, types: frozenset[str], at: int, done: Iterable[int] = ()
    ) -> None:
        self._policy = policy
        self._types = types
        self._at = at
        self._read_to = at
        self._before = set(done)  # done, but not read again yet
        self._done: set[int] = set()
        self._untaken: set[int] = set()  # of these: given up or erased
        self._read: deque[int] = deque()  # those wanted, from the first that is not done on
        self._lanes: dict[str, _Lane] = {}
        self._under_way = 0
        self._open = 0
        self._failed_in_a_row = 0

    @property
    def at(self) -> int:
        """The position up to which every event is done."""
        return self._at

    @property
    def done(self) -> list[int]:
        """The positions beyond `at` that are done."""
        return sorted(self._done | self._before)

    @property
    def read_to(self) -> int:
        """The position of the last event that was read."""
        return self._read_to

    @property
    def open(self) -> int:
        """Events that were read and are not done."""
        return self._open

    @property
    def has_room(self) -> bool:
        """Whether further events can be read."""
        return len(self._read) < WINDOW

    def take(self, events: Sequence[OutboxEvent], read_to: int) -> None:
        """Take the events that came next, up to the position `read_to`."""
        for event in events:
            if event.type not in self._types:
                continue
            position = event.position
            self._read.append(position)
            if position in self._before:
                self._done.add(position)
                continue
            self._open += 1
            self._lanes.setdefault(event.session_id or "", _Lane()).waiting.append(event)
        self._read_to = read_to
        # What was done and is not there any more does not come again.
        self._before = {position for position in self._before if position > read_to}
        self._move()

    def due(self, now: float) -> list[OutboxEvent]:
        """The events to be delivered now; each is under way until it is `taken` or has `failed`."""
        found: list[OutboxEvent] = []
        for lane in self._lanes.values():
            if self._under_way >= self._policy.at_once:
                break
            if lane.under_way or not (lane.due_at <= now or self._blocks(lane)):
                continue
            lane.under_way = True
            self._under_way += 1
            found.append(lane.waiting[0])
        return found

    def next_due(self) -> float | None:
        """When the next event is due; None while as many are under way as may, or none waits."""
        if self._under_way >= self._policy.at_once:
            return None
        return min((o.due_at for o in self._lanes.values() if not o.under_way), default=None)

    def tried_before(self, event: OutboxEvent) -> int:
        """How often an event has failed."""
        return self._lanes[event.session_id or ""].tries

    def taken(self, event: OutboxEvent, now: float, chance: float) -> None:
        """The receiver has taken an event. `chance` is from 0 up to 1."""
        if self._failed_in_a_row >= DOWN_AFTER:
            for number, lane in enumerate(self._lanes.values()):
                spread = (chance + number / len(self._lanes)) % 1.0
                at = max(now + spread * BACK_WITHIN_S, lane.asked_until)
                if at < lane.due_at and lane.early < MOST_EARLY:
                    lane.due_at = at
                    lane.early += 1
        self._failed_in_a_row = 0
        self._settle(event)

    def failed(
        self,
        event: OutboxEvent,
        now: float,
        *,
        age_s: float,
        chance: float,
        retry_after_s: float = 0.0,
    ) -> bool:
        """An attempt has failed. Returns whether to give the event up: then it stays under way
        until `settle`. `chance` is from 0 up to 1, `age_s` how long ago the event happened."""
        policy, lane = self._policy, self._lanes[event.session_id or ""]
        self._failed_in_a_row += 1
        lane.tries += 1
        if lane.tries >= policy.tries or age_s >= policy.age_s or self._blocks(lane):
            return True
        longest = min(policy.cap_s, policy.base_s * 2.0 ** (lane.tries - 1))
        lane.asked_until = now + min(retry_after_s, policy.cap_s)
        lane.due_at = max(now + chance * longest, lane.asked_until)
        lane.under_way = False
        self._under_way -= 1
        return False

    def settle(self, event: OutboxEvent) -> None:
        """An event that is under way is done without being taken: given up or erased."""
        self._untaken.add(event.position)
        self._settle(event)

    def _settle(self, event: OutboxEvent) -> None:
        name = event.session_id or ""
        lane = self._lanes[name]
        lane.waiting.popleft()
        self._under_way -= 1
        self._open -= 1
        self._done.add(event.position)
        following = _Lane(lane.waiting)
        # A session that has another event goes to the end, so that none keeps the others out.
        del self._lanes[name]
        if following.waiting:
            self._lanes[name] = following
        self._move()

    def _blocks(self, lane: _Lane) -> bool:
        """Whether a failing lane keeps the window full while most events behind it were taken: the
        receiver takes those, so this event has to give way."""
        taken = len(self._done) - len(self._untaken)
        full = len(self._read) >= WINDOW and taken * 2 > len(self._read)
        return full and lane.tries > 0 and lane.waiting[0].position == self._read[0]

    def _move(self) -> None:
        while self._read and self._read[0] in self._done:
            position = self._read.popleft()
            self._done.discard(position)
            self._untaken.discard(position)
        # What nobody wants is done as soon as it was read.
        self._at = max(self._at, self._read[0] - 1 if self._read else self._read_to)
