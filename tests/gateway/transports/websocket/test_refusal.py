"""Who is refused before a WebSocket is made for them, and who is passed on to the endpoints."""

import asyncio
import re
from pathlib import Path

import pytest
from starlette.routing import Match, WebSocketRoute

from gateway.app import create_app
from gateway.live.pressure import FEWEST_TO_JUDGE, LoadSample, Pressure
from gateway.live.registry import LiveSessions
from gateway.security.access import PROXIED, PROXIED_V1
from gateway.settings import Settings
from gateway.transports.proxies import address_behind
from gateway.transports.websocket.refusal import SESSIONS, EarlyRefusal
from tests.support.gateway import Gateway
from tests.support.raw_client import raw_client

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HEAD = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}
PATHS = (
    "/ws/one",
    "/ws-client",
    "/ws-client/one",
    "/v1/realtime?model=x",
    "/v1/live/sessions",
    "/twilio/one",
)


def request(path: str, head: dict[str, str] = HEAD) -> bytes:
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join([*lines, "", ""]).encode()


async def answers(gateway: Gateway) -> dict[str, bytes]:
    """To each path; the dates are left out."""
    found = {}
    for path in PATHS:
        async with raw_client(gateway.port) as client:
            await client.send(request(path))
            answer = bytes(await client.read_until())
            assert re.search(rb"\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", answer)
            found[path] = re.sub(rb"\r\nDate: [^\r]*", b"", answer)
    return found


def counted(gateway: Gateway) -> float:
    page = gateway.app.state.scrape.page().decode()
    found = re.search(r'parley_admissions_refused_total\{transport="websocket"\} (\S+)', page)
    return 0.0 if found is None else float(found[1])


@pytest.mark.parametrize("why", ["full", "overloaded", "ending"])
def test_the_early_answer_is_that_of_the_endpoints_byte_by_byte(tmp_path: Path, why: str) -> None:
    told: list[dict[str, bytes]] = []

    async def story() -> None:
        live = gateway.app.state.runtime.live
        match why:
            case "full":
                live.places = 0
            case "ending":
                live.draining = True
            case _:
                live.pressure = Pressure()
                live.pressure.observe(LoadSample(uplink_s=9.0), live._clock())
                live.connections += FEWEST_TO_JUDGE
        told.append(await answers(gateway))
        assert counted(gateway) == len(PATHS)
        if why == "overloaded":
            live.connections -= FEWEST_TO_JUDGE

    for early in (True, False):
        gateway = Gateway(tmp_path)
        gateway.early = early
        gateway.run(story)
    assert told[0] == told[1]
    assert all(b" 503 Service Unavailable\r\n" in answer for answer in told[0].values())
    assert all(b"\r\nretry-after: 5\r\n" in answer for answer in told[0].values())


SCOPE = {"type": "websocket", "root_path": ""}


