"""Decides when a process that has ended is started again. Pure: times are in seconds on one clock.

The first start of each process must succeed, or the gateway does not start. A process that ends
later is started again, at once the first time, and after longer and longer waits while it keeps
ending young.
"""

from dataclasses import dataclass, field

YOUNG_S = 60.0
"""A process that ends earlier than this makes the next start wait."""

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0

MOST_FAILED = 5
"""After this many failed starts in a row the gateway ends, if no process serves."""


@dataclass(slots=True)
class Restarts:
    """Decides about the starts of one process."""

    served: bool = False
    """Whether the process has served since it was first started."""
    failed: int = 0
    """Failed starts in a row."""
    wait_s: float = 0.0
    """The wait before the next start, where the process ends young once more."""
    _ready_at: float | None = field(default=None)

    def ready(self, now: float) -> None:
        """Note that the process serves."""
        self.served = True
        self.failed = 0
        self._ready_at = now

    def ended(self, now: float) -> float | None:
        """Note that the process has ended; returns the wait before its next start, None if it never
        served."""
        if not self.served:
            return None
        ready_at, self._ready_at = self._ready_at, None
        if ready_at is None:
            self.failed += 1
        elif now - ready_at >= YOUNG_S:
            self.wait_s = 0.0
        wait_s = self.wait_s
        self.wait_s = min(max(2 * wait_s, FIRST_WAIT_S), LONGEST_WAIT_S)
        return wait_s

    @property
    def hopeless(self) -> bool:
        """Whether not to start it again, if no other process serves either."""
        return self.failed >= MOST_FAILED
