"""A client's commit that waits until the detector has judged the audio before it."""

import asyncio
from collections.abc import Callable

from pipeline.decisions import Commit, Event, RespondNow

JUDGED_WITHIN_S = 0.1
"""The longest time that a detector without backlog takes to judge audio."""


class LateCommit:
    """One session's waiting commit, at most one, and the reply that was requested after it.

    `handle` gets the events, in their order, `JUDGED_WITHIN_S` after `begin`. Belongs to the event
    loop. Plain calls.
    """

    def __init__(self, handle: Callable[[Event], None]) -> None:
        self._handle = handle
        self._timer: asyncio.TimerHandle | None = None
        self._following: RespondNow | None = None

    @property
    def waits(self) -> bool:
        return self._timer is not None

    def begin(self) -> None:
        """Commit later; a commit that waits already waits anew."""
        self.cancel()
        self._timer = asyncio.get_running_loop().call_later(JUDGED_WITHIN_S, self._due)

    def follow(self, event: RespondNow) -> None:
        """Ask for the reply once the waiting commit was handled; a later call replaces it."""
        self._following = event

    def cancel(self) -> None:
        """Drop the waiting commit, if there is one. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()

    def _due(self) -> None:
        self._timer = None
        self._handle(Commit())
        following, self._following = self._following, None
        if following is not None:
            self._handle(following)
