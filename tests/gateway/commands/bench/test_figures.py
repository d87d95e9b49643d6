import pytest

from gateway.commands.bench.figures import (
    Percentiles,
    cpu_ms_per_session_second,
    deciding_frame,
    late_ms,
    percentile,
)


def test_percentiles_are_measured_values() -> None:
    values = [float(n) for n in range(1, 101)]
    assert Percentiles.of(reversed(values)) == Percentiles(100, 50.0, 95.0, 99.0, 100.0)
    assert percentile(values, 0.99) == 99.0
    assert percentile([7.0], 0.01) == 7.0


def test_nothing_measured_has_no_summary() -> None:
    assert Percentiles.of([]) is None
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


@pytest.mark.parametrize(
    ("since_s", "position_ms", "frame_ms", "lead_ms", "late"),
    [
        (0.000, 180.0, 20.0, 200.0, 0.0),
        (0.120, 300.0, 20.0, 200.0, 0.0),
        (0.250, 300.0, 20.0, 200.0, 130.0),
        (0.040, 40.0, 40.0, 0.0, 0.0),
        (0.065, 40.0, 40.0, 0.0, 25.0),
    ],
    ids=["within the lead", "early", "late", "without a lead", "late without a lead"],
)
def test_lateness_is_counted_from_when_a_frame_is_due(
    since_s: float, position_ms: float, frame_ms: float, lead_ms: float, late: float
) -> None:
    assert late_ms(since_s, position_ms, frame_ms, lead_ms) == pytest.approx(late)


@pytest.mark.parametrize(
    ("stopped_at_ms", "silence_ms", "frame"),
    [(3200, 800, 199), (3210, 800, 200), (0, 0, 0), (3200, 810, 201)],
)
def test_the_deciding_frame_completes_the_chunk(
    stopped_at_ms: float, silence_ms: float, frame: int
) -> None:
    assert deciding_frame(stopped_at_ms, silence_ms) == frame


def test_ten_ms_per_session_second_are_a_hundred_sessions_on_a_core() -> None:
    assert cpu_ms_per_session_second(30.0, 100, 30.0) == 10.0
