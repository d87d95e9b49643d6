"""A crowd's client, and what its report comes to."""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from io import StringIO
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from rich.console import Console

from benchmarks import overload as module
from benchmarks.caller import CallEnded, CallRefused
from benchmarks.crowd import Crowd, CrowdPlan
from benchmarks.load import Plan
from benchmarks.overload import FEW, SAMPLE, Seen, distrust, metrics
from benchmarks.progress import OnProgress, Progress
from benchmarks.result import Metric
from benchmarks.runs import Measured, RunFailed
from benchmarks.server import Server
from pipeline.testing import run_virtual


class Door(Crowd):
    """Lets in as many as `places`, and refuses all others, each as `refuses` says."""

    def __init__(self, plan: CrowdPlan, places: int, refuses: Iterator[Exception]) -> None:
        super().__init__(plan, clock=lambda: asyncio.get_running_loop().time())
        self.places = places
        self.tries: list[tuple[float, int]] = []
        self._refuses = refuses

    async def _call(self, number: int, url: str, interview: dict[str, Any], turns: Any) -> bool:
        self.tries.append((round(asyncio.get_running_loop().time(), 3), number))
        if len(self._admitted) >= self.places:
            raise next(self._refuses)
        self._entered(number)
        self.tally.spoken += 1
        await self._over.wait()
        self.tally.answered += 1
        return False


def busy() -> Iterator[Exception]:
    while True:
        yield CallRefused(503, "overloaded")
        yield CallEnded(1013)


PLAN = CrowdPlan("ws://127.0.0.1:1/ws", 10, seconds=10.0, arrive_s=5.0, retry_s=3.0)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.load.tell", lambda *event, **fields: None)


def test_who_is_refused_comes_again_until_the_stretch_is_over() -> None:
    door = Door(PLAN, 4, busy())
    report = run_virtual(door.run())
    assert report["clients"] == 10
    assert report["admitted_at_s"] == [-5.0, -4.5, -4.0, -3.5]
    assert report["admitted"] == 4
    assert [number for _, number in door.tries[:10]] == list(range(10))
    assert [at for at, number in door.tries if number == 9] == [4.5, 7.5, 13.5]
    assert report["refused"] == len(door.tries) - 4
    assert report["refusal"]["count"] == report["refused"]
    assert (report["spoken"], report["answered"], report["faults"]) == (4, 4, {})


def test_another_refusal_is_a_fault_and_so_is_a_call_that_ends() -> None:
    others = iter([CallRefused(403, "forbidden"), CallEnded(1011), OSError("no route")])
    door = Door(CrowdPlan("ws://127.0.0.1:1/ws", 4, 1.0, arrive_s=1.0), 1, others)
    report = run_virtual(door.run())
    assert report["refused"] == 0
    assert report["faults"] == {
        "client.no_call (forbidden)": 1,
        "closed.1011": 1,
        "client.no_call (no route)": 1,
    }


def summary(p99: float, count: int = 100) -> dict[str, float]:
    return {"count": count, "p50": 1.0, "p95": p99 / 2, "p99": p99, "max": p99}


def seen(*, memory_mb: list[float] | None = None, **changed: Any) -> Seen:
    report: dict[str, Any] = {
        "clients": 600,
        "admitted": 150,
        "admitted_by_s": 3.0,
        "admitted_at_s": [-1.0] * 150,
        "refused": 4_000,
        "refusal": summary(30.0),
        "spoken": 500,
        "answered": 500,
        "frames_unheard": 0,
        "lateness": summary(20.0),
        "decision_to_first": summary(8.0),
        "lag": summary(3.0),
        "client_cpu_share": 0.4,
        "distrust": [],
        "faults": {},
    }
    knocks = {"refusal": changed.pop("knocks", summary(30.0)), "lag": summary(1.0), "distrust": []}
    return Seen(report | changed, memory_mb or [200.0] * 40, 0.8, ("overloaded",), knocks)


def few(**changed: Any) -> Seen:
    return seen(**{"clients": FEW, "admitted": FEW, "refused": 0, "refusal": None} | changed)


