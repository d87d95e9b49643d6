"""Rates as an operator writes them."""

import pytest

from gateway.rates import Rate, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("5/s", Rate(0.2, 5)),
        ("60/min", Rate(1.0, 60)),
        ("60/min:120", Rate(1.0, 120)),
        ("1000/h:1", Rate(3.6, 1)),
    ],
)
def test_a_rate_is_sustained_with_a_burst(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate
    assert parse_rate(text).window_s == rate.every_s * rate.burst


@pytest.mark.parametrize(
    "text", ["", "5", "0/s", "5/s:0", "5/day", "-5/s", "5/s:", "1e3/s", " 5/s"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a rate like"):
        parse_rate(text)
