import asyncio
import contextlib
import errno
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from gateway import __version__
from gateway.rest.health import StatusSources, health_operations, overall, own_status
from gateway.rest.service_probe import (
    IDLE_S,
    OfflineService,
    OnlineService,
    Service,
    ServiceProbe,
    service_urls,
)
from gateway.settings import Settings
from gateway.status import (
    LanguageReport,
    PressureReport,
    ProviderReport,
    QueueReport,
    Readiness,
    StageReport,
    StoreReport,
)
from pipeline.testing import run_virtual
from tests.support.paths import ROOT
from tests.support.rest import serving

NAMES = [
    "conversation-service",
    "voice-service",
    "avatar-service",
    "interview-service",
    "analytics-service",
    "granite-interview-service",
    "ollama",
]
FIELDS = [name.replace("-service", "").replace("-", "_") + "_url" for name in NAMES]


@dataclass
class Upstream:
    """A tiny HTTP server: answers with `status`, or never where that is None."""

    status: int | None
    missing: tuple[str, ...] = ()  # paths that are answered with 404
    location: str = ""
    paths: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.paths.append(head.split(b" ")[1].decode())
            self.asked.set()
            if self.status is None:
                await reader.read()
                self.left.set()
                return
            status = 404 if self.paths[-1] in self.missing else self.status
            location = f"location: {self.location}\r\n" if self.location else ""
            writer.write(f"HTTP/1.1 {status} X\r\n{location}content-length: 0\r\n\r\n".encode())
            await writer.drain()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            server.close()


STORED = StoreReport("sqlite", "online")

PRESSURE = PressureReport(
    refuses=["text"],
    why=["overloaded: the event loop is 0.04 s late"],
    loop_lag_ms=42.0,
    busy=0.5,
    uplink_ms=5.1,
    recognition_queue_ms=20,
    recogniser=0.25,
    recognition_ms=210,
    turn_factor=0.6,
    memory=0.3,
)

REPORT = StageReport(
    slot="stt",
    provider="pocketsphinx",
    status="online",
    why="no Whisper model here",
    note="demo quality",
)


async def unused_url() -> str:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"http://127.0.0.1:{port}"


def pointing_to(*urls: str) -> dict[str, tuple[str, ...]]:
    """The probes if the seven services are at these URLs, the last for the rest."""
    padded = (*urls, *[urls[-1]] * (7 - len(urls)))
    return service_urls(Settings().model_copy(update=dict(zip(FIELDS, padded, strict=True))))


PROVIDERS = [
    ProviderReport("stt", "whisper", "open"),
    ProviderReport("stt", "pocketsphinx", "closed"),
]


def inside(
    readiness: Readiness = "ready", store: StoreReport = STORED, stage: StageReport = REPORT
) -> StatusSources:
    late = "overloaded: the event loop is 0.06 s late"
    reasons = {
        "overloaded": [late],
        "starting": ["stt: whisper is loading"],
        "failed": ["tts: beep: no sound card"],
    }
    return StatusSources(
        stages=lambda: [stage],
        providers=lambda: PROVIDERS,
        queues=lambda: [QueueReport("stt pocketsphinx", "jobs", 2)],
        languages=lambda: LanguageReport(("en", "de"), ("en",), None),
        readiness=lambda: readiness,
        unready=lambda: reasons.get(readiness, []),
        store=lambda: store,
        taken=lambda: 3,
        places=100,
        pressure=lambda: PRESSURE,
    )


@contextlib.asynccontextmanager
async def client(
    probe: ServiceProbe, readiness: Readiness = "ready"
) -> AsyncIterator[httpx.AsyncClient]:
    async with probe.running(), serving(health_operations(probe, inside(readiness))) as it:
        yield it


async def settled(it: httpx.AsyncClient) -> list[dict[str, Any]]:
    """The services once each of them has been asked."""
    while True:
        services: list[dict[str, Any]] = (await it.get("/health")).json()["services"]
        if all(service.get("error") != "no answer yet" for service in services):
            return services
        await asyncio.sleep(0.005)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await scenario()

    asyncio.run(main())


