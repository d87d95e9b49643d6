"""How well the end of a turn is found: answers that come too early, and waits that are too long.

A turn is *cut off* when it is decided before its last word: the answer begins in a pause. The
*added wait* of the others lies between the end of their speech and the decision. Every policy hears
the same turns through `pipeline.turns`.

Three sets: the fixture clips with a pause put between two of their words (real voice detection,
real recognition); scripted turns ("scripts"); and the same turns as a recogniser would write them
that punctuates, like Whisper ("punctuated"). Pauses are log-normal in all.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from statistics import fmean

from rich.table import Table

from benchmarks.endpointing_clips import from_fixtures, spoken_turns
from benchmarks.endpointing_scripts import SCRIPTS, SEED, from_scripts
from benchmarks.endpointing_takes import (
    PAUSE_MS,
    PAUSE_SPREAD,
    RECOGNITION_MS,
    TAIL_MS,
    Take,
    decision_ms,
)
from benchmarks.progress import OnProgress, Progress
from benchmarks.result import Machine, Metric, Result
from benchmarks.speech import Clip, answers
from benchmarks.timing import percentile
from pipeline.turns import CHUNK_MS, TurnPolicy

SILENCES_MS = (500, 700, 800, 1_000, 1_500)
DEFAULT_MS = TurnPolicy().silence_ms

WAITS = ("mean", "p50", "p95")


@dataclass(frozen=True, slots=True)
class Score:
    """The result of a policy on a set."""

    turns: int
    waits_ms: tuple[float, ...]
    """Of the turns that were not cut off."""

    @classmethod
    def of(cls, takes: Sequence[Take], policy: TurnPolicy) -> "Score":
        after = [decision_ms(take, policy) - take.end_ms for take in takes]
        return cls(len(takes), tuple(wait for wait in after if wait >= 0))

    @property
    def cut_off(self) -> float:
        """Percent of the turns."""
        return 100 * (1 - len(self.waits_ms) / self.turns)

    def metrics(self, name: str) -> list[Metric]:
        found = [Metric(f"{name}, cut off", self.cut_off, "%", count=self.turns)]
        if waits := self.waits_ms:
            values = (fmean(waits), percentile(waits, 0.5), percentile(waits, 0.95))
            found += [
                Metric(f"{name}, added wait", value, "ms", key, count=len(waits))
                for key, value in zip(WAITS, values, strict=True)
            ]
        return found


def equally_careful(takes: Sequence[Take], cut_off: float) -> tuple[int, Score]:
    """The shortest fixed silence, in chunks of ms, that cuts off no more turns than `cut_off` %."""
    too_short, enough = 0, (TAIL_MS - 500) // CHUNK_MS
    best = Score.of(takes, _fixed(enough))
    while enough - too_short > 1:
        middle = (too_short + enough) // 2
        score = Score.of(takes, _fixed(middle))
        if score.cut_off <= cut_off:
            enough, best = middle, score
        else:
            too_short = middle
    return enough * CHUNK_MS, best


def _fixed(chunks: int) -> TurnPolicy:
    silence_ms = chunks * CHUNK_MS
    return TurnPolicy(silence_ms=silence_ms, max_wait_ms=TAIL_MS, adaptive=False)


def endpointing(progress: Progress, clips: Sequence[Clip] = ()) -> Result:
    """Adaptive against fixed endpointing on all sets."""
    clips = clips or answers()
    spoken = len(spoken_turns(clips))
    sets = {}
    with progress.runs(3):
        with progress.run(f"fixtures, {spoken} turns") as on_progress:
            sets["fixtures"] = from_fixtures(counter(on_progress, spoken), clips)
        with progress.run(f"scripts, {SCRIPTS} turns") as on_progress:
            sets["scripts"] = from_scripts(counter(on_progress, SCRIPTS))
        with progress.run(f"punctuated, {SCRIPTS} turns") as on_progress:
            on_turn = counter(on_progress, SCRIPTS)
            sets["punctuated"] = from_scripts(on_turn, punctuation=True)
    found: list[Metric] = []
    notes = []
    for name, takes in sets.items():
        for silence_ms in SILENCES_MS:
            for kind in ("fixed", "adaptive"):
                policy = TurnPolicy(silence_ms=silence_ms, adaptive=kind == "adaptive")
                found += Score.of(takes, policy).metrics(f"{name}, {kind} {silence_ms} ms")
        notes.append(f"{name}: {verdict(takes)}")
    settings = {
        "pause_ms": PAUSE_MS,
        "pause_spread": PAUSE_SPREAD,
        "recognition_ms": RECOGNITION_MS,
        "seed": SEED,
    }
    return Result("endpointing", settings, tuple(found), Machine.here(), notes=tuple(notes))


def counter(on_progress: OnProgress, goal: int) -> Callable[[], None]:
    """A callable for the end of each of `goal` turns."""
    done = count(1)
    return lambda: on_progress(next(done), goal)


def verdict(takes: Sequence[Take]) -> str:
    """The gain of the adaptive default, in a sentence."""
    adaptive = Score.of(takes, TurnPolicy())
    silence_ms, fixed = equally_careful(takes, adaptive.cut_off)
    if not adaptive.waits_ms:
        return "every turn was cut off"
    ours, theirs = fmean(adaptive.waits_ms), fmean(fixed.waits_ms)
    difference = f"{abs(theirs - ours):.0f} ms {'longer' if theirs >= ours else 'less'}"
    return (
        f"adaptive endpointing at {DEFAULT_MS} ms cuts off {adaptive.cut_off:.1f} % and waits "
        f"{ours:.0f} ms on average; a fixed silence that cuts off no more must last "
        f"{silence_ms} ms and waits {theirs:.0f} ms, {difference}"
    )


def tables(result: Result) -> Iterator[Table]:
    """A table for each set: a row for each policy."""
    rows: dict[str, dict[str, dict[str, Metric]]] = {}
    for metric in result.metrics:
        name, policy, what = metric.name.split(", ")
        key = metric.percentile if what == "added wait" else what
        rows.setdefault(name, {}).setdefault(policy, {})[key] = metric
    for name, policies in rows.items():
        turns = next(iter(policies.values()))["cut off"].count
        table = Table(title=f"endpointing: {name}, {turns} turns", title_justify="left")
        table.add_column("policy")
        for heading in ("cut off, %", "added wait, ms: mean", "p50", "p95"):
            table.add_column(heading, justify="right")
        for policy, metrics in policies.items():
            waits = (f"{metrics[key].value:.0f}" if key in metrics else "" for key in WAITS)
            table.add_row(policy, f"{metrics['cut off'].value:.1f}", *waits)
        yield table
