import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.breaker import (
    PENDING_TRANSITIONS,
    RESET,
    WINDOW_CALLS,
    Breaker,
    BreakerPolicy,
    BreakerState,
    Mode,
    Outcome,
    Permit,
    Transition,
)
from tests.support.examples import examples

OUTCOMES = {
    "S": Outcome.SUCCESS,
    "W": Outcome.SLOW,
    "F": Outcome.FAILURE,
    "N": Outcome.NEUTRAL,
}
LEGAL = {
    (BreakerState.CLOSED, BreakerState.OPEN),
    (BreakerState.OPEN, BreakerState.HALF_OPEN),
    (BreakerState.HALF_OPEN, BreakerState.OPEN),
    (BreakerState.HALF_OPEN, BreakerState.CLOSED),
}


def acquire(breaker: Breaker, now: float) -> Permit:
    permit = breaker.try_acquire(now)
    assert permit is not None, f"refused at {now}: {breaker.state}"
    return permit


def state_of(breaker: Breaker) -> BreakerState:
    """`breaker.state`, which a type checker would take as unchanged after an assertion."""
    return breaker.state


def call(breaker: Breaker, outcome: str, now: float, retry_after_s: float = 0.0) -> None:
    """One call that ends as soon as it began."""
    breaker.settle(acquire(breaker, now), OUTCOMES[outcome], now, retry_after_s=retry_after_s)


def calls(breaker: Breaker, outcomes: Iterable[str], start: float = 0.0) -> None:
    """Calls 0.1 s apart."""
    for i, outcome in enumerate(outcomes):
        call(breaker, outcome, start + i / 10)


def opened(
    policy: BreakerPolicy | None = None, jitter: Callable[[], float] | None = None
) -> Breaker:
    """A breaker that five failures opened at 0.4."""
    breaker = Breaker(policy, jitter=jitter)
    calls(breaker, "FFFFF")
    assert state_of(breaker) is BreakerState.OPEN
    breaker.take_transitions()
    return breaker


def reasons(breaker: Breaker) -> list[str]:
    return [transition.reason for transition in breaker.take_transitions()]


# --- closed ----------------------------------------------------------------------------------


def test_five_failures_in_a_row_open_it() -> None:
    breaker = Breaker()
    calls(breaker, "FFFFF")
    assert breaker.take_transitions() == [
        Transition(0.4, BreakerState.CLOSED, BreakerState.OPEN, "consecutive failures")
    ]
    assert breaker.try_acquire(0.5) is None


@pytest.mark.parametrize("outcomes", ["FFFF", "FFFFSFFFF", "FFFFWFFFF", "N" * 50])
def test_fewer_than_five_failures_in_a_row_leave_it_closed(outcomes: str) -> None:
    breaker = Breaker()
    calls(breaker, outcomes)
    assert state_of(breaker) is BreakerState.CLOSED
    assert breaker.take_transitions() == []


def test_a_neutral_call_does_not_end_a_run_of_failures() -> None:
    breaker = Breaker()
    calls(breaker, "FFFFNNNF")
    assert reasons(breaker) == ["consecutive failures"]


def test_a_failure_rate_opens_it_once_enough_calls_are_known() -> None:
    breaker = Breaker()
    calls(breaker, "FS" * 4)
    assert state_of(breaker) is BreakerState.CLOSED
    calls(breaker, "FF", start=0.8)
    assert breaker.take_transitions() == [
        Transition(0.9, BreakerState.CLOSED, BreakerState.OPEN, "failure rate")
    ]


def test_neutral_calls_do_not_count_towards_a_rate() -> None:
    breaker = Breaker()
    calls(breaker, "FS" * 4 + "N" * 20)
    assert state_of(breaker) is BreakerState.CLOSED


def test_the_window_forgets() -> None:
    breaker = Breaker()
    calls(breaker, "FS" * 4)
    calls(breaker, "SFFS", start=100.0)
    assert state_of(breaker) is BreakerState.CLOSED


