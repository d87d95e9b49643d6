"""One load run against a server: the generator's report, and what the server used meanwhile."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gateway.commands.bench import resources
from gateway.commands.bench.figures import Percentiles, cpu_ms_per_session_second
from gateway.commands.bench.observed import behind, fastest
from gateway.commands.bench.scenario import Scenario
from gateway.commands.bench.server import STOP_TIMEOUT_S, TestedServer
from gateway.commands.bench.validity import Conditions, objections

OnProgress = Callable[[float, float], None]
"""Called with the seconds of a run that are over, and the seconds that it has in all."""

SERVICE_LEVEL_MS = 50.0
"""The most that the 99th percentile of each of the three delays may be."""


LONGEST_RUN_S = 3600.0
"""A load generator that takes longer has stopped."""

BEYOND_S = 150.0
"""A run takes less than this beside the measured stretch: connections, openings and the last
replies."""


class RunFailed(Exception):
    """A run broke off; the text says why."""


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement: a server by its name, a scenario, a number of sessions, and seconds."""

    target: str
    scenario: Scenario
    sessions: int
    seconds: float
    ramp_s: float = 5.0

    def __str__(self) -> str:
        return f"{self.target}, {self.scenario}, {self.sessions} sessions, {self.seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class Run:
    """One load run. Delays are summaries in ms, None if nothing was measured.

    `chunk_to_decision` begins with the input frame that made the decision possible. If the server
    does not tell which frame it was, it is the delay behind the fastest decision after the same
    clip in any run so far.
    """

    job: Job
    conditions: Conditions
    objections: tuple[str, ...]
    cpu_ms: float
    """Server CPU per session-second."""
    memory_mb: float
    """Growth of the server's resident memory, per session."""
    start_s: float
    connect_cpu_ms: float
    """Server CPU per connection, from the first one to the end of all openings."""
    lateness: Percentiles | None
    decision_to_first: Percentiles | None
    chunk_to_decision: Percentiles | None
    barge_in: Percentiles | None
    connect: Percentiles | None
    spoken: int
    answered: int
    missed: int
    early: int
    unopened: int
    faults: Mapping[str, int]
    decisions: tuple[tuple[int, float], ...]
    """The clip of each decided turn, and the ms from its last frame to the decision."""
    shares: tuple[float, ...] = ()
    """The sessions of each worker process, as shares of all; empty if there is one process."""
    lost: int = 0
    """Sessions that ended in the measured stretch and did not come back."""
    empty_mb: float = 0.0
    """The server's resident memory before the first connection."""

    @property
    def valid(self) -> bool:
        return not self.objections

    @property
    def complete(self) -> bool:
        """Whether all sessions were there all the time: otherwise CPU and memory are those of
        fewer."""
        return not (self.unopened or self.lost)

    @property
    def holds(self) -> bool:
        """Whether the service level was held: every delay within it, no turn missed."""
        return not self.broken()

    def broken(self) -> list[str]:
        """The parts of the service level that were not held, a clause for each."""
        delays = {
            "frame lateness": self.lateness,
            "decision → first byte": self.decision_to_first,
            "chunk ready → decision": self.chunk_to_decision,
        }
        found = [
            f"{name} p99 {summary.p99:.0f} ms" if summary else f"{name} never measured"
            for name, summary in delays.items()
            if summary is None or summary.p99 > SERVICE_LEVEL_MS
        ]
        if self.missed:
            found.append(f"{self.missed} of {self.spoken} turns missed")
        if self.unopened:
            found.append(f"{self.unopened} sessions did not begin")
        if self.lost:
            found.append(f"{self.lost} sessions were lost")
        found += [f"{fault}: {count}" for fault, count in self.faults.items()]
        return found

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the single decisions are left out."""
        body = asdict(self)
        del body["decisions"]
        return {**body, "valid": self.valid, "holds": self.holds, "broken": self.broken()}


@dataclass(frozen=True, slots=True)
class LoadProcess:
    """How the load generator is started: its module, its core, and the folder of its clips."""

    core: int
    speech: Path
    module: str = "gateway.commands.bench.load"


def told_by(
    command: Sequence[str], within_s: float = LONGEST_RUN_S
) -> Generator[tuple[str, dict[str, Any]], None, None]:
    """The events of a load generator, each with its fields, until it ends.

    Closing the generator ends the process; so does `within_s`, for one that says nothing more.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        overdue = threading.Timer(within_s, process.kill)
        overdue.daemon = True
        overdue.start()
        try:
            for line in process.stdout:
                told = json.loads(line)
                yield told.pop("event"), told
        finally:
            overdue.cancel()
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def measure(
    server: TestedServer,
    job: Job,
    generator: LoadProcess,
    *,
    dialect: str = "parley",
    known: Mapping[int, float] | None = None,
    on_progress: OnProgress = lambda done, goal: None,
) -> Run:
    """Let a load generator of its own process call the server. Raises `RunFailed`.

    `known` are the fastest decisions after each clip in earlier runs.
    """
    command = [sys.executable, "-m", generator.module, "--url", server.url, "--dialect", dialect]
    command += ["--scenario", job.scenario, "--sessions", str(job.sessions)]
    command += ["--seconds", str(job.seconds), "--ramp-s", str(job.ramp_s)]
    command += ["--speech", str(generator.speech), "--core", str(generator.core)]
    empty_mb = full_mb = server.memory_mb()
    begun = before = after = server.used()
    own_before_s = own_after_s = _own_s()
    shares: tuple[float, ...] = ()
    report: dict[str, Any] | None = None
    within_s = job.ramp_s + job.seconds + BEYOND_S
    with closing(told_by(command, within_s)) as events:
        for event, told in events:
            match event:
                case "begin":
                    begun, empty_mb = server.used(), server.memory_mb()
                case "steady":
                    shares = _shares(server)
                    before, own_before_s = server.used(), _own_s()
                case "progress":
                    on_progress(told["elapsed_s"], job.seconds)
                case "over":
                    after, own_after_s = server.used(), _own_s()
                    full_mb = server.memory_mb()
                case "report":
                    report = told
    if report is None:
        raise RunFailed(f"{job}: the load generator broke off")
    wall_s = report["wall_s"]
    used = after.since(before)
    generator_s = report["client_cpu_share"] * wall_s
    others_s = used.machine_s - used.server_s - generator_s - (own_after_s - own_before_s)
    lag = _summary(report["lag"])
    conditions = Conditions(
        float("inf") if lag is None else lag.p99,
        report["client_cpu_share"],
        max(0.0, others_s / wall_s),
        used.stolen_s / wall_s,
    )
    decisions = tuple((int(clip), float(ms)) for clip, ms in report["end_to_decision"])
    exact = _summary(report["ready_to_decision"])
    return Run(
        job,
        conditions,
        objections(conditions),
        cpu_ms=cpu_ms_per_session_second(used.server_s, job.sessions, wall_s),
        memory_mb=(full_mb - empty_mb) / job.sessions,
        start_s=server.start_s,
        connect_cpu_ms=before.since(begun).server_s * 1000 / job.sessions,
        lateness=_summary(report["lateness"]),
        decision_to_first=_summary(report["decision_to_first"]),
        chunk_to_decision=exact or behind(decisions, fastest(decisions, known)),
        barge_in=_summary(report["barge_in"]),
        connect=_summary(report["connect"]),
        spoken=report["spoken"],
        answered=report["answered"],
        missed=report["missed"],
        early=report["early"],
        unopened=job.sessions - report["open"],
        faults=report["faults"],
        decisions=decisions,
        shares=shares,
        lost=report["lost"],
        empty_mb=empty_mb,
    )


def cores() -> tuple[int, int]:
    """One core for the server, another for the generator; the same if there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def _shares(server: TestedServer) -> tuple[float, ...]:
    """How the connections are spread over the server's worker processes; empty without workers."""
    sockets = resources.connections(server.port)
    held = [count for pid in server.processes()[1:] if (count := resources.held(pid, sockets)) > 0]
    total = sum(held)
    return tuple(count / total for count in held)


def _summary(values: dict[str, Any] | None) -> Percentiles | None:
    return None if values is None else Percentiles(**values)


def _own_s() -> float:
    times = os.times()
    return times.user + times.system
