import math

import pytest

from pipeline.breaker import Breaker
from pipeline.candidate import Candidate, Limits
from pipeline.patience import Patience, Soon, patience

CAP_S = 5.0
SOON = Soon(0.4, 0.9)


def candidate(*firsts_s: float, failures: int = 0) -> Candidate[object]:
    made: Candidate[object] = Candidate("one", object(), Breaker(), Limits(first_s=CAP_S))
    for first_s in firsts_s:
        made.pace.note(first_s)
    for _ in range(failures):
        made.failed("stalled", 0.0)
    return made


@pytest.mark.parametrize(
    ("firsts_s", "failures", "expected"),
    [
        ((), 0, Patience(0.9, own=False)),
        ((0.3,) * 8, 0, Patience(0.6, own=True)),
        ((1.0,) * 8, 0, Patience(2.0, own=True)),
        ((), 1, Patience(0.4, own=False, used_s=0.4, lag_s=0.3)),
        ((0.3,) * 8, 1, Patience(0.4, own=False, used_s=0.4, lag_s=0.3)),
    ],
    ids=["unknown", "quick", "slow", "unknown and failed", "quick and failed"],
)
def test_where_another_answers_at_once_the_turns_budget_counts(
    firsts_s: tuple[float, ...], failures: int, expected: Patience
) -> None:
    assert patience(candidate(*firsts_s, failures=failures), SOON, stands_by=True) == expected


def test_a_candidate_that_passes_its_own_limit_within_the_budget_has_failed() -> None:
    quick = candidate(*[0.1] * 8, failures=2)
    found = patience(quick, Soon(0.8, 1.3), stands_by=True)
    assert found == Patience(0.5, own=True, used_s=0.8, lag_s=0.3)


def test_a_candidate_that_failed_gets_nothing_once_the_budget_is_spent() -> None:
    found = patience(candidate(failures=1), Soon(-0.3, 0.2), stands_by=True)
    assert found == Patience(0.0, own=False, used_s=0.0, lag_s=0.3)


def test_an_unknown_candidate_gets_half_a_second_at_least_and_its_own_limit_at_most() -> None:
    late = patience(candidate(), Soon(-0.3, 0.2), stands_by=True)
    assert late == Patience(0.5, own=False)
    early = patience(candidate(), Soon(9.0, 9.5), stands_by=True)
    assert early == Patience(CAP_S, own=True)


def test_an_unknown_candidate_whose_earlier_call_still_hangs_gets_the_rest_of_the_budget() -> None:
    hanging = candidate()
    hanging.watched = True
    assert patience(hanging, SOON, stands_by=True) == Patience(0.4, own=False)
    assert patience(hanging, Soon(-0.3, 0.2), stands_by=True) == Patience(0.0, own=False)
    assert patience(hanging, SOON, stands_by=False) == Patience(CAP_S, own=True)
    assert patience(hanging, Soon(9.0, 9.5), stands_by=True) == Patience(CAP_S, own=True)
    for _ in range(8):
        hanging.pace.note(0.3)
    assert patience(hanging, SOON, stands_by=True) == Patience(0.6, own=True)


@pytest.mark.parametrize(
    ("firsts_s", "failures", "first_s", "own"),
    [
        ((), 0, 5.0, True),
        ((), 1, 2.5, False),
        ((), 2, 1.25, False),
        ((), 9, 0.5, False),
        ((0.3,) * 8, 0, 0.6, True),
        ((0.3,) * 8, 2, 0.6, True),
    ],
)
def test_without_such_another_every_failure_halves_the_time_and_it_is_watched(
    firsts_s: tuple[float, ...], failures: int, first_s: float, own: bool
) -> None:
    found = patience(candidate(*firsts_s, failures=failures), SOON, stands_by=False)
    assert found == Patience(first_s, own=own)


def test_after_three_failures_in_a_row_nothing_is_known_of_a_candidates_pace() -> None:
    assert candidate(0.3, failures=2).pace.usual_s == 0.3
    assert candidate(0.3, failures=3).pace.usual_s is None
    again = candidate(failures=3)
    again.pace.note(0.8)
    again.failed("stalled", 0.0)
    assert again.pace.usual_s == 0.8, "what is learned later counts"


def test_what_is_known_by_kind() -> None:
    own, watched = Patience(1.0, own=True), Patience(1.0, own=False, used_s=1.0)
    assert (own.watches, watched.watches) == (False, True)
    assert own.limit(begun=False) == (1.0, True)
    assert own.limit(begun=True) == (math.inf, False)
    assert watched.limit(begun=True) == (1.0, False)
