"""Whether a process has had nobody to talk to for a while."""

from collections.abc import Callable

from gateway.live.registry import LiveSessions

QUIET_S = 5.0
"""What takes a part of a second of a core, and can wait, begins after so long without a session:
where one has just ended, the next often begins soon."""


class Quiet:
    """Ask it again and again: it knows of the sessions that it has seen."""

    def __init__(
        self, live: LiveSessions, clock: Callable[[], float], quiet_s: float = QUIET_S
    ) -> None:
        self._live = live
        self._clock = clock
        self._quiet_s = quiet_s
        self._since = clock()
        self._ended = live.ended

    def __call__(self) -> bool:
        """Whether there has been no session for `quiet_s`."""
        now, ended = self._clock(), self._live.ended
        if self._live.connections or ended != self._ended:
            self._since, self._ended = now, ended
        return now - self._since >= self._quiet_s
