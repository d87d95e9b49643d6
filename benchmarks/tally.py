"""The sums of all sessions of a load run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from benchmarks.caller import Caller, Turn
from benchmarks.timing import Summary, lateness_ms, unheard


@dataclass(slots=True)
class Tally:
    """The sums of all sessions. Values are ms unless they are counts."""

    spoken: int = 0
    answered: int = 0
    decision_to_first: list[float] = field(default_factory=list)
    ready_to_decision: list[float] = field(default_factory=list)
    voice_to_voice: list[float] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)
    frames_unheard: int = 0
    partials: int = 0
    understood: int = 0
    """Turns whose final transcript has words in it."""
    recognisers: dict[str, int] = field(default_factory=dict)
    """The same turns by the provider that recognised them."""
    stepped_down: int = 0
    """Turns whose client was told that another recogniser, or none, takes over."""
    barge_ins: int = 0
    clear_to_last: list[float] = field(default_factory=list)
    frames_after_clear: int = 0
    speech_to_last: list[float] = field(default_factory=list)
    lag: list[float] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)

    def fault(self, code: str) -> None:
        self.faults[code] = self.faults.get(code, 0) + 1

    def add(self, caller: Caller) -> None:
        """Take over what one finished call has seen."""
        self.lag += [lag * 1000 for lag in caller.lag_s]
        for fault in caller.faults:
            self.fault(fault_name(fault))
        self.stepped_down += len(
            {
                fault["turn"]
                for fault in caller.faults
                if fault["type"] == "degraded" and fault["stage"] == "stt"
            }
        )
        for turn in caller.turns.values():
            self._add_turn(turn)

    def _add_turn(self, turn: Turn) -> None:
        self.lateness += lateness_ms(turn.arrivals, turn.positions_ms)
        self.frames_unheard += unheard(turn.arrivals, turn.positions_ms)
        self.frames_after_clear += turn.frames_after_clear
        self.partials += turn.partials
        if turn.transcript:
            self.understood += 1
            name = turn.recogniser or "unknown"
            self.recognisers[name] = self.recognisers.get(name, 0) + 1
        if turn.stopped_at is not None:
            if turn.ready_at is not None:
                self.ready_to_decision.append((turn.stopped_at - turn.ready_at) * 1000)
            if turn.first_at is not None:
                self.decision_to_first.append((turn.first_at - turn.stopped_at) * 1000)
                if turn.ended_at is not None:
                    self.voice_to_voice.append((turn.first_at - turn.ended_at) * 1000)
        if turn.clear_at is not None and turn.last_at is not None:
            self.clear_to_last.append(max(0.0, (turn.last_at - turn.clear_at) * 1000))

    def as_dict(self) -> dict[str, Any]:
        """Counts as they are, measured values as summaries (null where there were none)."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {
            name: _summary(value) if isinstance(value, list) else value
            for name, value in values.items()
        }


def fault_name(fault: Mapping[str, Any]) -> str:
    """An error by its code; a degradation by its stage and by what gave way to what."""
    if fault["type"] == "degraded":
        return f"degraded.{fault['stage']}: {fault['from']} → {fault['to']}"
    return str(fault["code"])


def _summary(values: list[float]) -> dict[str, float] | None:
    summary = Summary.of(values)
    return None if summary is None else summary.as_dict()
