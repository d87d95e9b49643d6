from typing import Any

import pytest

from gateway.workers import merging


def health(**gateway: Any) -> dict[str, Any]:
    pressure = {"refuses": [], "why": [], "loop_lag_ms": 1.0, "memory": 0.1}
    own = {"status": "online", "uptime_seconds": 5, "taken": 1, "places": 50, "workers": 1}
    queue = {"name": "stt", "unit": "jobs", "depth": 2, "bound": 8}
    return {
        "status": "offline",
        "gateway": {**own, "pressure": {**pressure, **gateway.pop("pressure", {})}, **gateway},
        "queues": [queue, {**queue, "name": "tts", "bound": None}],
    }


def test_places_and_queues_of_the_processes_add_up() -> None:
    own, other = health(taken=3), health(taken=4, uptime_seconds=9)
    merged = merging.health(own, [own, other])
    gateway = merged["gateway"]
    assert (gateway["taken"], gateway["places"], gateway["workers"]) == (7, 100, 2)
    assert gateway["uptime_seconds"] == 9
    assert [(queue["depth"], queue["bound"]) for queue in merged["queues"]] == [(4, 16), (4, None)]


def test_a_session_is_refused_only_where_every_process_refuses_it() -> None:
    busy = health(pressure={"refuses": ["voice", "text"], "why": ["late"], "loop_lag_ms": 70.0})
    other = health(pressure={"refuses": ["voice"], "why": ["busy"]})
    pressure = merging.health(busy, [busy, other])["gateway"]["pressure"]
    assert pressure == {
        "refuses": ["voice"],
        "why": ["late", "busy"],
        "loop_lag_ms": 70.0,
        "memory": 0.1,
    }


def test_a_gateway_is_as_well_as_its_best_process() -> None:
    own, other = health(status="degraded"), health(status="online")
    assert merging.health(own, [own, other])["gateway"]["status"] == "online"


def test_sessions_of_all_processes_stand_in_the_order_of_their_beginning() -> None:
    merged = merging.sessions(
        {
            0: {"sessions": [{"session_id": "a", "began": "2"}, {"session_id": "b", "began": "4"}]},
            1: {"sessions": [{"session_id": "c", "began": "3"}]},
        }
    )
    assert [(one["session_id"], one["worker"]) for one in merged["sessions"]] == [
        ("a", 0),
        ("c", 1),
        ("b", 0),
    ]


@pytest.mark.parametrize(
    ("states", "told"),
    [
        (("closed", "closed"), "closed"),
        (("closed", "open"), "open"),
        (("half-open", "closed"), "half-open"),
        (("forced-open", "open"), "forced-open"),
    ],
)
def test_a_breaker_is_told_as_the_process_has_it_that_is_furthest_from_closed(
    states: tuple[str, str], told: str
) -> None:
    all_ = [
        {"breakers": [{"name": "llm.openai", "state": state, "transitions": 2}]} for state in states
    ]
    assert merging.breakers(all_) == {
        "breakers": [{"name": "llm.openai", "state": told, "transitions": 4}]
    }


def used(name: str, count: int, **more: str) -> dict[str, object]:
    return {"name": name, **more, "requests": count, "prompt_tokens": 10 * count}


def test_tokens_of_all_processes_add_up_and_sessions_of_two_keys_do_not() -> None:
    one = {
        "since": "2026-11-29T21:40:02Z",
        "keys": [used("a", 1), used("b", 2)],
        "sessions": [used("s-1", 1, key="a")],
        "models": [used("m", 3)],
    }
    other = {
        "since": "2026-11-29T21:40:01Z",
        "keys": [used("b", 4)],
        "sessions": [used("s-1", 4, key="b"), used("s-1", 1, key="a")],
        "models": [],
    }
    assert merging.usage([one, other]) == {
        "since": "2026-11-29T21:40:01Z",
        "keys": [used("a", 1), used("b", 6)],
        "sessions": [used("s-1", 2, key="a"), used("s-1", 4, key="b")],
        "models": [used("m", 3)],
    }


def test_a_drill_in_every_process_is_one_drill() -> None:
    one = {"drills": [{"name": "llm.scripted", "fault": "hang", "seconds_left": 3.0}]}
    assert merging.drills([one, one, {"drills": []}]) == one


@pytest.mark.parametrize(
    ("statuses", "method", "chosen"),
    [
        ({0: 200, 1: 200}, "POST", 1),
        ({0: 409, 1: 201}, "POST", 0),
        ({0: 404, 1: 204}, "DELETE", 1),
        ({0: 204, 1: 404}, "DELETE", 0),
        ({0: 404, 1: 404}, "DELETE", 1),
    ],
    ids=["all did", "one refused", "one had it", "the other had it", "none had it"],
)
def test_the_answer_to_a_change_is_that_of_a_process_that_refused(
    statuses: dict[int, int], method: str, chosen: int
) -> None:
    assert merging.chosen(1, statuses, method) == chosen


def test_a_gateway_is_ready_while_one_process_is() -> None:
    assert merging.ready(0, {0: 503, 1: 200}) == 1
    assert merging.ready(0, {0: 200, 1: 200}) == 0
    assert merging.ready(0, {0: 503, 1: 503}) == 0


def test_what_the_processes_have_refused_adds_up() -> None:
    key = {"policy": "key", "most": 60, "window_s": 60, "refused": 3}
    day = {"policy": "day", "most": 9, "window_s": 86400, "refused": 0}
    one = {"limits": [key, day], "counting": True}
    other = {"limits": [{**key, "refused": 4}, day], "counting": False}
    assert merging.limits([one, other]) == {
        "limits": [{**key, "refused": 7}, day],
        "counting": False,
    }
    assert one["limits"] == [key, day]
    assert key["refused"] == 3