def test_health_has_the_contracts_shape() -> None:
    async def scenario() -> None:
        well = Upstream(200)
        refused = await unused_url()
        async with (
            well.running(),
            client(ServiceProbe(pointing_to(*[well.url] * 5, refused))) as it,
        ):
            await settled(it)
            answer = await it.get("/health")
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-store"
            body = answer.json()
        iso = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
        assert iso.fullmatch(body.pop("timestamp"))
        assert isinstance(body["gateway"].pop("uptime_seconds"), int)
        for service in body["services"][:5]:
            assert isinstance(service.pop("latencyMs"), int)
            assert iso.fullmatch(service.pop("lastChecked"))
        offline = {"status": "offline", "error": "Connection refused"}
        assert body == {
            "status": "degraded",
            "gateway": {
                "status": "online",
                "version": __version__,
                "taken": 3,
                "places": 100,
                "workers": 1,
                "pressure": {
                    "refuses": ["text"],
                    "why": ["overloaded: the event loop is 0.04 s late"],
                    "loop_lag_ms": 42.0,
                    "busy": 0.5,
                    "uplink_ms": 5.1,
                    "recognition_queue_ms": 20,
                    "recogniser": 0.25,
                    "recognition_ms": 210,
                    "turn_factor": 0.6,
                    "memory": 0.3,
                },
            },
            "services": [
                *({"name": name, "status": "online"} for name in NAMES[:5]),
                *({"name": name, **offline} for name in NAMES[5:]),
            ],
            "stages": [
                {
                    "slot": "stt",
                    "provider": "pocketsphinx",
                    "status": "online",
                    "why": "no Whisper model here",
                    "note": "demo quality",
                    "detail": "",
                }
            ],
            "providers": [
                {"slot": "stt", "provider": "whisper", "breaker": "open"},
                {"slot": "stt", "provider": "pocketsphinx", "breaker": "closed"},
            ],
            "queues": [{"name": "stt pocketsphinx", "unit": "jobs", "depth": 2, "bound": None}],
            "languages": {"interviewer": ["en", "de"], "recogniser": ["en"], "voice": None},
            "store": {"kind": "sqlite", "status": "online"},
        }
        assert well.paths == ["/health"] * 5

    run(scenario)


@pytest.mark.parametrize(
    ("missing", "expected", "status"),
    [
        ((), ["/api/health"], "online"),
        (("/api/health",), ["/api/health", "/api/tags"], "online"),
        (("/api/health", "/api/tags"), ["/api/health", "/api/tags"], "offline"),
    ],
)
def test_ollama_is_asked_for_its_health_and_then_for_its_models(
    missing: tuple[str, ...], expected: list[str], status: str
) -> None:
    async def scenario() -> None:
        ollama, refused = Upstream(200, missing), await unused_url()
        async with ollama.running():
            urls = pointing_to(*[refused] * 6, ollama.url)
            async with client(ServiceProbe(urls)) as it:
                services = await settled(it)
        assert ollama.paths == expected
        assert [s["status"] for s in services] == ["offline"] * 6 + [status]

    run(scenario)


def test_what_answered_last_time_is_asked_first_next_time() -> None:
    async def scenario() -> None:
        asked: list[str] = []
        tags = 200

        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.host != "ollama":
                return httpx.Response(200)
            asked.append(request.url.path)
            return httpx.Response(tags if request.url.path == "/api/tags" else 404)

        urls = pointing_to(*["http://host"] * 6, "http://ollama")
        probe = ServiceProbe(urls, transport=httpx.MockTransport(answer))
        async with probe.running():
            await asyncio.sleep(6)
            assert asked == ["/api/health", "/api/tags", "/api/tags"]
            tags = 500
            await asyncio.sleep(5)
            assert asked[3:] == ["/api/tags", "/api/health"]

    run_virtual(scenario())


