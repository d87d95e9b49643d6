import pytest

from gateway.services.health import HealthPolicy, HealthState, InstanceHealth, Probed

UP, DOWN, UNKNOWN = HealthState.UP, HealthState.DOWN, HealthState.UNKNOWN


def told(steps: str, policy: HealthPolicy | None = None) -> list[HealthState]:
    """The states after each step: "+" and "-" are probes, "c" is a call that succeeded."""
    health = InstanceHealth(policy)
    states = []
    for at, step in enumerate(steps):
        if step == "c":
            health.called()
        else:
            health.probed(Probed(float(at), 0.01, "" if step == "+" else "HTTP 500"))
        states.append(health.state)
    return states


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("+", [UP]),
        ("-", [DOWN]),
        ("c", [UNKNOWN]),
        ("+-", [UP, DOWN]),
        ("-+", [DOWN, DOWN]),
        ("-++", [DOWN, DOWN, UP]),
        ("-+-++", [DOWN, DOWN, DOWN, DOWN, UP]),
        # Probes of an instance that does its work have to fail three times.
        ("c-", [UNKNOWN, UNKNOWN]),
        ("c-c-c-", [UNKNOWN] * 5 + [DOWN]),
        ("+c-c-+c-c-c-", [UP] * 11 + [DOWN]),
        # Once no call succeeds any more, the next one is enough.
        ("+c--", [UP, UP, UP, DOWN]),
    ],
)
def test_so_many_probes_change_the_state(steps: str, expected: list[HealthState]) -> None:
    assert told(steps) == expected


def test_only_coming_back_is_told_as_coming_back() -> None:
    health = InstanceHealth()
    good, bad = Probed(0.0, 0.01), Probed(0.0, 3.0, "no answer")
    assert [health.probed(probe) for probe in (good, bad, good, good, good)] == [
        False,
        False,
        False,
        True,
        False,
    ]
    assert (health.last, health.answered) == (good, good)


def test_the_last_good_probe_is_kept_beside_the_last() -> None:
    health = InstanceHealth()
    good, bad = Probed(1.0, 0.01), Probed(2.0, 3.0, "no answer within 3 s")
    for probe in (good, bad):
        health.probed(probe)
    assert (health.last, health.answered) == (bad, good)


def test_probes_are_spread_and_more_frequent_while_it_is_down() -> None:
    health = InstanceHealth(HealthPolicy(every_s=30.0, down_every_s=5.0, jitter=0.2))
    assert [health.next_in_s(chance) for chance in (0.0, 0.5, 1.0)] == [24.0, 30.0, 36.0]
    health.probed(Probed(0.0, 0.0, "Connection refused"))
    assert [health.next_in_s(chance) for chance in (0.0, 0.5, 1.0)] == [4.0, 5.0, 6.0]


@pytest.mark.parametrize(
    "values", [{"falls": 0}, {"rises": 0}, {"every_s": 0.0}, {"limit_s": -1.0}, {"jitter": 1.0}]
)
def test_a_policy_that_makes_no_sense_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        HealthPolicy(**values)  # type: ignore[arg-type]
