"""One candidate's attempt at a guarded call: its clocks, and its outcome for the breaker. Pure.

The clocks run only while the provider is awaited. The guard says how long it waited, and when a
useful item came.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.breaker import Outcome, Permit
from pipeline.candidate import REASONS, Candidate, is_trouble, problem_of
from pipeline.errors import CallerError, Phase, StageBusy, StageError, StageFailed, StageTimeout
from pipeline.frames import Slot

T = TypeVar("T")


@dataclass(slots=True)
class Attempt:
    """The candidate, its breaker's permit until that is settled, and the seconds of its clocks.

    `media` says whether the items carry media, which must not come slower than real time.
    """

    candidate: Candidate[Any]
    media: bool
    permit: Permit | None = None
    waited_s: float = 0.0  # for the provider, in all
    first_s: float | None = None  # of that, up to the first useful item
    quiet_s: float = 0.0  # of that, since the last useful item
    produced_s: float = 0.0  # media

    def waited(self, wait_s: float) -> None:
        """The provider was awaited for `wait_s` more."""
        self.waited_s += wait_s
        self.quiet_s += wait_s

    def take(
        self,
        item: T,
        slot: Slot,
        useful: Callable[[T], bool],
        media_s: Callable[[T], float] | None,
        size_s: float = 0.0,
    ) -> None:
        """Count the item that was awaited. The call had handed over `size_s` of media.

        `useful` and `media_s` are the guard's. Raises `StageFailed` for an item of a wrong type: a
        third-party provider may pass on what its server sent.
        """
        try:
            counts = useful(item)
            seconds = 0.0 if media_s is None else media_s(item)
        except (AttributeError, TypeError) as error:
            detail = f"an item of the type {type(item).__name__}"
            raise StageFailed(slot, self.candidate.provider, "protocol", detail) from error
        if counts:
            if self.first_s is None:
                self.first_s = self.waited_s
                self.candidate.worked(size_s, self.waited_s)
            self.quiet_s = 0.0
        self.produced_s += seconds

    def limit(self, lag_s: float) -> tuple[Phase, float]:
        """Which limit ends the next wait, and after how many seconds.

        Media may fall behind real time by `lag_s` in all.
        """
        limits = self.candidate.limits
        phase: Phase
        if self.first_s is None:
            phase, left_s = "first", limits.first_s - self.waited_s
        else:
            behind_s = self.waited_s - self.first_s - self.produced_s
            phase, left_s = "stall", min(limits.stall_s - self.quiet_s, lag_s - behind_s)
        if limits.total_s - self.waited_s < left_s:
            phase, left_s = "total", limits.total_s - self.waited_s
        return phase, left_s

    def end(self, now: float, *, given_up: bool) -> None:
        """Settle an attempt that ends without an error of the provider.

        `given_up` says that the consumer stopped waiting. A settled attempt stays as it is.
        """
        self._settle(self._standing(now, given_up=given_up), now)

    def fail(self, error: StageError, now: float, *, cut_short: bool) -> None:
        """Settle an attempt that ends with `error`. `cut_short` says that its share of the budget
        ended before its own limit."""
        if is_trouble(error):
            self.candidate.failed(problem_of(error), now)
        if isinstance(error, CallerError):
            self._settle(Outcome.NEUTRAL, now)
        elif isinstance(error, StageTimeout) and cut_short:
            slow = self.waited_s > self.candidate.limits.slow_first_s
            self._settle(Outcome.FAILURE if slow else Outcome.NEUTRAL, now)
        elif isinstance(error, (StageBusy, StageFailed)):
            self._settle(Outcome.FAILURE, now, error.retry_after_s)
        else:
            self._settle(Outcome.FAILURE, now)

    def _standing(self, now: float, *, given_up: bool) -> Outcome:
        slow_first_s = self.candidate.limits.slow_first_s
        if given_up and self.waited_s > slow_first_s:
            self.candidate.failed(REASONS["total"], now)
            return Outcome.FAILURE
        if self.first_s is None:
            return Outcome.NEUTRAL if self.waited_s <= slow_first_s else Outcome.SLOW
        late = self.first_s > slow_first_s
        dragging = self.media and self.waited_s - self.first_s > self.produced_s
        return Outcome.SLOW if late or dragging else Outcome.SUCCESS

    def _settle(self, outcome: Outcome, now: float, retry_after_s: float = 0.0) -> None:
        if self.permit is None:
            return
        permit, self.permit = self.permit, None
        if outcome in (Outcome.SUCCESS, Outcome.SLOW):
            if self.first_s is None:
                self.candidate.failed(REASONS["first"], now)
            else:
                self.candidate.trouble = None
                self.candidate.pace.note(self.first_s)
        self.candidate.breaker.settle(permit, outcome, now, retry_after_s=retry_after_s)
