"""Which sessions a process refuses because of its load: the decision alone."""

import pytest

from gateway.live.pressure import (
    CALM_S,
    FEWEST_TO_JUDGE,
    FULL,
    LEAST_COST,
    RECENT_S,
    SESSION_COST,
    WARM_S,
    LoadSample,
    Pressure,
    RecentTurns,
)
from pipeline.frames import StageSpan, TurnMetrics

MANY = 50


def observed(pressure: Pressure, sample: LoadSample, start: int, seconds: int) -> None:
    for second in range(start, start + seconds):
        pressure.observe(sample, float(second))


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (LoadSample(loop_lag_s=0.06), "the event loop is 0.06 s late"),
        (LoadSample(busy=0.95), "the processor is 95% busy"),
        (LoadSample(uplink_s=0.12), "input audio waits 0.12 s"),
        (LoadSample(recognition_queue_s=0.6), "the recogniser is 0.6 s behind"),
        (LoadSample(recogniser=0.85), "the recogniser is 85% busy"),
        (LoadSample(recognition_s=3.0), "recognition takes 3.0 s"),
        (LoadSample(turn_factor=2.5), "replies take 2.5 times their budget"),
        (LoadSample(memory=0.93), "93% of the memory is in use"),
    ],
)
def test_a_process_that_is_late_refuses_and_says_why(sample: LoadSample, words: str) -> None:
    pressure = Pressure()
    observed(pressure, sample, 0, 2)
    assert pressure.refusal("voice", MANY, 2.0) == f"overloaded: {words}"


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (LoadSample(loop_lag_s=0.045), "the event loop is 0.04 s late"),
        (LoadSample(busy=0.75), "the processor is 75% busy"),
        (LoadSample(loop_lag_s=0.03, busy=0.7), None),
        (LoadSample(recognition_s=9.0, turn_factor=9.0, memory=0.99), None),
    ],
)
def test_what_can_be_done_without_gives_way_before_sessions_do(
    sample: LoadSample, words: str | None
) -> None:
    pressure = Pressure()
    observed(pressure, sample, 0, 1)
    assert pressure.strain() is None
    observed(pressure, sample, 1, 1)
    assert pressure.strain() == words
    observed(pressure, LoadSample(), 2, 1)
    assert pressure.strain() is None


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (LoadSample(uplink_s=0.09), "input audio waits 0.09 s"),
        (LoadSample(recognition_queue_s=0.45), "the recogniser is 0.5 s behind"),
        (LoadSample(recogniser=0.7), "the recogniser is 70% busy"),
        (LoadSample(uplink_s=0.07, recognition_queue_s=0.3, recogniser=0.6), None),
    ],
)
def test_what_is_a_shortest_wait_already_counts_at_once(
    sample: LoadSample, words: str | None
) -> None:
    pressure = Pressure()
    pressure.observe(sample, 0.0)
    assert pressure.strain() == words
    pressure.observe(LoadSample(), 0.5)
    assert pressure.strain() is None


def test_each_measure_is_told_as_a_share_of_its_limit() -> None:
    pressure = Pressure()
    pressure.observe(
        LoadSample(0.025, 0.45, 0.05, 0.25, 0.4, recognition_s=2.5, turn_factor=3.0, memory=0.9),
        0.0,
    )
    assert pressure.shares() == {
        "loop_lag": 0.5,
        "busy": 0.5,
        "uplink": 0.5,
        "recognition_queue": 0.5,
        "recogniser": 0.5,
        "recognition": 1.0,
        "turn_factor": 1.5,
        "memory": 1.0,
    }


def test_one_late_second_is_no_pressure() -> None:
    pressure = Pressure()
    observed(pressure, LoadSample(loop_lag_s=0.15), 0, 1)
    observed(pressure, LoadSample(), 1, 1)
    observed(pressure, LoadSample(loop_lag_s=0.15), 2, 1)
    assert pressure.refusal("voice", MANY, 3.0) is None


def test_a_loop_that_stands_still_counts_at_once() -> None:
    pressure = Pressure()
    observed(pressure, LoadSample(loop_lag_s=1.2), 0, 1)
    assert pressure.refusal("voice", MANY, 1.0) == "overloaded: the event loop is 1.20 s late"


def test_pressure_is_over_when_it_has_been_low_for_a_while() -> None:
    pressure = Pressure()
    observed(pressure, LoadSample(loop_lag_s=0.06), 0, 2)
    observed(pressure, LoadSample(loop_lag_s=0.04), 2, 20)
    assert pressure.refusal("voice", MANY, 22.0) == "overloaded: the event loop is 0.06 s late"
    observed(pressure, LoadSample(loop_lag_s=0.01), 22, int(CALM_S) - 1)
    assert pressure.refusal("voice", MANY, 26.0) is not None
    observed(pressure, LoadSample(loop_lag_s=0.01), 26, 1)
    assert pressure.refusal("voice", MANY, 27.0) is None


def test_interviews_in_writing_give_way_first() -> None:
    pressure = Pressure()
    observed(pressure, LoadSample(loop_lag_s=0.045), 0, 2)
    assert pressure.refusal("voice", MANY, 2.0) is None
    assert pressure.refusal("text", MANY, 2.0) is not None


def test_with_few_sessions_only_memory_refuses() -> None:
    pressure = Pressure()
    observed(pressure, LoadSample(loop_lag_s=1.0, busy=1.0, memory=0.5), 0, 5)
    assert pressure.refusal("voice", FEWEST_TO_JUDGE - 1, 5.0) is None
    assert pressure.refusal("voice", FEWEST_TO_JUDGE, 5.0) is not None
    observed(pressure, LoadSample(memory=0.95), 5, 1)
    assert pressure.refusal("voice", 1, 6.0) is not None