def test_a_call_leaves_the_window_when_it_is_as_old_as_the_window() -> None:
    policy = BreakerPolicy(min_calls=2, window_s=10.0)
    remembers, forgets = Breaker(policy), Breaker(policy)
    for breaker, second in ((remembers, 9.9), (forgets, 10.0)):
        call(breaker, "F", 0.0)
        call(breaker, "S", second)
    assert (remembers.state, forgets.state) == (BreakerState.OPEN, BreakerState.CLOSED)


def test_forgotten_slow_calls_no_longer_count() -> None:
    breaker = Breaker()
    calls(breaker, "W" * 9)
    calls(breaker, "S" * 9, start=100.0)
    call(breaker, "W", 101.0)
    assert state_of(breaker) is BreakerState.CLOSED


def test_forgotten_failures_no_longer_count() -> None:
    breaker = Breaker()
    calls(breaker, "FS" * 4)
    calls(breaker, "S" * 9 + "F", start=100.0)
    assert state_of(breaker) is BreakerState.CLOSED


def test_slow_calls_open_it() -> None:
    breaker = Breaker()
    calls(breaker, "W" * 9)
    assert state_of(breaker) is BreakerState.CLOSED
    call(breaker, "W", 0.9)
    assert reasons(breaker) == ["slow rate"]


def test_failures_and_slow_calls_add_up() -> None:
    breaker = Breaker()
    calls(breaker, "WWFWWFWWSS")
    assert reasons(breaker) == ["slow rate"]


def test_a_busy_window_remembers_its_newest_calls() -> None:
    breaker = Breaker(BreakerPolicy(min_calls=WINDOW_CALLS, failure_rate=1.0, slow_rate=1.0))
    call(breaker, "S", 0.0)
    for _ in range(WINDOW_CALLS - 1):
        call(breaker, "W", 1.0)
    assert state_of(breaker) is BreakerState.CLOSED
    call(breaker, "W", 1.0)  # pushes the success out
    assert state_of(breaker) is BreakerState.OPEN


# --- open ------------------------------------------------------------------------------------


def test_when_the_open_time_is_over_one_probe_may_pass_and_its_success_closes_it() -> None:
    breaker = opened()
    assert breaker.try_acquire(60.399) is None
    probe = acquire(breaker, 60.4)
    assert state_of(breaker) is BreakerState.HALF_OPEN
    assert breaker.try_acquire(60.5) is None
    breaker.settle(probe, Outcome.SUCCESS, 61.0)
    assert state_of(breaker) is BreakerState.CLOSED
    assert breaker.take_transitions() == [
        Transition(60.4, BreakerState.OPEN, BreakerState.HALF_OPEN, "open time over"),
        Transition(61.0, BreakerState.HALF_OPEN, BreakerState.CLOSED, "probes succeeded"),
    ]


def test_retry_after_counts_down_while_it_is_open() -> None:
    breaker = Breaker()
    assert breaker.retry_after(0.0) == 0.0
    calls(breaker, "FFFFF")
    assert breaker.retry_after(10.4) == 50.0
    assert breaker.retry_after(60.4) == 0.0
    assert state_of(breaker) is BreakerState.HALF_OPEN


def waits(breaker: Breaker, trips: int) -> list[float]:
    """How long the breaker stays open, each time, when every probe fails."""
    now, found = 0.4, []
    for _ in range(trips):
        wait = breaker.retry_after(now)
        found.append(round(wait, 6))
        now += wait
        call(breaker, "F", now)
    return found


def test_the_open_time_grows_up_to_its_limit() -> None:
    breaker = opened(BreakerPolicy(open_s=5, open_growth=2, open_max_s=30))
    assert waits(breaker, 5) == [5, 10, 20, 30, 30]


def test_the_open_time_may_stop_growing_before_the_time_that_a_provider_may_ask_for() -> None:
    policy = BreakerPolicy(open_s=5, open_growth=2, open_grown_s=10, open_max_s=60)
    assert waits(opened(policy), 4) == [5, 10, 10, 10]
    asking = Breaker(policy)
    permit = asking.try_acquire(0.0)
    assert permit is not None
    asking.settle(permit, Outcome.FAILURE, 0.0, retry_after_s=30)
    assert asking.retry_after(0.0) == 30


