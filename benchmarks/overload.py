"""Three times as many people as a core can carry, and what becomes of those who are let in.

The number that one core carries is measured first, with nobody refused: the most sessions whose
frames are in time. Then three times as many come to a gateway that admits by pressure, and those
who are refused come again, later each time. How long a refusal takes is measured beside them, by a
process that does nothing else (`benchmarks.knocks`). Before and after that a few talk to the same
gateway.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from benchmarks.crowd import CrowdPlan
from benchmarks.load import Plan
from benchmarks.progress import OnProgress, Progress
from benchmarks.result import Machine, Metric, Result, percentiles
from benchmarks.runs import RunFailed, cores, run_load, told_by, told_faults
from benchmarks.server import Server
from benchmarks.timing import Summary, cpu_ms_per_session_second

TIMES = 3
LATE_MS = 50.0
"""The service level: the 99th percentile of frame lateness."""
REFUSED_MS = 100.0
RECOVERED_S = 15.0
SLOWER_MS = 10.0
"""So much slower may the few be after the crowd than before it."""
GROWTH_MB = 10.0
"""So much may the memory grow from the third quarter of the measured stretch to the last."""
FEWEST_SHARE = 0.5
"""Of what a core carries, so much must be let in: a gateway that refuses all is no answer."""

SAMPLE, SAMPLE_SECONDS = 60, 10.0
"""Sessions whose cost says where to begin to look for the most."""
SHARES = (0.95, 0.85, 0.75, 0.65, 0.55)
"""Of a core, what is tried, by the cost in the largest number that is carried so far."""
FAILURES = ("client.", "closed.")
"""The faults of sessions that could not begin, broke off, or had no reply."""
FIND_SECONDS = 15.0
CROWD_SECONDS, QUICK_SECONDS = 60.0, 15.0
QUICK_SESSIONS = 60
FEW, FEW_SECONDS = 10, 15.0
MOST_CLIENTS = 4_000
HEALTH_S = 5.0
SPARE_FILES = 400
"""Beside the sockets of clients: those of knocks, files, libraries."""

KNOCKS_S = 10.0
"""How long the process that measures refusals may take to its end."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The report of a crowd, with what was seen of the server meanwhile, and what the `knocks`
    beside it have heard, if there were any.

    `memory_mb` has a value for each second of the measured stretch, and `why` the reasons for
    refusals that `/health` gave in its middle. Before the crowd the server had `empty_mb`.
    """

    report: dict[str, Any]
    memory_mb: Sequence[float]
    cpu_share: float
    why: Sequence[str]
    knocks: dict[str, Any] | None = None
    empty_mb: float = 0.0

    def summary(self, name: str) -> Summary | None:
        values = self.report[name]
        return None if values is None else Summary(**values)

    def knock(self, name: str) -> Summary | None:
        """Of the knocks."""
        values = None if self.knocks is None else self.knocks[name]
        return None if values is None else Summary(**values)

    def p99(self, name: str) -> float:
        """In ms; infinite where nothing was measured."""
        summary = self.summary(name)
        return float("inf") if summary is None else summary.p99

    @property
    def quarters(self) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """The mean memory in MB, and the mean number of sessions let in so far, in the third
        quarter of the stretch and in the last; None unmeasured."""
        quarter = len(self.memory_mb) // 4
        if not quarter:
            return None
        begun = self.report["admitted_at_s"]
        sessions = [
            sum(at <= second for at in begun) for second in range(1, len(self.memory_mb) + 1)
        ]
        third, last = slice(-2 * quarter, -quarter), slice(-quarter, None)
        return (
            (sum(self.memory_mb[third]) / quarter, sum(sessions[third]) / quarter),
            (sum(self.memory_mb[last]) / quarter, sum(sessions[last]) / quarter),
        )

    @property
    def growth_mb(self) -> float:
        """Of the memory, from the third quarter of the stretch to the last; infinite unmeasured.

        Sessions that were let in meanwhile are left out, each with what one has on average.
        """
        if self.quarters is None:
            return float("inf")
        (third_mb, fewer), (last_mb, more) = self.quarters
        each_mb = (last_mb - self.empty_mb) / more if more else 0.0
        return last_mb - third_mb - each_mb * (more - fewer)


def overload(sessions: int | None, progress: Progress, *, quick: bool = False) -> Result:
    """The whole run. `sessions` is what a core carries, None to find it."""
    if sessions is None and quick:
        sessions = QUICK_SESSIONS
    tried: list[str] = []
    doubts: list[str] = []
    with progress.runs(3 if sessions else 4 + len(SHARES)):
        carried = sessions or _carried(progress, tried, doubts)
        clients = min(TIMES * carried, MOST_CLIENTS)
        allow_files(clients + SPARE_FILES)
        environment = {"PARLEY_ADMISSION": "pressure"}
        with Server("fakes", core=cores()[0], sessions=clients, environment=environment) as server:
            few = CrowdPlan(
                server.sessions_url, FEW, FEW_SECONDS, arrive_s=1.0, retry_s=0.5, growth=1.0
            )
            with progress.run(f"{FEW} sessions before the crowd") as on_progress:
                before = run_crowd(server, few, on_progress)
            seconds = QUICK_SECONDS if quick else CROWD_SECONDS
            crowd = CrowdPlan(server.sessions_url, clients, seconds)
            with (
                progress.run(f"a crowd of {clients} for {seconds:.0f} s") as on_progress,
                knocking(server) as heard,
            ):
                during = run_crowd(server, crowd, on_progress)
                during = replace(during, knocks=heard())
            with progress.run(f"{FEW} sessions after the crowd") as on_progress:
                after = run_crowd(server, few, on_progress)
    settings = {
        "a core carries": carried,
        "found": "given" if sessions else "measured",
        "clients": clients,
        "seconds": seconds,
        "stages": "fakes",
    }
    return Result(
        "overload",
        settings,
        tuple(metrics(carried, before, during, after)),
        Machine.here(),
        distrust=(*doubts, *distrust(before, during, after)),
        notes=(*tried, *(f"refused: {why}" for why in during.why), *told_faults(during.report)),
    )


def allow_files(wanted: int) -> None:
    """Let this process, and those that it starts, have so many files open. Raises `RunFailed`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise RunFailed(f"this takes {wanted} open files, and {hard} are allowed: `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _carried(progress: Progress, tried: list[str], doubts: list[str]) -> int:
    """The most sessions that one core carries at the service level: frames are in time, and no
    session fails. Raises `RunFailed`.

    A run in which the load client was late or busy itself says only that as many may be carried:
    `doubts` gets it.
    """

    def run(sessions: int, seconds: float) -> tuple[float, bool]:
        """The cost in ms per session-second, and whether they are carried."""
        allow_files(sessions + SPARE_FILES)
        with (
            progress.run(f"{sessions} sessions, nobody refused") as on_progress,
            Server("fakes", core=cores()[0], sessions=sessions) as server,
        ):
            plan = Plan(server.sessions_url, sessions=sessions, seconds=seconds)
            seen = run_load(server, plan, on_progress)
        late = seen.summary("lateness")
        if seen.cpu_s <= 0 or seen.wall_s <= 0:
            raise RunFailed(f"{sessions} sessions: what the server used is not known")
        cost = cpu_ms_per_session_second(seen.cpu_s, sessions, seen.wall_s)
        late_ms = float("inf") if late is None else late.p99
        failed = [told for told in told_faults(seen.report) if told.startswith(FAILURES)]
        tried.append(f"{sessions} sessions: lateness p99 {late_ms:.0f} ms, {cost:.1f} ms of CPU")
        tried.extend(f"{sessions} sessions: {told}" for told in (*seen.report["distrust"], *failed))
        carried = late_ms <= LATE_MS and not failed
        if not carried:
            doubts.extend(f"{sessions} may be carried: {told}" for told in seen.report["distrust"])
        return cost, carried

    cost_ms, _ = run(SAMPLE, SAMPLE_SECONDS)
    doubts.clear()  # of the sample only the cost counts
    most, too_many = 0, float("inf")
    for share in SHARES:
        sessions = max(1, int(share * 1000 / cost_ms))
        if sessions <= most:
            break
        if sessions >= too_many:
            continue
        now_ms, carried = run(sessions, FIND_SECONDS)
        if carried:  # the more there are, the less each one costs: perhaps still more are
            most, cost_ms = sessions, now_ms
        else:
            too_many = sessions
    if not most:
        raise RunFailed("no number of sessions was carried: " + "; ".join(tried))
    return most


def run_crowd(server: Server, plan: CrowdPlan, on_progress: OnProgress) -> Seen:
    """Let a crowd client of its own process come to the server. Raises `RunFailed`."""
    arguments = ["--core", str(cores()[1])]
    for name in plan.__slots__:
        arguments += [f"--{name.replace('_', '-')}", str(getattr(plan, name))]
    memory_mb: list[float] = []
    why: Sequence[str] = ()
    report: dict[str, Any] | None = None
    empty_mb = server.memory_mb()
    began = ended = server.cpu()
    with closing(told_by("benchmarks.crowd", *arguments)) as events:
        for event, told in events:
            match event:
                case "steady":
                    began = server.cpu()
                case "progress":
                    memory_mb.append(server.memory_mb())
                    on_progress(told["elapsed_s"], plan.seconds)
                    if not why and told["elapsed_s"] > plan.seconds / 2:
                        why = _refused_for(server)
                case "over":
                    ended = server.cpu()
                case "report":
                    report = told
    if report is None:
        raise RunFailed("the crowd client broke off")
    used_s = ended.since(began).server_s
    share = used_s / report["wall_s"] if report["wall_s"] else 0.0
    return Seen(report, memory_mb, share, why, empty_mb=empty_mb)


@contextmanager
def knocking(server: Server) -> Iterator[Callable[[], dict[str, Any]]]:
    """Knock at the server while the block lasts; call what it gives for the report, once."""
    arguments = ["--url", server.sessions_url, "--core", str(cores()[1])]
    command = [sys.executable, "-m", "benchmarks.knocks", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:

        def heard() -> dict[str, Any]:
            said, _ = process.communicate(timeout=KNOCKS_S)
            if process.returncode:
                raise RunFailed("the process that measures refusals broke off")
            report: dict[str, Any] = json.loads(said)
            return report

        try:
            yield heard
        finally:
            process.terminate()  # harmless where it has ended


def _refused_for(server: Server) -> Sequence[str]:
    try:
        health = httpx.get(f"{server.url}/health", timeout=HEALTH_S, trust_env=False)
    except httpx.TransportError as error:
        return (f"unknown, /health did not answer ({type(error).__name__})",)
    return tuple(health.json()["gateway"]["pressure"]["why"])


def metrics(carried: int, before: Seen, during: Seen, after: Seen) -> list[Metric]:
    """The figures, with what must hold."""
    report = during.report
    admitted, spoken = report["admitted"], report["spoken"]
    limit = {"p99": before.p99("lateness") + SLOWER_MS}
    decided = {"p99": before.p99("decision_to_first") + SLOWER_MS}
    back_s = after.report["admitted_by_s"] if after.report["admitted"] == FEW else None
    return [
        Metric("clients", report["clients"], ""),
        Metric("admitted", admitted, ""),
        Metric(
            "what a core carries, per admitted session",
            carried / admitted if admitted else float("inf"),
            "",
            limit=1 / FEWEST_SHARE,
        ),
        Metric("refusals", report["refused"], ""),
        *percentiles(
            "until a refusal",
            "ms",
            during.knock("refusal"),
            {"p99": REFUSED_MS, "max": REFUSED_MS},
        ),
        *percentiles(
            "until a refusal, with the crowd client's lag", "ms", during.summary("refusal")
        ),
        *percentiles("frame lateness", "ms", during.summary("lateness"), {"p99": LATE_MS}),
        *percentiles("decision → first reply byte", "ms", during.summary("decision_to_first")),
        Metric(
            "turns without an answer",
            spoken - report["answered"] if spoken else float("inf"),
            "",
            limit=0.0,
            count=spoken,
        ),
        Metric(
            "calls that failed",
            sum(n for fault, n in report["faults"].items() if fault.startswith(FAILURES)),
            "",
            limit=0.0,
        ),
        Metric("frames too late to be heard", report["frames_unheard"], ""),
        Metric("memory, last quarter − third", during.growth_mb, "MB", limit=GROWTH_MB),
        *(
            Metric(f"{name}, {quarter} quarter", value, unit)
            for quarter, figures in zip(("third", "last"), during.quarters or (), strict=False)
            for name, value, unit in zip(("memory", "admitted"), figures, ("MB", ""), strict=True)
        ),
        Metric("memory, most", max(during.memory_mb, default=float("inf")), "MB"),
        Metric("server CPU, share of a core", during.cpu_share, ""),
        Metric("crowd client CPU, share of a core", report["client_cpu_share"], ""),
        *percentiles("crowd client lag", "ms", during.summary("lag"))[2:3],
        *percentiles("before: frame lateness", "ms", before.summary("lateness")),
        *percentiles("after: frame lateness", "ms", after.summary("lateness"), limit),
        *percentiles("before: decision → first byte", "ms", before.summary("decision_to_first")),
        *percentiles(
            "after: decision → first byte", "ms", after.summary("decision_to_first"), decided
        ),
        Metric(
            f"after: until {FEW} are admitted",
            float("inf") if back_s is None else back_s,
            "s",
            limit=RECOVERED_S,
        ),
    ]


def distrust(before: Seen, during: Seen, after: Seen) -> list[str]:
    """Why the figures should not be believed."""
    found = [
        f"{when}: {doubt}"
        for when, seen in (("before", before), ("crowd", during), ("after", after))
        for doubt in (*seen.report["distrust"], *(seen.knocks or {}).get("distrust", ()))
    ]
    if not during.report["refused"]:
        found.append("nobody was refused: the crowd was too small for this machine")
    return found
