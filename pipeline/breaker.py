"""A circuit breaker for the calls of turns: whether a provider may be asked, by its past calls.

The unit is one call that belongs to a turn (an utterance through recognition, one reply, one
sentence), never one connection. One breaker serves one (stage, provider, endpoint) and is shared
by all sessions of the process::

    CLOSED ──too many failures or slow calls──▶ OPEN
      ▲                                        │  ▲
      │ enough probes succeeded       time over│  │a probe failed, was slow or never settled
      └───────────────────────── HALF_OPEN ◀───┘  │
                                     └────────────┘

The metrics and states are resilience4j's, the generation that outdates late results is gobreaker's,
and the growing open time is that of Envoy's outlier detection. Pure: time is an argument. A change
that is due is made at the next call, dated to its due time, so polling more often changes nothing.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

WINDOW_CALLS = 1000
"""Rates are judged on at most this many of the window's newest calls, which bounds its memory."""

PENDING_TRANSITIONS = 64
"""Transitions kept for `take_transitions`; beyond that the oldest are dropped."""

RESET = "reset by an operator"
"""The reason of the only transition from OPEN to CLOSED."""


class BreakerState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Outcome(Enum):
    """The result of a call as a sign of the provider's health; NEUTRAL is no sign."""

    SUCCESS = "success"
    SLOW = "slow"
    FAILURE = "failure"
    NEUTRAL = "neutral"