def test_the_open_time_still_has_its_limit_after_days_of_failure() -> None:
    breaker = opened(BreakerPolicy(open_s=5, open_growth=2, open_max_s=30))
    assert waits(breaker, 2000)[-1] == 30


def test_the_open_time_starts_over_after_a_recovery() -> None:
    breaker = opened(BreakerPolicy(open_s=5, open_growth=2, open_max_s=30))
    waits(breaker, 2)
    call(breaker, "S", 100.0)
    calls(breaker, "FFFFF", start=100.0)
    assert breaker.retry_after(100.4) == 5.0


def test_jitter_stretches_the_open_time_within_its_limit() -> None:
    longer = opened(BreakerPolicy(open_s=10, open_max_s=60), jitter=lambda: 1.5)
    limited = opened(BreakerPolicy(open_s=10, open_max_s=12), jitter=lambda: 1.5)
    assert round(longer.retry_after(0.4), 6) == 15
    assert round(limited.retry_after(0.4), 6) == 12


@pytest.mark.parametrize(("asked_s", "wait_s"), [(7.0, 10.0), (20.0, 20.0), (500.0, 30.0)])
def test_a_provider_can_lengthen_the_open_time_up_to_its_limit(
    asked_s: float, wait_s: float
) -> None:
    breaker = Breaker(BreakerPolicy(consecutive_failures=1, open_s=10, open_max_s=30))
    call(breaker, "F", 0.0, retry_after_s=asked_s)
    assert breaker.retry_after(0.0) == wait_s


def test_what_a_provider_asked_for_before_it_tripped_is_remembered() -> None:
    breaker = Breaker(BreakerPolicy(consecutive_failures=2, open_s=10, open_max_s=60))
    under_way = acquire(breaker, 0.0)
    call(breaker, "F", 0.0, retry_after_s=45.0)
    breaker.settle(under_way, Outcome.FAILURE, 5.0)
    assert reasons(breaker) == ["consecutive failures"]
    assert breaker.retry_after(5.0) == 40.0


def test_a_provider_that_asked_for_time_is_not_asked_before() -> None:
    breaker = Breaker(BreakerPolicy(open_max_s=60))
    call(breaker, "F", 0.0, retry_after_s=30.0)
    assert breaker.try_acquire(29.9) is None
    assert (breaker.closed, round(breaker.retry_after(29.9), 6)) == (False, 0.1)
    call(breaker, "S", 30.0)
    assert (breaker.closed, breaker.retry_after(30.0)) == (True, 0.0)
    assert reasons(breaker) == []


def test_a_provider_is_not_left_alone_for_longer_than_the_policy_allows() -> None:
    breaker = Breaker(BreakerPolicy(open_s=10, open_max_s=20))
    call(breaker, "F", 0.0, retry_after_s=300.0)
    assert breaker.retry_after(0.0) == 20.0
    call(breaker, "S", 20.0)


def test_a_call_that_succeeds_meanwhile_does_not_shorten_the_wait() -> None:
    breaker = Breaker()
    under_way = acquire(breaker, 0.0)
    call(breaker, "F", 0.0, retry_after_s=30.0)
    breaker.settle(under_way, Outcome.SUCCESS, 1.0)
    assert breaker.try_acquire(2.0) is None


@pytest.mark.parametrize("mode", [Mode.DISABLED, Mode.SHADOW])
def test_a_breaker_that_refuses_nothing_does_not_wait_either(mode: Mode) -> None:
    breaker = Breaker(mode=mode)
    call(breaker, "F", 0.0, retry_after_s=30.0)
    assert breaker.closed
    acquire(breaker, 1.0)


def test_what_a_provider_asked_for_is_forgotten_once_it_has_been_probed() -> None:
    breaker = Breaker(BreakerPolicy(consecutive_failures=1, open_s=10, open_max_s=30))
    call(breaker, "F", 0.0, retry_after_s=500.0)
    call(breaker, "F", 30.0)
    assert breaker.retry_after(30.0) == 10.0