def test_an_error_status_and_a_redirect_are_offline_and_no_redirect_is_followed() -> None:
    async def scenario() -> None:
        elsewhere = Upstream(200)
        broken, moved = Upstream(500), Upstream(302)
        async with elsewhere.running(), broken.running(), moved.running():
            moved.location = elsewhere.url
            async with client(ServiceProbe(pointing_to(broken.url, moved.url))) as it:
                services = await settled(it)
        assert [service["error"] for service in services] == ["HTTP 500"] + ["HTTP 302"] * 6
        assert elsewhere.paths == []

    run(scenario)


class Network:
    """Seven services that answer at once, or that never do. Virtual time tells them apart."""

    def __init__(self) -> None:
        self.hangs = False
        self.asked_at: list[float] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked_at.append(asyncio.get_running_loop().time())
        if self.hangs:
            await asyncio.sleep(3600)
        return httpx.Response(200)

    def rounds(self) -> list[float]:
        """When services were asked. All of them, each time."""
        found = sorted(set(self.asked_at))
        assert [self.asked_at.count(at) for at in found] == [7] * len(found)
        return found

    def probe(self) -> ServiceProbe:
        return ServiceProbe(pointing_to("http://h"), transport=httpx.MockTransport(self))


def now() -> float:
    return asyncio.get_running_loop().time()


def test_health_does_not_wait_for_services_that_hang() -> None:
    async def scenario() -> None:
        network = Network()
        network.hangs = True
        probe = network.probe()
        async with probe.running():
            for at, expected in [(0.0, "no answer yet"), (3.5, "no answer within 3 s")]:
                await asyncio.sleep(at - now())
                services = await probe.services()
                assert [service.status for service in services] == ["offline"] * 7
                assert {s.error for s in services if s.status == "offline"} == {expected}
            assert now() == pytest.approx(3.5)

    run_virtual(scenario())


def test_services_are_probed_every_five_seconds_while_there_are_requests() -> None:
    async def scenario() -> None:
        network = Network()
        probe = network.probe()
        async with probe.running():
            for _ in range(210):
                await probe.services()
                await asyncio.sleep(0.1)
            assert network.rounds() == pytest.approx([0, 5, 10, 15, 20], abs=0.01)

    run_virtual(scenario())


def test_services_are_not_probed_without_requests_until_the_next_one() -> None:
    async def scenario() -> None:
        network = Network()
        probe = network.probe()
        async with probe.running():
            await asyncio.sleep(3600)
            assert network.rounds() == pytest.approx([*range(0, int(IDLE_S), 5)])
            network.asked_at.clear()
            services = await probe.services()
            assert network.rounds() == [3600]
            assert {service.status for service in services} == {"online"}

    run_virtual(scenario())


def test_the_first_request_after_a_pause_waits_ten_milliseconds_at_most() -> None:
    async def scenario() -> None:
        network = Network()
        probe = network.probe()
        async with probe.running():
            await asyncio.sleep(3600)
            network.hangs = True
            services = await asyncio.gather(*(probe.services() for _ in range(5)))
            assert now() == pytest.approx(3600.01)
            # What was found an hour ago, which `lastChecked` says, is better than nothing.
            assert {entry.status for found in services for entry in found} == {"online"}
            await asyncio.sleep(3)
            assert {entry.status for entry in await probe.services()} == {"offline"}

    run_virtual(scenario())


def test_closing_ends_the_round_under_way() -> None:
    async def scenario() -> None:
        hanging = Upstream(None)
        async with hanging.running():
            probe = ServiceProbe(pointing_to(hanging.url), timeout_s=60)
            async with probe.running():
                await hanging.asked.wait()
            await hanging.left.wait()

    run(scenario)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:canary@127.0.0.1:1",
        f"http://user:canary@{'x' * 64}.example",
    ],
)
def test_no_error_shows_the_credentials_of_a_url(url: str) -> None:
    async def scenario() -> None:
        async with client(ServiceProbe(pointing_to(url))) as it:
            await settled(it)
            text = (await it.get("/health")).text
        assert "canary" not in text
        assert text.count('"error":"') == 7

    run(scenario)


