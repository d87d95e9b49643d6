"""Who gives way to the next candidate, and when."""

import math

import pytest

from pipeline.shares import share


@pytest.mark.parametrize(
    ("now", "limit", "wanted", "needs_s", "due", "latest"),
    [
        (0.0, 10.0, 10.0, 0.0, 9.0, 9.0),  # a second is kept
        (0.0, 1.0, 1.0, 0.0, 0.5, 0.5),  # at most half
        (0.0, 24.0, 4.0, 0.0, 3.0, 23.0),  # wanted long before the limit
        (0.0, 24.0, 1.0, 0.0, 0.5, 23.0),
        (0.0, 24.0, 4.0, 8.0, 3.0, 16.0),  # the next one needs its time, though it is late then
        (0.0, 24.0, 4.0, 60.0, 3.0, 12.0),  # at most half of what is left
        (4.0, 24.0, 4.0, 0.0, 14.0, 23.0),  # late already: half of what is left
        (3.9, 24.0, 4.0, 0.0, 13.95, 23.0),  # as good as late
        (9.0, 10.0, 10.0, 0.0, 9.5, 9.5),
        (9.9, 10.0, 10.0, 0.0, math.inf, math.inf),  # nothing is left to share
    ],
)
def test_when_a_candidate_gives_way(
    now: float, limit: float, wanted: float, needs_s: float, due: float, latest: float
) -> None:
    assert (due, latest) == pytest.approx(share(now, limit, wanted, needs_s, 0.1))
