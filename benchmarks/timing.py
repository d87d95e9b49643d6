"""The arithmetic of the measurements. Pure: times are arguments.

Seconds are floats of one monotonic clock; what is reported is milliseconds.
"""

from collections.abc import Sequence

from gateway.commands.bench.figures import (
    CHUNK_MS,
    FRAME_MS,
    cpu_ms_per_session_second,
    deciding_frame,
    late_ms,
    percentile,
)
from gateway.commands.bench.figures import Percentiles as Summary

__all__ = [
    "CHUNK_MS",
    "FRAME_MS",
    "LEAD_MS",
    "Summary",
    "cpu_ms_per_session_second",
    "deciding_frame",
    "lateness_ms",
    "percentile",
    "unheard",
]

LEAD_MS = 200.0
"""How far ahead of real time a server may send reply audio (the protocol's promise)."""


def lateness_ms(arrivals: Sequence[float], positions_ms: Sequence[float]) -> list[float]:
    """How late each frame of a reply came, in ms, against the schedule that its first frame sets.

    `positions_ms` says where in the reply each frame begins. A frame is due `LEAD_MS` before its
    end is heard, and never before the first one. Early frames are not late: 0.
    """
    if not arrivals:
        return []
    first = arrivals[0]
    return [
        late_ms(arrival - first, position, FRAME_MS, LEAD_MS)
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