def broken(found: list[Metric]) -> list[str]:
    return sorted({metric.name for metric in found if not metric.holds})


# --- what a core carries -------------------------------------------------------------------------


@dataclass
class Core:
    """A core on which `most` are in time. A session takes 5 ms a second, or less beside others:
    `fixed_ms` are for all."""

    most: int
    fixed_ms: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    """Of the first run with so many."""
    client_carries: int = 10_000
    """With more, the load client is late."""
    asked: list[int] = field(default_factory=list)

    def run(self, server: Server, plan: Plan, on_progress: OnProgress) -> Measured:
        late = summary(7.0 if plan.sessions <= self.most else 300.0)
        first = not self.asked[1:] and plan.sessions != SAMPLE
        doubts = [] if plan.sessions <= self.client_carries else ["the load client ran 90 ms late"]
        report = {"lateness": late, "wall_s": 10.0, "distrust": doubts}
        report["faults"] = self.faults if first else {"degraded.llm: a → b": 3}
        self.asked.append(plan.sessions)
        each_ms = 5.0 - self.fixed_ms / SAMPLE
        return Measured(report, (self.fixed_ms + plan.sessions * each_ms) / 100, 0.0, 0.0, 0.0)

    def carries(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tried: list[str],
        doubts: list[str] | None = None,
    ) -> int:
        monkeypatch.setattr(module, "run_load", self.run)
        server = nullcontext(SimpleNamespace(sessions_url="ws://127.0.0.1:1/ws"))
        monkeypatch.setattr(module, "Server", lambda *args, **options: server)
        progress = Progress("overload", 1.0, Console(file=StringIO()))
        return module._carried(progress, tried, [] if doubts is None else doubts)


def test_it_is_the_first_number_that_is_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    core, tried = Core(160), list[str]()
    assert core.carries(monkeypatch, tried) == 150
    assert core.asked == [SAMPLE, 190, 170, 150]  # the next one would be less
    assert tried[1:3] == [
        "190 sessions: lateness p99 300 ms, 5.0 ms of CPU",
        "170 sessions: lateness p99 300 ms, 5.0 ms of CPU",
    ]


def test_more_are_tried_where_each_costs_less_beside_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core = Core(220, fixed_ms=120.0)
    assert core.carries(monkeypatch, []) == 206
    assert core.asked == [SAMPLE, 190, 234, 206]


def test_sessions_that_fail_are_not_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    core, tried = Core(1_000, faults={"client.no_call (refused)": 40}), list[str]()
    assert core.carries(monkeypatch, tried) == 170
    assert "190 sessions: client.no_call (refused): 40 times" in tried


def test_a_load_client_that_was_late_itself_does_not_say_how_many_are_carried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doubts: list[str] = []
    core = Core(160, client_carries=165)
    assert core.carries(monkeypatch, [], doubts) == 150
    assert doubts == [
        "190 may be carried: the load client ran 90 ms late",
        "170 may be carried: the load client ran 90 ms late",
    ]
    doubts.clear()
    assert Core(160, client_carries=10).carries(monkeypatch, [], doubts) == 150
    assert len(doubts) == 2  # where they are carried, they are, whatever the client was


@pytest.mark.parametrize(("cpu_s", "wall_s"), [(0.0, 10.0), (1.0, 0.0)])
def test_a_run_without_a_cost_says_so(
    monkeypatch: pytest.MonkeyPatch, cpu_s: float, wall_s: float
) -> None:
    core = Core(160)
    report = {"lateness": None, "wall_s": wall_s, "distrust": [], "faults": {}}
    monkeypatch.setattr(core, "run", lambda *_: Measured(report, cpu_s, 0.0, 0.0, 0.0))
    with pytest.raises(RunFailed, match="60 sessions: what the server used is not known"):
        core.carries(monkeypatch, [])


def test_open_files_are_allowed_as_far_as_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    limits, now = [], [1024, 4096]
    monkeypatch.setattr(resource, "getrlimit", lambda kind: tuple(now))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, new: limits.append(new))
    module.allow_files(1000)
    assert limits == []
    module.allow_files(2060)
    assert limits == [(2060, 4096)]
    with pytest.raises(RunFailed, match="5000 open files, and 4096 are allowed"):
        module.allow_files(5000)


