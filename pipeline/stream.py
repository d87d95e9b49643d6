"""One guarded call: the attempts of its candidates, one after the other, as one stream of items.

The guard (`pipeline.guard`) makes streams and says what their ends mean.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from types import TracebackType
from typing import Any, Generic, TypeVar

from pipeline.attempt import Attempt
from pipeline.candidate import Candidate, is_trouble, problem_of
from pipeline.errors import (
    BudgetExceeded,
    StageError,
    StageFailed,
    StageTimeout,
    StageUnavailable,
)
from pipeline.frames import Slot
from pipeline.patience import Patience, Soon, patience
from pipeline.shares import NEXT_S, share
from pipeline.watching import CLOSE_S, close, watch

T = TypeVar("T")

OnDegraded = Callable[[str, str, str], None]
"""Called with the provider that gave way, the one that takes over, and why."""

OPEN = "circuit open"
"""Why a provider is not asked for the turn's sake."""

first_due: ContextVar[float] = ContextVar("first_due", default=math.inf)
"""When, on the event loop's clock, a provider that is called must have given its first useful item;
infinite after that. Providers may send it to their servers."""

logger = logging.getLogger("pipeline.guard")


class Stream(Generic[T]):
    """One guarded call: an async context manager that is also the iterator of its items.

    Iterating raises `StageUnavailable` (every candidate failed or has an open breaker) or
    `BudgetExceeded` before the consumer has begun to use the items, which it does with the first
    useful one unless `begun` says otherwise. After that it raises the candidate's error:
    `StageTimeout`, `StageFailed` with `partial` set, `StageBusy` or `CallerError`. No other
    candidate is tried then, because words may have been spoken. Cancelling, or leaving the context
    early, closes the provider's stream, and waits for that at most `CLOSE_S`.
    """

    def __init__(
        self,
        slot: Slot,
        candidates: Sequence[Candidate[Any]],
        call: Callable[[Any], AsyncIterator[T]],
        *,
        passed: tuple[str, str] | None,
        useful: Callable[[T], bool],
        budget_s: float,
        share_s: float,
        size_s: float,
        min_first_s: float,
        soon: Soon | None,
        probe: bool,
        media_s: Callable[[T], float] | None,
        lag_s: float,
        begun: Callable[[], bool] | None,
        restart: Callable[[], None],
        on_degraded: OnDegraded | None,
        left: set[asyncio.Task[None]],
    ) -> None:
        self._slot = slot
        self._untried = deque(candidates)
        self._call = call
        self.useful = useful
        """Which items count: the guard's."""
        self._budget_s = budget_s
        self._share_s = share_s
        self._size_s = size_s
        self._min_first_s = min_first_s
        self._probe = probe
        self._media_s = media_s
        self._lag_s = lag_s
        self._begun = begun
        self._restart = restart
        self._given_up = False
        self._on_degraded = on_degraded
        self._left = left
        self._soon = soon
        self._entered = 0.0
        # When the first useful item must have come, and is wanted: from any candidate, and from the
        # present one.
        self._deadline = self._wanted = math.inf
        self._share_ends = self._due = math.inf
        self._cut_short = False  # its share ends before its own limit
        self._patience: Patience | None = None
        self._tired = False  # its patience ends before its own limit
        self._aside: str | None = None  # why it is only watched beside the next one
        self._over = False
        self._causes: list[StageError] = []
        # The candidate that gave way last, or was passed over, and why; reported when the next one
        # is known.
        self._gave_way = passed
        self._closers: list[asyncio.Task[None]] = []
        # The attempt under way, or the last one, and its items.
        self._attempt = Attempt(candidates[0], media_s is not None)
        self._source: AsyncIterator[T] | None = None
        self._pulling: asyncio.Task[T] | None = None  # the wait for an item, where it may go on

    @property
    def provider(self) -> str:
        """The candidate in use, or the last one used, or else the first in line."""
        return self._attempt.candidate.provider

    def give_up(self) -> None:
        """The consumer waits no longer: if the wait was too long, the attempt counts as failed.

        A plain call. Leave the context after it.
        """
        self._given_up = True

    async def __aenter__(self) -> "Stream[T]":
        self._entered = asyncio.get_running_loop().time()
        self._deadline = self._entered + self._budget_s
        self._wanted = self._entered + min(self._share_s, self._budget_s)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
        self._abandon()
        self._causes.clear()  # their tracebacks have frames that hold this stream
        if self._closers:
            await asyncio.wait(self._closers, timeout=CLOSE_S)

    def __aiter__(self) -> "Stream[T]":
        return self

    async def __anext__(self) -> T:
        while not self._over:
            try:
                if self._attempt.permit is None:
                    self._begin()
                item = await self._pull()
                self._attempt.take(item, self._slot, self.useful, self._media_s, self._size_s)
            except StopAsyncIteration:
                self._source = None
                if self._attempt.first_s is not None:
                    self._end()
                    raise
                self._give_way(StageFailed(self._slot, self.provider, "empty"))
            except BudgetExceeded:
                self._over = True
                raise
            except StageError as error:
                if not self._give_way(error):
                    raise
            else:
                return item
        raise StopAsyncIteration

    def _begin(self) -> None:
        """Start the next candidate that may be asked."""
        now = asyncio.get_running_loop().time()
        cause = self._causes[-1] if self._causes else None
        while self._untried:
            candidate = self._untried.popleft()
            left_s = self._deadline - now
            if left_s <= 0 or left_s < self._min_first_s:
                raise BudgetExceeded(self._slot, max(0.0, left_s)) from cause
            shares = min(NEXT_S, left_s / 2) >= self._min_first_s and self._others(now)
            stands_by = self._soon is not None and shares and self._stands_by()
            permit = candidate.breaker.try_acquire(now, probe=self._probe or stands_by)
            aside = None
            if permit is None and shares and not candidate.watched:
                # Before the decision others are asked, and a probe is only watched beside them.
                permit = candidate.breaker.try_acquire(now, probe=True)
                aside = OPEN if permit is not None else None
            if permit is None:
                why = "at capacity" if candidate.breaker.waits else OPEN
                self._gave_way = self._gave_way or (candidate.provider, why)
                continue
            self._attempt = Attempt(candidate, self._media_s is not None, permit)
            self._share(candidate, now, shares=shares)
            self._patience = self._patience_with(candidate, stands_by, now) if shares else None
            self._aside = aside
            if aside is not None:
                self._patience = Patience(0.0, own=False, used_s=0.0)
            if self._gave_way is not None and self._on_degraded is not None:
                source, reason = self._gave_way
                if source != candidate.provider:  # none of those that were asked before it could
                    self._on_degraded(source, candidate.provider, reason)
            return
        self._over = True
        raise StageUnavailable(self._slot, tuple(self._causes)) from cause

    def _share(self, candidate: Candidate[Any], now: float, *, shares: bool) -> None:
        """Set when a candidate gives way to the next one, if it does, and when its first item is
        due."""
        self._share_ends = self._due = math.inf
        if shares:
            after = next(one for one in self._untried if one.breaker.closed)
            needs_s = after.needs_s(self._size_s)
            self._due, latest = share(now, self._deadline, self._wanted, needs_s, self._min_first_s)
            self._share_ends = latest if candidate.limits.patient else self._due

    def _others(self, now: float) -> bool:
        """Whether another candidate can be asked after this one."""
        for candidate in self._untried:
            candidate.breaker.poll(now)
        return any(candidate.breaker.closed for candidate in self._untried)

    def _stands_by(self) -> bool:
        """Whether another that answers at once and costs nothing can be asked after this one."""
        return any(one.stands_by and one.breaker.closed for one in self._untried)

    def _patience_with(
        self, candidate: Candidate[Any], stands_by: bool, now: float
    ) -> Patience | None:
        soon = self._soon
        if soon is None:
            return None
        gone_s = now - self._entered
        left = Soon(soon.budget_s - gone_s, soon.late_s - gone_s)
        return patience(candidate, left, stands_by=stands_by)

    async def _pull(self) -> T:
        """The provider's next item. Raises a `StageError` for any failure of the provider."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        attempt = self._attempt
        lag_s = self._lag_s
        if self._patience is not None and lag_s < math.inf:  # the consumer can do without it
            lag_s = min(lag_s, self._patience.lag_s)
        phase, left_s = attempt.limit(lag_s)
        since = loop.time()
        until = since + left_s
        budget_ends = self._cut_short = self._tired = False
        if attempt.first_s is None:
            budget_ends = self._deadline < until
            until = min(until, self._deadline)
        if not self._in_use():
            self._cut_short = self._share_ends < until
            if self._cut_short:
                phase = "first" if attempt.first_s is None else "total"
            until = min(until, self._share_ends)
        apart = False
        if self._patience is not None and not self._in_use():
            apart = self._patience.watches and not attempt.candidate.watched
            limit_s, own = self._patience.limit(begun=attempt.first_s is not None)
            if since + limit_s - attempt.waited_s < until:
                until = since + max(0.0, limit_s - attempt.waited_s)
                phase = "first" if attempt.first_s is None else "total"
                self._tired = self._cut_short = not own
                budget_ends = False
        cancels = task.cancelling()
        problem: BaseException | None = None
        own_until = (
            since + left_s if apart else min(until, self._due)
        )  # a call that is watched may take longer
        due = first_due.set(own_until if attempt.first_s is None else math.inf)
        try:
            async with asyncio.timeout_at(until) as scope:
                if self._source is None:
                    self._source = self._call(attempt.candidate.stage)
                item = await (self._apart(self._source) if apart else anext(self._source))
        except (Exception, asyncio.CancelledError) as error:
            problem = error
        finally:
            first_due.reset(due)
        attempt.waited(loop.time() - since)
        try:
            # The task and the timeout say where a cancellation came from. The provider's exception
            # does not: it may have swallowed it, or have been cancelled on its own side.
            if task.cancelling() > cancels:
                if isinstance(problem, asyncio.CancelledError):
                    raise problem
                raise asyncio.CancelledError from problem
            if scope.expired():
                if budget_ends and not self._cut_short:
                    raise BudgetExceeded(self._slot, 0.0) from problem
                raise StageTimeout(self._slot, self.provider, phase) from problem
            if problem is None:
                return item
            if isinstance(problem, (StageError, StopAsyncIteration)):
                raise problem
            detail = f"{type(problem).__name__}: {problem}"
            raise StageFailed(self._slot, self.provider, "stream", detail) from problem
        finally:
            # An error's traceback has this frame, and the task its error: a cycle if it had those.
            del problem, task, scope

    async def _apart(self, source: AsyncIterator[T]) -> T:
        """The next item, awaited in a task of its own, which goes on if this wait ends."""
        self._pulling = asyncio.ensure_future(anext(source))
        item = await asyncio.shield(self._pulling)
        self._pulling = None
        return item

    def _give_way(self, error: StageError) -> bool:
        """Settle a failed attempt. False if the consumer uses what came before the error."""
        now = asyncio.get_running_loop().time()
        if self._tired and isinstance(error, StageTimeout) and self._watch():
            self._causes.append(error)
            self._gave_way = (self.provider, self._aside or problem_of(error))
            self._restart()
            return True
        self._attempt.fail(error, now, cut_short=self._cut_short)
        if error.detail and is_trouble(error):  # `GET /health` gets the reason only
            why = (error.phase, error.detail)
            logger.info("%s provider %r: %s: %s", self._slot, self.provider, *why)
        self._abandon()
        if self._in_use():
            self._over = True
            if isinstance(error, StageFailed):
                error.partial = True
            return False
        self._restart()
        self._causes.append(error)
        self._gave_way = (self.provider, problem_of(error))
        return True

    def _in_use(self) -> bool:
        """Whether the consumer uses what the candidate gave: it cannot be replaced any more."""
        first_s = self._attempt.first_s
        return first_s is not None and (self._begun is None or self._begun())

    def _end(self) -> None:
        """No more items: settle the attempt as it stands."""
        self._over = True
        self._attempt.end(asyncio.get_running_loop().time(), given_up=self._given_up)

    def _abandon(self) -> None:
        """Close the provider's stream in another task, since a provider that ignores cancellation
        could block this one without end. The next candidate does not wait for it; leaving the
        context does."""
        source, self._source = self._source, None
        pulling, self._pulling = self._pulling, None
        if source is None:
            return
        closer = asyncio.create_task(close(source, self.provider, pulling))
        self._closers.append(closer)
        self._leave_to(closer)

    def _watch(self) -> bool:
        """Leave an attempt that the turn cannot wait for to a task; False if it is not watched."""
        if self._pulling is None or self._source is None or self._attempt.candidate.watched:
            return False
        source, pulling, self._source, self._pulling = self._source, self._pulling, None, None
        watching = watch(self._slot, self._attempt, source, pulling, self.useful, self._media_s)
        self._attempt.candidate.watched = True  # from here on, not from the task's first step
        # The stream keeps a copy without the permit: the task settles the attempt.
        self._attempt = replace(self._attempt, permit=None)
        self._leave_to(asyncio.create_task(watching))
        return True

    def _leave_to(self, task: asyncio.Task[None]) -> None:
        self._left.add(task)
        task.add_done_callback(self._left.discard)
