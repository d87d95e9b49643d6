"""How well the end of a turn is found: answers that come too early, and waits that are too long.

A turn is *cut off* when it is decided before its last word: the answer begins in a pause. The
*added wait* of the others lies between the end of their speech and the decision. Every policy hears
the same turns through `pipeline.turns`.

Three sets: the fixture clips with a pause put between two of their words (real voice detection,
real recognition); scripted turns ("scripts"); and the same turns as a recogniser would write them
that punctuates, like Whisper ("punctuated"). Pauses are log-normal in all.

Where Smart Turn's model is here (`PARLEY_TURN_MODEL`, or `parley fetch smart-turn`), a third
policy, "smart-turn", is adaptive endpointing that asks it. It hears sound, so there is one for the
clips only.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
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
from gateway.providers.build import options
from gateway.settings import Settings
from pipeline.input_speech import CHUNK_MS
from pipeline.turns import TurnPolicy
from stages.turn.smart_turn_model import ADVICE
from stages.turn.smart_turn_model import verify as wrong

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


def equally_patient(
    takes: Sequence[Take], wait_ms: float, policy: Callable[[int], TurnPolicy]
) -> Score:
    """Of the policies with 10 to 60 chunks of silence, the score whose mean wait is nearest.

    The mean wait grows with the silence but for the turns that stop being cut off.
    """
    scores = (Score.of(takes, policy(chunks * CHUNK_MS)) for chunks in range(10, 61))
    waiting = [score for score in scores if score.waits_ms]
    return min(waiting, key=lambda score: abs(fmean(score.waits_ms) - wait_ms))


def _fixed(chunks: int) -> TurnPolicy:
    silence_ms = chunks * CHUNK_MS
    return TurnPolicy(silence_ms=silence_ms, max_wait_ms=TAIL_MS, adaptive=False)


def endpointing(
    progress: Progress, clips: Sequence[Clip] = (), model: Path | None = None
) -> Result:
    """Adaptive against fixed endpointing on all sets, and Smart Turn's `model` on the clips."""
    clips = clips or answers()
    model = model or options(Settings.load()).turn_model
    problem = f"{ADVICE} or set PARLEY_TURN_MODEL" if model is None else wrong(model)
    if problem is not None:
        model = None
    spoken = len(spoken_turns(clips))
    sets = {}
    with progress.runs(3):
        with progress.run(f"fixtures, {spoken} turns") as on_progress:
            sets["fixtures"] = from_fixtures(counter(on_progress, spoken), clips, model)
        with progress.run(f"scripts, {SCRIPTS} turns") as on_progress:
            sets["scripts"] = from_scripts(counter(on_progress, SCRIPTS))
        with progress.run(f"punctuated, {SCRIPTS} turns") as on_progress:
            on_turn = counter(on_progress, SCRIPTS)
            sets["punctuated"] = from_scripts(on_turn, punctuation=True)
    found: list[Metric] = []
    notes = []
    for name, takes in sets.items():
        heard = name == "fixtures" and model is not None
        for silence_ms in SILENCES_MS:
            for kind, policy in policies(silence_ms, heard=heard):
                found += Score.of(takes, policy).metrics(f"{name}, {kind} {silence_ms} ms")
        notes.append(f"{name}: {verdict(takes)}")
        if heard:
            notes.append(f"{name}: {comparison(takes)}")
    if problem is not None:
        notes.append(f"without smart-turn: {problem}")
    settings = {
        "pause_ms": PAUSE_MS,
        "pause_spread": PAUSE_SPREAD,
        "recognition_ms": RECOGNITION_MS,
        "seed": SEED,
    }
    return Result("endpointing", settings, tuple(found), Machine.here(), notes=tuple(notes))


def policies(silence_ms: int, *, heard: bool) -> list[tuple[str, TurnPolicy]]:
    """The policies to compare at a silence, by name; `heard`: with the turn model."""
    found = [
        ("fixed", TurnPolicy(silence_ms=silence_ms, adaptive=False)),
        ("adaptive", TurnPolicy(silence_ms=silence_ms)),
    ]
    if heard:
        found.append(("smart-turn", TurnPolicy(silence_ms=silence_ms, judged=True)))
    return found


def comparison(takes: Sequence[Take]) -> str:
    """What the policies cut off where they wait as long as the adaptive default, in a sentence."""
    waits_ms = Score.of(takes, TurnPolicy()).waits_ms
    if not waits_ms:
        return "every turn was cut off"
    kinds = dict(policies(DEFAULT_MS, heard=True))
    rates = [
        f"{kind} {equally_patient(takes, fmean(waits_ms), _with_silence(policy)).cut_off:.1f} %"
        for kind, policy in kinds.items()
    ]
    return f"with a mean wait of about {fmean(waits_ms):.0f} ms are cut off: {', '.join(rates)}"


def _with_silence(policy: TurnPolicy) -> Callable[[int], TurnPolicy]:
    return lambda silence_ms: replace(policy, silence_ms=silence_ms)


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
