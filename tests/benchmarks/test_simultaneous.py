from typing import Any

from benchmarks.result import Metric
from benchmarks.runs import Measured
from benchmarks.simultaneous import CASES, Case, Heard, metrics
from benchmarks.stored import StoredAnswer

MUST = Case(4, "begin", understood=True)
MAY = Case(8, "begin")


def heard(
    recognisers: dict[str, int],
    faults: dict[str, int] | None = None,
    *,
    spoken: int = 4,
    stored: int = 4,
    told: int = 0,
    p95: float = 900.0,
) -> Heard:
    report: dict[str, Any] = {
        "spoken": spoken,
        "answered": spoken,
        "understood": sum(recognisers.values()),
        "recognisers": recognisers,
        "faults": faults or {},
        "stepped_down": told,
        "decision_to_first": {"count": 4, "p50": 20.0, "p95": p95, "p99": p95, "max": p95},
        "wall_s": 10.0,
    }
    seen = Measured(report, cpu_s=1.0, workers_cpu_s=5.0, others_cpu_s=0.5, memory_mb=1.0)
    return Heard("whisper", seen, [StoredAnswer("words", "whisper")] * stored)


def broken(found: list[Metric]) -> list[str]:
    return [metric.name.partition(": ")[2] for metric in found if not metric.holds]


def test_four_people_must_all_be_understood_in_time_by_the_first_recogniser() -> None:
    assert broken(metrics(MUST, heard({"whisper": 4}))) == []
    late = metrics(MUST, heard({"whisper": 4}, p95=1_600.0))
    assert broken(late) == ["decision → first byte"]
    steps = {"degraded.stt: whisper → pocketsphinx": 1}
    other = heard({"whisper": 3, "pocketsphinx": 1}, steps, told=1)
    assert broken(metrics(MUST, other)) == ["not by whisper"]
    steps["degraded.stt: pocketsphinx → canned line"] = 1
    canned = heard({"whisper": 3}, steps, told=1, stored=3)
    assert broken(metrics(MUST, canned)) == ["not by whisper", "canned lines"]


def test_eight_people_may_be_answered_by_another_recogniser_if_that_is_told() -> None:
    steps = {"degraded.stt: whisper → pocketsphinx": 1}
    told = heard({"whisper": 3, "pocketsphinx": 1}, steps, told=1)
    found = {metric.name: metric.value for metric in metrics(MAY, told)}
    assert broken(metrics(MAY, told)) == []
    assert found["8 begin together: steps down, told"] == 1
    assert found["8 begin together: not by whisper"] == 1
    untold = heard({"whisper": 3, "pocketsphinx": 1})
    assert broken(metrics(MAY, untold)) == ["went another way untold"]


def test_an_answer_that_was_shown_but_not_stored_is_lost() -> None:
    assert broken(metrics(MAY, heard({"whisper": 4}, stored=3))) == ["understood, not stored"]


def test_nobody_who_spoke_passes_nothing() -> None:
    assert "without an answer" in broken(metrics(MAY, heard({}, spoken=0, stored=0)))


def test_only_the_case_of_the_limit_is_judged_for_time() -> None:
    assert [case for case in CASES if case.understood] == [Case(4, "begin", understood=True)]
