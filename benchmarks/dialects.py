"""What a session costs in each dialect: the same callers and stages, one dialect after another.

CPU time is compared and not lateness, so the figures hold on a machine that does other things, too:
the dialects take turns, and each has its share of what else goes on.
"""

from collections import defaultdict
from typing import Any

from benchmarks.dialect_wires import WIRES, Wire
from benchmarks.progress import OnProgress, Progress
from benchmarks.result import Machine, Metric, Result
from benchmarks.runs import RunFailed, cores, window
from benchmarks.server import Server
from benchmarks.timing import cpu_ms_per_session_second, percentile

SESSIONS = 50
SECONDS, QUICK_SECONDS = 30.0, 10.0
ROUNDS, QUICK_ROUNDS = 3, 1
CLIENT_SHARE = 0.9
LAG_LIMIT_MS = 50.0


def dialects(progress: Progress, *, quick: bool) -> Result:
    """CPU of the server for each session-second, in each dialect."""
    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if quick else (ROUNDS, SECONDS)
    costs: dict[str, list[float]] = defaultdict(list)
    reports: dict[str, dict[str, Any]] = {}
    distrust: list[str] = []
    with progress.runs(rounds * len(WIRES)):
        for _ in range(rounds):
            for wire in WIRES:
                what = f"{SESSIONS} sessions in {wire.name}, {seconds:.0f} s"
                with progress.run(what) as on_progress:
                    cost, report = _measured(wire, seconds, on_progress)
                costs[wire.name].append(cost)
                reports[wire.name] = report
                distrust += _doubts(wire, report)
    native = percentile(costs[WIRES[0].name], 0.5)
    found = [Metric(f"{WIRES[0].name}: server CPU", native, "ms per session-second")]
    for wire in WIRES[1:]:
        cost = percentile(costs[wire.name], 0.5)
        found += [
            Metric(f"{wire.name}: server CPU", cost, "ms per session-second"),
            Metric(f"{wire.name}: server CPU", cost / native, "× native", limit=wire.most),
        ]
    for name, report in reports.items():
        sent = report["bytes"] * 8 / 1000 / report["wall_s"] / SESSIONS
        found.append(Metric(f"{name}: to each client", sent, "kbit/s"))
    settings = {"sessions": SESSIONS, "stages": "fakes", "rounds": rounds}
    return Result("dialects", settings, tuple(found), Machine.here(), distrust=tuple(distrust))


def _measured(wire: Wire, seconds: float, on_progress: OnProgress) -> tuple[float, dict[str, Any]]:
    """One run: ms of the server's CPU for each session-second, and the client's report."""
    server_core, client_core = cores()
    with Server("fakes", core=server_core, sessions=SESSIONS) as server:
        arguments = ["--url", server.url.replace("http", "ws"), "--wire", wire.name]
        arguments += ["--sessions", str(SESSIONS), "--seconds", str(seconds)]
        try:
            seen = window(
                server, "benchmarks.dialect_client", *arguments, "--core", str(client_core)
            )
        except RunFailed as error:
            raise RunFailed(f"{wire.name}: {error}") from None
        report = seen.report
        if report["broken"]:
            raise RunFailed(f"{wire.name}: {report['broken'][0]}")
    on_progress(1, 1)
    return cpu_ms_per_session_second(seen.used.server_s, SESSIONS, report["wall_s"]), report


def _doubts(wire: Wire, report: dict[str, Any]) -> list[str]:
    found = []
    if report["lag_p99_ms"] > LAG_LIMIT_MS:
        found.append(f"{wire.name}: the client ran {report['lag_p99_ms']:.0f} ms late (p99)")
    if report["client_cpu_share"] > CLIENT_SHARE:
        found.append(f"{wire.name}: the client used {report['client_cpu_share']:.0%} of its core")
    return found
