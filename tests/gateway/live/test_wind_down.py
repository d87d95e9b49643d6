"""When a session ends because the process does: the decision alone."""

import pytest

from gateway.live.wind_down import LOOK_EVERY_S, WindDown


@pytest.mark.parametrize(
    ("quiet_at", "now", "again"),
    [
        pytest.param(5.0, 5.0, None, id="quiet now"),
        pytest.param(4.0, 5.0, None, id="quiet before"),
        pytest.param(5.02, 5.0, 5.02, id="quiet very soon"),
        pytest.param(9.0, 5.0, 5.0 + LOOK_EVERY_S, id="quiet later: it may become busy before"),
        pytest.param(None, 5.0, 5.0 + LOOK_EVERY_S, id="busy"),
        pytest.param(None, 9.99, 10.0, id="busy, and the time is almost over"),
        pytest.param(12.0, 9.99, 10.0, id="quiet only after the time"),
        pytest.param(None, 10.0, None, id="the time is over"),
    ],
)
def test_a_session_ends_when_it_is_quiet_or_the_time_is_over(
    quiet_at: float | None, now: float, again: float | None
) -> None:
    assert WindDown(10.0).look(quiet_at, now) == again
