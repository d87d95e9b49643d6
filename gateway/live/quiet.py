"""Tells whether a process has had no session for a while."""

from collections.abc import Callable

from gateway.live.registry import LiveSessions

QUIET_S = 5.0
"""Seconds without a session before work begins that can wait and takes part of a second of a core:
soon after one session has ended, the next often begins."""


class Quiet:
    """Call it often: each call notices only the sessions since the call before."""

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
