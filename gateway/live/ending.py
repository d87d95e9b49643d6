"""Ends one session because the process is about to end: `WindDown` decides when."""

import asyncio
from collections.abc import Callable

from gateway.live.registry import LAST_WORDS_S
from gateway.live.wind_down import WindDown
from gateway.protocols.dialect import GoingAway


class Ending:
    """The end of one session. `quiet_at` says when an end cuts nothing off, `end` ends it.

    `tell` takes the announcement for the client. `finish_by` is told until when (loop time) last
    words may be recognised, also of a session that is ending by itself.
    """

    def __init__(
        self,
        quiet_at: Callable[[], float | None],
        end: Callable[[], None],
        tell: Callable[[GoingAway], None],
        finish_by: Callable[[float], None],
    ) -> None:
        self._quiet_at = quiet_at
        self._end = end
        self._tell = tell
        self._finish_by = finish_by
        self._over = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, grace_s: float) -> None:
        """End the session as soon as that cuts nothing off, in `grace_s` at the latest."""
        deadline = asyncio.get_running_loop().time() + grace_s
        self._finish_by(deadline + LAST_WORDS_S)
        if not self._over and self._timer is None:
            self._tell(GoingAway(round(grace_s * 1000)))
            self._look(WindDown(deadline))

    def stop(self) -> None:
        """The session ends by itself, or another connection has it. Idempotent."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, decision: WindDown) -> None:
        loop = asyncio.get_running_loop()
        again = decision.look(self._quiet_at(), loop.time())
        if again is None:
            self._end()
        else:
            self._timer = loop.call_at(again, self._look, decision)
