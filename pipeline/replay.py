"""Replay: hands a journal's events to a new `TurnTaking` and compares the actions. Pure."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from decimal import Decimal
from functools import cache
from types import MappingProxyType, UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from pipeline import decisions, frames
from pipeline.decisions import Action, Chunk, DropHeld
from pipeline.frames import Output
from pipeline.journal import EXACT, VERSION, Cause, written_as
from pipeline.turns import TurnPolicy, TurnState, TurnTaking

UNKNOWN_TO: Mapping[int, tuple[type[Action], ...]] = MappingProxyType({2: (DropHeld,), VERSION: ()})
"""The versions that can be read, and the actions that each of them does not record."""


class JournalError(ValueError):
    """Line `line` (from 1) of a journal is malformed, or of a version that cannot be read."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(line, reason)
        self.line = line
        self.reason = reason

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Decision:
    """One call of turn-taking in the replay, with the state after it.

    `line` is the call's line in the journal; `at_ms` counts from the session's beginning.
    """

    line: int
    at_ms: float
    cause: Cause
    actions: tuple[Action, ...]
    state: TurnState
    turn: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A call whose actions differ from the `recorded` actions of the journal."""

    decision: Decision
    recorded: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """A frame that went to the client `at_ms` after the session's beginning."""

    at_ms: float
    frame: Output


@dataclass(frozen=True, slots=True)
class Level:
    """The input audio's level over the 100 ms before `at_ms`."""

    at_ms: float
    dbfs: float


@dataclass(frozen=True, slots=True)
class QueueAge:
    """How long the oldest item of a queue had waited."""

    at_ms: float
    queue: str
    age_ms: float


@dataclass(frozen=True, slots=True)
class Replayed:
    """A session played again. `origin` is its beginning on its own clock, in seconds.

    Without `texts` the words of the conversation are masked. `cut`: the journal ends before the
    session did.
    """

    session_id: str
    policy: TurnPolicy
    origin: float
    texts: bool
    decisions: tuple[Decision, ...]
    differences: tuple[Difference, ...]
    notes: tuple[Note, ...]
    levels: tuple[Level, ...]
    queue_ages: tuple[QueueAge, ...]
    cut: bool


def replay(lines: Iterable[str]) -> Replayed:
    """Hand a journal's events to a new `TurnTaking` and compare its actions with the journal's.

    `lines` end with a newline, as a file gives them. A malformed last line without a newline is
    taken as a cut, as a dying process leaves it. Raises `JournalError` for other malformed lines.
    """
    source = iter(lines)
    player = _Player(next(source, ""))
    for number, line in enumerate(source, 2):
        player.play(number, line)
    return player.replayed()


@dataclass(frozen=True, slots=True)
class _Call:
    """A recorded call: its time on the session's clock, its cause and its actions."""

    now: float
    at_ms: float
    cause: Cause
    actions: tuple[Action, ...]


_Entry: TypeAlias = _Call | Note | Level | QueueAge


