"""Sums up what the sessions of a load run have measured."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.commands.bench.figures import Percentiles


def _floats() -> "array[float]":
    return array("f")


@dataclass(slots=True)
class Observed:
    """The sums of all sessions while it is `counting`. Values are ms unless they are counts."""

    counting: bool = False
    spoken: int = 0
    answered: int = 0
    missed: int = 0
    """Turns without a decision or a reply in time."""
    early: int = 0
    """Turns that were decided while the person still spoke."""
    lateness: "array[float]" = field(default_factory=_floats)
    decision_to_first: "array[float]" = field(default_factory=_floats)
    ready_to_decision: "array[float]" = field(default_factory=_floats)
    """From the frame that made the decision possible, if the server tells which it was."""
    end_to_decision: list[tuple[int, float]] = field(default_factory=list)
    """The clip, and the time from its last frame to the decision."""
    barge_in: "array[float]" = field(default_factory=_floats)
    """From the first frame of an interruption to the last byte of the old reply."""
    connect: "array[float]" = field(default_factory=_floats)
    """From the connection's begin to the session's."""
    lag: "array[float]" = field(default_factory=_floats)
    """How late the generator sent its own frames."""
    calls: int = 0
    """Connections made, including those after the end of an interview."""
    faults: dict[str, int] = field(default_factory=dict)

    def fault(self, name: str) -> None:
        self.faults[name] = self.faults.get(name, 0) + 1

    def report(self) -> dict[str, Any]:
        """Counts as they are, measured values as summaries (null where there were none)."""
        return {
            "calls": self.calls,
            "spoken": self.spoken,
            "answered": self.answered,
            "missed": self.missed,
            "early": self.early,
            "faults": self.faults,
            "end_to_decision": self.end_to_decision,
            **{
                name: _summary(getattr(self, name))
                for name in (
                    "lateness",
                    "decision_to_first",
                    "ready_to_decision",
                    "barge_in",
                    "connect",
                    "lag",
                )
            },
        }


def _summary(values: "array[float]") -> dict[str, float] | None:
    summary = Percentiles.of(values)
    return None if summary is None else summary.as_dict()


def fastest(
    decisions: Sequence[Sequence[float]], known: Mapping[int, float] | None = None
) -> dict[int, float]:
    """The least time from each clip's last frame to its decision, including the `known` ones."""
    least = dict(known or {})
    for clip, delay_ms in decisions:
        number = int(clip)
        least[number] = min(delay_ms, least.get(number, delay_ms))
    return least


def behind(decisions: Sequence[Sequence[float]], least: Mapping[int, float]) -> Percentiles | None:
    """How much later than the fastest decision after the same clip each decision came, in ms.

    A clip always begins at the same place in the detector's chunks, so its decision falls on the
    same sample each time: what differs is the time that the server took.
    """
    return Percentiles.of(delay_ms - least[int(clip)] for clip, delay_ms in decisions)
