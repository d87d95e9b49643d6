import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.services.definition import LONGEST_BACKOFF_S, Backoff, RetryPolicy
from gateway.services.retries import AttemptFailed, Phase, RetryBudget, Retrying

THRICE = RetryPolicy(max_attempts=3, base_s=0.1)
REFUSED = AttemptFailed(Phase.CONNECT, "Connection refused")
HUNG = AttemptFailed(Phase.HEAD, "no answer within 1 s", timed_out=True)
BUSY = AttemptFailed(Phase.HEAD, "HTTP 503", status=503, retry_after_s=1.5)


def wait(
    failed: AttemptFailed,
    *,
    attempts: int = 1,
    idempotent: bool = True,
    another: bool = False,
    now: float = 0.0,
    chance: float = 0.5,
    deadline: float = 10.0,
) -> float | None:
    retrying = Retrying(policy=THRICE, idempotent=idempotent, deadline=deadline)
    return retrying.wait_s(attempts, failed, another=another, now=now, chance=chance)


def test_another_instance_is_asked_at_once() -> None:
    assert wait(HUNG, another=True) == 0.0
    assert wait(BUSY, another=True) == 0.0


@pytest.mark.parametrize(("attempts", "longest"), [(1, 0.1), (2, 0.2)])
@pytest.mark.parametrize("chance", [0.0, 0.5, 0.99])
def test_the_same_one_is_asked_after_a_random_wait(
    attempts: int, longest: float, chance: float
) -> None:
    assert wait(REFUSED, attempts=attempts, chance=chance) == pytest.approx(chance * longest)


def test_there_are_no_more_attempts_than_the_policy_has() -> None:
    assert wait(REFUSED, attempts=2) is not None
    assert wait(REFUSED, attempts=3, another=True) is None


def test_what_may_have_been_done_is_not_done_again() -> None:
    failures = [AttemptFailed(phase, "broke off") for phase in Phase]
    again = {failed.phase for failed in failures if wait(failed, idempotent=False) is not None}
    assert again == {Phase.CONNECT}


def test_the_service_says_when_it_wants_to_be_asked_again() -> None:
    assert wait(BUSY) == 1.5
    assert wait(BUSY, deadline=1.5) is None


def test_nothing_is_tried_that_its_caller_does_not_wait_for() -> None:
    assert wait(REFUSED, now=9.99, chance=0.5) is None
    assert wait(REFUSED, now=10.0, another=True) is None


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [(Backoff.FIXED, [0.5] * 4), (Backoff.EXPONENTIAL, [0.5, 1.0, LONGEST_BACKOFF_S, 2.0])],
)
def test_the_longest_wait_grows_as_the_policy_says(backoff: Backoff, expected: list[float]) -> None:
    policy = RetryPolicy(backoff=backoff, base_s=0.5)
    assert [policy.longest_wait_s(retry) for retry in (1, 2, 3, 4)] == expected


@given(st.lists(st.booleans(), max_size=400))
def test_retries_are_a_tenth_of_the_calls_beside_the_reserve(wanted: list[bool]) -> None:
    budget, calls, retries = RetryBudget(), 0, 0
    for retry in wanted:
        if retry:
            retries += budget.take()
        else:
            budget.called()
            calls += 1
        assert retries <= 10 + calls / 10


def test_where_every_call_fails_one_in_ten_is_tried_again() -> None:
    budget, retries = RetryBudget(), 0
    for _ in range(1000):
        budget.called()
        retries += budget.take()
    assert retries == 110 - 1 or retries == 110
    for _ in range(1000):
        budget.called()
    assert budget.left == 10
