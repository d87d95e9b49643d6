"""`deploy/`: the rules and the dashboard name figures that the gateway serves."""

import asyncio
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import yaml
from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from gateway.rest.health import Ready
from gateway.security.access import own_beginnings
from gateway.services.services_file import parse_services
from gateway.status import Readiness
from tests.support.figures import check_query, listed
from tests.support.paths import ROOT
from tests.support.served import free_port

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus/alerts.yml"
DASHBOARD = DEPLOY / "grafana/dashboards/parley.json"


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def panels() -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return shown


QUERIES = [
    *(rule["expr"] for rule in alerts()),
    *(target["expr"] for panel in panels() for target in panel["targets"]),
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_figures_and_labels_that_there_are(query: str) -> None:
    check_query(query)


def test_every_figure_is_on_the_dashboard() -> None:
    shown = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
    assert [name for name in listed("Metrics") if name not in shown] == ["parley_build_info"]


def test_no_panel_covers_another() -> None:
    for one, other in combinations((panel["gridPos"] for panel in panels()), 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in panels())


def test_every_alert_says_what_is_wrong_and_the_page_what_to_do() -> None:
    assert listed("Alerts") == [rule["alert"] for rule in alerts()]
    for rule in alerts():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
def test_promtool_accepts_the_rules_and_their_tests() -> None:
    for command in (["check", "rules", RULES], ["test", "rules", RULES.with_stem("alerts_test")]):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_compose_brings_what_the_files_expect() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    services = compose["services"]
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    (scraped,) = config["scrape_configs"]
    assert scraped["static_configs"] == [{"targets": ["gateway:8000"]}]
    assert scraped["authorization"]["credentials_file"] in services["prometheus"]["command"][0]
    for name in ("prometheus", "grafana"):
        assert services[name]["profiles"] == ["monitoring"]
        assert all(port.startswith("127.0.0.1:") for port in services[name]["ports"])
        for volume in services[name]["volumes"]:
            source = Path(volume.partition(":")[0])
            assert str(source) in compose["volumes"] or (ROOT / source).is_dir()


def test_the_services_of_the_compose_file_are_those_of_their_file() -> None:
    text = (DEPLOY / "services/services.yaml").read_text(encoding="utf-8")
    file = parse_services(text, "services.yaml", own_beginnings())
    compose = yaml.safe_load((ROOT / "docker-compose.services.yml").read_text(encoding="utf-8"))
    services = compose["services"]
    gateway = services["gateway"]["environment"]
    (subnet,) = compose["networks"]["default"]["ipam"]["config"]
    assert gateway["PARLEY_SERVICE_NETWORKS"] == subnet["subnet"]
    assert gateway["PARLEY_SERVICES"] == "/etc/parley/services.yaml"
    assert services["gateway"]["volumes"] == ["./deploy/services:/etc/parley:ro"]
    assert [*file] == [name for name in services if name != "gateway"]
    for name, spec in file.items():
        stub = services[name]["environment"]
        assert stub["STUB_NAME"] == name
        places = [(one.host, str(one.port)) for one in spec.instances]
        registers = "STUB_REGISTERS_AT" in stub
        assert places == ([] if registers else [(name, stub["STUB_PORT"])])


# --- several gateways --------------------------------------------------------------------------


HAPROXY = DEPLOY / "haproxy/haproxy.cfg"
FRONT = "172.31.241.1"
"""Whence a proxy on the machine comes that runs HAProxy's container."""
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-proto")


def test_gateways_that_share_sessions_have_the_same_settings_and_time_to_drain() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.scale.yml").read_text(encoding="utf-8"))
    services = compose["services"]
    first, second = services["gateway-1"], services["gateway-2"]
    assert first["environment"] == second["environment"]
    assert first["volumes"] != second["volumes"]
    settings = first["environment"]
    assert seconds(first["stop_grace_period"]) >= int(settings["PARLEY_DRAIN_S"]) + 20
    assert settings["PARLEY_STT_WORKER"] == "ws://recogniser:8100"
    assert services["recogniser"]["command"][-1] == "8100"
    assert seconds(services["recogniser"]["stop_grace_period"]) > 30  # what `--drain` is
    (subnet,) = compose["networks"]["default"]["ipam"]["config"]
    assert settings["PARLEY_PROXIES"] == subnet["subnet"]
    assert subnet["gateway"] == FRONT
    served = re.findall(r"^    server (\S+) (\S+) cookie", HAPROXY.read_text(), re.MULTILINE)
    gateways = [(name, f"{name}:8000") for name in services if name.startswith("gateway-")]
    assert served == 2 * gateways  # in both backends


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


COMES_BACK = "/ws/comes-back"
"""The session that a client comes back to."""


@dataclass
class StubGateway:
    """Says its name over WebSockets and keeps them; what proxies say of a client at `/said`."""

    name: str
    state: Readiness = "ready"
    """Unless it is "ready", it refuses who is new."""
    late_s: float = 0.0
    """After which it answers a check."""
    checks: int = 0
    """That it has answered."""
    refused: int = 0
    """Requests but checks."""

    async def begin(self) -> Server:
        return await serve(self.converse, "127.0.0.1", 0, process_request=self.look)

    async def converse(self, socket: ServerConnection) -> None:
        async for _ in socket:
            await socket.send(self.name)

    async def look(self, socket: ServerConnection, request: Request) -> Response | None:
        is_check = request.path == "/health/ready"
        if is_check:
            await asyncio.sleep(self.late_s)
            self.checks += 1
            status = HTTPStatus.OK if self.state == "ready" else HTTPStatus.SERVICE_UNAVAILABLE
            return socket.respond(status, Ready(status=self.state).model_dump_json())
        if self.state != "ready" and not request.path.startswith(COMES_BACK):
            self.refused += 1
            return socket.respond(HTTPStatus.SERVICE_UNAVAILABLE, self.state)
        if request.path == "/said":
            said = {name: request.headers.get_all(name) for name in FORWARDED}
            return socket.respond(HTTPStatus.OK, json.dumps(said))
        return None


@dataclass
class RefusingGateway:
    """Is ready, as it says, and refuses everything with 503, or breaks the connection."""

    name: str
    breaks: bool = False
    checks: int = 0
    asked: list[str] = field(default_factory=list)
    """The methods of all requests but checks."""

    async def begin(self) -> asyncio.Server:
        return await asyncio.start_server(self._answer, "127.0.0.1", 0)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, path, _ = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ", 2)
        status, body = "503 Service Unavailable", ""
        if path == "/health/ready":
            self.checks += 1
            status, body = "200 OK", '{"status":"ready"}'
        else:
            self.asked.append(method)
        if path == "/health/ready" or not self.breaks:
            head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(f"{head}{body}".encode())
        writer.close()


Stub = TypeVar("Stub", StubGateway, RefusingGateway)


@asynccontextmanager
async def balanced(
    folder: Path, stubs: tuple[Stub, Stub], proxy: str = FRONT
) -> AsyncIterator[int]:
    """HAProxy before two stubs, both of which it has found ready; its port.

    It takes the address `proxy` for the one of a proxy in front of it.
    """
    port = free_port()
    text = HAPROXY.read_text().replace("bind :8000", f"bind 127.0.0.1:{port}")
    text = text.replace("127.0.0.11:53", "127.0.0.1:53").replace(FRONT, proxy)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(60))
        for stub in stubs:
            server = await stack.enter_async_context(await stub.begin())
            address = next(iter(server.sockets)).getsockname()
            text = text.replace(f"{stub.name}:8000", f"127.0.0.1:{address[1]}")
        (folder / "haproxy.cfg").write_text(text)
        process = await asyncio.create_subprocess_exec(
            "haproxy", "-db", "-f", folder / "haproxy.cfg"
        )
        try:
            while min(stub.checks for stub in stubs) < 4:  # two of each backend
                assert process.returncode is None, "HAProxy ended"
                await asyncio.sleep(0.05)
            yield port
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def told(url: str, cookie: str = "") -> str:
    """Which gateway a new client reaches."""
    headers = {"cookie": cookie} if cookie else {}
    async with connect(url, additional_headers=headers) as socket:
        await socket.send("who?")
        return str(await socket.recv())