# --- half-open -------------------------------------------------------------------------------


@pytest.mark.parametrize(("outcome", "reason"), [("F", "probe failed"), ("W", "probe was slow")])
def test_a_bad_probe_opens_it_again(outcome: str, reason: str) -> None:
    breaker = opened()
    call(breaker, outcome, 61.0)
    assert state_of(breaker) is BreakerState.OPEN
    assert reasons(breaker) == ["open time over", reason]
    assert breaker.retry_after(61.0) == 60.0


def test_a_neutral_probe_gives_its_place_back() -> None:
    breaker = opened()
    probe = acquire(breaker, 61.0)
    breaker.settle(probe, Outcome.NEUTRAL, 61.2)
    assert state_of(breaker) is BreakerState.HALF_OPEN
    assert breaker.try_acquire(61.3) is not None


def test_a_probe_that_never_settles_does_not_block_recovery() -> None:
    breaker = opened()
    acquire(breaker, 61.0)
    assert breaker.try_acquire(75.9) is None
    assert state_of(breaker) is BreakerState.HALF_OPEN
    breaker.poll(76.0)
    assert state_of(breaker) is BreakerState.OPEN
    assert breaker.take_transitions()[-1] == Transition(
        76.0, BreakerState.HALF_OPEN, BreakerState.OPEN, "probe never settled"
    )
    assert breaker.try_acquire(136.0) is not None


def test_it_may_take_several_probes_to_close() -> None:
    breaker = opened(BreakerPolicy(probe_successes=2))
    call(breaker, "S", 61.0)
    assert state_of(breaker) is BreakerState.HALF_OPEN
    call(breaker, "S", 62.0)
    assert state_of(breaker) is BreakerState.CLOSED


def test_a_bad_probe_forgets_the_good_ones_before_it() -> None:
    breaker = opened(BreakerPolicy(probe_successes=2))
    calls(breaker, "SF", start=61.0)
    call(breaker, "S", 125.0)
    assert state_of(breaker) is BreakerState.HALF_OPEN


@pytest.mark.parametrize("before", ["FS" * 4 + "FF", "W" * 10])
def test_a_recovered_provider_starts_with_a_clean_record(before: str) -> None:
    breaker = Breaker(BreakerPolicy(open_s=1))
    calls(breaker, before)
    assert state_of(breaker) is BreakerState.OPEN
    calls(breaker, "S" * 11, start=2.0)
    assert state_of(breaker) is BreakerState.CLOSED
    calls(breaker, "FFFF", start=4.0)
    assert state_of(breaker) is BreakerState.CLOSED


def test_the_record_of_before_does_not_dilute_the_next_trip() -> None:
    breaker = Breaker(BreakerPolicy(open_s=1))
    calls(breaker, "FS" * 4 + "FF")
    call(breaker, "S", 2.0)
    calls(breaker, "W" * 10, start=3.0)
    assert reasons(breaker)[-1] == "slow rate"


def test_transitions_happen_when_they_are_due_and_not_when_they_are_noticed() -> None:
    breaker = opened(BreakerPolicy(open_s=5, probe_timeout_s=4))
    acquire(breaker, 10.0)
    breaker.poll(1000.0)
    assert [(change.at, change.new) for change in breaker.take_transitions()] == [
        (5.4, BreakerState.HALF_OPEN),
        (14.0, BreakerState.OPEN),
        (19.0, BreakerState.HALF_OPEN),
    ]


def test_as_many_probes_pass_at_once_as_the_policy_says() -> None:
    breaker = opened(BreakerPolicy(probes=2))
    assert breaker.try_acquire(61.0) is not None
    assert breaker.try_acquire(61.0) is not None
    assert breaker.try_acquire(61.0) is None


