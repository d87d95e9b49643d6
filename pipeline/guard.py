"""The guard: the only way to a provider. Candidates in order, each behind its circuit breaker.

A guarded call is a context manager round a stream of items::

    async with guard.stream(lambda stage: stage.reply(request), useful=has_text) as deltas:
        async for delta in deltas:
            ...

It is not a bare generator, because a consumer that stops early must still settle its breaker,
exactly once. The end of an attempt decides the outcome for the breaker:

=====================================================  ========================================
end of the stream after a useful item                  SUCCESS, or SLOW where the first useful item
                                                       came after `slow_first_s`, or media came
                                                       slower than real time
no useful item in `first_s`, none for `stall_s`,       FAILURE
more than `total_s`; any error; an empty stream;
media that fall behind real time by `lag_s`;
given up by the consumer after `slow_first_s`
the provider is at capacity                            FAILURE, with its retry-after
our request was wrong                                  NEUTRAL
the consumer stops or is cancelled early, or the       before the first useful item: NEUTRAL, but
budget ends                                            SLOW after `slow_first_s`; after it: as if
                                                       the stream had ended there
=====================================================  ========================================

While another candidate can follow, a candidate gets only a share of the time (`pipeline.shares`). A
candidate whose share ends counts as failed only if it had already taken longer than `slow_first_s`.

A candidate may also be replaced after its first useful item, as long as the consumer has not begun
to use what came: a consumer that can drop that passes `begun` and `restart`.

The caller defines "useful": text, PCM or a final transcript, but no keep-alives, which reset no
clock here. All clocks run only while the provider is awaited: a slow consumer trips no breaker.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Generic, TypeVar

from pipeline.attempt import Attempt
from pipeline.candidate import Candidate, Limits, Trouble, is_trouble, reason_of
from pipeline.errors import (
    BudgetExceeded,
    StageError,
    StageFailed,
    StageTimeout,
    StageUnavailable,
)
from pipeline.frames import Slot
from pipeline.shares import share

__all__ = ["Candidate", "Guard", "Limits", "OnDegraded", "Stream", "Trouble", "first_due"]

P = TypeVar("P")
T = TypeVar("T")

OnDegraded = Callable[[str, str, str], None]
"""Called with the provider that gave way, the one that takes over, and why."""

CLOSE_S = 0.25
"""How long a stream that is left early may take to close before the session goes on without it."""

first_due: ContextVar[float] = ContextVar("first_due", default=math.inf)
"""When, on the event loop's clock, a provider that is called must have given its first useful item;
infinite after that. Providers may send it to their servers."""

logger = logging.getLogger(__name__)


def _nothing() -> None:
    """There is nothing to drop."""


class Guard(Generic[P]):
    """The candidates of one slot, in order of preference. Shared by all sessions."""

    def __init__(
        self,
        slot: Slot,
        candidates: Sequence[Candidate[P]],
        on_degraded: OnDegraded | None = None,
    ) -> None:
        if not candidates:
            raise ValueError(f"{slot}: a guard needs at least one candidate")
        self.slot = slot
        self.candidates = tuple(candidates)
        self._on_degraded = on_degraded
        # Streams being closed: the guard outlives the sessions, so it owns the closing tasks.
        self._closing: set[asyncio.Task[None]] = set()

    def stream(
        self,
        call: Callable[[P], AsyncIterator[T]],
        *,
        useful: Callable[[T], bool],
        budget_s: float = math.inf,
        share_s: float = math.inf,
        size_s: float = 0.0,
        min_first_s: float = 0.0,
        probe: bool = True,
        media_s: Callable[[T], float] | None = None,
        lag_s: float = math.inf,
        begun: Callable[[], bool] | None = None,
        restart: Callable[[], None] = _nothing,
        without: Collection[str] = (),
        on_degraded: OnDegraded | None = None,
    ) -> "Stream[T]":
        """Prepare a call; nothing happens before the first item is asked for.

        `call` begins the work at a candidate's stage; it is called once for every candidate that is
        tried. `budget_s` is how long the first useful item may take in all, counted from entering
        the context; no candidate is started with less than `min_first_s` of it. It is wanted within
        `share_s`, and the call hands over `size_s` of media (`pipeline.shares`). A speculative call
        passes `probe=False` and uses closed breakers only. `media_s` gives the seconds of media in
        an item; a candidate whose media fall behind real time by `lag_s` in all has stalled.
        `on_degraded` replaces the guard's own for this stream.

        `begun` says whether the consumer has begun to use what came; by default it does at once.
        Until then the next candidate follows one that fails, and the share of the budget holds.
        `restart` is called before that: the consumer drops what came. Both are plain calls.
        Candidates named in `without` are not asked; one of the others must remain.
        """
        return Stream(
            self.slot,
            [one for one in self.candidates if one.provider not in without],
            call,
            useful=useful,
            budget_s=budget_s,
            share_s=share_s,
            size_s=size_s,
            min_first_s=min_first_s,
            probe=probe,
            media_s=media_s,
            lag_s=lag_s,
            begun=begun,
            restart=restart,
            on_degraded=on_degraded or self._on_degraded,
            closing=self._closing,
        )


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
        useful: Callable[[T], bool],
        budget_s: float,
        share_s: float,
        size_s: float,
        min_first_s: float,
        probe: bool,
        media_s: Callable[[T], float] | None,
        lag_s: float,
        begun: Callable[[], bool] | None,
        restart: Callable[[], None],
        on_degraded: OnDegraded | None,
        closing: set[asyncio.Task[None]],
    ) -> None:
        self._slot = slot
        self._untried = deque(candidates)
        self._call = call
        self._useful = useful
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
        self._closing = closing
        # When the first useful item must have come, and is wanted: from any candidate, and from the
        # present one.
        self._deadline = self._wanted = math.inf
        self._share_ends = self._due = math.inf
        self._cut_short = False  # its share ends before its own limit
        self._over = False
        self._causes: list[StageError] = []
        # The candidate that gave way last, and why; reported when the next one is known.
        self._gave_way: tuple[str, str] | None = None
        self._closers: list[asyncio.Task[None]] = []
        # The attempt under way, or the last one, and its items.
        self._attempt = Attempt(candidates[0], media_s is not None)
        self._source: AsyncIterator[T] | None = None

    @property
    def provider(self) -> str:
        """The candidate in use, or the last one used, or else the first in line."""
        return self._attempt.candidate.provider

    def give_up(self) -> None:
        """The consumer waits no longer: if that was too long, the attempt will count as failed.

        A plain call. Leave the context after it.
        """
        self._given_up = True

    async def __aenter__(self) -> "Stream[T]":
        now = asyncio.get_running_loop().time()
        self._deadline = now + self._budget_s
        self._wanted = now + min(self._share_s, self._budget_s)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
        self._abandon()
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
                self._take(item)
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
                self._give_way(error)
            else:
                return item
        raise StopAsyncIteration

    def _take(self, item: T) -> None:
        """Count an item. Raises `StageFailed` for one of a kind that the slot does not have."""
        try:
            useful = self._useful(item)
            media_s = 0.0 if self._media_s is None else self._media_s(item)
        except (AttributeError, TypeError) as error:
            detail = f"an item of the type {type(item).__name__}"
            raise StageFailed(self._slot, self.provider, "protocol", detail) from error
        if useful:
            self._attempt.useful(self._size_s)
        self._attempt.produced_s += media_s

    def _begin(self) -> None:
        """Start the next candidate that may be asked."""
        now = asyncio.get_running_loop().time()
        cause = self._causes[-1] if self._causes else None
        while self._untried:
            candidate = self._untried.popleft()
            left_s = self._deadline - now
            if left_s <= 0 or left_s < self._min_first_s:
                raise BudgetExceeded(self._slot, max(0.0, left_s)) from cause
            permit = candidate.breaker.try_acquire(now, probe=self._probe)
            if permit is None:
                why = "at capacity" if candidate.breaker.waits else "circuit open"
                self._gave_way = self._gave_way or (candidate.provider, why)
                continue
            self._attempt = Attempt(candidate, self._media_s is not None, permit)
            self._share(candidate, now)
            if self._gave_way is not None and self._on_degraded is not None:
                source, reason = self._gave_way
                self._on_degraded(source, candidate.provider, reason)
            return
        self._over = True
        raise StageUnavailable(self._slot, tuple(self._causes)) from cause

    def _share(self, candidate: Candidate[Any], now: float) -> None:
        """Set when a candidate gives way to the next one, and when its first item is due."""
        for other in self._untried:
            other.breaker.poll(now)
        after = next((other for other in self._untried if other.breaker.closed), None)
        self._share_ends = self._due = math.inf
        if after is not None:
            needs_s = after.needs_s(self._size_s)
            self._due, latest = share(now, self._deadline, self._wanted, needs_s, self._min_first_s)
            self._share_ends = latest if candidate.limits.patient else self._due

    async def _pull(self) -> T:
        """The provider's next item. Raises a `StageError` for any failure of the provider."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        attempt = self._attempt
        phase, left_s = attempt.limit(self._lag_s)
        since = loop.time()
        until = since + left_s
        budget_ends = self._cut_short = False
        if attempt.first_s is None:
            budget_ends = self._deadline < until
            until = min(until, self._deadline)
        if not self._in_use():
            self._cut_short = self._share_ends < until
            if self._cut_short:
                phase = "first" if attempt.first_s is None else "total"
            until = min(until, self._share_ends)
        cancels = task.cancelling()
        problem: BaseException | None = None
        due = first_due.set(min(until, self._due) if attempt.first_s is None else math.inf)
        try:
            async with asyncio.timeout_at(until) as scope:
                if self._source is None:
                    self._source = self._call(attempt.candidate.stage)
                item = await anext(self._source)
        except (Exception, asyncio.CancelledError) as error:
            problem = error
        finally:
            first_due.reset(due)
        attempt.waited(loop.time() - since)
        # The task and the timeout say where a cancellation came from. The provider's exception does
        # not: it may have swallowed the cancellation, or have been cancelled on its own side.
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

    def _give_way(self, error: StageError) -> None:
        """Settle a failed attempt. Raises the error if the consumer uses what came before it."""
        now = asyncio.get_running_loop().time()
        self._attempt.fail(error, now, cut_short=self._cut_short)
        if error.detail and is_trouble(error):  # `GET /health` gets the reason only
            why = (error.phase, error.detail)
            logger.info("%s provider %r: %s: %s", self._slot, self.provider, *why)
        self._abandon()
        if self._in_use():
            self._over = True
            if isinstance(error, StageFailed):
                error.partial = True
            raise error
        if self._attempt.first_s is not None:
            self._restart()
        self._causes.append(error)
        self._gave_way = (self.provider, reason_of(error))

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
        if source is None:
            return
        closer = asyncio.create_task(_close(source, self.provider))
        self._closers.append(closer)
        self._closing.add(closer)
        closer.add_done_callback(self._closing.discard)


async def _close(source: AsyncIterator[Any], provider: str) -> None:
    """Close a stream, where it has `aclose`. Errors are only logged: the call has its result."""
    aclose = getattr(source, "aclose", None)
    if aclose is None:
        return
    try:
        async with asyncio.timeout(CLOSE_S):
            await aclose()
    except Exception as error:
        logger.warning("provider %r did not close its stream: %r", provider, error)
