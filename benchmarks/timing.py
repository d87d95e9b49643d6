"""The arithmetic of the measurements. Pure: times are arguments.

Seconds are floats of one monotonic clock; what is reported is milliseconds.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

LEAD_MS = 200.0
"""How far ahead of real time a server may send reply audio (the protocol's promise)."""

FRAME_MS = 20.0
"""How much audio a message of the server holds: the lead counts to its end."""

CHUNK_MS = 32
"""The voice detector's step: a decision can fall only where a chunk of input audio is complete."""


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0..1] of all values do not exceed (nearest rank).

    No interpolation: what is reported was measured. Raises `ValueError` without values.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class Summary:
    """A set of measured values, by nearest-rank percentiles."""

    count: int
    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Summary | None":
        """None where nothing was measured."""
        measured = list(values)
        if not measured:
            return None
        p50, p95, p99 = (percentile(measured, share) for share in (0.50, 0.95, 0.99))
        return cls(len(measured), p50, p95, p99, max(measured))

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def lateness_ms(arrivals: Sequence[float], positions_ms: Sequence[float]) -> list[float]:
    """How late each frame of a reply came, in ms, against the schedule that its first frame sets.

    `positions_ms` says where in the reply each frame begins. A frame is due `LEAD_MS` before its
    end is heard, and never before the first one. Early frames are not late: 0.
    """
    if not arrivals:
        return []
    first = arrivals[0]
    return [
        max(0.0, (arrival - first) * 1000 - max(0.0, position + FRAME_MS - LEAD_MS))
        for arrival, position in zip(arrivals, positions_ms, strict=True)
    ]


def unheard(arrivals: Sequence[float], positions_ms: Sequence[float]) -> int:
    """How many frames came only after they should have been heard: the client fell silent."""
    first = arrivals[0] if arrivals else 0.0
    return sum(
        (arrival - first) * 1000 > position
        for arrival, position in zip(arrivals, positions_ms, strict=True)
        if position > 0
    )


def deciding_frame(stopped_at_ms: float, silence_ms: int, frame_ms: int) -> int:
    """Which input frame (counted from 0) completes the chunk that ends a turn.

    Speech stopped `stopped_at_ms` into the input; the server decides with the first detector chunk
    after which `silence_ms` have been silent. That chunk can be judged once this frame has arrived.
    """
    decided_ms = stopped_at_ms + math.ceil(silence_ms / CHUNK_MS) * CHUNK_MS
    return max(0, math.ceil(decided_ms / frame_ms) - 1)


def cpu_ms_per_session_second(cpu_s: float, sessions: int, wall_s: float) -> float:
    """Server CPU in ms for one second of one session; 10 means 100 sessions on a core."""
    return cpu_s * 1000 / (sessions * wall_s)