def test_every_websocket_of_the_application_is_known(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    others = {PROXIED, PROXIED_V1, "/ws/notifications"}  # which hold no session here
    routes = [
        route
        for route in app.routes
        if isinstance(route, WebSocketRoute) and route.path not in others
    ]
    assert len(routes) == len(PATHS)
    assert [SESSIONS.fullmatch(f"/ws/notifications{end}") for end in ("", "/")] == [None, None]
    for route in routes:
        found = SESSIONS.fullmatch(route.path.replace("{session_id}", "an-id"))
        assert found is not None
        assert (found[1] == "an-id") is ("session_id" in route.param_convertors)
        path = found[0]
        assert SESSIONS.fullmatch(f"{path}/") is not None
        matches = [route.matches({**SCOPE, "path": path + end})[0] for end in ("", "/", "//")]
        assert matches == [Match.FULL, Match.FULL, Match.NONE]


# --- what the endpoints decide -------------------------------------------------------------------


class Early:
    """An early refusal, and how often it has counted one."""

    def __init__(
        self, live: LiveSessions, *, origins: str | None = None, proxies: str = ""
    ) -> None:
        self.counted = 0
        self._refusal = EarlyRefusal(
            live,
            self._count,
            has_call=lambda call_id: call_id == "rtc_live",
            origins=origins,
            address_of=address_behind(proxies),
            clock=lambda: 784111777.9,
        )

    def _count(self) -> None:
        self.counted += 1

    def refuses(
        self,
        path: str = "/ws/one",
        changed: dict[str, str | None] | None = None,
        *more: tuple[str, str],
        method: str = "GET",
        client: tuple[str, int] | None = ("192.0.2.7", 4000),
    ) -> bytes | None:
        head = {
            name: value for name, value in (HEAD | (changed or {})).items() if value is not None
        }
        lines = [(n.lower().encode(), v.encode()) for n, v in (*head.items(), *more)]
        return self._refusal(method.encode(), path.encode(), lines, client)


FULL = LiveSessions(0)


@pytest.mark.parametrize(
    ("path", "changed", "more"),
    [
        ("/ws", {}, ()),
        ("/ws/a/b", {}, ()),
        ("/ws/a%2Fb", {}, ()),
        ("/api/sessions", {}, ()),
        ("/ws/one", {"Sec-WebSocket-Version": "8"}, ()),
        ("/ws/one", {"Sec-WebSocket-Version": None}, ()),
        ("/ws/one", {"Sec-WebSocket-Key": None}, ()),
        ("/ws/one", {"Sec-WebSocket-Key": "short"}, ()),
        ("/ws/one", {"Sec-WebSocket-Key": "c2hvcnQ="}, ()),
        ("/ws/one", {}, (("Sec-WebSocket-Key", KEY),)),
        ("/ws/one", {}, (("Sec-WebSocket-Version", "13"),)),
        ("/ws/one", {"Origin": "http://a"}, (("Origin", "http://b"),)),
        ("/ws/one", {"Sec-WebSocket-Protocol": "a b"}, ()),
    ],
)
def test_what_is_no_plain_handshake_of_a_session_is_passed_on(
    path: str, changed: dict[str, str | None], more: tuple[tuple[str, str], ...]
) -> None:
    early = Early(FULL)
    assert early.refuses(path, changed, *more) is None
    assert early.counted == 0


def test_a_sideband_of_a_live_call_needs_no_place() -> None:
    early = Early(FULL)
    for query in ("call_id=rtc_live", "model=m&call_id=rtc%5flive"):
        assert early.refuses(f"/v1/realtime?{query}") is None
        assert early.refuses(f"/v1/realtime/?{query}") is None
    assert early.counted == 0


@pytest.mark.parametrize(
    "path",
    [
        "/v1/realtime?model=call_id=rtc_live",
        "/v1/realtime?xcall_id=rtc_live",
        "/v1/realtime?call_id=",
        "/v1/realtime?call_id=rtc_dead",
        "/v1/realtime?call_id=rtc_live&call_id=rtc_dead",
        "/v1/live/sessions?call_id=rtc_live",
        "/ws/one?call_id=rtc_live",
    ],
    ids=["in a value", "other name", "empty", "dead", "twice", "Live API", "native"],
)
def test_what_only_looks_like_a_sideband_is_refused_as_any_other(path: str) -> None:
    early = Early(FULL)
    assert early.refuses(path) is not None
    assert early.counted == 1


def test_another_method_is_passed_on() -> None:
    assert Early(FULL).refuses(method="POST") is None


def test_a_plain_handshake_is_refused_whatever_else_it_says() -> None:
    early = Early(FULL)
    odd: dict[str, str | None] = {
        "Origin": "https://elsewhere.example",
        "Sec-WebSocket-Protocol": "realtime, openai-insecure-api-key.x",
        "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
    }
    answer = early.refuses("/ws/on%65?x=1", odd)
    assert answer == (
        b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: 22\r\n"
        b"content-type: text/plain; charset=utf-8\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        b"Connection: close\r\n\r\nall 0 places are taken"
    )
    assert early.counted == 1


def test_where_there_is_room_everybody_is_passed_on() -> None:
    early = Early(LiveSessions(1))
    assert early.refuses() is None
    assert early.counted == 0


def test_a_foreign_name_gets_the_answer_for_foreign_names() -> None:
    early = Early(FULL, origins="none")
    assert early.refuses(changed={"Host": "evil.example"}) is None
    assert early.refuses(changed={"Host": "127.0.0.1:8000"}) is not None


def test_the_places_of_an_address_are_those_of_the_client_behind_its_proxy() -> None:
    live = LiveSessions(10, per_address=1)
    forwarded: dict[str, str | None] = {"X-Forwarded-For": "203.0.113.5, 192.0.2.1"}
    early = Early(live, proxies="192.0.2.0/24")
    with live.connected("203.0.113.5"):
        assert early.refuses(changed=forwarded) is not None
        assert early.refuses(changed={"X-Forwarded-For": "203.0.113.6"}) is None
        assert early.refuses(changed=forwarded, client=("198.51.100.1", 1)) is None  # no proxy
        assert early.refuses(client=None) is None
        assert Early(live).refuses(changed=forwarded) is None
    assert early.refuses(changed=forwarded) is None


def test_who_comes_back_to_a_kept_session_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    live = LiveSessions(1)
    early = Early(live)
    with live.connected():
        assert early.refuses("/ws/kept") is not None
        monkeypatch.setattr(live, "kept", lambda name: object() if name == "kept" else None)
        assert early.refuses("/ws/kept") is None
        assert early.refuses("/ws/other") is not None
        assert early.refuses("/ws-client") is not None


def test_nothing_is_made_for_who_is_refused(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)

    async def story() -> None:
        gateway.app.state.runtime.live.places = 0
        before = asyncio.all_tasks()
        async with raw_client(gateway.port) as client:
            await client.send(request("/ws/one"))
            await client.read_until()
            assert asyncio.all_tasks() == before
            assert b"all 0 places are taken" in client.received

    gateway.run(story)