def test_where_none_is_in_time_the_run_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    core = Core(100)
    with pytest.raises(RunFailed, match=r"110 sessions: lateness p99 300 ms"):
        core.carries(monkeypatch, [])
    assert core.asked == [SAMPLE, 190, 170, 150, 130, 110]


def test_a_gateway_too_busy_to_say_why_it_refuses_does_not_end_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[tuple[str, dict[str, float]]] = [
        ("steady", {}),
        ("progress", {"elapsed_s": 6.0}),
        ("over", {}),
        ("report", {"wall_s": 10.0}),
    ]
    server = Mock(url="http://127.0.0.1:1", memory_mb=lambda: 200.0)
    server.cpu.return_value.since.return_value.server_s = 4.0
    monkeypatch.setattr(module, "told_by", lambda *arguments: (event for event in events))
    monkeypatch.setattr(httpx, "get", Mock(side_effect=httpx.ReadTimeout("")))
    found = module.run_crowd(server, PLAN, lambda done, goal: None)
    assert found.why == ("unknown, /health did not answer (ReadTimeout)",)
    assert (found.cpu_share, found.memory_mb) == (0.4, [200.0])


def test_sessions_that_begin_in_the_last_half_are_no_growth() -> None:
    late = [-1.0] * 100 + [30.0] * 50
    steps = [150.0] * 30 + [200.0] * 10  # 1 MB each, on top of 50
    during = replace(seen(memory_mb=steps, admitted_at_s=late), empty_mb=50.0)
    assert during.quarters == ((150.0, 105.0), (200.0, 150.0))
    assert during.growth_mb == pytest.approx(200.0 - 150.0 - 45.0)
    leak = replace(during, memory_mb=[mb + max(0, at - 20) for at, mb in enumerate(steps)])
    assert leak.growth_mb > module.GROWTH_MB


# --- what the report comes to --------------------------------------------------------------------


def test_a_gateway_that_serves_some_and_refuses_the_rest_holds() -> None:
    assert broken(metrics(200, few(), seen(), few())) == []
    assert distrust(few(), seen(), few()) == []


@pytest.mark.parametrize(
    ("during", "name"),
    [
        (seen(lateness=summary(51.0)), "frame lateness"),
        (seen(lateness=None), "frame lateness"),
        (seen(knocks=summary(101.0)), "until a refusal"),
        (seen(knocks=None), "until a refusal"),
        (seen(answered=499), "turns without an answer"),
        (seen(spoken=0, answered=0), "turns without an answer"),
        (seen(faults={"client.no_call (timed out)": 1}), "calls that failed"),
        (seen(faults={"closed.1006": 2}), "calls that failed"),
        (seen(admitted=99), "what a core carries, per admitted session"),
        (seen(admitted=0), "what a core carries, per admitted session"),
        (seen(memory_mb=[200.0 + 1.1 * at for at in range(40)]), "memory, last quarter − third"),
        (seen(memory_mb=[200.0]), "memory, last quarter − third"),
    ],
)
def test_each_promise_can_be_broken(during: Seen, name: str) -> None:
    assert broken(metrics(200, few(), during, few())) == [name]


@pytest.mark.parametrize(
    ("after", "name"),
    [
        (few(lateness=summary(30.1)), "after: frame lateness"),
        (few(decision_to_first=summary(18.1)), "after: decision → first byte"),
        (few(admitted_by_s=15.1), f"after: until {FEW} are admitted"),
        (few(admitted=FEW - 1), f"after: until {FEW} are admitted"),
    ],
)
def test_all_must_be_as_before_once_the_crowd_has_gone(after: Seen, name: str) -> None:
    assert broken(metrics(200, few(), seen(), after)) == [name]


def test_a_crowd_that_was_none_and_a_client_that_was_late_are_not_believed() -> None:
    late = seen(refused=0, distrust=["the load client ran 30 ms late (p99)"])
    assert distrust(few(), late, few()) == [
        "crowd: the load client ran 30 ms late (p99)",
        "nobody was refused: the crowd was too small for this machine",
    ]
