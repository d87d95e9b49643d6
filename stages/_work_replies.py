"""The replies to one piece of work in another process, until they are read."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, Self, TypeVar

from pipeline.errors import StageError, StageFailed


class WorkReply(Protocol):
    """A message from the process that does the work."""

    @property
    def last(self) -> bool:
        """Whether it ends the work."""


R = TypeVar("R", bound=WorkReply)


class WorkReplies(ABC, Generic[R]):
    """Iterate to get the replies, the last one included. Awaiting one raises `StageError`s, and
    cancelling the await cancels the work.

    A subclass takes the replies and bounds how many wait. All methods belong to one event loop.
    """

    def __init__(self, on_reply: Callable[[R], None] | None, on_lost: Callable[[], None] | None):
        self._on_reply = on_reply
        self._on_lost = on_lost
        self.lost = False
        """Whether the process or the connection was lost before the work was over."""
        self._replies: deque[R] = deque()
        self._error: StageError | None = None
        self._over = False  # no further reply will come
        self._cancelled = False
        self._waiter: asyncio.Future[None] | None = None

    @abstractmethod
    def fail(self, error: StageError) -> None:
        """End the work with an error."""

    @abstractmethod
    def _end(self, *, tell: bool) -> None:
        """Note that the work is over, tell its holder so, and wake the reader that waits."""

    @abstractmethod
    def _no_reply(self) -> StageFailed:
        """The error for a result that was asked for after the work was cancelled."""

    def cancel(self) -> None:
        """Drop the work and its waiting replies. Idempotent."""
        self._cancelled = True
        self._replies.clear()
        if not self._over:
            self._end(tell=True)

    def lose(self, error: StageError) -> None:
        """End the work with an error because its process or its connection is gone."""
        self.lost = True
        self.fail(error)
        if self._on_lost is not None and not self._cancelled:
            asyncio.get_running_loop().call_soon(self._on_lost)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        while not self._replies:
            if self._error is not None:
                raise self._error
            if self._over:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            except asyncio.CancelledError:
                self.cancel()
                raise
        return self._replies.popleft()

    async def result(self) -> R:
        """The last reply; earlier replies are skipped.

        Raises what iterating raises, and `StageFailed` if the work was cancelled.
        """
        async for reply in self:
            if reply.last:
                return reply
        raise self._no_reply()

    def _report(self, on_reply: Callable[[R], None], reply: R) -> None:
        """Give `on_reply` a reply through the loop: an exception there harms no other work."""
        asyncio.get_running_loop().call_soon(self._give, on_reply, reply)

    def _give(self, on_reply: Callable[[R], None], reply: R) -> None:
        if not self._cancelled:
            on_reply(reply)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
