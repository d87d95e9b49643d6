"""Ends one session because the process is about to end, or because the session's time is over.
`WindDown` decides when."""

import asyncio
from collections.abc import Callable

from gateway.live.registry import LAST_WORDS_S
from gateway.live.wind_down import WindDown
from gateway.protocols.dialect import GoingAway, SessionExpires

WARN_S = 30.0
"""Seconds from the warning to the end of a session's time: enough to get a new credential."""


class Ending:
    """The end of one session. `quiet_at` says when an end cuts nothing off.

    `restart` ends the session because the process is about to end, `expire` because its time is
    over. `tell` takes the announcements for the client. `finish_by` takes the latest time (loop
    time) for recognising last words, also those of a session that is ending by itself.
    """

    def __init__(
        self,
        quiet_at: Callable[[], float | None],
        *,
        restart: Callable[[], None],
        expire: Callable[[], None],
        tell: Callable[[GoingAway | SessionExpires], None],
        finish_by: Callable[[float], None],
    ) -> None:
        self._quiet_at = quiet_at
        self._restart = restart
        self._expire = expire
        self._tell = tell
        self._finish_by = finish_by
        self._over = False
        self._timer: asyncio.TimerHandle | None = None  # the next look at a session that ends
        self._expiry: asyncio.TimerHandle | None = None

    def begin(self, grace_s: float) -> None:
        """End the session as soon as that cuts nothing off, in `grace_s` at the latest."""
        deadline = asyncio.get_running_loop().time() + grace_s
        self._finish_by(deadline + LAST_WORDS_S)
        if not self._over and self._timer is None:
            self._tell(GoingAway(round(grace_s * 1000)))
            self._look(WindDown(deadline), self._restart)

    def expire_at(self, at: float, grace_s: float) -> None:
        """End the session at that time (loop time) as `begin` does, with a warning to its client
        before."""
        if not self._over:
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_at(at - WARN_S, self._warn, at, grace_s)

    def stop(self) -> None:
        """Do nothing more: the session ends by itself, or another connection has it. Idempotent."""
        self._over = True
        for timer in (self._timer, self._expiry):
            if timer is not None:
                timer.cancel()

    def _warn(self, at: float, grace_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._tell(SessionExpires(max(0, round((at - loop.time()) * 1000))))
        self._expiry = loop.call_at(at, self._expired, grace_s)

    def _expired(self, grace_s: float) -> None:
        if self._timer is None:
            self._look(WindDown(asyncio.get_running_loop().time() + grace_s), self._expire)

    def _look(self, decision: WindDown, end: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        again = decision.look(self._quiet_at(), loop.time())
        if again is None:
            end()
        else:
            self._timer = loop.call_at(again, self._look, decision, end)
