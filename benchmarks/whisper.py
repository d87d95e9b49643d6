"""The wait for an answer if Whisper is the recogniser.

The model has the dimensions of Whisper's "tiny" and random weights, so a decode costs what it costs
with the real ones; but it says the same 40 tokens whatever is said. Two gateways are called, one
after the other: the first prepares its answer in the first 200 ms of silence, the second does not.
"""

import tempfile
from pathlib import Path

from benchmarks.load import Plan
from benchmarks.progress import Progress
from benchmarks.result import Machine, Metric, Result, percentiles
from benchmarks.runs import Measured, run_load
from benchmarks.server import Server
from benchmarks.tiny_whisper import TOKENS, build

TURNS = 10
SILENCE_MS = 700
SHORTEST_MS = 8_000
"""With the fixture clips: five answers of 8.3 to 9.6 s, in each one speech without a long pause."""


def whisper(progress: Progress) -> Result:
    """One session, captions on: with speculation, and without."""
    with progress.runs(2), tempfile.TemporaryDirectory(prefix="parley-whisper-") as folder:
        model = build(Path(folder, "tiny"))
        prepared = _run(model, "on", progress)
        waited = _run(model, "off", progress)
    found: list[Metric] = []
    for name, seen, limits in (
        ("with speculation", prepared, {"p50": 60.0}),
        ("without", waited, {}),
    ):
        report = seen.report
        spoken = report["spoken"]
        missing = spoken - report["answered"] if spoken else float("inf")
        found += [
            *percentiles(
                f"decision → first reply byte, {name}",
                "ms",
                seen.summary("decision_to_first"),
                limits,
            ),
            Metric(f"turns without an answer, {name}", missing, "", limit=0.0, count=spoken),
            Metric(f"captions a turn, {name}", report["partials"] / max(1, spoken), ""),
            Metric(f"worker CPU, share of a core, {name}", seen.workers_cpu_s / seen.wall_s, ""),
            Metric(f"CPU of other processes, cores, {name}", seen.others_cpu_s / seen.wall_s, ""),
        ]
    reports = (prepared.report, waited.report)
    return Result(
        "whisper",
        {"model": "tiny, random", "tokens": TOKENS, "silence_ms": SILENCE_MS, "sessions": 1},
        tuple(found),
        Machine.here(),
        distrust=tuple(reason for report in reports for reason in report["distrust"]),
        notes=tuple(
            f"{code}: {count} times"
            for report in reports
            for code, count in sorted(report["faults"].items())
        ),
    )


def _run(model: Path, speculate: str, progress: Progress) -> Measured:
    environment = {
        "PARLEY_STT": "whisper",
        "WHISPER_MODEL": str(model),
        "PARLEY_SPECULATE": speculate,
    }
    with (
        progress.run(f"{TURNS} answers, speculation {speculate}") as on_progress,
        Server("offline", environment=environment) as server,
    ):
        plan = Plan(
            server.sessions_url,
            turns=TURNS,
            hush=True,
            silence_ms=SILENCE_MS,
            shortest_ms=SHORTEST_MS,
        )
        return run_load(server, plan, on_progress)
