"""The events of a session as lanes along its time, for `parley replay`. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Literal

from pipeline.decisions import Chunk, EndTurn
from pipeline.frames import Degraded, Fault, TurnMetrics
from pipeline.replay import Replayed
from pipeline.turns import TurnState

Kind = Literal["input", "decision", "output", "trouble"]


@dataclass(frozen=True, slots=True)
class Band:
    """A period in which turn-taking was in one state with one turn; milliseconds."""

    start: float
    end: float
    state: TurnState
    turn: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One stage of one turn, at its place in the session; `end` is at least `first`."""

    turn: int
    stage: str
    provider: str
    start: float
    first: float | None
    end: float


@dataclass(frozen=True, slots=True)
class Tick:
    """An event: its name, its details, and its kind."""

    at_ms: float
    label: str
    detail: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class JournalTimeline:
    """A session's lanes. `speech` and `levels` are (milliseconds, value), in order of time."""

    end: float
    levels: tuple[tuple[float, float], ...]
    speech: tuple[tuple[float, float], ...]
    bands: tuple[Band, ...]
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    queue_ages: Mapping[str, tuple[tuple[float, float], ...]]


def timeline(replayed: Replayed) -> JournalTimeline:
    """The lanes of a replayed session."""
    moments = [
        *(decision.at_ms for decision in replayed.decisions),
        *(note.at_ms for note in replayed.notes),
        *(level.at_ms for level in replayed.levels),
        *(age.at_ms for age in replayed.queue_ages),
    ]
    end = max(moments, default=0.0)
    ages: dict[str, list[tuple[float, float]]] = {}
    for age in replayed.queue_ages:
        ages.setdefault(age.queue, []).append((age.at_ms, age.age_ms))
    return JournalTimeline(
        end=end,
        levels=tuple(sorted((level.at_ms, level.dbfs) for level in replayed.levels)),
        speech=tuple(
            sorted(
                (decision.at_ms, decision.cause.probability)
                for decision in replayed.decisions
                if isinstance(decision.cause, Chunk)
            )
        ),
        bands=tuple(_bands(replayed, end)),
        bars=tuple(sorted(_bars(replayed), key=lambda bar: bar.start)),
        ticks=tuple(sorted(_ticks(replayed), key=lambda tick: tick.at_ms)),
        queue_ages={name: tuple(sorted(values)) for name, values in ages.items()},
    )


def describe(item: object) -> str:
    """A cause, an action or a frame in words: its name and its fields."""
    if is_dataclass(item):
        told = (f"{field.name}={getattr(item, field.name)!r}" for field in fields(item))
        return f"{type(item).__name__}({', '.join(told)})"
    return str(item)


def _bands(replayed: Replayed, end: float) -> Iterator[Band]:
    start, state, turn = 0.0, TurnState.IDLE, 0
    for decision in replayed.decisions:
        if (decision.state, decision.turn) != (state, turn):
            if decision.at_ms > start:
                yield Band(start, decision.at_ms, state, turn)
            start, state, turn = decision.at_ms, decision.state, decision.turn
    yield Band(start, end, state, turn)


def _bars(replayed: Replayed) -> Iterator[Bar]:
    """The stages of every turn, from the end of speech in its decision on."""
    ended_ms = {
        action.turn: (action.ended - replayed.origin) * 1000
        for decision in replayed.decisions
        for action in decision.actions
        if isinstance(action, EndTurn)
    }
    for note in replayed.notes:
        metrics = note.frame
        if not isinstance(metrics, TurnMetrics) or metrics.turn not in ended_ms:
            continue
        zero = ended_ms[metrics.turn]
        for span in metrics.stages:
            first = None if span.first is None else zero + span.first
            start = zero + span.start
            end = zero + span.end if span.end is not None else start
            yield Bar(
                metrics.turn, span.stage, span.provider, start, first, max(end, first or start)
            )


def _ticks(replayed: Replayed) -> Iterator[Tick]:
    for decision in replayed.decisions:
        if not isinstance(decision.cause, Chunk) and (
            decision.cause != "expire" or decision.actions
        ):
            yield _tick(decision.at_ms, decision.cause, "input")
        for action in decision.actions:
            yield _tick(decision.at_ms, action, "decision")
    for note in replayed.notes:
        trouble = isinstance(note.frame, (Degraded, Fault))
        yield _tick(note.at_ms, note.frame, "trouble" if trouble else "output")


def _tick(at_ms: float, item: object, kind: Kind) -> Tick:
    name = item if isinstance(item, str) else type(item).__name__
    turn = getattr(item, "turn", None)
    return Tick(at_ms, name if turn is None else f"{name} {turn}", describe(item), kind)
