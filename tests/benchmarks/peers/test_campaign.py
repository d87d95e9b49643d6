"""The order and the repetition of runs, with runs that are made up."""

from dataclasses import replace
from types import TracebackType
from typing import Any

import pytest
from rich.console import Console

from benchmarks.peers import campaign
from benchmarks.peers.campaign import Campaign, Found
from benchmarks.peers.plan import FULL, Sizes
from benchmarks.progress import Progress
from gateway.commands.bench.run import Job, Run, RunFailed
from tests.support.bench_runs import made

BUSY = ("other processes used 0.50 cores",)
SIZES = Sizes(
    rounds=2,
    attempts=3,
    parley=20,
    few=10,
    many=30,
    starts=(),
    lasting_s=0.0,
    scenarios=("listening",),
)


class NoServer:
    """Stands for a server that is never started."""

    def __init__(self, program: object, cores: object) -> None:
        pass

    def __enter__(self) -> "NoServer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


class Runs:
    """Makes runs up; the first ones of each job have these objections."""

    def __init__(self, *objections: tuple[str, ...], holds: int = 0) -> None:
        self.jobs: list[Job] = []
        self._objections = objections
        self._holds = holds

    def measure(self, server: object, job: Job, generator: object, **_: Any) -> Run:
        number = self.jobs.count(job)
        self.jobs.append(job)
        objections = self._objections[number] if number < len(self._objections) else ()
        late_ms = 1.0 if job.sessions <= self._holds else 90.0
        return made(
            job.target,
            job.scenario,
            job.sessions,
            late_ms=late_ms,
            seconds=job.seconds,
            objections=objections,
        )


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(campaign, "TestedServer", NoServer)
    return monkeypatch


def run(sizes: Sizes, targets: tuple[str, ...]) -> campaign.Outcome:
    return Campaign(sizes, targets, Progress("peers", 1.0, Console(quiet=True))).run()


def test_every_round_runs_the_targets_in_turn(started: pytest.MonkeyPatch) -> None:
    runs = Runs()
    started.setattr(campaign, "measure", runs.measure)
    outcome = run(SIZES, ("parley", "echo"))
    assert [job.target for job in runs.jobs] == ["echo", "parley"] * 2
    assert [one.job.target for one in outcome.runs] == ["echo", "parley"] * 2


def test_an_invalid_run_is_made_again_and_then_counts(started: pytest.MonkeyPatch) -> None:
    runs = Runs(BUSY, BUSY)
    started.setattr(campaign, "measure", runs.measure)
    outcome = run(replace(SIZES, rounds=1), ("parley",))
    assert len(runs.jobs) == 3
    assert [one.valid for one in outcome.runs] == [True]


def test_a_run_that_stays_invalid_is_kept_as_such(started: pytest.MonkeyPatch) -> None:
    runs = Runs(BUSY, BUSY, BUSY, BUSY)
    started.setattr(campaign, "measure", runs.measure)
    outcome = run(replace(SIZES, rounds=1), ("parley",))
    assert len(runs.jobs) == 3
    assert [one.objections for one in outcome.runs] == [BUSY]


def test_a_run_that_breaks_off_is_noted(started: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> Run:
        raise RunFailed("it broke off")

    started.setattr(campaign, "measure", fails)
    outcome = run(replace(SIZES, rounds=1), ("parley",))
    assert outcome.runs == []
    assert outcome.failures == ["parley, listening, 20 sessions, 30 s: it broke off"]


def test_each_round_searches_from_what_the_last_one_found(started: pytest.MonkeyPatch) -> None:
    runs = Runs(holds=33)
    started.setattr(campaign, "measure", runs.measure)
    sizes = replace(SIZES, scenarios=(), starts=(("parley", 20),))
    outcome = run(sizes, ("parley",))
    assert [(one.round, one.sessions) for one in outcome.searches] == [(1, 33), (2, 33)]
    assert [one.job.sessions for one in outcome.searches[0].runs][:3] == [20, 30, 45]
    assert outcome.searches[1].runs[0].job.sessions == 33


def test_nine_tenths_of_what_was_found_are_held_for_long(started: pytest.MonkeyPatch) -> None:
    runs = Runs(holds=100)
    started.setattr(campaign, "measure", runs.measure)
    starts = (("parley", 100),)
    sizes = replace(SIZES, scenarios=(), starts=starts, lasting_s=600.0, rounds=1)
    outcome = run(sizes, ("parley",))
    (found,) = outcome.searches
    assert outcome.lasting is not None
    assert outcome.lasting.job == Job("parley", "conversation", int(found.sessions * 0.9), 600.0)


def test_a_search_is_valid_where_all_its_runs_are() -> None:
    good = made("parley", "conversation", 10)
    bad = made("parley", "conversation", 15, objections=BUSY)
    assert Found("parley", 1, 10, (good,)).valid
    assert not Found("parley", 1, 10, (good, bad)).valid


def test_the_whole_comparison_has_three_rounds() -> None:
    assert (FULL.rounds, FULL.attempts, FULL.lasting_s) == (3, 3, 600.0)
