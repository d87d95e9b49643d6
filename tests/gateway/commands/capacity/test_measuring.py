"""Load runs that were not made, and what becomes of them; and one that is made."""

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from gateway.commands.bench.run import Run
from gateway.commands.capacity import measuring
from gateway.commands.capacity.figures import RedisFigures
from gateway.commands.capacity.measuring import LoadTrial, estimated, measured, redis_figures, trial
from gateway.commands.capacity.own_redis import RedisUse, missing
from gateway.commands.capacity.recognition import NotMeasured
from gateway.settings import Settings
from tests.support.bench_runs import delays, made
from tests.support.capacity import REDIS, WHISPER

BUSY = ("other processes used 1.50 cores",)
LATE = delays(80.0)


def tried(run: Run) -> LoadTrial:
    return LoadTrial(replace(run, empty_mb=150.0), REDIS)


def test_an_estimate_fills_four_fifths_of_a_core() -> None:
    figures = estimated(tried(made("parley", "conversation", 50, cpu_ms=4.0)))
    assert (figures.sessions_per_core, figures.sessions_by) == (200, "cpu")
    assert (figures.session_cpu_ms, figures.gateway_mb, figures.session_mb) == (4.0, 150.0, 0.5)
    assert (figures.redis, figures.doubts) == (REDIS, ())


def test_what_held_is_more_than_an_estimate() -> None:
    assert estimated(tried(made("parley", "conversation", 50, cpu_ms=20.0))).sessions_per_core == 50


def test_a_run_that_others_disturbed_is_still_an_estimate_and_doubted() -> None:
    run = made("parley", "conversation", 50, late_ms=80.0, objections=BUSY)
    figures = estimated(tried(run))
    assert figures.sessions_per_core == 200
    assert figures.doubts == (
        "sessions: other processes used 1.50 cores",
        "sessions: 50 sessions did not hold: frame lateness p99 80 ms",
    )


def test_a_quiet_run_that_does_not_hold_is_no_estimate() -> None:
    figures = estimated(tried(made("parley", "conversation", 50, late_ms=80.0)))
    assert figures.sessions_per_core is None
    assert figures.doubts == ("sessions: 50 sessions did not hold: frame lateness p99 80 ms",)


def test_a_run_with_fewer_sessions_than_asked_for_tells_nothing_of_one() -> None:
    run = made("parley", "conversation", 50, unopened=3, objections=BUSY)
    figures = estimated(tried(run))
    assert figures.sessions_per_core is None
    assert (figures.session_cpu_ms, figures.session_mb) == (None, None)


@pytest.mark.parametrize(
    "change",
    [
        {"missed": 1},
        {"lateness": delays(3001.0)},
        {"decision_to_first": None},
        {"faults": {"closed with 1011": 1}},
        {"lost": 1},
        {"cpu_ms": 0.0},
    ],
    ids=["missed", "late", "no reply", "fault", "lost", "no CPU"],
)
def test_the_cpu_of_work_that_was_not_done_is_no_estimate(change: dict[str, object]) -> None:
    """A gateway that gets a tenth of a core uses little CPU, and could not serve anybody."""
    run = made("parley", "conversation", 50, cpu_ms=1.2, objections=BUSY)
    assert estimated(tried(run)).sessions_per_core == 666
    figures = estimated(tried(replace(run, **change)))  # type: ignore[arg-type]
    assert (figures.sessions_per_core, figures.session_cpu_ms) == (None, None)
    assert figures.doubts[-1].endswith(
        "not all of the work was done in time, so that its CPU tells nothing"
    )


# --- the whole, without a run ------------------------------------------------------------------


@pytest.fixture
def told() -> Console:
    return Console(file=io.StringIO(), width=200)


def said(told: Console) -> str:
    assert isinstance(told.file, io.StringIO)
    return told.file.getvalue()


def without_runs(
    monkeypatch: pytest.MonkeyPatch, most: int, absent: str | None = None
) -> list[bool]:
    """Up to `most` sessions hold. Returns whether each run had a Redis."""
    redis: list[bool] = []

    def run(sessions: int, seconds: float, on_progress: object, *, with_redis: bool) -> LoadTrial:
        redis.append(with_redis)
        whole = made("parley", "conversation", sessions, seconds=seconds, cpu_ms=sessions / 100)
        return tried(whole if sessions <= most else replace(whole, lateness=LATE))

    monkeypatch.setattr(measuring, "trial", run)
    monkeypatch.setattr(measuring, "missing", lambda: absent)
    monkeypatch.setattr(measuring, "recognition", lambda settings, quick: (WHISPER, ("noisy",)))
    return redis


