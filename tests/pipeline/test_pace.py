import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pace import FACTOR, FACTOR_OF_FEW, FEW, FLOOR_S, WINDOW, ProviderPace

CAP_S = 5.0


def pace(*firsts_s: float) -> ProviderPace:
    made = ProviderPace()
    for first_s in firsts_s:
        made.note(first_s)
    return made


def test_nothing_is_known_before_the_first_call() -> None:
    assert pace().usual_s is None
    assert pace().limit_s(CAP_S) is None


@pytest.mark.parametrize(
    ("firsts_s", "usual_s", "limit_s"),
    [
        ((0.3,), 0.3, 0.9),
        ((0.3, 0.4), 0.4, 1.2),
        ((0.3,) * FEW, 0.3, 0.6),
        ((0.05,) * FEW, 0.05, FLOOR_S),
        ((0.3,) * 19 + (3.0,), 0.3, 0.6),  # one in twenty does not count
        ((0.3,) * 18 + (3.0,) * 2, 3.0, CAP_S),
        ((4.0,), 4.0, CAP_S),
    ],
)
def test_a_provider_gets_a_multiple_of_what_it_usually_takes(
    firsts_s: tuple[float, ...], usual_s: float, limit_s: float
) -> None:
    known = pace(*firsts_s)
    assert known.usual_s == usual_s
    assert known.limit_s(CAP_S) == pytest.approx(limit_s)


def test_only_the_latest_calls_count() -> None:
    known = pace(*[3.0] * WINDOW, *[0.3] * WINDOW)
    assert known.usual_s == 0.3


@given(st.lists(st.floats(0, 100), max_size=200), st.floats(FLOOR_S, 30))
def test_the_limit_lies_between_floor_and_cap(firsts_s: list[float], cap_s: float) -> None:
    known = pace(*firsts_s)
    limit_s = known.limit_s(cap_s)
    if not firsts_s:
        assert limit_s is None
        return
    latest = firsts_s[-WINDOW:]
    factor = FACTOR if len(latest) >= FEW else FACTOR_OF_FEW
    assert limit_s is not None
    assert FLOOR_S <= limit_s <= cap_s
    assert limit_s <= max(FLOOR_S, factor * max(latest))
    assert limit_s >= min(cap_s, factor * min(latest))
