"""Decides whether a load run is valid. Pure.

If the load generator was busy or late, or other processes or the machine's host took time, a run
says more about them than about the server. It is invalid, and is made again.
"""

from dataclasses import dataclass

LAG_LIMIT_MS = 5.0
"""The limit for the 99th percentile of how late the generator sent its frames: a tenth of the
service level."""

GENERATOR_LIMIT = 0.8
"""The largest share of its core that the generator may use."""

OTHERS_LIMIT = 0.15
"""Cores that other processes may use."""

STOLEN_LIMIT = 0.03
"""Cores that the host of a virtual machine may take."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of a run, as the client and the machine measured them; 1.0 in `…_cores` is one
    whole core."""

    lag_p99_ms: float
    generator_cores: float
    other_cores: float
    stolen_cores: float


def objections(seen: Conditions) -> tuple[str, ...]:
    """Why a run is invalid, a clause for each reason; empty if it is valid."""
    found = []
    if seen.lag_p99_ms > LAG_LIMIT_MS:
        found.append(f"the load generator was {seen.lag_p99_ms:.1f} ms late (p99)")
    if seen.generator_cores > GENERATOR_LIMIT:
        found.append(f"the load generator used {seen.generator_cores:.0%} of its core")
    if seen.other_cores > OTHERS_LIMIT:
        found.append(f"other processes used {seen.other_cores:.2f} cores")
    if seen.stolen_cores > STOLEN_LIMIT:
        found.append(f"the host took {seen.stolen_cores:.2f} cores")
    return tuple(found)
