"""The runs: their servers, loads and limits."""

import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from benchmarks.load import Plan
from benchmarks.progress import OnProgress, Progress
from benchmarks.result import Machine, Metric, Result, percentiles
from benchmarks.server import Cpu, Server
from benchmarks.timing import Summary, cpu_ms_per_session_second
from gateway.commands.bench.run import RunFailed, cores
from gateway.commands.bench.run import told_by as events_of

LATENCY_TURNS = 36
BARGE_IN_EVERY = 3
SHORT_ANSWER_MS = 1_500
LOAD_SECONDS = 30.0

__all__ = ["Measured", "RunFailed", "cores", "latency", "load", "run_load", "told_by"]


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of a load run, with the server's figures of the same stretch of time."""

    report: dict[str, Any]
    cpu_s: float
    workers_cpu_s: float
    others_cpu_s: float
    memory_mb: float
    """The growth of the server's resident memory since before the first session."""

    @property
    def wall_s(self) -> float:
        return float(self.report["wall_s"])

    def summary(self, name: str) -> Summary | None:
        values = self.report[name]
        return None if values is None else Summary(**values)


def told_by(module: str, *arguments: str) -> Generator[tuple[str, dict[str, Any]], None, None]:
    """The events of a client process, each with its fields, until it ends.

    Closing the generator ends the client.
    """
    return events_of([sys.executable, "-m", module, *arguments])


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch that a client process measured: its report, and the server's use meanwhile.

    `memory_mb` is the growth of the server's resident memory since before the first session.
    """

    report: dict[str, Any]
    used: Cpu
    memory_mb: float


def window(
    server: Server,
    module: str,
    *arguments: str,
    on_progress: Callable[[Mapping[str, Any]], None] = lambda told: None,
) -> Window:
    """Let a client process use the server. Raises `RunFailed` where it breaks off.

    `on_progress` gets the fields of its `progress` lines.
    """
    empty_mb = full_mb = server.memory_mb()
    before = after = server.cpu()
    report: dict[str, Any] | None = None
    with closing(told_by(module, *arguments)) as events:
        for event, told in events:
            match event:
                case "steady":
                    before = server.cpu()
                case "progress":
                    on_progress(told)
                case "over":
                    after = server.cpu()
                    full_mb = server.memory_mb()
                case "report":
                    report = told
    if report is None:
        raise RunFailed("the client broke off")
    return Window(report, after.since(before), full_mb - empty_mb)


def run_load(server: Server, plan: Plan, on_progress: OnProgress) -> Measured:
    """Let a load client of its own process call the server. Raises `RunFailed`."""
    arguments = ["--core", str(cores()[1])]
    for name, value in vars_of(plan).items():
        if value is True:
            arguments.append(f"--{name}")
        elif value is not None and value is not False:
            arguments += [f"--{name}", str(value)]
    goal = plan.seconds or (plan.turns or 0) * plan.sessions
    measure = "elapsed_s" if plan.seconds else "answered"
    seen = window(
        server,
        "benchmarks.load",
        *arguments,
        on_progress=lambda told: on_progress(told[measure], goal),
    )
    on_progress(goal, goal)
    report, used = seen.report, seen.used
    client_s = report["client_cpu_share"] * report["wall_s"]
    return Measured(
        report,
        cpu_s=used.server_s,
        workers_cpu_s=used.workers_s,
        others_cpu_s=max(0.0, used.machine_s - used.server_s - used.workers_s - client_s),
        memory_mb=seen.memory_mb,
    )


def vars_of(plan: Plan) -> dict[str, Any]:
    """A plan as the load client's command-line options."""
    return {name.replace("_", "-"): getattr(plan, name) for name in plan.__slots__}


def latency(progress: Progress) -> Result:
    """One session, stages that cost nothing: measures the gateway itself."""
    what = f"{LATENCY_TURNS} short answers, every third reply interrupted"
    with (
        progress.runs(1),
        progress.run(what) as on_progress,
        Server("fakes", core=cores()[0]) as server,
    ):
        plan = Plan(
            server.sessions_url,
            turns=LATENCY_TURNS,
            longest_ms=SHORT_ANSWER_MS,
            barge_in_every=BARGE_IN_EVERY,
        )
        seen = run_load(server, plan, on_progress)
    decided = percentiles(
        "decision → first reply byte",
        "ms",
        seen.summary("decision_to_first"),
        {"p50": 3.0, "p99": 10.0},
    )
    interrupted = percentiles(
        "barge-in decision → last old byte", "ms", seen.summary("clear_to_last"), {"max": 20.0}
    )
    return _result("latency", seen, {"sessions": 1, "stages": "fakes"}, [*decided, *interrupted])


def load(sessions: int, progress: Progress) -> Result:
    """Many sessions at once on one core: real voice detection, fakes behind it."""
    what = f"{sessions} sessions for {LOAD_SECONDS:.0f} s"
    with (
        progress.runs(1),
        progress.run(what) as on_progress,
        Server("fakes", core=cores()[0], sessions=sessions) as server,
    ):
        plan = Plan(server.sessions_url, sessions=sessions, seconds=LOAD_SECONDS)
        seen = run_load(server, plan, on_progress)
    decided = percentiles("decision → first reply byte", "ms", seen.summary("decision_to_first"))
    late = percentiles("frame lateness", "ms", seen.summary("lateness"), {"p99": 50.0})
    judged = percentiles(
        "chunk ready → decision", "ms", seen.summary("ready_to_decision"), {"p99": 50.0}
    )
    cost = Metric(
        "server CPU",
        cpu_ms_per_session_second(seen.cpu_s, sessions, seen.wall_s),
        "ms per session-second",
        limit=4.0,
    )
    memory = Metric("server memory", seen.memory_mb / sessions, "MB per session")
    found = [cost, memory, *late, *judged, *decided]
    return _result("load", seen, {"sessions": sessions, "stages": "fakes"}, found)


def told_faults(report: dict[str, Any]) -> tuple[str, ...]:
    """The faults of a load run, a line for each kind."""
    return tuple(f"{code}: {count} times" for code, count in sorted(report["faults"].items()))


def _result(name: str, seen: Measured, settings: dict[str, Any], found: list[Metric]) -> Result:
    """Add the metrics of every load run."""
    report = seen.report
    spoken = report["spoken"]
    unanswered = spoken - report["answered"] if spoken else float("inf")
    found += [
        Metric("turns without an answer", unanswered, "", limit=0.0, count=spoken),
        Metric("old frames after a barge-in", report["frames_after_clear"], "", limit=0.0),
        Metric("frames too late to be heard", report["frames_unheard"], ""),
        *percentiles("end of speech → first reply byte", "ms", seen.summary("voice_to_voice"))[:1],
        *percentiles("first user frame → last old byte", "ms", seen.summary("speech_to_last"))[:1],
        Metric("server CPU, share of a core", seen.cpu_s / seen.wall_s, ""),
        Metric("worker CPU, share of a core", seen.workers_cpu_s / seen.wall_s, ""),
        Metric("load client CPU, share of a core", report["client_cpu_share"], ""),
        *percentiles("load client lag", "ms", seen.summary("lag"))[2:3],
        Metric("CPU of other processes, cores", seen.others_cpu_s / seen.wall_s, ""),
    ]
    return Result(
        name,
        settings,
        tuple(found),
        Machine.here(),
        distrust=tuple(report["distrust"]),
        notes=told_faults(report),
    )
