from typing import Any

import pytest

from benchmarks.offline import metrics
from benchmarks.runs import Measured, told_faults


def seen(p50: float, *, spoken: int = 10, answered: int = 10, old_frames: int = 0) -> Measured:
    report: dict[str, Any] = {
        "spoken": spoken,
        "answered": answered,
        "frames_after_clear": old_frames,
        "partials": 25,
        "decision_to_first": {"count": 10, "p50": p50, "p95": 90.0, "p99": 90.0, "max": 90.0},
        "faults": {"degraded.stt: whisper → canned line": 2, "closed.1011": 1},
        "wall_s": 100.0,
    }
    return Measured(report, cpu_s=5.0, workers_cpu_s=20.0, others_cpu_s=1.0, memory_mb=1.0)


@pytest.mark.parametrize(
    ("measured", "broken"),
    [
        (seen(59.0), []),
        (seen(61.0), ["decision → first reply byte, prepared"]),
        (seen(9.0, answered=9), ["turns without an answer, prepared"]),
        (seen(9.0, spoken=0, answered=0), ["turns without an answer, prepared"]),
        (seen(9.0, old_frames=1), ["old frames after a barge-in, prepared"]),
    ],
)
def test_what_must_hold_is_told_where_it_does_not(measured: Measured, broken: list[str]) -> None:
    found = metrics("prepared", measured, {"p50": 60.0})
    assert broken == [metric.name for metric in found if not metric.holds]


def test_captions_are_counted_by_turn_and_cpu_by_second() -> None:
    found = {metric.name: metric.value for metric in metrics("prepared", seen(9.0), {})}
    assert found["captions a turn, prepared"] == 2.5
    assert found["worker CPU, share of a core, prepared"] == 0.2


def test_faults_are_told_with_how_often_they_came() -> None:
    assert told_faults(seen(9.0).report) == (
        "closed.1011: 1 times",
        "degraded.stt: whisper → canned line: 2 times",
    )
