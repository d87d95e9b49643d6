import pytest

from gateway.commands.bench.scenario import SCENARIOS, Role, Scenario, role


@pytest.mark.parametrize(
    ("scenario", "roles"),
    [
        ("listening", [Role("talking")] * 3),
        ("silence", [Role("silent")] * 3),
        ("storm", [Role("silent")] * 3),
        ("turns", [Role("answering")] * 3),
        ("conversation", [Role("answering", 3)] * 3),
        ("barge-in", [Role("answering", 1)] * 3),
        ("mixed", [Role("silent"), Role("answering"), Role("answering", 3)]),
    ],
)
def test_every_session_has_a_role(scenario: Scenario, roles: list[Role]) -> None:
    assert [role(scenario, number) for number in range(3)] == roles


def test_every_scenario_is_described() -> None:
    assert set(SCENARIOS) == {
        "listening",
        "silence",
        "turns",
        "barge-in",
        "conversation",
        "mixed",
        "storm",
    }
