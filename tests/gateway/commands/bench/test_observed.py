from gateway.commands.bench.observed import Observed, behind, fastest


def test_the_report_has_counts_and_summaries() -> None:
    seen = Observed()
    seen.spoken, seen.answered, seen.missed = 3, 2, 1
    seen.lateness.extend([0.0, 1.0])
    seen.end_to_decision.append((4, 812.0))
    seen.fault("closed with 1011")
    seen.fault("closed with 1011")
    report = seen.report()
    assert (report["spoken"], report["answered"], report["missed"]) == (3, 2, 1)
    assert report["lateness"] == {"count": 2, "p50": 0.0, "p95": 1.0, "p99": 1.0, "max": 1.0}
    assert report["barge_in"] is None
    assert report["end_to_decision"] == [(4, 812.0)]
    assert report["faults"] == {"closed with 1011": 2}


def test_a_decision_is_behind_the_fastest_one_after_the_same_clip() -> None:
    before = fastest([(0, 810.0), (1, 900.0)])
    now = [(0, 830.0), (0, 805.0), (1, 901.0)]
    least = fastest(now, before)
    assert least == {0: 805.0, 1: 900.0}
    summary = behind(now, least)
    assert summary is not None
    assert (summary.count, summary.p50, summary.max) == (3, 1.0, 25.0)


def test_without_decisions_nothing_is_behind() -> None:
    assert fastest([]) == {}
    assert behind([], {}) is None