async def checked(stub: StubGateway, times: int) -> None:
    """Return when it has answered so many more checks."""
    wanted = stub.checks + times
    while stub.checks < wanted:
        await asyncio.sleep(0.02)


def two_stubs() -> tuple[StubGateway, StubGateway]:
    return StubGateway("gateway-1"), StubGateway("gateway-2")


needs_haproxy = pytest.mark.skipif(
    shutil.which("haproxy") is None, reason="haproxy is not installed"
)


@pytest.mark.slow
@needs_haproxy
def test_a_gateway_that_drains_gets_nobody_new_and_keeps_those_it_has(tmp_path: Path) -> None:
    async def story() -> None:
        stubs = two_stubs()
        async with balanced(tmp_path, stubs) as port:
            url = f"ws://127.0.0.1:{port}/ws/a"
            async with connect(url) as early:
                await early.send("who?")
                at = await early.recv()
                drained, other = stubs if stubs[0].name == at else stubs[::-1]
                drained.state = "draining"
                found = {await told(url) for _ in range(2)}  # the next check will notice
                await checked(drained, 4)
                refused = drained.refused
                async with connect(url), connect(url):  # so that the other one has more to do
                    found |= {await told(url) for _ in range(4)}
                assert found == {other.name}
                assert drained.refused == refused
                await early.send("who?")
                assert await early.recv() == at

    asyncio.run(story())


