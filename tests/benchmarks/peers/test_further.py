"""What the comparison makes of other benchmarks' results."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.peers import further
from benchmarks.peers.further import Rest, rest_ratios, webrtc_ratios
from benchmarks.progress import Progress
from benchmarks.result import Machine, Metric, Result
from gateway.commands.bench.server import Program

MACHINE = Machine("A CPU", 2, None, "6.1", "3.11.7", {}, None)


def progress() -> Progress:
    return Progress("further", 1.0, Console(quiet=True))


def webrtc_result(others: float = 0.02, distrust: tuple[str, ...] = ()) -> Result:
    metrics = (
        Metric("audio (24 sessions)", 9.0, "ms/ss", "p50"),
        Metric("  audio / audio, stock aiortc", 0.35, ""),
        Metric("  speaking face, VP8 / speaking face, VP8, stock aiortc", 0.45, ""),
        Metric("CPU of other processes", others, "cores", "p50"),
    )
    return Result("webrtc", {}, metrics, MACHINE, distrust=distrust)


def test_webrtc_gives_the_ratios_to_stock_aiortc(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def measured(_: Progress, *, quick: bool, jobs: Any) -> Result:
        asked.extend(job.name for job in jobs)
        return webrtc_result()

    monkeypatch.setattr(further, "webrtc", measured)
    found = webrtc_ratios(progress(), quick=False)
    assert found == {"webrtc.sound": 0.35, "webrtc.face": 0.45}
    assert asked == [
        "audio",
        "audio, stock aiortc",
        "speaking face, VP8",
        "speaking face, VP8, stock aiortc",
    ]


@pytest.mark.parametrize(
    "result",
    [webrtc_result(others=0.4), webrtc_result(distrust=("the client was late",))],
    ids=["others", "client"],
)
def test_disturbed_webrtc_counts_for_nothing(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(further, "webrtc", lambda *_, **__: result)
    assert webrtc_ratios(progress(), quick=False) == {}


def rest(monkeypatch: pytest.MonkeyPatch, *runs: Rest | None) -> dict[str, float]:
    """The figures of runs that alternate between now and before."""
    waiting = list(runs)

    def made(program: Program, _: Progress, attempts: int) -> Rest | None:
        return waiting.pop(0)

    monkeypatch.setattr(further, "_rest", made)
    monkeypatch.setattr(further, "before", lambda: Path("/before"))
    return rest_ratios(progress(), rounds=3, attempts=1)


def speed(respond: float, submit: float, p99_ms: float = 20.0) -> Rest:
    return Rest(
        {"respond": respond, "submit-answer": submit},
        {"respond": p99_ms, "submit-answer": p99_ms + 1},
    )


def test_rest_gives_the_ratios_of_the_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    then = speed(1000, 800)
    found = rest(
        monkeypatch, speed(2500, 1300), then, speed(900, 100), then, speed(2600, 1200), then
    )
    assert found == {
        "rest.respond": 2.5,
        "rest.respond_p99": 20.0,
        "rest.submit": 1.5,
        "rest.submit_p99": 21.0,
    }


def test_rest_needs_more_than_half_of_the_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    then = speed(1000, 800)
    assert rest(monkeypatch, then, then, None, then, None, then) == {}