def test_a_speculative_call_passes_only_a_closed_breaker() -> None:
    breaker = Breaker()
    assert breaker.try_acquire(0.0, probe=False) is not None
    calls(breaker, "FFFFF")
    assert breaker.try_acquire(1.0, probe=False) is None
    assert breaker.try_acquire(61.0, probe=False) is None
    assert state_of(breaker) is BreakerState.HALF_OPEN
    assert breaker.try_acquire(61.0) is not None


# --- late and repeated settles ---------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.FAILURE, Outcome.SUCCESS])
def test_a_call_from_before_the_trip_says_nothing_about_the_recovery(outcome: Outcome) -> None:
    breaker = Breaker()
    early = acquire(breaker, 0.0)
    calls(breaker, "FFFFF")
    acquire(breaker, 61.0)
    breaker.take_transitions()
    breaker.settle(early, outcome, 62.0, retry_after_s=100.0)
    assert state_of(breaker) is BreakerState.HALF_OPEN
    assert breaker.take_transitions() == []
    assert breaker.late == 1


def test_late_calls_do_not_count_against_a_provider_that_has_recovered() -> None:
    breaker = Breaker()
    early = [acquire(breaker, 0.0) for _ in range(5)]
    calls(breaker, "FFFFF")
    call(breaker, "S", 61.0)
    for permit in early:
        breaker.settle(permit, Outcome.FAILURE, 62.0)
    assert state_of(breaker) is BreakerState.CLOSED
    assert breaker.late == 5


def test_a_permit_settles_once() -> None:
    breaker = Breaker(BreakerPolicy(consecutive_failures=2))
    permit = acquire(breaker, 0.0)
    breaker.settle(permit, Outcome.FAILURE, 0.1)
    breaker.settle(permit, Outcome.FAILURE, 0.2)
    assert state_of(breaker) is BreakerState.CLOSED
    assert breaker.late == 0


def test_a_permit_carries_its_generation_and_time() -> None:
    breaker = opened()
    probe = acquire(breaker, 61.0)
    assert (probe.generation, probe.at) == (breaker.generation, 61.0) == (2, 61.0)


# --- modes and policy ------------------------------------------------------------------------


def test_disabled_lets_every_call_pass_and_counts_none() -> None:
    breaker = Breaker(mode=Mode.DISABLED)
    calls(breaker, "F" * 50)
    assert state_of(breaker) is BreakerState.CLOSED
    breaker = opened()
    breaker.mode = Mode.DISABLED
    assert breaker.try_acquire(1.0) is not None
    assert breaker.try_acquire(1.0, probe=False) is not None


def test_disabled_calls_are_no_probes() -> None:
    breaker = opened()
    breaker.mode = Mode.DISABLED
    acquire(breaker, 61.0)
    breaker.mode = Mode.NORMAL
    assert breaker.try_acquire(62.0) is not None


def test_a_probe_that_settles_while_disabled_gives_its_place_back() -> None:
    breaker = opened()
    probe = acquire(breaker, 61.0)
    breaker.mode = Mode.DISABLED
    breaker.settle(probe, Outcome.FAILURE, 62.0)
    breaker.mode = Mode.NORMAL
    assert state_of(breaker) is BreakerState.HALF_OPEN
    assert breaker.try_acquire(62.0) is not None


def test_shadow_counts_but_never_refuses() -> None:
    breaker = Breaker(mode=Mode.SHADOW)
    calls(breaker, "FFFFF")
    assert state_of(breaker) is BreakerState.OPEN
    call(breaker, "S", 1.0)
    assert state_of(breaker) is BreakerState.OPEN
    probe, beside = acquire(breaker, 61.0), acquire(breaker, 61.0)
    breaker.settle(beside, Outcome.FAILURE, 61.5)
    assert state_of(breaker) is BreakerState.HALF_OPEN
    breaker.settle(probe, Outcome.SUCCESS, 62.0)
    assert state_of(breaker) is BreakerState.CLOSED


def test_forced_open_refuses_every_call() -> None:
    breaker = Breaker()
    breaker.mode = Mode.FORCED_OPEN
    assert breaker.try_acquire(0.0) is None
    breaker.mode = Mode.NORMAL
    assert breaker.try_acquire(0.0) is not None


