import json
from typing import Literal

import pytest

from gateway.workers.board import ABSENT, ACCEPTING, REFUSING
from gateway.workers.routes import (
    HERE,
    Way,
    least,
    mark_of,
    marked,
    way_by_body,
    way_of,
    websocket_way,
)


@pytest.mark.parametrize(
    ("method", "path", "query", "way"),
    [
        ("GET", "/api/sessions/a", "", HERE),
        ("POST", "/api/sessions/a/submit-answer", "", HERE),
        ("GET", "/health/live", "", HERE),
        ("GET", "/health", "", Way("all")),
        ("GET", "/health/ready", "", Way("all")),
        ("GET", "/metrics", "", Way("all")),
        ("POST", "/admin/drills", "", Way("all")),
        ("DELETE", "/admin/drills/llm.scripted", "", Way("all")),
        ("OPTIONS", "/admin/drills", "", HERE),
        ("POST", "/admin/drain", "", HERE),
        ("POST", "/api/offer", "", Way("offer")),
        ("PATCH", "/api/offer", "", Way("trickle")),
        ("POST", "/sessions/abc/api/offer", "", Way("offer", "abc")),
        ("PATCH", "/sessions/abc/api/offer", "", Way("trickle")),
        ("POST", "/twilio/voice", "role=x", Way("begin")),
        ("POST", "/webrtc/abc", "", Way("begin", "abc")),
        ("GET", "/webrtc/abc", "", HERE),
        ("POST", "/whip/abc", "", Way("begin", "abc")),
        ("PATCH", "/whip/abc/w3-xyz", "", Way("worker", worker=3)),
        ("POST", "/whep/abc", "", Way("held", "abc")),
        ("DELETE", "/whep/abc/w1-xyz", "", Way("worker", worker=1)),
        ("PATCH", "/webrtc/abc/w3-xyz", "", Way("worker", worker=3)),
        ("DELETE", "/webrtc/abc/xyz", "", Way("worker")),
        ("POST", "/v1/realtime/calls", "", Way("begin")),
        ("POST", "/v1/realtime/calls", "model=m&session_id=s", Way("begin", "s")),
        ("POST", "/v1/realtime/calls/rtc_w1-x/hangup", "", Way("worker", worker=1)),
    ],
)
def test_a_request_goes_where_what_it_needs_is(
    method: str, path: str, query: str, way: Way
) -> None:
    assert way_of(method, path, query, 4) == way


def test_all_watchers_of_a_session_come_to_one_process() -> None:
    ways = [way_of("GET", f"/api/sessions/s{n}/events", "", 4) for n in range(64)]
    assert ways == [way_of("GET", f"/api/sessions/s{n}/events", "after=1", 4) for n in range(64)]
    assert {way.worker for way in ways} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("path", "query", "way"),
    [
        ("/ws/abc", "", Way("begin", "abc")),
        ("/ws/abc/", "", Way("begin", "abc")),
        ("/v1/realtime/", "session_id=abc", Way("begin", "abc")),
        ("/v1/realtime", "model=m", Way("begin")),
        ("/v1/realtime", "session_id=abc", Way("begin", "abc")),
        ("/v1/realtime", "call_id=rtc_w2-x", Way("worker", worker=2)),
        ("/v1/realtime/", "model=m&call_id=rtc_w2-x", Way("worker", worker=2)),
        ("/v1/realtime", "call_id=unknown", Way("worker")),
        ("/v1/live/sessions", "call_id=rtc_w2-x", Way("begin")),
        ("/v1/live/sessions", "", Way("begin")),
        ("/v1/live/sessions", "session_id=abc", Way("begin", "abc")),
        ("/ws-client", "role=x", Way("begin")),
        ("/ws-client/abc", "", Way("begin", "abc")),
        ("/twilio/CA1", "", Way("begin", "CA1")),
        ("/ws/notifications", "after=1", HERE),
        ("/ws/notifications/", "", HERE),
        ("/ws/notifications2", "", Way("begin", "notifications2")),
        ("/twilio/notifications", "", Way("begin", "notifications")),
        ("/other", "", HERE),
    ],
)
def test_a_websocket_begins_a_session_or_goes_to_its_call(path: str, query: str, way: Way) -> None:
    assert websocket_way(path, query) == way


@pytest.mark.parametrize(
    ("offer", "way"),
    [
        ({"sdp": ""}, Way("begin")),
        ({"session_id": "abc"}, Way("begin", "abc")),
        ({"session_id": 7}, Way("begin")),
        ({"session_id": "abc", "pc_id": "w2-x"}, Way("worker", worker=2)),
        ({"pc_id": "unknown"}, Way("begin")),
        ([], HERE),
    ],
    ids=["new", "named", "no id", "in place of another", "of nobody", "no object"],
)
def test_an_offer_goes_where_its_session_is(offer: object, way: Way) -> None:
    assert way_by_body(Way("offer"), json.dumps(offer).encode()) == way


@pytest.mark.parametrize(
    ("kind", "body", "way"),
    [
        ("offer", {"sdp": "", "pc_id": None}, Way("begin", "abc")),
        ("offer", {"session_id": "another"}, Way("begin", "abc")),
        ("offer", {"pc_id": "w1-x"}, Way("worker", worker=1)),
        ("trickle", {"pc_id": "w1-x", "candidates": []}, Way("worker", worker=1)),
        ("trickle", {"pc_id": "unknown"}, HERE),
        ("trickle", {}, HERE),
    ],
    ids=["new", "its path counts", "in place of another", "candidate", "of nobody", "nothing"],
)
def test_pipecats_peers_are_found_by_path_and_body(
    kind: Literal["offer", "trickle"], body: object, way: Way
) -> None:
    assert way_by_body(Way(kind, "abc"), json.dumps(body).encode()) == way


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000], ids=["cut", "bytes", "deep"])
def test_an_offer_that_cannot_be_read_stays(body: bytes) -> None:
    assert way_by_body(Way("offer"), body) == HERE


def test_an_id_names_its_process() -> None:
    assert [marked(mark_of(worker) + "abc") for worker in (0, 7, 63)] == [0, 7, 63]
    assert marked("rtc_w12-abc") == 12
    assert marked("abc") is None


@pytest.mark.parametrize(
    ("states", "loads", "here", "chosen"),
    [
        ([ACCEPTING, ACCEPTING], [3, 3], 1, 1),
        ([ACCEPTING, ACCEPTING], [3, 3], 0, 0),
        ([ACCEPTING, ACCEPTING], [2, 3], 1, 0),
        ([REFUSING, ACCEPTING], [2, 3], 0, 1),
        ([ABSENT, ACCEPTING], [0, 3], 1, 1),
        ([REFUSING, REFUSING], [2, 3], 1, 1),
        ([ABSENT, REFUSING], [0, 3], 1, 1),
    ],
    ids=["even", "even here", "fewer", "full here", "gone", "all full", "alone and full"],
)
def test_a_new_session_goes_where_the_fewest_are(
    states: list[int], loads: list[int], here: int, chosen: int
) -> None:
    assert least(states, loads, here) == chosen
