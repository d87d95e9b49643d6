"""From figures to machines: by hand what the plan says."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.commands.capacity.planning import Assumptions, Machines, RedisNeed, plan
from tests.support.capacity import FIGURES, REDIS, SERVER, WHISPER

ASSUMED = Assumptions(machine_cores=8)


def test_a_thousand_calls_as_one_would_work_them_by_hand() -> None:
    made = plan(FIGURES, 1000, ASSUMED)
    # 70 of 100 sessions a core: 15 processes, which two machines hold, 8 each; 63 calls to each.
    assert made.gateways == Machines(
        carries=70, cores_each=1, machines=3, per_machine=8, memory_mb=8 * 150 + 8 * 63 // 2
    )
    # 0.7 / (0.05 × 2) = 7 people a worker of two cores: 58 workers, four to a machine: 15 machines.
    assert made.speaking == 400
    assert made.recognition == Machines(7, 2, machines=16, per_machine=4, memory_mb=1200)
    # 1000 / 8 turns a second, 6 + 15 KB a session, twice.
    assert made.redis == RedisNeed(commands_per_s=2000, core_percent=5, memory_mb=42)
    assert made.gaps == ()


def test_processes_and_cores_count_the_spare_machine() -> None:
    recognition = plan(FIGURES, 1000, ASSUMED).recognition
    assert recognition is not None
    assert (recognition.processes, recognition.cores) == (64, 128)


@pytest.mark.parametrize(
    ("calls", "machines", "per_machine"),
    [(1, 2, 1), (70, 2, 1), (71, 2, 2), (560, 2, 8), (561, 3, 5), (1120, 3, 8), (1121, 4, 6)],
    ids=str,
)
def test_what_does_not_fit_takes_one_more(calls: int, machines: int, per_machine: int) -> None:
    gateways = plan(FIGURES, calls, ASSUMED).gateways
    assert gateways is not None
    assert (gateways.machines, gateways.per_machine) == (machines, per_machine)


def carried_without_one(group: Machines) -> int:
    return (group.machines - 1) * group.per_machine * group.carries


@given(
    calls=st.integers(1, 10**7),
    sessions=st.integers(2, 2000),
    machine_cores=st.integers(1, 256),
    factor=st.floats(0.001, 0.3),
)
def test_with_one_machine_lost_the_others_carry_everybody(
    calls: int, sessions: int, machine_cores: int, factor: float
) -> None:
    recogniser = replace(WHISPER, factor=factor, cores=1.0)
    figures = replace(FIGURES, sessions_per_core=sessions, recogniser=recogniser)
    made = plan(figures, calls, Assumptions(machine_cores))
    for group, wanted in ((made.gateways, calls), (made.recognition, made.speaking)):
        assert group is not None
        assert carried_without_one(group) >= wanted
        assert group.per_machine * group.cores_each <= machine_cores
        fewer = replace(group, machines=group.machines - 1, per_machine=machine_cores)
        assert carried_without_one(fewer) < wanted, "no machine too many"


@pytest.mark.parametrize("calls", [0, -1, -(10**9)])
def test_no_calls_are_no_plan(calls: int) -> None:
    with pytest.raises(ValueError, match="plan for one or more"):
        plan(FIGURES, calls, ASSUMED)


def test_huge_numbers_stay_exact() -> None:
    calls = 70 * 8 * 10**30 + 1
    gateways = plan(FIGURES, calls, ASSUMED).gateways
    assert gateways is not None
    assert gateways.machines == 10**30 + 2


def test_a_head_room_that_is_a_whole_number_loses_nothing_to_floats() -> None:
    """0.7 / 0.1 is 6.999… in floats, and 90 × 0.7 is 62.999…"""
    made = plan(replace(FIGURES, sessions_per_core=90), 1, ASSUMED)
    assert made.gateways is not None
    assert made.recognition is not None
    assert (made.gateways.carries, made.recognition.carries) == (63, 7)


@pytest.mark.parametrize("cores", [0.000001, 0.3, 1.0], ids=str)
def test_a_worker_has_a_core_at_least(cores: float) -> None:
    recogniser = replace(WHISPER, cores=cores, factor=0.000001)
    recognition = plan(replace(FIGURES, recogniser=recogniser), 1000, ASSUMED).recognition
    assert recognition is not None
    assert (recognition.cores_each, recognition.processes) == (1, 2)


def test_at_a_server_no_worker_is_planned_and_nothing_is_missing() -> None:
    made = plan(replace(FIGURES, recogniser=SERVER), 1000, ASSUMED)
    assert (made.recognition, made.gaps, made.speaking) == (None, (), 400)


@pytest.mark.parametrize(
    ("change", "gap"),
    [
        ({"sessions_per_core": None}, "gateways: sessions per core were not measured"),
        ({"sessions_per_core": 1}, "gateways: a core that holds 1 leaves no head room"),
        ({"recogniser": None}, "recognition: the recogniser was not measured"),
        ({"recogniser": replace(WHISPER, factor=None)}, "recognition: whisper was not measured"),
        ({"recogniser": replace(WHISPER, cores=None)}, "recognition: whisper was not measured"),
        (
            {"recogniser": replace(WHISPER, cores=8.2)},
            "recognition: whisper used 9 cores, and machines are to have 8",
        ),
        ({"redis": None}, "Redis: what sessions ask of it was not measured"),
    ],
    ids=["sessions", "one session", "recogniser", "factor", "cores", "small machine", "redis"],
)
def test_a_figure_that_is_not_there_is_said_and_the_rest_is_planned(
    change: dict[str, object], gap: str
) -> None:
    made = plan(replace(FIGURES, **change), 1000, ASSUMED)  # type: ignore[arg-type]
    assert made.gaps == (gap,)
    parts = [made.gateways, made.recognition, made.redis]
    assert sum(part is None for part in parts) == 1


def test_a_recogniser_that_is_slower_than_people_is_no_plan() -> None:
    made = plan(replace(FIGURES, recogniser=replace(WHISPER, factor=0.36)), 10, ASSUMED)
    assert made.recognition is None
    assert made.gaps[0].startswith("recognition: whisper takes 0.36 s for a second of speech")


def test_more_than_one_redis_can_do_is_said() -> None:
    figures = replace(FIGURES, redis=replace(REDIS, turn_cpu_ms=1.0))
    made = plan(figures, 5600, ASSUMED)
    assert made.redis is not None
    assert (made.redis.core_percent, made.gaps) == (70, ())
    made = plan(figures, 5601, ASSUMED)
    assert made.redis is not None
    assert made.redis.core_percent == 71
    (gap,) = made.gaps
    assert "on one core, and 5,601 calls would keep that busy for 71 %" in gap


@pytest.mark.parametrize("missing", ["gateway_mb", "session_mb"])
def test_memory_that_was_not_measured_is_none(missing: str) -> None:
    without = replace(FIGURES, **{missing: None})  # type: ignore[arg-type]
    made = plan(without, 1000, ASSUMED)
    assert made.gateways is not None
    assert (made.gateways.memory_mb, made.gaps) == (None, ())


def test_the_dictionary_has_what_is_worked_out() -> None:
    body = plan(FIGURES, 1000, ASSUMED).as_dict()
    assert body["gateways"]["processes"] == 24
    assert body["recognition"]["cores"] == 128
    assert plan(replace(FIGURES, recogniser=SERVER), 1, ASSUMED).as_dict()["recognition"] is None
