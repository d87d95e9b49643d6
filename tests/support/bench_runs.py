"""Runs of the load generator as they might have been, for tests of what is made of them."""

from gateway.commands.bench.figures import Percentiles
from gateway.commands.bench.run import Job, Run
from gateway.commands.bench.scenario import Scenario
from gateway.commands.bench.validity import Conditions

QUIET = Conditions(0.5, 0.2, 0.0, 0.0)


def delays(ms: float) -> Percentiles:
    """Delays whose every percentile is the same."""
    return Percentiles(100, ms, ms, ms, ms)


def made(
    target: str,
    scenario: Scenario,
    sessions: int,
    *,
    cpu_ms: float = 4.0,
    first_ms: float = 2.0,
    barge_in_ms: float = 210.0,
    late_ms: float = 1.0,
    missed: int = 0,
    unopened: int = 0,
    lost: int = 0,
    seconds: float = 30.0,
    objections: tuple[str, ...] = (),
) -> Run:
    """A run with these figures."""
    return Run(
        Job(target, scenario, sessions, seconds),
        QUIET,
        objections,
        cpu_ms=cpu_ms,
        memory_mb=0.5,
        start_s=1.2,
        connect_cpu_ms=9.0,
        lateness=delays(late_ms),
        decision_to_first=delays(first_ms),
        chunk_to_decision=delays(8.0),
        barge_in=delays(barge_in_ms),
        connect=delays(20.0),
        spoken=100,
        answered=100 - missed,
        missed=missed,
        early=0,
        unopened=unopened,
        faults={},
        decisions=((0, 810.0),),
        lost=lost,
    )
