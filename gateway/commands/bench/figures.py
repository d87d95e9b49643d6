"""The arithmetic of measurements. Pure: times are arguments, percentiles are nearest-rank.

No value is interpolated: what is reported was measured.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

FRAME_MS = 20.0
"""One message of input audio."""

CHUNK_MS = 32
"""The voice detector's step: a decision can fall only where a chunk of input audio is complete."""


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0..1] of all values do not exceed (nearest rank).

    Raises `ValueError` without values.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class Percentiles:
    """A set of measured values, by nearest-rank percentiles."""

    count: int
    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Percentiles | None":
        """The percentiles of the values; None if there are none."""
        ordered = sorted(values)
        if not ordered:
            return None
        count = len(ordered)
        p50, p95, p99 = (
            ordered[max(0, math.ceil(share * count) - 1)] for share in (0.50, 0.95, 0.99)
        )
        return cls(count, p50, p95, p99, ordered[-1])

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def late_ms(since_first_s: float, position_ms: float, frame_ms: float, lead_ms: float) -> float:
    """How late a frame of a reply came, against the schedule that the first frame sets.

    The frame begins `position_ms` into the reply. It is due `lead_ms` before its end is heard or,
    if the server sends without a lead, when its beginning is heard; never before the first frame.
    """
    ahead_ms = max(0.0, lead_ms - frame_ms)
    return max(0.0, since_first_s * 1000 - max(0.0, position_ms - ahead_ms))


def deciding_frame(stopped_at_ms: float, silence_ms: float) -> int:
    """Which input frame (counted from 0) completes the chunk that ends a turn.

    Speech stopped `stopped_at_ms` into the input; the server decides with the first detector chunk
    after which `silence_ms` have been silent. That chunk can be judged once this frame has arrived.
    """
    decided_ms = stopped_at_ms + math.ceil(silence_ms / CHUNK_MS) * CHUNK_MS
    return max(0, math.ceil(decided_ms / FRAME_MS) - 1)


def cpu_ms_per_session_second(cpu_s: float, sessions: int, wall_s: float) -> float:
    """Server CPU in ms for one second of one session; 10 means 100 sessions on a core."""
    return cpu_s * 1000 / (sessions * wall_s)
