from dataclasses import replace

import pytest

from gateway.commands.bench.validity import Conditions, objections

QUIET = Conditions(lag_p99_ms=0.8, generator_cores=0.3, other_cores=0.02, stolen_cores=0.0)


def test_a_run_on_a_quiet_machine_is_valid() -> None:
    assert objections(QUIET) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lag_p99_ms": 5.1}, "the load generator was 5.1 ms late (p99)"),
        ({"lag_p99_ms": float("inf")}, "the load generator was inf ms late (p99)"),
        ({"generator_cores": 0.81}, "the load generator used 81% of its core"),
        ({"other_cores": 0.2}, "other processes used 0.20 cores"),
        ({"stolen_cores": 0.05}, "the host took 0.05 cores"),
    ],
    ids=["late", "never", "busy", "others", "stolen"],
)
def test_each_disturbance_makes_a_run_invalid(change: dict[str, float], said: str) -> None:
    assert objections(replace(QUIET, **change)) == (said,)


def test_what_is_just_within_the_limits_is_valid() -> None:
    assert objections(Conditions(5.0, 0.8, 0.15, 0.03)) == ()
