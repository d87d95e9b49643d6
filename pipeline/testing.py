"""Test tools for code that waits: virtual and manual time, planned faults and cancellation.

Part of the public API, so that tests of third-party stages need no real time either::

    run_virtual     runs a coroutine on a `VirtualLoop`: an hour of sleep takes no time
    ManualClock     a clock that is moved by hand
    Script, play    a stream that is late, stalls, breaks off or raises as planned
    cancel_at       cancels a coroutine at its first, second, third … await

`stages.fakes` has stages of every slot that follow a `Script`. The idea of a clock that jumps to
the next deadline as soon as nothing can run is trio's (`MockClock`).
"""

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

__all__ = [
    "Deadlock",
    "ManualClock",
    "Script",
    "Uncancelled",
    "VirtualLoop",
    "cancel_at",
    "play",
    "run_virtual",
]

T = TypeVar("T")


# --- time ------------------------------------------------------------------------------------


class Deadlock(RuntimeError):
    """Nothing can run, no timer is set and no socket is ready: the test would hang."""


class _JumpingSelector(selectors.DefaultSelector):
    """Never sleeps: where the loop would wait for a timer, moves `now` to that timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise Deadlock("every task waits, and no timer or socket can wake one")
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time: it starts at 0 and jumps from timer to timer.

    `asyncio.sleep`, `asyncio.timeout` and `call_later` take no real time. A hang raises `Deadlock`
    at once instead of blocking the test run. Threads, processes and remote peers do not advance
    virtual time: waiting for one of them looks like a deadlock.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_virtual(coro: Coroutine[Any, Any, T]) -> T:
    """Run `coro` in virtual time and return its result.

    As with `asyncio.run`, tasks that are still there at the end are cancelled. Raises `Deadlock`
    when nothing can run any more.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coro)


class ManualClock:
    """A clock for code that takes one as a callable: `clock()` gives seconds."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass. Raises `ValueError` for a negative amount: clocks here are monotonic."""
        if seconds < 0:
            raise ValueError(f"time does not go back ({seconds} s)")
        self._now += seconds


# --- faults ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Script:
    """How a call behaves. Without arguments: at once and without fault.

    `first_s` before the first item and `gap_s` before each one after it; then, when `after` items
    have been given, `error` is raised, or nothing comes any more (`stall`), or the stream ends
    early (`end`).
    """

    first_s: float = 0.0
    gap_s: float = 0.0
    after: int = 0
    error: Exception | None = None
    stall: bool = False
    end: bool = False


async def play(items: Sequence[T], script: Script) -> AsyncIterator[T]:
    """Yield the items as the script says. Raises its error; may be cancelled at any wait."""
    faulty = script.error is not None or script.stall or script.end
    for index, item in enumerate([*items, None]):
        if faulty and index == script.after:
            if script.error is not None:
                raise script.error
            if script.stall:
                await asyncio.Event().wait()
            return
        pause_s = script.gap_s if index else script.first_s
        if pause_s:
            await asyncio.sleep(pause_s)
        if item is not None:
            yield item


# --- cancellation ----------------------------------------------------------------------------


class Uncancelled(RuntimeError):
    """A cancelled coroutine returned, or raised something else than `CancelledError`."""


async def cancel_at(nth: int, coro: Coroutine[Any, Any, Any]) -> bool:
    """Run `coro` in a task of its own and cancel it where it waits for the `nth` time, from 1.

    Returns whether it waited that often; if not, it has run to its end, and its error is raised.
    This cancels at every await in turn::

        nth = 1
        while await cancel_at(nth, work()):
            nth += 1

    Raises `Uncancelled` when the cancelled coroutine returned, or raised something else (the
    cause). Cancelling cancels `coro`.
    """
    loop = asyncio.get_running_loop()
    reached = False

    def reach() -> None:
        nonlocal reached
        reached = True
        loop.call_soon(task.cancel)  # when the task waits: now it still runs

    async def main() -> None:
        await _Counted(coro, nth, reach)

    task = loop.create_task(main())
    try:
        await asyncio.wait((task,))
    finally:
        task.cancel()
    if not reached:
        task.result()
    elif not task.cancelled():
        if (error := task.exception()) is None:
            raise Uncancelled(f"it returned although it was cancelled at its await no. {nth}")
        detail = f"{type(error).__name__}: {error}"
        raise Uncancelled(f"cancelled at its await no. {nth} it raised {detail}") from error
    return reached


class _Counted:
    """Awaits a coroutine and calls `reach` just before it waits for the `nth` time."""

    def __init__(self, coro: Coroutine[Any, Any, Any], nth: int, reach: Callable[[], None]) -> None:
        self._coro = coro
        self._nth = nth
        self._reach = reach

    def __await__(self) -> Generator[Any, Any, Any]:
        waits = self._coro.__await__()
        resume: Callable[[], Any] = partial(next, waits)
        count = 0
        while True:
            try:
                waited_for = resume()
            except StopIteration as end:
                return end.value
            count += 1
            if count == self._nth:
                self._reach()
            try:
                yield waited_for
            except BaseException as error:
                resume = partial(waits.throw, error)
            else:
                resume = partial(next, waits)
