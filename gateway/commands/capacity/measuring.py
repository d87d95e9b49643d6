"""Measures this machine for planning: sessions, recognition, and their load on Redis."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from gateway import __version__
from gateway.commands.bench.command import program
from gateway.commands.bench.run import Job, LoadProcess, OnProgress, Run, cores, measure
from gateway.commands.bench.search import Search
from gateway.commands.bench.server import ServerFailed, TestedServer
from gateway.commands.call.demo import CLIPS
from gateway.commands.capacity.figures import (
    FULL,
    VERSION,
    CapacityFigures,
    RedisFigures,
)
from gateway.commands.capacity.own_redis import OwnRedis, RedisUse, missing
from gateway.commands.capacity.recognition import NotMeasured, recognition
from gateway.settings import Settings
from stages.stt import whisper_speeds

QUICK_SESSIONS, QUICK_S = 50, 20.0
SECONDS, START, MOST = 30.0, 100, 1000

UNDONE = 0.1
"""The share of a run's length by which a server may be late, and so the share of its work that may
be missing, if only its CPU is measured."""


@dataclass(frozen=True, slots=True)
class LoadTrial:
    """A load run, and what Redis did for it; None if there was none."""

    run: Run
    redis: RedisFigures | None


def measured(settings: Settings, told: Console, *, quick: bool) -> CapacityFigures:
    """The figures of this machine. Prints on `told` what it does, and how long that takes.

    Raises `RunFailed` and `ServerFailed` if there are no figures at all.
    """
    say(told, "1 of 2: recognition, the configured recogniser alone, some seconds …")
    doubts: list[str] = []
    recogniser = None
    try:
        recogniser, doubted = recognition(settings, quick=quick)
        doubts += doubted
    except NotMeasured as reason:
        doubts.append(f"recognition was not measured: {reason}")
    absent = missing()
    if absent is not None:
        doubts.append(f"Redis was not measured: {absent}")

    def tried(sessions: int, seconds: float) -> LoadTrial:
        say(told, f"2 of 2: {sessions} sessions on one core for {seconds:.0f} s …")
        with _bar(told) as on_progress:
            return trial(sessions, seconds, on_progress, with_redis=absent is None)

    found = _quick(tried) if quick else _search(tried, told)
    return replace(found, recogniser=recogniser, doubts=(*doubts, *found.doubts))


def say(told: Console, line: str) -> None:
    told.print(line, markup=False, soft_wrap=True)


def trial(sessions: int, seconds: float, on_progress: OnProgress, *, with_redis: bool) -> LoadTrial:
    """Make one load run against a gateway of its own. Sessions are stored in a Redis of its own if
    `with_redis`, otherwise in SQLite."""
    made = program(sessions)
    environment = dict(made.environment)
    server_core, core = cores()
    with ExitStack() as stack:
        redis = stack.enter_context(OwnRedis()) if with_redis else None
        seen: list[RedisUse] = []
        if redis is not None:
            environment["REDIS_URL"] = redis.url
            seen.append(redis.used())
        server = stack.enter_context(
            TestedServer(replace(made, environment=environment), {server_core})
        )
        if redis is not None:
            seen.append(redis.used())

        def progress(done_s: float, goal_s: float) -> None:
            with suppress(ServerFailed):  # a look is missing, and the run goes on
                if redis is not None:
                    seen[3:] = [redis.used()]  # the first of the stretch, and the latest
            on_progress(done_s, goal_s)

        job = Job("parley", "conversation", sessions, seconds)
        run = measure(server, job, LoadProcess(core, CLIPS), on_progress=progress)
    return LoadTrial(run, redis_figures(run, seen))


def redis_figures(run: Run, seen: Sequence[RedisUse]) -> RedisFigures | None:
    """The work that a turn and a session gave Redis; None if it was not measured.

    `seen` is the use of Redis before the gateway started and after that, and at the beginning and
    the end of the measured stretch. The work of Redis while nobody talks is left out.
    """
    if len(seen) < 4 or not done(run) or not run.spoken:
        return None
    begun, empty, first, last = seen
    length_s, idle_s = last.at_s - first.at_s, empty.at_s - begun.at_s
    # The run counts turns for all its seconds, and the first look at Redis is one second later.
    turns = run.spoken * length_s / run.job.seconds
    idle_cpu_s = (empty.cpu_s - begun.cpu_s) * length_s / idle_s
    return RedisFigures(
        turn_commands=round((last.commands - first.commands) / turns, 1),
        turn_cpu_ms=round(max(0.0, last.cpu_s - first.cpu_s - idle_cpu_s) * 1000 / turns, 3),
        session_kb=round(max(0.0, first.memory_kb - empty.memory_kb) / run.job.sessions, 2),
        turn_kb=round(max(0.0, last.memory_kb - first.memory_kb) / turns, 2),
    )


# --- from runs to figures ----------------------------------------------------------------------


def _quick(tried: Callable[[int, float], LoadTrial]) -> CapacityFigures:
    return estimated(tried(QUICK_SESSIONS, QUICK_S))


def estimated(seen: LoadTrial) -> CapacityFigures:
    """The figures from one run, whose CPU says how many sessions a core takes.

    A run that did not hold because others disturbed it is still an estimate, if its work was done;
    one that did not hold undisturbed says that an estimate would be wrong.
    """
    run = seen.run
    doubts = [*run.objections]
    if not run.holds:
        doubts.append(f"{run.job.sessions} sessions did not hold: {'; '.join(run.broken())}")
    sessions = None
    if not done(run):
        doubts.append("not all of the work was done in time, so that its CPU tells nothing")
    elif run.holds or not run.valid:
        sessions = int(1000 * FULL / run.cpu_ms)
        if run.holds:
            sessions = max(sessions, run.job.sessions)
    return _figures(seen, sessions or None, doubts, searched=False)


def done(run: Run) -> bool:
    """Whether the server did all the work of its sessions, even if other programs delayed it:
    otherwise its CPU is that of fewer turns."""
    delays = (run.lateness, run.decision_to_first, run.chunk_to_decision)
    if not run.complete or run.missed or run.faults or run.cpu_ms <= 0:
        return False
    left_ms = UNDONE * run.job.seconds * 1000
    return all(delay is not None and delay.p99 <= left_ms for delay in delays)


def _search(tried: Callable[[int, float], LoadTrial], told: Console) -> CapacityFigures:
    search = Search(START, MOST)
    trials: list[LoadTrial] = []
    while (sessions := search.next()) is not None:
        trials.append(seen := tried(sessions, SECONDS))
        search.tell(sessions, seen.run.holds)
        broken = "; ".join(seen.run.broken())
        say(told, f"  not held: {broken}" if broken else "  held")
    # What disturbed a run that did not hold has made the figure smaller.
    doubts = sorted({objection for each in trials for objection in each.run.objections})
    for seen in reversed(trials):
        if seen.run.holds and seen.run.job.sessions == search.found:
            return _figures(seen, search.found, doubts, searched=True)
    least = min(trials, key=lambda each: each.run.job.sessions)
    broken = "; ".join(least.run.broken())
    doubts.append(f"not even {least.run.job.sessions} of them held: {broken}")
    return _figures(least, None, doubts, searched=True)


def _figures(
    seen: LoadTrial, sessions: int | None, doubts: list[str], *, searched: bool
) -> CapacityFigures:
    run = seen.run
    machine = whisper_speeds.machine()
    return CapacityFigures(
        version=VERSION,
        date=datetime.now(UTC).date().isoformat(),
        parley=__version__,
        processor=str(machine["processor"]),
        cores=int(machine["cores"]),
        sessions_per_core=sessions,
        sessions_by="search" if searched else "cpu",
        session_cpu_ms=round(run.cpu_ms, 2) if done(run) else None,
        gateway_mb=round(run.empty_mb, 1) if run.empty_mb > 0 else None,
        session_mb=round(max(0.0, run.memory_mb), 2) if run.complete else None,
        recogniser=None,
        redis=seen.redis,
        doubts=tuple(f"sessions: {doubt}" for doubt in doubts),
    )


@contextmanager
def _bar(told: Console) -> Iterator[OnProgress]:
    """A bar on a terminal, redrawn seldom: it shares a core with the load generator."""
    bars = Progress(
        TextColumn("  {task.description}"),
        BarColumn(),
        console=told,
        transient=True,
        refresh_per_second=2,
        disable=not told.is_terminal,
    )
    with bars:
        task = bars.add_task("sessions connect", total=None)
        yield lambda done_s, goal_s: bars.update(
            task,
            description=f"{min(done_s, goal_s):.0f} of {goal_s:.0f} s",
            completed=done_s,
            total=goal_s,
        )
