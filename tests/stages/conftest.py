"""Providers called through the guard."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipeline.breaker import Breaker, Outcome, Permit
from pipeline.errors import StageError, StageUnavailable
from pipeline.frames import Slot
from pipeline.guard import Candidate, Guard, Limits


class Recorder(Breaker):
    """A breaker that writes down what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.settled: list[Outcome] = []
        self.retry_after_s = 0.0

    def settle(
        self, permit: Permit, outcome: Outcome, now: float, *, retry_after_s: float = 0.0
    ) -> None:
        self.settled.append(outcome)
        self.retry_after_s = retry_after_s
        super().settle(permit, outcome, now, retry_after_s=retry_after_s)


@dataclass
class Result:
    """What a guarded call gave. `error` is the provider's own: the cause if none answered."""

    items: list[Any] = field(default_factory=list)
    error: StageError | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    retry_after_s: float = 0.0

    @property
    def failure(self) -> tuple[str, str] | None:
        """The error's type and phase."""
        return None if self.error is None else (type(self.error).__name__, self.error.phase)


Call = Callable[[Any], AsyncIterator[Any]]


class Bench:
    """Runs one call of a provider through a guard of its own, in real time."""

    # The first call of a process may load its libraries on a busy machine.
    generous = Limits(first_s=40, slow_first_s=40, stall_s=40, total_s=40)

    def guarded(
        self,
        slot: Slot,
        stage: Any,
        call: Call,
        *,
        useful: Callable[[Any], bool] = lambda item: True,
        limits: Limits = generous,
        leave_after: int | None = None,
        then: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> Result:
        """`leave_after` items the consumer leaves; `then` runs before the provider is closed."""
        result = Result()

        async def main() -> None:
            async with asyncio.timeout(50):
                try:
                    await self._consume(slot, stage, call, useful, limits, leave_after, result)
                    if then is not None:
                        await then()
                finally:
                    await stage.aclose()

        asyncio.run(main())
        return result

    async def _consume(
        self,
        slot: Slot,
        stage: Any,
        call: Call,
        useful: Callable[[Any], bool],
        limits: Limits,
        leave_after: int | None,
        result: Result,
    ) -> None:
        breaker = Recorder()
        guard = Guard(slot, [Candidate(stage.provider, stage, breaker, limits)])
        try:
            async with guard.stream(call, useful=useful) as items:
                async for item in items:
                    result.items.append(item)
                    if len(result.items) == leave_after:
                        break
        except StageUnavailable as error:
            [result.error] = error.causes
        except StageError as error:
            result.error = error
        result.outcomes = breaker.settled
        result.retry_after_s = breaker.retry_after_s


@pytest.fixture
def bench() -> Bench:
    return Bench()
