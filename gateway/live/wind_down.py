"""Decides when a session that has to end may be ended. Pure.

Within the grace time the interviewer may finish a sentence, and the candidate an answer.
"""

LOOK_EVERY_S = 0.05
"""A busy session is checked again after this time: it may have become quiet meanwhile."""


class WindDown:
    """The decision for one session. Call `look` now, and again when it says."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        """When the grace time is over, and the session ends whatever it does (loop time)."""

    def look(self, quiet_at: float | None, now: float) -> float | None:
        """When to look again; None: end the session now.

        `quiet_at` is when an end would cut nothing off, None if that is not known yet. Before that
        time the session may become busy again, so it is checked in between.
        """
        if now >= self.deadline or (quiet_at is not None and quiet_at <= now):
            return None
        soon = now + LOOK_EVERY_S
        return min(soon, self.deadline) if quiet_at is None else min(quiet_at, soon, self.deadline)
