"""All runs of a comparison: in rounds, each repeated while it is invalid, and the searches."""

from collections.abc import Collection
from dataclasses import dataclass, field

from benchmarks.peers.plan import SEARCH_RUNS, Sizes, calibration, one_round
from benchmarks.peers.targets import TARGETS
from benchmarks.progress import OnProgress, Progress
from benchmarks.speech import FIXTURES
from gateway.commands.bench.observed import fastest
from gateway.commands.bench.run import Job, LoadProcess, Run, RunFailed, cores, measure
from gateway.commands.bench.search import Search
from gateway.commands.bench.server import ServerFailed, TestedServer

GENERATOR = "benchmarks.peers.load"
LASTING_SHARE = 0.9
"""Of the sessions that the search has found; so many are held for long."""


@dataclass(frozen=True, slots=True)
class Found:
    """The end of one search: the largest number of sessions that held, and its tries."""

    target: str
    round: int
    sessions: int
    runs: tuple[Run, ...]

    @property
    def valid(self) -> bool:
        """Whether every run on which it rests is valid."""
        return all(run.valid for run in self.runs)


@dataclass(slots=True)
class Outcome:
    """Everything that was measured. Invalid runs are kept, and used nowhere."""

    sizes: Sizes
    runs: list[Run] = field(default_factory=list)
    searches: list[Found] = field(default_factory=list)
    lasting: Run | None = None
    failures: list[str] = field(default_factory=list)


class Campaign:
    """Makes the runs. One object, one comparison."""

    def __init__(self, sizes: Sizes, targets: Collection[str], progress: Progress) -> None:
        self._sizes = sizes
        self._targets = targets
        self._progress = progress
        self._known: dict[str, dict[int, float]] = {}
        self.outcome = Outcome(sizes)

    def run(self) -> Outcome:
        """All of it. A run that breaks off is noted and left out."""
        sizes = self._sizes
        first = calibration(sizes, self._targets)
        jobs = one_round(sizes, self._targets)
        searched = [(name, start) for name, start in sizes.starts if name in self._targets]
        tries = len(searched) * SEARCH_RUNS
        count = len(first) + sizes.rounds * (len(jobs) + tries) + bool(sizes.lasting_s)
        with self._progress.runs(count):
            for job in first:
                self._measured(job, "to calibrate")
            for number in range(1, sizes.rounds + 1):
                which = f"round {number} of {sizes.rounds}"
                for job in jobs:
                    if (run := self._measured(job, which)) is not None:
                        self.outcome.runs.append(run)
                for name, start in searched:
                    self._search(name, start, number, which)
            if sizes.lasting_s:
                self._last()
        return self.outcome

    def _measured(self, job: Job, which: str) -> Run | None:
        """A run, again while it is invalid; the last one in any case."""
        run = None
        with self._progress.run(f"{job}, {which}") as on_progress:
            for attempt in range(self._sizes.attempts):
                run = self._once(job, on_progress)
                if run is None or run.valid:
                    break
                if attempt + 1 < self._sizes.attempts:
                    self._progress.note(f"invalid, again: {'; '.join(run.objections)}")
        return run

    def _once(self, job: Job, on_progress: OnProgress) -> Run | None:
        target = TARGETS[job.target]
        server_core, core = cores()
        generator = LoadProcess(core, FIXTURES, GENERATOR)
        try:
            with TestedServer(target.program, {server_core}) as server:
                run = measure(
                    server,
                    job,
                    generator,
                    dialect=target.dialect,
                    known=self._known.get(job.target),
                    on_progress=on_progress,
                )
        except (RunFailed, ServerFailed, OSError) as error:
            self.outcome.failures.append(f"{job}: {error}")
            self._progress.note(f"failed: {error}")
            return None
        known = self._known.get(job.target)
        self._known[job.target] = fastest(run.decisions, known)
        return run

    def _search(self, name: str, start: int, number: int, which: str) -> None:
        before = [found.sessions for found in self.outcome.searches if found.target == name]
        search = Search(before[-1] or start if before else start)
        runs: list[Run] = []
        while (sessions := search.next()) is not None:
            job = Job(name, "conversation", sessions, self._sizes.seconds)
            run = self._measured(job, f"search, {which}")
            if run is None:
                return
            runs.append(run)
            held = run.holds
            search.tell(sessions, held)
            self._progress.note("held" if held else f"not held: {'; '.join(run.broken())}")
        self.outcome.searches.append(Found(name, number, search.found, tuple(runs)))

    def _last(self) -> None:
        found = sorted(one.sessions for one in self.outcome.searches if one.target == "parley")
        if found:
            sessions = max(1, int(found[len(found) // 2] * LASTING_SHARE))
            job = Job("parley", "conversation", sessions, self._sizes.lasting_s)
            self.outcome.lasting = self._measured(job, "held for long")