class Mode(Enum):
    """NORMAL; DISABLED lets every call pass and counts none; SHADOW counts but lets every call
    pass; FORCED_OPEN refuses every call (a drill)."""

    NORMAL = "normal"
    DISABLED = "disabled"
    SHADOW = "shadow"
    FORCED_OPEN = "forced-open"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens and how it closes again, with values to start from.

    It opens after `consecutive_failures`, or when the last `window_s` seconds hold at least
    `min_calls` results, of which `failure_rate` failed or `slow_rate` failed or were slow. It stays
    open for `open_s`; each probe that fails or is slow multiplies that by `open_growth`, up to
    `open_grown_s`; a provider may ask for up to `open_max_s`. Then at most `probes` calls run at
    once, and `probe_successes` of them close the breaker. A probe that has not settled after
    `probe_timeout_s` counts as failed.

    For a stage with a fallback, `open_s=5, open_growth=2, open_grown_s=10, open_max_s=60` is
    better: probes cost little then, and a provider that works again is soon in use.
    """

    consecutive_failures: int = 5
    min_calls: int = 10
    failure_rate: float = 0.5
    slow_rate: float = 0.8
    window_s: float = 30.0
    open_s: float = 60.0
    open_growth: float = 1.0
    open_max_s: float = 300.0
    open_grown_s: float = math.inf
    probes: int = 1
    probe_successes: int = 1
    probe_timeout_s: float = 15.0

    def __post_init__(self) -> None:
        for name in ("consecutive_failures", "min_calls", "probes", "probe_successes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("failure_rate", "slow_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1")
        for name in ("window_s", "open_s", "probe_timeout_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0")
        if self.open_growth < 1:
            raise ValueError("open_growth must be at least 1")
        for name in ("open_max_s", "open_grown_s"):
            if getattr(self, name) < self.open_s:
                raise ValueError(f"{name} must be at least open_s")


@dataclass(slots=True, eq=False)
class Permit:
    """Permission for one call, given `at` in `generation`. Settle it exactly once."""

    generation: int
    at: float
    settled: bool = field(default=False, init=False)


@dataclass(frozen=True, slots=True)
class Transition:
    """The breaker changed from `old` to `new` at time `at`."""

    at: float
    old: BreakerState
    new: BreakerState
    reason: str


class Breaker:
    """The state machine. `now` is monotonic seconds and must not go back between calls.

    `jitter` gives a factor for each open time (such as 0.9 to 1.1), so that processes do not probe
    a recovering provider at the same moment; the result stays within `open_max_s`.
    `policy` and `mode` may be replaced at any time; state and counts are kept.
    """

    def __init__(
        self,
        policy: BreakerPolicy | None = None,
        *,
        mode: Mode = Mode.NORMAL,
        jitter: Callable[[], float] | None = None,
    ) -> None:
        self.policy = policy or BreakerPolicy()
        self.mode = mode
        self._jitter = jitter
        self._state = BreakerState.CLOSED
        # Counts transitions. The result of an older generation's permit is not counted.
        self._generation = 0
        self._late = 0
        self._transitions: deque[Transition] = deque(maxlen=PENDING_TRANSITIONS)
        # CLOSED: failures in a row, and the calls of the window with the rates' numerators.
        self._run = 0
        self._calls: deque[tuple[float, Outcome]] = deque()
        self._failures = 0
        self._slow = 0
        # Until then the provider asked for no calls; whether that time is still to come.
        self._not_before = 0.0
        self._waits = False
        # OPEN: its length without jitter (0 before the first trip) and its end.
        self._open_s = 0.0
        self._until = 0.0
        # HALF_OPEN: the calls under way, oldest first, and how many have succeeded.
        self._probes: list[Permit] = []
        self._probed = 0

    @property
    def state(self) -> BreakerState:
        """The state as of the last call; it ignores the modes FORCED_OPEN and DISABLED."""
        return self._state

    @property
    def closed(self) -> bool:
        """Whether calls other than probes pass, as of the last call with a time."""
        if self.mode is Mode.FORCED_OPEN:
            return False
        if self.mode is not Mode.NORMAL:
            return True
        return self._state is BreakerState.CLOSED and not self._waits

    @property
    def waits(self) -> bool:
        """Whether a CLOSED breaker gives no permits because the provider asked for time."""
        return self._waits

    @property
    def generation(self) -> int:
        """How many transitions there have been."""
        return self._generation

    @property
    def late(self) -> int:
        """How many calls settled after their generation and were not counted."""
        return self._late

    def try_acquire(self, now: float, *, probe: bool = True) -> Permit | None:
        """A permit for one call; None: the provider must not be asked now.

        A speculative call passes `probe=False` and gets no half-open probe: probes are for calls of
        decided turns. There is no permit before the time that the provider asked for, either.
        """
        self.poll(now)
        if self.mode is Mode.FORCED_OPEN or (self.mode is Mode.NORMAL and self._waits):
            return None
        permit = Permit(self._generation, now)
        if self._state is BreakerState.CLOSED or self.mode is Mode.DISABLED:
            return permit
        if (
            self._state is BreakerState.HALF_OPEN
            and probe
            and len(self._probes) < self.policy.probes
        ):
            self._probes.append(permit)
            return permit
        return permit if self.mode is Mode.SHADOW else None

    def settle(
        self, permit: Permit, outcome: Outcome, now: float, *, retry_after_s: float = 0.0
    ) -> None:
        """Report how a call ended. A second report of the same permit changes nothing.

        `retry_after_s` is the wait that the provider asked for with a FAILURE; `open_max_s` of it
        count at most. Until then there are no permits; a breaker that opens stays open as long.
        """
        self.poll(now)
        if permit.settled:
            return
        permit.settled = True
        if permit.generation != self._generation:
            self._late += 1
            return
        if self.mode is Mode.DISABLED:
            outcome = Outcome.NEUTRAL
        if outcome is Outcome.FAILURE:
            wait_s = min(retry_after_s, self.policy.open_max_s)
            self._not_before = max(self._not_before, now + wait_s)
            self._waits = self._state is BreakerState.CLOSED and now < self._not_before
        if self._state is BreakerState.CLOSED:
            self._count(outcome, now)
        elif permit in self._probes:
            self._probes.remove(permit)
            self._judge_probe(outcome, now)

    def poll(self, now: float) -> None:
        """Make the transitions that are due by time, as the methods with a time do first."""
        self._waits = self._waits and now < self._not_before
        if self._state is BreakerState.HALF_OPEN and self._probes:
            due = self._probes[0].at + self.policy.probe_timeout_s
            if now >= due:
                self._trip(due, "probe never settled")
        if self._state is BreakerState.OPEN and now >= self._until:
            self._change(self._until, BreakerState.HALF_OPEN, "open time over")

    def retry_after(self, now: float) -> float:
        """Seconds until a call or a probe is possible; 0 if one is possible now."""
        self.poll(now)
        if self._waits:
            return self._not_before - now
        return self._until - now if self._state is BreakerState.OPEN else 0.0

    # --- by an operator ----------------------------------------------------------------------

    def force_open(self, now: float) -> None:
        """Refuse every call from here on, until `reset`."""
        self.poll(now)
        self.mode = Mode.FORCED_OPEN

    def disable(self, now: float) -> None:
        """Let every call pass and count none from here on, until `reset`."""
        self.poll(now)
        self.mode = Mode.DISABLED

    def reset(self, now: float) -> None:
        """Close it, in the mode NORMAL, as if it had never opened: its counts, the open time that
        has grown and the wait that the provider asked for are forgotten."""
        self.poll(now)
        self.mode = Mode.NORMAL
        self._open_s = 0.0
        if self._state is BreakerState.CLOSED:
            self._forget()
        else:
            self._change(now, BreakerState.CLOSED, RESET)

    def take_transitions(self) -> list[Transition]:
        """The transitions since the last call, oldest first (the newest 64, if there are more)."""
        taken = list(self._transitions)
        self._transitions.clear()
        return taken

    def _count(self, outcome: Outcome, now: float) -> None:
        if outcome is Outcome.NEUTRAL:
            return
        policy = self.policy
        self._run = self._run + 1 if outcome is Outcome.FAILURE else 0
        self._calls.append((now, outcome))
        self._tally(outcome, 1)
        while self._calls[0][0] <= now - policy.window_s or len(self._calls) > WINDOW_CALLS:
            self._tally(self._calls.popleft()[1], -1)
        calls = len(self._calls)
        if self._run >= policy.consecutive_failures:
            self._trip(now, "consecutive failures")
        elif calls < policy.min_calls:
            return
        elif self._failures >= policy.failure_rate * calls:
            self._trip(now, "failure rate")
        elif self._failures + self._slow >= policy.slow_rate * calls:
            self._trip(now, "slow rate")

    def _tally(self, outcome: Outcome, step: int) -> None:
        if outcome is Outcome.FAILURE:
            self._failures += step
        elif outcome is Outcome.SLOW:
            self._slow += step

    def _judge_probe(self, outcome: Outcome, now: float) -> None:
        if outcome is Outcome.FAILURE:
            self._trip(now, "probe failed")
        elif outcome is Outcome.SLOW:
            self._trip(now, "probe was slow")
        elif outcome is Outcome.SUCCESS:
            self._probed += 1
            if self._probed >= self.policy.probe_successes:
                self._open_s = 0.0
                self._change(now, BreakerState.CLOSED, "probes succeeded")

    def _trip(self, at: float, reason: str) -> None:
        policy = self.policy
        longest = at + policy.open_max_s
        grown_s = min(self._open_s * policy.open_growth, policy.open_grown_s, policy.open_max_s)
        self._open_s = max(policy.open_s, grown_s)
        stretch = self._jitter() if self._jitter is not None else 1.0
        self._until = min(max(at + self._open_s * stretch, self._not_before), longest)
        self._change(at, BreakerState.OPEN, reason)

    def _change(self, at: float, new: BreakerState, reason: str) -> None:
        self._transitions.append(Transition(at, self._state, new, reason))
        self._state = new
        self._generation += 1
        self._forget()

    def _forget(self) -> None:
        """Forget the calls of this state, and the wait that the provider asked for."""
        self._run = 0
        self._calls.clear()
        self._failures = 0
        self._slow = 0
        self._not_before = 0.0
        self._waits = False
        self._probes.clear()
        self._probed = 0
