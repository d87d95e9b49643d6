from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pytest

from benchmarks.peers.claims import Claim, Measured, claims, median
from benchmarks.peers.plan import FULL
from gateway.commands.bench.run import Run
from tests.support.bench_runs import made

OTHERS = {
    "workers.cost": 1.05,
    "workers.split": 0.55,
    "webrtc.sound": 0.39,
    "webrtc.face": 0.38,
    "rest.respond": 2.1,
    "rest.submit": 1.6,
    "rest.respond_p99": 22.0,
    "rest.submit_p99": 29.0,
    "rest.lost": 0.0,
}
CAPACITIES = {"parley": [480, 500, 490], "livekit": [40, 42, 41], "pipecat": [20, 21, 22]}


def rounds(count: int = 3) -> Iterator[Run]:
    """Rounds in which everything holds by a little."""
    for _ in range(count):
        yield made("parley", "listening", 200, cpu_ms=1.7)
        yield made("livekit", "listening", 25, cpu_ms=15.0)
        yield made("pipecat", "listening", 10, cpu_ms=45.0)
        yield made("echo", "listening", 200, cpu_ms=1.1)
        yield made("parley", "conversation", 100, cpu_ms=3.0, first_ms=1.5)
        yield made("parley", "conversation", 300, cpu_ms=3.2)
        yield made("livekit", "conversation", 25, first_ms=6.0)
        yield made("parley", "barge-in", 200, barge_in_ms=230.0)


def judged(
    runs: Sequence[Run] | None = None,
    capacities: Mapping[str, Sequence[int]] = CAPACITIES,
    lasting: Run | None = None,
    others: Mapping[str, float] = OTHERS,
) -> dict[str, Claim]:
    held = lasting or made("parley", "conversation", 440, seconds=600.0)
    found = claims(
        Measured(FULL, list(rounds()) if runs is None else runs, capacities, held, others)
    )
    return {claim.name: claim for claim in found}


LISTENING = "CPU per session-second, listening, ÷ LiveKit Agents"
FIRST_BYTE = "decision → first byte, p99, ÷ LiveKit Agents"
CAPACITY = "sessions per core at the service level, ÷ Pipecat"


def test_the_table_has_every_figure_and_all_pass() -> None:
    found = judged()
    assert {claim.verdict for claim in found.values()} == {"pass"}
    assert [(claim.name, claim.bound) for claim in found.values()] == [
        ("CPU per session-second, listening, ÷ LiveKit Agents", "≤ 0.12"),
        ("CPU per session-second, listening, ÷ Pipecat", "≤ 0.04"),
        ("CPU per session-second, listening, ÷ echo server + batched detector", "≤ 1.6"),
        ("sessions per core at the service level, ÷ LiveKit Agents", "≥ 8"),
        ("sessions per core at the service level, ÷ Pipecat", "≥ 20"),
        ("decision → first byte, p50, ÷ LiveKit Agents", "≤ 0.3"),
        ("decision → first byte, p99, ÷ LiveKit Agents", "≤ 0.3"),
        ("first user frame → last old byte, p95, 200 sessions", "≤ 260 ms"),
        ("CPU per session-second at 300 ÷ at 100", "≤ 1.1"),
        ("two workers at 2N ÷ one at N, CPU", "≤ 1.1"),
        ("largest share of the sessions in one of two workers", "≤ 0.6"),
        ("WebRTC, sound both ways, ÷ stock aiortc", "≤ 0.4"),
        ("WebRTC, speaking face, ÷ stock aiortc", "≤ 0.4"),
        ("REST respond, requests a second ÷ before", "≥ 2"),
        ("REST submit-answer, requests a second ÷ before", "≥ 1.5"),
        ("REST respond, p99, 32 connections", "≤ 30 ms"),
        ("REST submit-answer, p99, 32 connections", "≤ 30 ms"),
        ("answers accepted but not stored after SIGKILL", "≤ 0"),
        ("largest p99 of the three delays over 10 minutes", "≤ 50 ms"),
        ("turns missed in that time", "≤ 0"),
    ]