class _Player:
    """Reads lines and plays them, from the first line on."""

    def __init__(self, head: str) -> None:
        self._policy = TurnPolicy()
        self._origin = Decimal(0)
        self._session_id = ""
        self._texts = self._cut = False
        self._unknown: tuple[type[Action], ...] = ()
        self._decisions: list[Decision] = []
        self._differences: list[Difference] = []
        self._notes: list[Note] = []
        self._levels: list[Level] = []
        self._queue_ages: list[QueueAge] = []
        try:
            self._open(_object(head))
        except _MALFORMED as error:
            raise JournalError(1, f"not the first line of a journal: {_why(error)}") from error
        self._turns = TurnTaking(self._policy)

    def _open(self, head: dict[str, Any]) -> None:
        version: Any = head.get("v")
        if version not in UNKNOWN_TO:
            raise ValueError(
                f"version {version} where {' and '.join(map(str, UNKNOWN_TO))} are known"
            )
        self._unknown = UNKNOWN_TO[version]
        self._session_id = _fit(str, head["session"])
        self._texts = _fit(bool, head["texts"])
        self._origin = _decimal(head["origin"])
        _finite(self._origin)
        policy = {name: _value(value) for name, value in _fit(dict, head["policy"]).items()}
        self._policy = _checked(TurnPolicy(**policy))

    def play(self, number: int, line: str) -> None:
        """Take the next line."""
        try:
            entries = list(self._entries(_object(line)))
        except _MALFORMED as error:
            if not line.endswith("\n"):
                self._cut = True
                return
            raise JournalError(number, _why(error)) from error
        for entry in entries:
            match entry:
                case _Call():
                    self._call(number, entry)
                case Note():
                    self._notes.append(entry)
                case Level():
                    self._levels.append(entry)
                case _:
                    self._queue_ages.append(entry)

    def _call(self, number: int, call: _Call) -> None:
        match call.cause:
            case "open":
                actions = self._turns.open(call.now)
            case "expire":
                actions = self._turns.expire(call.now)
            case event:
                actions = self._turns.handle(event, call.now)
        taken = tuple(actions)
        decision = Decision(
            number, call.at_ms, call.cause, taken, self._turns.state, self._turns.turn
        )
        self._decisions.append(decision)
        comparable = tuple(action for action in taken if not isinstance(action, self._unknown))
        if comparable != call.actions:
            self._differences.append(Difference(decision, call.actions))

    def replayed(self) -> Replayed:
        return Replayed(
            session_id=self._session_id,
            policy=self._policy,
            origin=float(self._origin),
            texts=self._texts,
            decisions=tuple(self._decisions),
            differences=tuple(self._differences),
            notes=tuple(self._notes),
            levels=tuple(self._levels),
            queue_ages=tuple(self._queue_ages),
            cut=self._cut,
        )

    def _entries(self, line: dict[str, Any]) -> Iterator[_Entry]:
        t = _decimal(line["t"])
        at_ms = _finite(t)
        match line:
            case {"e": cause, "a": actions}:
                taken = tuple(_fit(Action, _value(action)) for action in actions)
                yield _Call(self._moment(t), at_ms, _fit(Cause, _value(cause)), taken)
            case {"at": at, "chunks": chunks}:
                yield from self._run(t, _decimal(at), chunks)
            case {"f": frame}:
                yield Note(at_ms, _fit(Output, _value(frame)))
            case {"level": levels}:
                for after_ms, dbfs in levels:
                    yield _checked(Level(at_ms + float(_decimal(after_ms)), _value(dbfs)))
            case {"queue": [name, age_ms]}:
                yield _checked(QueueAge(at_ms, name, _value(age_ms)))
            case {"cut": _}:
                self._cut = True
            case _:
                raise ValueError("no kind of line that a journal has")

    def _run(self, t: Decimal, at: Decimal, chunks: list[list[Any]]) -> Iterator[_Entry]:
        for after_ms, step_ms, probability in chunks:
            t = EXACT.add(t, _decimal(after_ms))
            at = EXACT.add(at, _decimal(step_ms))
            chunk = _checked(Chunk(float(at), _value(probability)))
            yield _Call(self._moment(t), _finite(t), chunk, ())

    def _moment(self, t: Decimal) -> float:
        return _finite(EXACT.add(self._origin, t.scaleb(-3, EXACT)))


# --- from JSON -------------------------------------------------------------------------------

_MALFORMED = (AttributeError, ArithmeticError, KeyError, RecursionError, TypeError, ValueError)
"""The exceptions that a malformed line may raise."""

_KINDS = {
    written_as(kind): kind
    for module in (decisions, frames)
    for kind in vars(module).values()
    if isinstance(kind, type) and is_dataclass(kind)
}
"""The dataclasses that a line can hold, by their names in the format."""


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON: {error.msg} at character {error.pos + 1}"
    if isinstance(error, KeyError):
        return f"nothing here is called {error}"
    return str(error) or type(error).__name__


def _object(line: str) -> dict[str, Any]:
    # Numbers with a point stay decimals, so that moments can be added up exactly.
    found: dict[str, Any] = _fit(dict, json.loads(line, parse_float=Decimal))
    return found


def _decimal(item: Any) -> Decimal:
    if type(item) not in (Decimal, int):
        raise TypeError(f"{str(item)[:40]} where a number is expected")
    return Decimal(item)


def _finite(number: Decimal) -> float:
    found: float = _fit(float, float(number))
    return found


def _value(item: Any) -> Any:
    """The value that `Journal` wrote as `item`."""
    if isinstance(item, Decimal):
        return float(item)
    if isinstance(item, list):
        return tuple(_value(part) for part in item)
    if isinstance(item, dict):
        ((name, values),) = item.items()
        return _checked(_KINDS[name](*map(_value, values)))
    return item


def _checked(item: Any) -> Any:
    """`item`, a dataclass. Raises `TypeError` if a field's value does not fit its type."""
    for name, kind in _hints(item.__class__).items():
        _fit(kind, getattr(item, name))
    return item


@cache
def _hints(kind: type[object]) -> dict[str, Any]:
    return get_type_hints(kind)


def _fit(kind: Any, value: Any) -> Any:
    if not _fits(kind, value):
        raise TypeError(f"{str(value)[:40]} where {_called(kind)} is expected")
    return value


def _called(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return "a list"
    return " or ".join(map(_called, get_args(kind))) or getattr(kind, "__name__", repr(kind))


def _fits(kind: Any, value: Any) -> bool:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(part, value) for part in parts)
    if origin is Literal:
        return value in parts
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(parts[0], part) for part in value)
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    if kind is int:
        return type(value) is int
    return isinstance(value, kind)
