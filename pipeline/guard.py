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

If the process asks lighter providers first (`pipeline.ladder`), the others follow them.

While another candidate can follow, a candidate gets only a share of the time (`pipeline.shares`). A
candidate whose share ends counts as failed only if it had already taken longer than `slow_first_s`.

A candidate that is given up because the turn cannot wait, though it has not passed its own limit,
is watched to its end in the background (`pipeline.watching`), one call of each at a time.

A candidate may also be replaced after its first useful item, as long as the consumer has not begun
to use what came: a consumer that can drop that passes `begun` and `restart`.

The caller defines "useful": text with a letter or digit, PCM or a final transcript, but no
keep-alives, which reset no clock here. All clocks run only while the provider is awaited: a slow
consumer trips no breaker.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Generic, TypeVar

from pipeline.candidate import Candidate, Limits, Trouble
from pipeline.frames import Slot
from pipeline.ladder import PASSED_OVER, Ladder
from pipeline.patience import Soon
from pipeline.stream import OnDegraded, Stream, first_due

__all__ = ["Candidate", "Guard", "Limits", "OnDegraded", "Stream", "Trouble", "first_due"]

P = TypeVar("P")
T = TypeVar("T")


def _nothing() -> None:
    """There is nothing to drop."""


class Guard(Generic[P]):
    """The candidates of one slot, in order of preference. Shared by all sessions.

    `ladder` is the process's; without one the order never changes.
    """

    def __init__(
        self,
        slot: Slot,
        candidates: Sequence[Candidate[P]],
        on_degraded: OnDegraded | None = None,
        ladder: Ladder | None = None,
    ) -> None:
        if not candidates:
            raise ValueError(f"{slot}: a guard needs at least one candidate")
        self.slot = slot
        self.candidates = tuple(candidates)
        self.ladder = ladder
        self._on_degraded = on_degraded
        # Streams that their turns have left: the guard owns the tasks that close or watch them.
        self._left: set[asyncio.Task[None]] = set()

    @property
    def line(self) -> tuple[Candidate[P], ...]:
        """The candidates in the order in which they are asked now."""
        if self.ladder is None or not self.ladder.lighter_first:
            return self.candidates
        return tuple(sorted(self.candidates, key=lambda candidate: not candidate.light))

    def stream(
        self,
        call: Callable[[P], AsyncIterator[T]],
        *,
        useful: Callable[[T], bool],
        budget_s: float = math.inf,
        share_s: float = math.inf,
        size_s: float = 0.0,
        min_first_s: float = 0.0,
        soon: Soon | None = None,
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
        `share_s`, and the call hands over `size_s` of media (`pipeline.shares`). With `soon` a
        candidate that another can follow gets no more than `pipeline.patience` says. A speculative
        call passes `probe=False` and waits for closed breakers only; a half-open one is probed
        beside another candidate that it asks. `media_s` gives the seconds of media in an item; a
        candidate whose media fall behind real time by `lag_s` in all has stalled. `on_degraded`
        replaces the guard's own for this stream.

        `begun` says whether the consumer has begun to use what came; by default it does at once.
        Until then another candidate replaces one that fails, and the share of the budget holds.
        `restart` is called before that: the consumer drops what came, if anything did. Both are
        plain calls. Candidates named in `without` are not asked; one of the others must remain.
        """
        asked = [one for one in self.line if one.provider not in without]
        first = next(one for one in self.candidates if one.provider not in without)
        passed = None
        if self.ladder is not None and asked[0] is not first:
            passed = first.provider, PASSED_OVER + self.ladder.reason
        return Stream(
            self.slot,
            asked,
            call,
            passed=passed,
            useful=useful,
            budget_s=budget_s,
            share_s=share_s,
            size_s=size_s,
            min_first_s=min_first_s,
            soon=soon,
            probe=probe,
            media_s=media_s,
            lag_s=lag_s,
            begun=begun,
            restart=restart,
            on_degraded=on_degraded or self._on_degraded,
            left=self._left,
        )
