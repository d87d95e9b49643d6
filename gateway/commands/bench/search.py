"""The search for the largest number of sessions that holds the service level. Pure."""

from dataclasses import dataclass

GRAIN = 0.05
"""The search ends when what held and what did not are this close."""
STEP = 1.5
"""The factor between two tries while one side is still unknown."""


@dataclass(slots=True)
class Search:
    """Goes up or down from `start` until both sides are known, then halves the gap between them.

    Try as many sessions as `next()` says, and `tell` whether they held, until `next()` is None.
    Then `found` is the answer, 0 if none held.
    """

    start: int
    most: int = 1000
    found: int = 0
    """The largest number of sessions that has held so far."""
    failed: int | None = None
    """The smallest number of sessions that has not held."""
    tried: int = 0

    def next(self) -> int | None:
        """How many sessions to try now; None at the end."""
        if not self.tried:
            return min(self.start, self.most)
        if self.failed is None:
            if self.found >= self.most:
                return None
            return min(self.most, max(self.found + 1, round(self.found * STEP)))
        if not self.found:
            lower = int(self.failed / STEP)
            return lower if lower >= 1 else None
        if self.failed - self.found <= max(1, round(self.found * GRAIN)):
            return None
        return (self.failed + self.found) // 2

    def tell(self, sessions: int, held: bool) -> None:
        """Take the result of a try."""
        self.tried += 1
        if held:
            self.found = max(self.found, sessions)
            if self.failed is not None and self.failed <= self.found:
                # It held more than it failed at: the failure was chance.
                self.failed = None
        elif self.failed is None or sessions < self.failed:
            self.failed = sessions
            if self.found >= sessions:
                self.found = 0
