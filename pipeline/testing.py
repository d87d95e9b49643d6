"""Test tools for code that waits: a loop whose time jumps, and a clock that is moved by hand.

Part of the public API, so that the tests of third-party stages need not wait either. The idea of a
clock that jumps to the next deadline as soon as nothing can run is trio's (`MockClock`).
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Deadlock(RuntimeError):
    """Nothing can run, no timer is set and no socket is ready: the test would hang for ever."""


class _JumpingSelector(selectors.DefaultSelector):
    """Never sleeps: where the loop would wait for a timer, moves `now` to that timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise Deadlock("every task waits for something that nobody will do")
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
    """Run `coro` in virtual time and give its result.

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
