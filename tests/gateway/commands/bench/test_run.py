from dataclasses import replace

import pytest

from gateway.commands.bench.figures import Percentiles
from gateway.commands.bench.run import Job, Run
from gateway.commands.bench.validity import Conditions

WELL = Percentiles(100, 2.0, 8.0, 20.0, 60.0)
RUN = Run(
    Job("parley", "conversation", 100, 30.0),
    Conditions(0.5, 0.2, 0.0, 0.0),
    (),
    cpu_ms=4.0,
    memory_mb=1.0,
    start_s=1.0,
    connect_cpu_ms=10.0,
    lateness=WELL,
    decision_to_first=WELL,
    chunk_to_decision=WELL,
    barge_in=Percentiles(10, 210.0, 220.0, 230.0, 230.0),
    connect=WELL,
    spoken=400,
    answered=400,
    missed=0,
    early=0,
    unopened=0,
    faults={},
    decisions=((0, 812.0),),
)


def test_the_service_level_holds_where_every_delay_is_within_it() -> None:
    assert RUN.holds
    assert RUN.broken() == []
    assert replace(RUN, lateness=replace(WELL, p99=50.0, max=900.0)).holds


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lateness": replace(WELL, p99=51.0)}, "frame lateness p99 51 ms"),
        ({"decision_to_first": replace(WELL, p99=80.0)}, "decision → first byte p99 80 ms"),
        ({"chunk_to_decision": None}, "chunk ready → decision never measured"),
        ({"missed": 3}, "3 of 400 turns missed"),
        ({"unopened": 2}, "2 sessions did not begin"),
        ({"lost": 1}, "1 sessions were lost"),
        ({"faults": {"closed with 1011": 1}}, "closed with 1011: 1"),
    ],
    ids=["late", "slow", "unmeasured", "missed", "unopened", "lost", "fault"],
)
def test_each_failure_breaks_it_and_is_named(change: dict[str, object], said: str) -> None:
    run = replace(RUN, **change)  # type: ignore[arg-type]
    assert run.broken() == [said]
    assert not run.holds


def test_a_disturbed_run_may_hold_but_is_not_valid() -> None:
    run = replace(RUN, objections=("other processes used 0.50 cores",))
    assert (run.holds, run.valid) == (True, False)
    body = run.as_dict()
    assert (body["valid"], body["holds"]) == (False, True)
    assert "decisions" not in body


def test_a_job_says_what_it_is() -> None:
    assert str(RUN.job) == "parley, conversation, 100 sessions, 30 s"