def test_an_operator_opens_it_and_a_reset_closes_it_again() -> None:
    breaker = Breaker()
    breaker.force_open(1.0)
    assert (breaker.try_acquire(1.0), breaker.closed) == (None, False)
    breaker.reset(2.0)
    assert breaker.try_acquire(2.0) is not None
    assert breaker.take_transitions() == []


def test_an_operator_lets_every_call_pass_until_a_reset() -> None:
    breaker = opened()
    breaker.disable(1.0)
    assert breaker.try_acquire(1.0) is not None
    breaker.reset(2.0)
    calls(breaker, "FFFFF", start=3.0)
    assert state_of(breaker) is BreakerState.OPEN


def test_a_reset_closes_it_at_once_and_ignores_earlier_calls() -> None:
    breaker = Breaker()
    earlier = acquire(breaker, 0.0)
    calls(breaker, "FFFFF")
    breaker.reset(1.0)
    assert breaker.take_transitions()[1:] == [
        Transition(1.0, BreakerState.OPEN, BreakerState.CLOSED, RESET)
    ]
    breaker.settle(earlier, Outcome.FAILURE, 1.5)
    assert (breaker.late, breaker.closed) == (1, True)
    breaker.force_open(2.0)
    assert breaker.state is BreakerState.CLOSED


def test_a_reset_forgets_failures_the_grown_open_time_and_the_wait() -> None:
    breaker = Breaker(BreakerPolicy(open_s=5, open_growth=2, open_max_s=60))
    calls(breaker, "FFFFF")
    call(breaker, "F", 6.0)  # the probe: open for 10 s now
    breaker.reset(7.0)
    calls(breaker, "FFFF", start=8.0)
    breaker.reset(9.0)
    calls(breaker, "FFFF", start=10.0)
    assert state_of(breaker) is BreakerState.CLOSED
    call(breaker, "F", 11.0)
    assert breaker.retry_after(11.0) == 5.0
    breaker.reset(12.0)
    breaker.settle(acquire(breaker, 12.0), Outcome.FAILURE, 12.0, retry_after_s=30.0)
    assert breaker.waits
    breaker.reset(13.0)
    assert breaker.try_acquire(13.0) is not None


def test_a_new_policy_keeps_the_state() -> None:
    breaker = Breaker()
    calls(breaker, "FF")
    breaker.policy = BreakerPolicy(consecutive_failures=3)
    call(breaker, "F", 0.2)
    assert state_of(breaker) is BreakerState.OPEN
    breaker.policy = BreakerPolicy(open_s=1)
    assert breaker.retry_after(0.2) == 60.0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("consecutive_failures", 0),
        ("min_calls", 0),
        ("probes", 0),
        ("probe_successes", 0),
        ("failure_rate", 0.0),
        ("slow_rate", 1.1),
        ("window_s", 0.0),
        ("open_s", 0.0),
        ("probe_timeout_s", -1.0),
        ("open_growth", 0.5),
        ("open_grown_s", 1.0),
        ("open_max_s", 1.0),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        BreakerPolicy(**{field: value})  # type: ignore[arg-type]  # one name per case


def test_transitions_that_nobody_takes_do_not_pile_up() -> None:
    breaker = opened(BreakerPolicy(open_s=1))
    waits(breaker, 100)
    assert len(breaker.take_transitions()) == PENDING_TRANSITIONS
    assert breaker.take_transitions() == []


# --- properties ------------------------------------------------------------------------------

SMALL = BreakerPolicy(
    consecutive_failures=3,
    min_calls=4,
    window_s=10,
    open_s=5,
    open_growth=2,
    open_max_s=20,
    probes=2,
    probe_successes=2,
    probe_timeout_s=4,
)


