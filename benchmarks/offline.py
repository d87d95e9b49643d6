"""The wait for an answer on a machine without a network: its recogniser, interview and voice.

Two gateways are called, one after the other: the first prepares its answer in the first 200 ms of
silence, as `parley serve` does; the second begins when the turn is decided.
"""

from benchmarks.load import Plan
from benchmarks.progress import Progress
from benchmarks.result import Machine, Metric, Result, percentiles
from benchmarks.runs import Measured, run_load, told_faults
from benchmarks.server import Server

TURNS = 10
QUICK_TURNS = 3
SHORTEST_MS = 8_000
"""With the fixture clips: ten answers of 8.3 to 11.9 s, the longer ones with a phrase and a short
pause before them."""
LIMIT_MS = 60.0


def offline(progress: Progress, *, quick: bool = False) -> Result:
    """One session on all cores, with speculation and without."""
    turns = QUICK_TURNS if quick else TURNS
    found: list[Metric] = []
    distrust: list[str] = []
    notes: list[str] = []
    heard: dict[str, int] = {}
    providers: dict[str, str] = {}
    with progress.runs(2):
        for name, speculate, limits in (
            ("with speculation", "on", {"p50": LIMIT_MS}),
            ("without", "off", {}),
        ):
            seen, providers = _run(speculate, turns, progress)
            found += metrics(name, seen, limits)
            distrust += seen.report["distrust"]
            notes += told_faults(seen.report)
            for recogniser, count in seen.report["recognisers"].items():
                heard[recogniser] = heard.get(recogniser, 0) + count
    settings = {
        "recogniser": providers.get("stt", "unknown"),
        "voice": providers.get("tts", "unknown"),
        "silence_ms": Plan("").silence_ms,
        "sessions": 1,
    }
    told = ", ".join(f"{count} by {name}" for name, count in sorted(heard.items()))
    notes.append(f"answers recognised: {told or 'none'}")
    return Result(
        "offline",
        settings,
        tuple(found),
        Machine.here(),
        distrust=tuple(distrust),
        notes=tuple(notes),
    )


def metrics(name: str, seen: Measured, limits: dict[str, float]) -> list[Metric]:
    """The figures of one gateway, with what must hold."""
    report = seen.report
    spoken = report["spoken"]
    missing = spoken - report["answered"] if spoken else float("inf")
    decided = seen.summary("decision_to_first")
    return [
        *percentiles(f"decision → first reply byte, {name}", "ms", decided, limits),
        Metric(f"turns without an answer, {name}", missing, "", limit=0.0, count=spoken),
        Metric(f"old frames after a barge-in, {name}", report["frames_after_clear"], "", limit=0.0),
        Metric(f"captions a turn, {name}", report["partials"] / max(1, spoken), ""),
        Metric(f"server CPU, share of a core, {name}", seen.cpu_s / seen.wall_s, ""),
        Metric(f"worker CPU, share of a core, {name}", seen.workers_cpu_s / seen.wall_s, ""),
        Metric(f"CPU of other processes, cores, {name}", seen.others_cpu_s / seen.wall_s, ""),
    ]


def _run(speculate: str, turns: int, progress: Progress) -> tuple[Measured, dict[str, str]]:
    with (
        progress.run(f"{turns} answers, speculation {speculate}") as on_progress,
        Server("offline", environment={"PARLEY_SPECULATE": speculate}) as server,
    ):
        plan = Plan(server.sessions_url, turns=turns, hush=True, shortest_ms=SHORTEST_MS)
        return run_load(server, plan, on_progress), server.providers()