def refused_on_every_address() -> Exception:
    attempts = ExceptionGroup("attempts", [ConnectionRefusedError(111, "x"), OSError(101, "x")])
    together = OSError("All connection attempts failed")
    together.__cause__ = attempts
    error = httpx.ConnectError("canary")
    error.__cause__ = together
    return error


def unreachable() -> Exception:
    error = httpx.ConnectError("canary")
    error.__cause__ = OSError(errno.EHOSTUNREACH, "canary")
    return error


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (refused_on_every_address(), "Connection refused"),
        (unreachable(), "Host unreachable"),
        (httpx.ConnectError("canary"), "Connection failed"),
        (httpx.ReadTimeout("canary"), "no answer within 3 s"),
        (httpx.RemoteProtocolError("canary"), "Answer is not HTTP"),
        (httpx.InvalidURL("canary"), "Invalid URL"),
        (UnicodeError("canary"), "Invalid URL"),
        (httpx.ReadError("canary"), "Connection broke off"),
    ],
)
def test_the_reason_is_given_in_words_of_ours(failure: Exception, expected: str) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise failure

    async def scenario() -> None:
        probe = ServiceProbe(pointing_to("http://host"), transport=httpx.MockTransport(fail))
        async with probe.running():
            await asyncio.sleep(0.01)
            services = await probe.services()
        assert {s.error for s in services if s.status == "offline"} == {expected}

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("online", "expected"),
    [
        (7, "online"),
        (6, "online"),
        (5, "degraded"),
        (3, "degraded"),
        (2, "offline"),
        (0, "offline"),
    ],
)
def test_the_whole_is_as_well_as_the_number_of_services_says(online: int, expected: str) -> None:
    services: list[Service] = [OfflineService(name="x", error="x")] * (7 - online)
    services += [OnlineService(name="x", latencyMs=1, lastChecked="")] * online
    assert overall(services) == expected


@pytest.mark.parametrize(
    ("readiness", "store", "stage", "expected"),
    [
        ("ready", "online", "online", "online"),
        ("ready", "online", "degraded", "degraded"),
        ("full", "online", "online", "degraded"),
        ("overloaded", "online", "online", "degraded"),
        ("ready", "offline", "online", "offline"),
        ("starting", "online", "online", "degraded"),
        ("failed", "online", "online", "offline"),
        ("draining", "online", "online", "offline"),
    ],
)
def test_parleys_own_status_does_not_depend_on_the_services(
    readiness: Readiness, store: Any, stage: str, expected: str
) -> None:
    report = StageReport("stt", "whisper", stage, "it is there")
    assert own_status(readiness, StoreReport("sqlite", store), [report]) == expected


@pytest.mark.parametrize(
    ("state", "status", "reasons"),
    [
        ("ready", 200, []),
        ("draining", 503, []),
        ("full", 503, []),
        ("overloaded", 503, ["overloaded: the event loop is 0.06 s late"]),
        ("starting", 503, ["stt: whisper is loading"]),
        ("failed", 503, ["tts: beep: no sound card"]),
    ],
)
def test_readiness_is_what_the_application_says_and_haproxy_reads(
    state: Readiness, status: int, reasons: list[str]
) -> None:
    config = (ROOT / "deploy/haproxy/haproxy.cfg").read_text(encoding="utf-8")
    by_haproxy = re.search(r"http-check expect rstring '(.*)'", config)
    assert by_haproxy is not None

    async def scenario() -> None:
        async with client(ServiceProbe(pointing_to("http://127.0.0.1:1")), state) as it:
            for path in ("/health/ready", "/ready"):
                answer = await it.get(path)
                told = {"status": state, "reasons": reasons}
                assert (answer.status_code, answer.json()) == (status, told)
            reached = re.search(by_haproxy.group(1), answer.text) is not None
            assert reached == (state in ("ready", "full", "overloaded"))
            alive = await it.get("/health/live")
            assert (alive.status_code, alive.json()) == (200, {"status": "alive"})

    run(scenario)
