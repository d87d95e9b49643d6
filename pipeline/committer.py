"""What the host is told of the turns that are over: every one of them, in their order."""

import asyncio
import logging
from collections.abc import Callable

from pipeline.frames import Fault, Output
from pipeline.reply import Reply
from pipeline.stage import Host

logger = logging.getLogger("parley.session")


class TurnCommitter:
    """Hands finished turns to the host beside the conversation, which need not wait for storage."""

    def __init__(self, host: Host, emit: Callable[[Output], None]) -> None:
        self._host = host
        self._emit = emit
        self._last: asyncio.Task[None] | None = None
        self.waiting = 0
        """Turns that the host has yet to be told of."""

    def settle(self, tasks: asyncio.TaskGroup, reply: Reply, heard: str) -> None:
        """The turn is over, and `heard` is what is to be remembered of its reply. A plain call."""
        self._emit(reply.budget.metrics(reply.turn))
        self.waiting += 1
        self._last = tasks.create_task(self._commit(self._last, reply, heard))

    async def settled(self) -> None:
        """Return when every finished turn has been handed over."""
        if self._last is not None:
            await asyncio.shield(self._last)

    async def _commit(self, before: asyncio.Task[None] | None, reply: Reply, heard: str) -> None:
        if before is not None:
            await before
        try:
            await reply.stored()
            await self._host.commit(reply.turn, reply.user_text, heard)
        except Exception:  # the host's storage; the conversation goes on
            logger.exception("turn %d could not be committed", reply.turn)
            self._emit(Fault(reply.turn, "not_stored", "the turn was not stored"))
        self.waiting -= 1
