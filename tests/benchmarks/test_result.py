import json

import pytest

from benchmarks.result import Machine, Metric, Result, percentiles
from benchmarks.timing import Summary

MACHINE = Machine("cpu", 2, None, "6.1", "3.11", {"numpy": "2"}, "abc")


def result(*metrics: Metric, distrust: tuple[str, ...] = ()) -> Result:
    return Result("load", {"sessions": 100}, metrics, MACHINE, distrust, at="2026-01-01T00:00:00")


@pytest.mark.parametrize(
    ("value", "limit", "distrust", "expected"),
    [
        (4.0, 4.0, (), "pass"),
        (4.1, 4.0, (), "fail"),
        (4.1, None, (), "info"),
        (3.0, 4.0, ("the client ran late",), "untrusted"),
    ],
)
def test_verdict(value, limit, distrust, expected):
    metric = Metric("cpu", value, "ms", limit=limit)
    run = result(metric, distrust=distrust)
    assert run.verdict(metric) == expected
    assert run.failed == (expected == "fail")


def test_what_was_never_measured_does_not_pass():
    (metric,) = percentiles("lateness", "ms", None, {"p99": 50.0})
    assert result(metric).failed
    assert json.loads(result(metric).line())["metrics"][0]["value"] is None


def test_percentiles_carry_their_limits():
    found = percentiles("lateness", "ms", Summary(9, 1.0, 2.0, 3.0, 4.0), {"p99": 50.0})
    assert [(m.percentile, m.value, m.limit) for m in found] == [
        ("p50", 1.0, None),
        ("p95", 2.0, None),
        ("p99", 3.0, 50.0),
        ("max", 4.0, None),
    ]


def test_saving_appends_one_json_line_a_run(tmp_path):
    run = result(Metric("cpu", 2.5, "ms", limit=4.0))
    path = run.save(tmp_path)
    run.save(tmp_path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert path.name == "load.json"
    assert len(lines) == 2
    saved = json.loads(lines[0])
    assert saved["machine"]["cpu"] == "cpu"
    assert saved["metrics"] == [
        {
            "name": "cpu",
            "value": 2.5,
            "unit": "ms",
            "percentile": "",
            "limit": 4.0,
            "count": None,
            "verdict": "pass",
        }
    ]


def test_this_machine_can_be_described():
    here = Machine.here()
    assert here.cores >= 1
    assert here.cpu
    assert "numpy" in here.packages