class AnyHistory(RuleBasedStateMachine):
    """Calls overlap, settle late or never, and time passes in between."""

    @initialize()
    def begin(self) -> None:
        self.breaker = Breaker(SMALL)
        self.now = 0.0
        self.permits: list[Permit] = []
        self.chain: list[Transition] = []

    def record(self) -> list[Transition]:
        new = self.breaker.take_transitions()
        self.chain += new
        return new

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 4.0, 6.0, 25.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def poll(self) -> None:
        self.breaker.poll(self.now)
        before = self.record()
        self.breaker.poll(self.now)
        assert self.record() == []
        assert all(transition.new is not BreakerState.CLOSED for transition in before)

    @rule(probe=st.booleans())
    def ask(self, probe: bool) -> None:
        permit = self.breaker.try_acquire(self.now, probe=probe)
        if permit is None:
            assert self.breaker.state is not BreakerState.CLOSED
        else:
            assert self.breaker.state is not BreakerState.OPEN
            assert probe or self.breaker.state is BreakerState.CLOSED
            self.permits.append(permit)

    @precondition(lambda self: self.permits)
    @rule(data=st.data(), outcome=st.sampled_from(list(Outcome)))
    def settle(self, data: st.DataObject, outcome: Outcome) -> None:
        permit = data.draw(st.sampled_from(self.permits))
        self.breaker.poll(self.now)
        self.record()
        says_nothing = (
            permit.settled
            or permit.generation != self.breaker.generation
            or outcome is Outcome.NEUTRAL
        )
        self.breaker.settle(permit, outcome, self.now)
        assert not (self.record() and says_nothing)

    @invariant()
    def transitions_form_a_legal_chain_in_time(self) -> None:
        self.record()
        state, at = BreakerState.CLOSED, 0.0
        for transition in self.chain:
            assert transition.old is state
            assert (transition.old, transition.new) in LEGAL
            assert at <= transition.at <= self.now
            state, at = transition.new, transition.at
        assert self.breaker.state is state
        assert self.breaker.generation == len(self.chain)

    @invariant()
    def probes_stay_within_their_limit(self) -> None:
        under_way = [
            permit
            for permit in self.permits
            if permit.generation == self.breaker.generation and not permit.settled
        ]
        if self.breaker.state is BreakerState.HALF_OPEN:
            assert len(under_way) <= SMALL.probes
        if self.breaker.state is BreakerState.OPEN:
            assert under_way == []


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = examples(60, stateful_step_count=40)


Step = tuple[float, str, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 2.0, 5.0, 11.0, 30.0]),
        st.sampled_from(["ask", *OUTCOMES, "ask F", "ask F", "ask S", "ask W"]),
        st.integers(0, 3),
    ),
    max_size=80,
)


def replay(steps: list[Step], polls: int) -> list[Transition]:
    """Run a history, polling `polls` times within each pause."""
    breaker = Breaker(SMALL, jitter=random.Random(7).random)
    now, permits, chain = 0.0, [], []
    for pause, step, choice in steps:
        for i in range(polls):
            breaker.poll(now + pause * i / polls)
        now += pause
        if "ask" in step and (permit := breaker.try_acquire(now)):
            permits.append(permit)
            choice = 0
        if step[-1] in OUTCOMES and permits:
            breaker.settle(permits[-1 - choice % len(permits)], OUTCOMES[step[-1]], now)
        chain += breaker.take_transitions()
    breaker.poll(now)
    return chain + breaker.take_transitions()


@examples(150)
@given(STEPS)
def test_the_same_history_gives_the_same_transitions_however_often_it_is_polled(
    steps: list[Step],
) -> None:
    once = replay(steps, polls=0)
    assert replay(steps, polls=0) == once
    assert replay(steps, polls=3) == once


def test_closed_says_whether_calls_pass_without_being_probes() -> None:
    breaker = Breaker()
    assert breaker.closed
    breaker.mode = Mode.FORCED_OPEN
    assert not breaker.closed
    breaker.mode = Mode.NORMAL
    for index in range(5):
        permit = breaker.try_acquire(index)
        assert permit is not None
        breaker.settle(permit, Outcome.FAILURE, index)
    assert not breaker.closed
    breaker.mode = Mode.SHADOW
    assert breaker.closed
