"""A cached value that is refreshed in the background, so that no reader waits for its source."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Refreshed(Generic[T]):
    """The latest answer of `ask`. Belongs to one event loop, whose clock it uses.

    For any number of callers one refresh is under way, in a task that this object owns: cancelling
    a caller does not end it, `aclose` does. A refresh takes `limit_s` at most. A refresh that fails
    leaves `value` unchanged and stores its exception in `error`.

    Args:
        ask: Gives the value, or raises. It is cancelled after `limit_s`, which counts as a
            `TimeoutError`.
        value: The value before the first answer.
        limit_s: How long one refresh may take.
        changed: Called with the exception when a refresh fails and the one before did not, and
            with None when a refresh succeeds and the one before failed. It must not raise.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[T]],
        value: T,
        *,
        limit_s: float,
        changed: Callable[[Exception | None], None],
    ) -> None:
        self.value = value
        self.error: Exception | None = None
        self._ask = ask
        self._limit_s = limit_s
        self._changed = changed
        self._answered_at = -math.inf
        self._begun_at = -math.inf
        self._refresh: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def age_s(self) -> float:
        """Seconds since `value` was refreshed; infinite before the first answer."""
        return asyncio.get_running_loop().time() - self._answered_at

    @property
    def since_begun_s(self) -> float:
        """Seconds since the last refresh began; infinite before the first."""
        return asyncio.get_running_loop().time() - self._begun_at

    def latest(self, every_s: float) -> T:
        """`value`, at once. Begins a refresh if the last one began `every_s` ago or earlier."""
        if self.since_begun_s >= every_s:
            self._begin()
        return self.value

    async def refresh(self) -> T:
        """`value` after the refresh under way, or else a new one. Never raises its error."""
        self._begin()
        return await self.wait()

    async def wait(self, within_s: float | None = None) -> T:
        """`value` once the refresh under way has ended, or after `within_s` seconds."""
        if self._refresh is not None:
            await asyncio.wait({self._refresh}, timeout=within_s)
        return self.value

    async def aclose(self) -> None:
        """Cancel the refresh under way. `value` stays; no refresh begins any more."""
        self._closed = True
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.wait({self._refresh})

    def _begin(self) -> None:
        if self._closed or (self._refresh is not None and not self._refresh.done()):
            return
        self._begun_at = asyncio.get_running_loop().time()
        self._refresh = asyncio.create_task(self._run())

    async def _run(self) -> None:
        failed_before = self.error is not None  # the error itself would keep all before it
        try:
            async with asyncio.timeout(self._limit_s):
                self.value = await self._ask()
        except Exception as error:  # the source may raise anything; `changed` gets it
            self.error = error
        else:
            self.error = None
            self._answered_at = asyncio.get_running_loop().time()
        if (self.error is not None) != failed_before:
            self._changed(self.error)
