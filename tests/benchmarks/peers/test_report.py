import json
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from benchmarks.peers.campaign import Found, Outcome
from benchmarks.peers.page import page
from benchmarks.peers.plan import FULL
from benchmarks.peers.plots import Bar, Line, bars, lines, ticks
from benchmarks.peers.report import Facts, Report, as_json, measured, rows
from benchmarks.result import Machine
from tests.support.bench_runs import made

MACHINE = Machine("A CPU", 2, None, "6.1", "3.11.7", {"numpy": "2.4.6"}, "abc+")
FACTS = Facts(
    "0.1.0",
    MACHINE,
    {"pipecat": {"pipecat-ai": "1.14.0"}},
    {"parley": "1a153a", "pipecat": "1a153a"},
    quick=False,
    at="2026-11-29T18:00:00+00:00",
)
DISTURBED = made("pipecat", "listening", 10, objections=("the host took 0.20 cores",))


def report() -> Report:
    runs = [made("parley", "listening", 200, cpu_ms=cpu_ms) for cpu_ms in (4.0, 3.0, 5.0)] + [
        made("parley", "conversation", 100),
        made("livekit", "conversation", 25, first_ms=9.0),
        DISTURBED,
    ]
    held = made("parley", "conversation", 200)
    not_held = made("parley", "conversation", 300, late_ms=80.0)
    searches = [
        Found("parley", 1, 200, (held, not_held)),
        Found("pipecat", 1, 20, (DISTURBED,)),
    ]
    return Report(FACTS, Outcome(FULL, runs, searches, None, ["pipecat: <broke> off"]), {})


def test_rows_are_medians_of_the_valid_rounds() -> None:
    first, *_, last = rows(report().outcome.runs)
    assert (first.rounds, first.invalid, first.figures["cpu_ms"]) == (3, 0, 4.0)
    assert (last.rounds, last.invalid, last.figures) == (0, 1, {})


def test_a_search_that_rests_on_a_disturbed_run_counts_for_nothing() -> None:
    assert measured(report().outcome, {}).capacities == {"parley": [200]}


def test_the_json_has_claims_runs_and_versions() -> None:
    body = json.loads(as_json(report().whole()))
    assert body["facts"]["peers"]["pipecat"]["pipecat-ai"] == "1.14.0"
    assert len(body["runs"]) == 6
    assert [run["valid"] for run in body["runs"]] == [True] * 5 + [False]
    assert body["searches"][0]["runs"][1]["broken"] == ["frame lateness p99 80 ms"]
    assert {claim["verdict"] for claim in body["claims"]} == {"not measured"}


def test_a_releases_summary_has_no_single_runs() -> None:
    summary = json.loads(as_json(report().summary()))
    assert "runs" not in summary
    assert summary["capacities"] == {"parley": [200]}


def test_infinite_values_become_null() -> None:
    assert json.loads(as_json({"a": float("inf"), "b": [1.0, float("nan")]})) == {
        "a": None,
        "b": [1.0, None],
    }


class _Closed(HTMLParser):
    """Fails for a tag that is closed without having been opened."""

    VOID = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_shows_everything() -> None:
    text = page(report())
    reader = _Closed()
    reader.feed(text)
    assert reader.open == []
    assert "<script" not in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "pipecat: &lt;broke&gt; off" in text
    assert "the host took 0.20 cores" in text
    assert "pipecat-ai 1.14.0" in text
    assert text.count("<svg") >= 5
    assert "200 held, 300 not" in text


def test_a_quick_try_says_so() -> None:
    quick = replace(report(), facts=replace(FACTS, quick=True))
    assert "a quick try: too short to be published" in page(quick)


def test_a_report_without_a_run_has_a_page() -> None:
    empty = Report(FACTS, Outcome(FULL), {})
    assert "What must hold" in page(empty)


# --- plots -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (47.0, [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]),
        (300.0, [0.0, 100.0, 200.0, 300.0]),
        (0.0, [0.0, 1.0]),
    ],
)
def test_axes_have_round_numbers(most: float, expected: list[float]) -> None:
    assert ticks(most) == pytest.approx(expected)


def test_bars_are_in_proportion() -> None:
    root = ElementTree.fromstring(
        bars("cost", "ms", [Bar("a & b", "parley", 2.0), Bar("c", "pipecat", 4.0)])
    )
    space = "{http://www.w3.org/2000/svg}"
    widths = [float(rect.attrib["width"]) for rect in root.findall(f"{space}rect")[1:]]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.01)


def test_lines_have_a_point_for_each_measurement_and_the_limit() -> None:
    svg = lines(
        "late", "sessions", "ms", [Line("Parley", "parley", [(10, 2.0), (20, 90.0)])], limit=50.0
    )
    root = ElementTree.fromstring(svg)
    assert len(root.findall("{http://www.w3.org/2000/svg}circle")) == 2
    assert 'stroke-dasharray="6 4"' in svg


def test_one_empty_plot_is_still_a_picture() -> None:
    ElementTree.fromstring(bars("none", "ms", []))
