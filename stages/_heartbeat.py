"""Whether a process still lives, by its answers to pings. Pure: time is an argument, in seconds.

A stopped process does not answer, and neither does one that gets no processor time on a busy
machine. The first never answers again; killing the second loses minutes of work. So after a short
silence only a stopped process is given up; any other process is given up much later.
"""

from collections.abc import Callable
from typing import Literal

Verdict = Literal["alive", "ping", "dead"]

SUSPECT_S = 1.5
"""The silence, in seconds, after which it is checked whether the process was stopped."""

HELD_UP_S = 0.25
"""Seconds after the deadline from which a call of `expire` is late: its caller was held up itself,
and may not have read the answer."""


class Heartbeat:
    """Call `expire` when `deadline` has passed, and `heard` at every sign of life.

    A ping is due `every_s` after the last answer; a process that does not answer for `stall_s` is
    dead, and one that was stopped after `SUSPECT_S`.
    """

    def __init__(self, now: float, *, every_s: float, stall_s: float) -> None:
        self.deadline = now + every_s
        self.asked_at: float | None = None
        """When the ping was sent that has no answer yet."""
        self._every_s = every_s
        self._stall_s = stall_s
        self._suspect_s = min(SUSPECT_S, stall_s)

    def heard(self, now: float) -> None:
        """The process gave a sign of life."""
        if self.asked_at is not None:
            self.asked_at = None
            self.deadline = now + self._every_s

    def expire(self, now: float, stopped: Callable[[], bool]) -> Verdict:
        """The verdict: send a "ping", or the process is "dead" and to be ended, or nothing is due
        ("alive"). `stopped` says whether the process was stopped."""
        late_s = now - self.deadline
        if late_s < 0:
            return "alive"
        if self.asked_at is None:
            self.asked_at = now
            self.deadline = now + self._suspect_s
            return "ping"
        if late_s > HELD_UP_S:
            self.asked_at += late_s
            self.deadline = now + self._every_s
            return "alive"
        if now - self.asked_at >= self._stall_s or stopped():
            return "dead"
        self.deadline = min(now + self._every_s, self.asked_at + self._stall_s)
        return "alive"