@pytest.mark.slow
@needs_haproxy
@pytest.mark.parametrize("state", ["full", "overloaded"])
def test_where_no_gateway_has_room_a_client_still_comes_back(
    tmp_path: Path, state: Readiness
) -> None:
    async def story() -> None:
        stubs = two_stubs()
        async with balanced(tmp_path, stubs) as port:
            for stub in stubs:
                stub.state = state
            await asyncio.gather(*(checked(stub, 4) for stub in stubs))
            assert await told(f"ws://127.0.0.1:{port}{COMES_BACK}") in {"gateway-1", "gateway-2"}
            stubs[0].state = "ready"
            await checked(stubs[0], 4)
            assert {await told(f"ws://127.0.0.1:{port}/ws/new") for _ in range(4)} == {"gateway-1"}
            sideband = f"ws://127.0.0.1:{port}{COMES_BACK}?call_id=one"
            assert await told(sideband, "PARLEY_GATEWAY=2") == "gateway-2"
            assert stubs[1].refused == 0

    asyncio.run(story())


@pytest.mark.slow
@needs_haproxy
def test_a_gateway_that_answers_its_checks_late_is_not_lost(tmp_path: Path) -> None:
    async def story() -> None:
        stubs = two_stubs()
        async with balanced(tmp_path, stubs) as port:
            for stub in stubs:
                stub.late_s = 1.5  # longer than from check to check
            await asyncio.gather(*(checked(stub, 4) for stub in stubs))
            # Held at once, they are shared between those that are there.
            async with connect(f"ws://127.0.0.1:{port}/ws/a") as one:
                await one.send("who?")
                found = {await one.recv(), await told(f"ws://127.0.0.1:{port}/ws/b")}
            assert found == {stub.name for stub in stubs}

    asyncio.run(story())


@pytest.mark.slow
@needs_haproxy
@pytest.mark.parametrize("breaks", [False, True], ids=["503", "no answer"])
def test_only_a_get_that_is_refused_is_asked_of_another_gateway(
    tmp_path: Path, breaks: bool
) -> None:
    async def story() -> None:
        stubs = RefusingGateway("gateway-1", breaks), RefusingGateway("gateway-2", breaks)
        async with balanced(tmp_path, stubs) as port:
            url = f"http://127.0.0.1:{port}"
            for method in ("POST", "DELETE", "GET"):
                # Each over a connection of its own: the second over one may be broken off.
                async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
                    answer = await client.request(method, "/api/sessions")
                assert answer.status_code == (502 if breaks else 503)
        asked = Counter(method for stub in stubs for method in stub.asked)
        assert asked == {"POST": 1, "DELETE": 1, "GET": 1 if breaks else 3}
        assert breaks or all("GET" in stub.asked for stub in stubs)

    asyncio.run(story())


@pytest.mark.slow
@needs_haproxy
@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("127.0.0.1", [[], ["198.51.100.7", "127.0.0.1"], ["https"]]),
        (FRONT, [[], ["127.0.0.1"], []]),
    ],
    ids=["a proxy in front", "a client"],
)
def test_who_a_client_is_only_the_proxy_in_front_may_say(
    tmp_path: Path, proxy: str, said: list[list[str]]
) -> None:
    claimed = {
        "forwarded": "for=198.51.100.8",
        "x-forwarded-for": "198.51.100.7",
        "x-forwarded-proto": "https",
    }

    async def story() -> None:
        async with (
            balanced(tmp_path, two_stubs(), proxy) as port,
            httpx.AsyncClient(trust_env=False, timeout=30) as client,
        ):
            answer = await client.get(f"http://127.0.0.1:{port}/said", headers=claimed)
            assert said == list(answer.json().values())

    asyncio.run(story())
