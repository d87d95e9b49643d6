"""Which requests may come, and what is left: bursts, sustained rates, quotas of a day."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.buckets import DAY_S, Bucket, Limit, LimitVerdict, Quota, take
from gateway.rates import Rate

NOW = 1_800_000_000.0
BUCKET = Bucket("key", "a", Rate(1.0, 3))


class Kept:
    """The numbers between requests."""

    def __init__(self) -> None:
        self.numbers: dict[str, float] = {}

    def come(self, *limits: Limit, at: float = NOW) -> tuple[LimitVerdict, ...]:
        taken = take(limits, self.numbers, at)
        self.numbers |= {key: value for key, (value, _) in taken.changes.items()}
        return taken.verdicts

    def allowed(self, *limits: Limit, at: float = NOW) -> bool:
        return all(verdict.allowed for verdict in self.come(*limits, at=at))


def test_a_burst_may_come_at_once_and_then_as_many_as_drip_in() -> None:
    kept = Kept()
    assert [kept.allowed(BUCKET) for _ in range(5)] == [True] * 3 + [False] * 2
    assert [kept.allowed(BUCKET, at=NOW + 1) for _ in range(2)] == [True, False]
    assert [kept.allowed(BUCKET, at=NOW + 2.5) for _ in range(2)] == [True, False]
    assert [kept.allowed(BUCKET, at=NOW + 100) for _ in range(4)] == [True] * 3 + [False]


def test_a_verdict_tells_what_is_left_and_when_to_come_again() -> None:
    kept = Kept()
    found = [kept.come(BUCKET, at=NOW + at)[0] for at in (0, 0.25, 0.5, 0.75)]
    assert [verdict.remaining for verdict in found] == [2, 1, 0, 0]
    assert [verdict.wait_s for verdict in found] == [0.0, 0.0, 0.5, 0.25]
    assert [verdict.reset_s for verdict in found] == [1.0, 1.75, 2.5, 2.25]
    assert (found[0].most, found[0].window_s) == (3, 3)


def test_who_is_refused_and_waits_as_long_as_it_is_told_is_let_in() -> None:
    kept = Kept()
    for _ in range(3):
        kept.come(BUCKET)
    (refused,) = kept.come(BUCKET, at=NOW + 0.3)
    assert not refused.allowed
    assert not kept.allowed(BUCKET, at=NOW + 0.3 + refused.wait_s - 0.01)
    assert kept.allowed(BUCKET, at=NOW + 0.3 + refused.wait_s)


def test_each_name_has_a_bucket_of_its_own() -> None:
    kept, other = Kept(), Bucket("key", "b", BUCKET.rate)
    assert [kept.allowed(BUCKET) for _ in range(4)] == [True] * 3 + [False]
    assert kept.allowed(other)


def test_a_quota_begins_anew_at_midnight() -> None:
    kept, quota = Kept(), Quota("day", "a", 2)
    midnight = (NOW // DAY_S + 1) * DAY_S
    found = [kept.come(quota, at=midnight - 10)[0] for _ in range(3)]
    assert [(one.allowed, one.remaining) for one in found] == [(True, 1), (True, 0), (False, 0)]
    assert (found[2].wait_s, found[2].most, found[2].window_s) == (10, 2, DAY_S)
    assert kept.allowed(quota, at=midnight)


def test_a_request_that_one_limit_refuses_is_counted_against_none() -> None:
    kept, quota = Kept(), Quota("day", "a", 5)
    for _ in range(10):
        kept.come(BUCKET, quota)
    (left,) = kept.come(quota)
    assert left.remaining == 1, "three came through, and this one"


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    kept = Kept()
    assert [kept.allowed(BUCKET, at=NOW) for _ in range(3)] == [True] * 3
    assert not kept.allowed(BUCKET, at=NOW - 3600)


@given(
    st.integers(1, 20),
    st.sampled_from([0.01, 0.1, 1.0, 3.6]),
    st.lists(st.floats(0, 5), min_size=1, max_size=60),
)
def test_never_more_than_the_burst_and_the_rate(
    burst: int, every_s: float, gaps: list[float]
) -> None:
    kept, bucket = Kept(), Bucket("key", "a", Rate(every_s, burst))
    now, came = NOW, []
    for gap in gaps:
        now += gap
        (verdict,) = kept.come(bucket, at=now)
        assert 0 <= verdict.remaining < burst
        if verdict.allowed:
            came.append(now)
    for first in range(len(came)):
        for last in range(first, len(came)):
            most = burst + (came[last] - came[first]) / every_s
            assert last - first + 1 <= most + 1e-3
