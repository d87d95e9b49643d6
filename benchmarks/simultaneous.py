"""Several people who speak at the same time to one gateway with its defaults.

Their answers begin, or end, at the same moment: all recognitions then fall together. Four people
must all be understood by the default recogniser. With eight a machine of two cores may fall behind;
then each step down must be told, and every answer must still be stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.load import Plan
from benchmarks.progress import Progress
from benchmarks.result import Machine, Metric, Result, percentiles
from benchmarks.runs import Measured, run_load, told_faults
from benchmarks.server import Server
from benchmarks.stored import StoredAnswer, stored_answers

TURNS = 6
QUICK_TURNS = 2
LIMIT_MS = 1_500.0


@dataclass(frozen=True, slots=True)
class Case:
    """`sessions` people whose answers `together` "begin" or "end" at the same moment.

    `understood`: the default recogniser must understand all of them in time.
    """

    sessions: int
    together: Literal["begin", "end"]
    understood: bool = False

    def __str__(self) -> str:
        return f"{self.sessions} {self.together} together"


CASES = (Case(4, "begin", understood=True), Case(4, "end"), Case(8, "begin"))


@dataclass(frozen=True, slots=True)
class Heard:
    """What a case came to. `first` is the recogniser that the gateway would rather use."""

    first: str
    seen: Measured
    stored: Sequence[StoredAnswer]

    @property
    def report(self) -> dict[str, Any]:
        return self.seen.report

    @property
    def degraded(self) -> int:
        """The steps down that the clients were told of."""
        return self._told("degraded.")

    @property
    def canned(self) -> int:
        """The answers that a canned line, or no reply, took the place of."""
        faults: dict[str, int] = self.report["faults"]
        ends = ("canned line", "no text")
        return sum(count for fault, count in faults.items() if fault.endswith(ends))

    @property
    def untold(self) -> int:
        """The turns that went another way than through the first recogniser, less those told.

        Each turn that another recogniser understood, or none, must have been told.
        """
        by_first = int(self.report["recognisers"].get(self.first, 0))
        return max(0, int(self.report["spoken"]) - by_first - int(self.report["stepped_down"]))

    @property
    def lost(self) -> int:
        """The answers that were spoken, understood and told to the client, but not stored."""
        stored = sum(bool(answer.text) for answer in self.stored)
        return max(0, int(self.report["understood"]) - stored)

    def _told(self, prefix: str) -> int:
        faults: dict[str, int] = self.report["faults"]
        return sum(count for fault, count in faults.items() if fault.startswith(prefix))


def simultaneous(progress: Progress, *, quick: bool = False) -> Result:
    """All cases, one after the other, each with a gateway of its own."""
    turns = QUICK_TURNS if quick else TURNS
    found: list[Metric] = []
    distrust: list[str] = []
    notes: list[str] = []
    providers: dict[str, str] = {}
    with progress.runs(len(CASES)):
        for case in CASES:
            with (
                progress.run(f"{case}, {turns} answers each") as on_progress,
                Server("offline", sessions=case.sessions) as server,
            ):
                providers = server.providers()
                plan = Plan(
                    server.sessions_url,
                    sessions=case.sessions,
                    turns=turns,
                    hush=True,
                    together=case.together,
                )
                seen = run_load(server, plan, on_progress)
                stored = [one for told in stored_answers(server.url).values() for one in told]
            heard = Heard(providers.get("stt", "unknown"), seen, stored)
            found += metrics(case, heard)
            distrust += seen.report["distrust"]
            notes += [f"{case}: {fault}" for fault in told_faults(seen.report)]
    settings = {
        "recogniser": providers.get("stt", "unknown"),
        "voice": providers.get("tts", "unknown"),
        "answers each": turns,
    }
    return Result(
        "simultaneous",
        settings,
        tuple(found),
        Machine.here(),
        distrust=tuple(distrust),
        notes=tuple(notes),
    )


def metrics(case: Case, heard: Heard) -> list[Metric]:
    """The figures of one case, with what must hold."""
    report = heard.report
    spoken = report["spoken"]
    others = spoken - report["recognisers"].get(heard.first, 0) if spoken else float("inf")
    must = 0.0 if case.understood else None
    decided = heard.seen.summary("decision_to_first")
    limits = {"p95": LIMIT_MS} if case.understood else {}
    unanswered = spoken - report["answered"] if spoken else float("inf")
    return [
        *percentiles(f"{case}: decision → first byte", "ms", decided, limits),
        Metric(f"{case}: not by {heard.first}", others, "", limit=must, count=spoken),
        Metric(f"{case}: canned lines", heard.canned, "", limit=must, count=spoken),
        Metric(f"{case}: steps down, told", heard.degraded, ""),
        Metric(f"{case}: went another way untold", heard.untold, "", limit=0.0),
        Metric(f"{case}: without an answer", unanswered, "", limit=0.0, count=spoken),
        Metric(f"{case}: understood, not stored", heard.lost, "", limit=0.0),
        Metric(f"{case}: worker CPU, cores", heard.seen.workers_cpu_s / heard.seen.wall_s, ""),
        Metric(f"{case}: CPU of others, cores", heard.seen.others_cpu_s / heard.seen.wall_s, ""),
    ]
