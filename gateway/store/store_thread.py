"""One thread for a store's operations. Those that come while it works are done together next.

An operation alone costs two wake-ups, of the thread and of the event loop. Under load the wake-ups
are shared, and so is whatever the store can do once for several operations, such as a transaction.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeAlias

MOST_TOGETHER = 64
"""The most operations that are done together: their answers wait for the last of them."""


class StoreOperation:
    """One operation, with its outcome once the thread has done it. Compared by identity."""

    __slots__ = ("_future", "error", "result")

    def __init__(self, future: "asyncio.Future[Any]") -> None:
        self._future = future
        self.result: Any = None
        self.error: BaseException | None = None

    @property
    def cancelled(self) -> bool:
        return self._future.cancelled()

    def deliver(self) -> None:
        """Give the outcome to the waiting caller, on the event loop."""
        if self._future.done():  # it was cancelled meanwhile
            return
        if self.error is None:
            self._future.set_result(self.result)
        else:
            self._future.set_exception(self.error)


_Batch: TypeAlias = tuple[list[StoreOperation], asyncio.AbstractEventLoop]


class StoreThread:
    """Passes all waiting operations to `perform`, in their order. Belongs to one event loop.

    `perform` is called in the thread, without operations that were cancelled before; one may be
    cancelled while those before it are done. It sets the outcome of each and raises nothing.
    """

    def __init__(self, name: str, perform: Callable[[Sequence[Any]], None]) -> None:
        self._perform = perform
        self._handed: SimpleQueue[_Batch | None] = SimpleQueue()  # one batch at most, or the end
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._waiting: deque[StoreOperation] = deque()  # bounded by its owner
        self._busy = False
        self._ending = False

    @property
    def waiting(self) -> int:
        """Operations that the thread has not begun, including those cancelled meanwhile."""
        return len(self._waiting)

    def take(self, operation: StoreOperation) -> None:
        """Do an operation in the thread. A plain call on the event loop."""
        self._waiting.append(operation)
        if not self._busy:
            self._begin()

    def end(self) -> None:
        """Take no further operation: the thread ends after the last one."""
        self._ending = True
        if not self._busy:
            self._handed.put(None)

    def _begin(self) -> None:
        count = min(len(self._waiting), MOST_TOGETHER)
        together = [self._waiting.popleft() for _ in range(count)]
        self._busy = True
        self._handed.put((together, asyncio.get_running_loop()))

    def _run(self) -> None:
        while (batch := self._handed.get()) is not None:
            together, loop = batch
            self._perform([operation for operation in together if not operation.cancelled])
            try:
                loop.call_soon_threadsafe(self._deliver, together)
            except RuntimeError:  # the loop is closed: nobody waits, and nothing more comes
                return
            del batch, together  # nothing of a batch is held while the next one is waited for

    def _deliver(self, together: list[StoreOperation]) -> None:
        self._busy = False
        if self._waiting:
            self._begin()
        elif self._ending:
            self._handed.put(None)
        for operation in together:
            operation.deliver()