def test_the_figures_are_those_ratios() -> None:
    found = judged()
    assert found[LISTENING].value == pytest.approx(1.7 / 15.0)
    assert found[FIRST_BYTE].value == pytest.approx(0.25)
    assert found[CAPACITY].value == pytest.approx(490 / 21)
    assert found["CPU per session-second at 300 ÷ at 100"].value == pytest.approx(3.2 / 3.0)
    assert found["largest p99 of the three delays over 10 minutes"].value == 8.0


def test_a_figure_beyond_its_limit_fails() -> None:
    runs = [replace(run, cpu_ms=2.0) if run.job.target == "parley" else run for run in rounds()]
    assert judged(runs)[LISTENING].verdict == "fail"
    assert judged(capacities={**CAPACITIES, "pipecat": [30, 30, 30]})[CAPACITY].verdict == "fail"


def test_the_middle_round_counts() -> None:
    runs = list(rounds())
    runs[0] = replace(runs[0], cpu_ms=9.0)
    assert judged(runs)[LISTENING].value == pytest.approx(1.7 / 15.0)
    assert median([3.0, 1.0, 2.0]) == 2.0


def test_invalid_rounds_count_for_nothing() -> None:
    runs = list(rounds())
    disturbed = ("other processes used 0.50 cores",)
    runs[0] = replace(runs[0], cpu_ms=0.1, objections=disturbed)
    assert judged(runs)[LISTENING].value == pytest.approx(1.7 / 15.0)
    runs[8] = replace(runs[8], objections=disturbed)
    assert judged(runs)[LISTENING].verdict == "not measured"


def test_what_was_not_measured_has_not_passed() -> None:
    found = judged([], {}, made("parley", "conversation", 9, objections=("disturbed",)), {})
    assert {claim.verdict for claim in found.values()} == {"not measured"}


def test_one_search_of_three_is_not_enough() -> None:
    assert judged(capacities={**CAPACITIES, "pipecat": [20]})[CAPACITY].verdict == "not measured"


def test_a_peer_that_never_held_gives_no_ratio() -> None:
    found = judged(capacities={**CAPACITIES, "pipecat": [0, 0, 0]})
    assert found[CAPACITY].verdict == "not measured"


@pytest.mark.parametrize("missing", ["unopened", "lost"])
def test_the_cost_of_a_run_with_missing_sessions_counts_for_nothing(missing: str) -> None:
    """They cost nothing, and would make the server look cheap."""
    few = [made("parley", "listening", 200, cpu_ms=0.1, **{missing: 150}) for _ in range(3)]
    others = [
        run for run in rounds() if (run.job.target, run.job.scenario) != ("parley", "listening")
    ]
    assert judged(few + others)[LISTENING].verdict == "not measured"


def test_a_delay_that_was_never_measured_in_ten_minutes_has_not_passed() -> None:
    lasting = replace(made("parley", "conversation", 440, seconds=600.0), chunk_to_decision=None)
    name = "largest p99 of the three delays over 10 minutes"
    assert judged(lasting=lasting)[name].verdict == "not measured"


def test_a_turn_missed_in_ten_minutes_fails() -> None:
    found = judged(lasting=made("parley", "conversation", 440, missed=1, seconds=600.0))
    assert found["turns missed in that time"].verdict == "fail"


def test_a_quick_try_counts_invalid_runs_and_holds_nothing_for_long() -> None:
    disturbed = [replace(run, objections=("busy",)) for run in rounds(1)]
    sizes = replace(FULL, rounds=1, lasting_s=0.0, lenient=True)
    found = {claim.name: claim for claim in claims(Measured(sizes, disturbed))}
    assert found[LISTENING].value == pytest.approx(1.7 / 15.0)
    assert not any("minutes" in name for name in found)
