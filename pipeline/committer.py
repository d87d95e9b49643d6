"""Hands every finished turn to the host, in the order of the turns."""

import asyncio
import logging
from collections.abc import Callable

from pipeline.answer import Answer
from pipeline.frames import Fault, Output
from pipeline.stage import Host, ToolRequest

MOST_UNSETTLED = 8
"""At most this many turns wait for the host's storage; further typed turns are refused."""

logger = logging.getLogger("parley.session")


class TurnCommitter:
    """Hands finished turns to the host in a task, so that the conversation does not wait for it."""

    def __init__(self, host: Host, emit: Callable[[Output], None]) -> None:
        self.emit = emit
        self.waiting = 0
        """Turns that the host has not stored yet."""
        self._host = host
        self._last: asyncio.Task[None] | None = None
        self._corrections: dict[int, str] = {}  # by turn, not handed over yet
        self._uncommitted: set[int] = set()  # turns that the host failed to store

    def may_begin(self, turn: int) -> bool:
        """Whether another turn may begin after this one. Sends the client a `Fault` if not."""
        if self.waiting < MOST_UNSETTLED:
            return True
        text = f"{MOST_UNSETTLED} turns wait to be stored"
        self.emit(Fault(turn, "too_many_turns", text))
        return False

    def settle(
        self,
        tasks: asyncio.TaskGroup,
        answer: Answer,
        heard: str,
        calls: tuple[ToolRequest, ...] = (),
    ) -> None:
        """The turn is over; `heard` is the part of its reply to remember. A plain call."""
        self.emit(answer.budget.metrics(answer.turn))
        self.waiting += 1
        self._last = tasks.create_task(self._commit(self._last, answer, heard, calls))

    def correct(self, tasks: asyncio.TaskGroup, turn: int, heard: str) -> None:
        """Remember `heard` of the reply of a turn that was settled before. A plain call.

        At most one correction of a turn waits: a later one replaces it. None reaches the host for
        a turn that it failed to store, which the client knows already.
        """
        assert self._last is not None
        waits = turn in self._corrections
        self._corrections[turn] = heard
        if not waits:
            self._last = tasks.create_task(self._correct(self._last, turn))

    async def settled(self) -> None:
        """Return when every finished turn has been handed over."""
        if self._last is not None:
            await asyncio.shield(self._last)

    async def _commit(
        self,
        before: asyncio.Task[None] | None,
        answer: Answer,
        heard: str,
        calls: tuple[ToolRequest, ...],
    ) -> None:
        if before is not None:
            await before
        try:
            await answer.stored()
            await self._host.commit(answer.turn, answer.text, heard, calls)
        except Exception:  # the host's storage; the conversation goes on
            logger.exception("turn %d could not be committed", answer.turn)
            self._uncommitted.add(answer.turn)
            self.emit(Fault(answer.turn, "not_stored", "the turn was not stored"))
        self.waiting -= 1

    async def _correct(self, before: asyncio.Task[None], turn: int) -> None:
        await before
        heard = self._corrections.pop(turn)
        if turn in self._uncommitted:
            return
        try:
            await self._host.correct(turn, heard)
        except Exception:  # the host's storage; the conversation goes on
            logger.exception("turn %d could not be corrected", turn)
            self.emit(Fault(turn, "heard_not_stored", "how much was heard is not in the record"))