def test_memory_keeps_nobody_out_for_good() -> None:
    pressure = Pressure()
    observed(pressure, LoadSample(memory=0.95), 0, 2)
    assert pressure.refusal("voice", 1, 2.0) == "overloaded: 95% of the memory is in use"
    assert pressure.refusal("voice", 0, 2.0) is None, "without sessions none will become free"
    # A process gives little of it back.
    observed(pressure, LoadSample(memory=0.86), 2, int(CALM_S) + 1)
    assert pressure.refusal("voice", 1, 8.0) is None
    assert pressure.refusal("text", 1, 8.0) is None, "an interview in writing takes hardly any"


def test_of_sessions_that_began_only_the_latest_are_remembered() -> None:
    pressure = Pressure()
    for second in range(1_000):
        pressure.admitted(float(second))
    assert len(pressure._admitted) == WARM_S


def crowd(
    pressure: Pressure, size: int, now: float, sessions: int = 0, *, within_s: float = 0.0
) -> int:
    """How many of a crowd that comes `within_s` are let in."""
    admitted = 0
    for number in range(size):
        at = now + within_s * number / size
        if pressure.refusal("voice", sessions + admitted, at) is None:
            pressure.admitted(at)
            admitted += 1
    return admitted


def test_a_crowd_is_let_in_only_as_far_as_it_can_be_carried() -> None:
    pressure = Pressure()
    pressure.observe(LoadSample(busy=0.02), 0.0)
    first = crowd(pressure, 1_000, 0.5, within_s=4.0)
    assert pressure.expected(first, 4.5) == pytest.approx(FULL, abs=SESSION_COST)
    assert first * SESSION_COST < 1
    assert pressure.refusal("voice", first, 4.5) == (
        "overloaded: as many sessions have just begun as can be carried"
    )
    pressure.observe(LoadSample(busy=0.7), 5.0)
    assert crowd(pressure, 300, 5.0, first, within_s=4.0) == 0
    now = 4.5 + WARM_S
    cost = 0.7 / first
    assert crowd(pressure, 300, now, first, within_s=1.0) == int((FULL - 0.7) / cost)


def test_a_session_counts_less_the_more_of_it_is_in_what_was_measured() -> None:
    pressure = Pressure()
    for at in (0.0, WARM_S / 4, WARM_S * 3 / 4):
        pressure.admitted(at)
    expected = pressure.expected(3, WARM_S * 3 / 4)
    assert expected == pytest.approx((0.5 + 1 + 1 + 1) * SESSION_COST)


@pytest.mark.parametrize(("busy", "at_once"), [(0.0, 41), (0.3, 24), (0.6, 8), (0.7, 8)])
def test_fewer_begin_at_once_the_busier_the_process_is(busy: float, at_once: int) -> None:
    pressure = Pressure()
    pressure.observe(LoadSample(busy=busy), 0.0)
    assert crowd(pressure, 100, 10.0, 300) == at_once


def test_the_others_begin_as_fast_as_the_process_can_begin_them() -> None:
    pressure = Pressure()
    assert crowd(pressure, 100, 10.0) == 41
    assert crowd(pressure, 100, 11.0, 41, within_s=1.0) == pytest.approx(2 * 41, abs=2)


def test_a_session_in_writing_leaves_some_of_what_begins_at_once_to_live_ones() -> None:
    pressure = Pressure()
    assert crowd(pressure, 34, 10.0) == 34
    assert pressure.refusal("voice", 34, 10.0) is None
    assert pressure.refusal("text", 34, 10.0) is not None


def test_sessions_that_cost_more_here_are_counted_at_their_cost() -> None:
    pressure = Pressure()
    pressure.observe(LoadSample(busy=0.4), 0.0)
    admitted = crowd(pressure, 300, 0.5, 20, within_s=1.0)
    assert admitted == pytest.approx((FULL - 0.4) / 0.02, abs=2)


def test_sessions_that_cost_less_here_are_counted_at_half_of_what_is_usual_at_least() -> None:
    pressure = Pressure()
    pressure.observe(LoadSample(busy=0.1), 0.0)
    assert pressure.expected(100, 0.0) == pytest.approx(0.1 + LEAST_COST)
    pressure.observe(LoadSample(busy=0.5), 0.0)
    assert pressure.expected(100, 0.0) == pytest.approx(0.5 + 0.005)


def test_where_most_have_just_begun_what_is_busy_says_nothing_of_their_cost() -> None:
    pressure = Pressure()
    pressure.observe(LoadSample(busy=0.3), 0.0)
    for _ in range(20):
        pressure.admitted(0.0)
    assert pressure.expected(39, 0.0) == pytest.approx(0.3 + 21 * SESSION_COST)
    assert pressure.expected(40, 0.0) == pytest.approx(0.3 + 21 * 0.3 / 20)


def turn(stt_end: float | None, reply_ms: float | None) -> TurnMetrics:
    spans = (StageSpan("stt", "x", 0.0, None, stt_end), StageSpan("llm", "y", 0.0, 1.0, 2.0))
    return TurnMetrics(1, 1000, spans, reply_ms)


def test_turns_are_judged_by_the_best_of_several() -> None:
    turns = RecentTurns()
    turns.note(turn(3000.0, 4000.0), 0.0)
    turns.note(turn(2600.0, 3500.0), 1.0)
    assert turns.best(1.0) == (0.0, 0.0)
    turns.note(turn(None, 100.0), 1.0)  # typed
    turns.note(turn(5.0, None), 1.0)  # interrupted before its reply
    turns.note(turn(2800.0, 3600.0), 2.0)
    assert turns.best(2.0) == (2.6, 3.5)
    assert turns.best(RECENT_S + 1.5) == (0.0, 0.0)