def test_the_largest_number_that_holds_is_searched_for(
    monkeypatch: pytest.MonkeyPatch, told: Console
) -> None:
    redis = without_runs(monkeypatch, most=120)
    figures = measured(Settings(), told, quick=False)
    assert (figures.sessions_per_core, figures.sessions_by) == (118, "search")
    assert figures.session_cpu_ms == 1.18, "the figures of the run that held"
    assert (figures.recogniser, figures.doubts) == (WHISPER, ("noisy",))
    assert redis == [True] * 6
    text = said(told)
    assert "1 of 2: recognition" in text
    assert "2 of 2: 118 sessions on one core for 30 s …\n  held\n" in text
    assert "  not held: frame lateness p99 80 ms" in text


def test_where_nothing_holds_there_is_no_figure(
    monkeypatch: pytest.MonkeyPatch, told: Console
) -> None:
    without_runs(monkeypatch, most=0)
    figures = measured(Settings(), told, quick=False)
    assert figures.sessions_per_core is None
    assert figures.doubts[-1] == "sessions: not even 1 of them held: frame lateness p99 80 ms"


def test_without_a_redis_server_the_rest_is_measured(
    monkeypatch: pytest.MonkeyPatch, told: Console
) -> None:
    redis = without_runs(monkeypatch, most=100, absent="redis-server is not installed here")
    figures = measured(Settings(), told, quick=True)
    assert redis == [False]
    assert "Redis was not measured: redis-server is not installed here" in figures.doubts


def test_without_a_recogniser_the_rest_is_measured(
    monkeypatch: pytest.MonkeyPatch, told: Console
) -> None:
    without_runs(monkeypatch, most=100)

    def nobody(settings: object, *, quick: bool) -> None:
        raise NotMeasured("no stt provider works here")

    monkeypatch.setattr(measuring, "recognition", nobody)
    figures = measured(Settings(), told, quick=True)
    assert figures.recogniser is None
    assert figures.sessions_per_core is not None
    assert figures.doubts == ("recognition was not measured: no stt provider works here",)


# --- Redis -------------------------------------------------------------------------------------

RUN = replace(made("parley", "conversation", 50, seconds=20.0), spoken=100)
SEEN = [
    RedisUse(at_s=0.0, commands=0, cpu_s=0.00, memory_kb=1000.0),
    RedisUse(at_s=4.0, commands=10, cpu_s=0.01, memory_kb=1100.0),
    RedisUse(at_s=20.0, commands=500, cpu_s=0.05, memory_kb=1350.0),
    RedisUse(at_s=40.0, commands=2100, cpu_s=0.15, memory_kb=1550.0),
]


def test_what_redis_does_while_nobody_talks_is_left_out() -> None:
    # 100 turns in 20 s: 1600 commands, 100 ms less the 50 ms of an idle Redis, 200 KB.
    expected = RedisFigures(turn_commands=16.0, turn_cpu_ms=0.5, session_kb=5.0, turn_kb=2.0)
    assert redis_figures(RUN, SEEN) == expected


@pytest.mark.parametrize(
    ("run", "seen"),
    [
        (RUN, []),
        (RUN, SEEN[:3]),
        (replace(RUN, unopened=1), SEEN),
        (replace(RUN, spoken=0), SEEN),
        (replace(RUN, missed=1), SEEN),
    ],
    ids=["no redis", "one look", "too few sessions", "nobody spoke", "missed"],
)
def test_what_was_not_seen_of_redis_is_none(run: Run, seen: list[RedisUse]) -> None:
    assert redis_figures(run, seen) is None


@pytest.mark.slow
@pytest.mark.skipif(missing() is not None, reason="needs redis-server and its client")
def test_a_real_run_asks_redis_for_something_whatever_is_set_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No time is judged. With keys the load generator would be kept out."""
    monkeypatch.setenv("PARLEY_API_KEYS", "a-key-of-this-machine-1234")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    looks: list[float] = []
    seen = trial(2, 5.0, lambda done_s, goal_s: looks.append(done_s), with_redis=True)
    assert (seen.run.unopened, seen.run.lost, seen.run.faults) == (0, 0, {})
    assert seen.run.empty_mb > 10
    assert seen.redis is not None
    assert seen.redis.turn_commands > 1
    assert seen.redis.session_kb > 0
    assert len(looks) >= 4
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    names = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in children]
    assert "redis-server" not in names
