import asyncio
import contextlib
import errno
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import httpx
import pytest
from starlette.applications import Starlette

from gateway import __version__
from gateway.rest.health import (
    Readiness,
    ServiceProbe,
    StageReport,
    health_routes,
    overall,
    service_urls,
)
from gateway.settings import Settings

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
            location = f"location: {self.location}\r\n" if self.location else ""
            writer.write(
                f"HTTP/1.1 {self.status} X\r\n{location}content-length: 0\r\n\r\n".encode()
            )
            await writer.drain()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            server.close()


REPORT = StageReport(
    slot="stt",
    provider="pocketsphinx",
    status="online",
    why="no Whisper model here",
    note="demo quality",
)


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


async def unused_url() -> str:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"http://127.0.0.1:{port}"


def pointing_to(*urls: str) -> dict[str, str]:
    """What is asked where the seven services are at these URLs, the last for the rest."""
    padded = (*urls, *[urls[-1]] * (7 - len(urls)))
    return service_urls(Settings().model_copy(update=dict(zip(FIELDS, padded, strict=True))))


@contextlib.asynccontextmanager
async def client(
    probe: ServiceProbe, readiness: Readiness = "ready"
) -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=health_routes(probe, lambda: [REPORT], lambda: readiness))
    transport = httpx.ASGITransport(app)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://parley") as it:
            yield it
    finally:
        await probe.aclose()


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
            "gateway": {"version": __version__},
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
                }
            ],
        }
        assert well.paths == ["/health"] * 5

    run(scenario)


def test_ollama_is_asked_for_its_models() -> None:
    async def scenario() -> None:
        ollama, refused = Upstream(200), await unused_url()
        async with ollama.running():
            urls = pointing_to(*[refused] * 6, ollama.url)
            async with client(ServiceProbe(urls)) as it:
                body = (await it.get("/health")).json()
        assert ollama.paths == ["/api/tags"]
        assert [s["status"] for s in body["services"]] == ["offline"] * 6 + ["online"]

    run(scenario)


def test_an_error_status_and_a_redirect_are_offline_and_no_redirect_is_followed() -> None:
    async def scenario() -> None:
        elsewhere = Upstream(200)
        broken, moved = Upstream(500), Upstream(302)
        async with elsewhere.running(), broken.running(), moved.running():
            moved.location = elsewhere.url
            async with client(ServiceProbe(pointing_to(broken.url, moved.url))) as it:
                services = (await it.get("/health")).json()["services"]
        assert [service["error"] for service in services] == ["HTTP 500"] + ["HTTP 302"] * 6
        assert elsewhere.paths == []

    run(scenario)


def test_health_answers_before_services_that_hang_and_reports_them_late_afterwards() -> None:
    async def scenario() -> None:
        well, hanging, clock = Upstream(200), Upstream(None), Clock()
        async with well.running(), hanging.running():
            urls = pointing_to(*[well.url] * 6, hanging.url)
            probe = ServiceProbe(urls, timeout_s=1.0, wait_s=0.1, clock=clock)
            async with client(probe) as it:
                first = (await it.get("/health")).json()
                assert first["services"][6] == {
                    "name": "ollama",
                    "status": "offline",
                    "error": "no answer within 100 ms",
                }
                # The round goes on; a caller that comes later waits for what is left of it.
                clock.now += 0.1
                second = (await it.get("/health")).json()
                assert second["services"][6]["error"] == "no answer within 100 ms"
                clock.now -= 30
                third = (await it.get("/health")).json()
                assert third["status"] == "online"
                assert third["services"][6]["error"] == "no answer within 1 s"
                assert hanging.paths == ["/api/tags"]

    run(scenario)


def test_any_number_of_callers_share_one_round_and_its_answers_for_five_seconds() -> None:
    async def scenario() -> None:
        well, clock = Upstream(200), Clock()
        async with well.running():
            probe = ServiceProbe(pointing_to(well.url), clock=clock)
            async with client(probe) as it:
                answers = await asyncio.gather(*(it.get("/health") for _ in range(20)))
                assert {answer.json()["status"] for answer in answers} == {"online"}
                assert len(well.paths) == 7
                clock.now += 4.9
                await it.get("/health")
                assert len(well.paths) == 7
                clock.now += 0.1
                await it.get("/health")
                assert len(well.paths) == 14

    run(scenario)


def test_a_caller_who_goes_away_does_not_end_the_round() -> None:
    async def scenario() -> None:
        well, hanging = Upstream(200), Upstream(None)
        async with well.running(), hanging.running():
            probe = ServiceProbe(pointing_to(*[well.url] * 6, hanging.url), timeout_s=0.5)
            impatient = asyncio.create_task(probe.services())
            await hanging.asked.wait()
            impatient.cancel()
            await asyncio.wait({impatient})
            services = await probe.services()
            await probe.aclose()
        assert [service["status"] for service in services] == ["online"] * 6 + ["offline"]
        assert services[6]["error"] == "no answer within 500 ms"
        assert len(hanging.paths) == 1

    run(scenario)


def test_closing_ends_the_round_under_way() -> None:
    async def scenario() -> None:
        hanging = Upstream(None)
        async with hanging.running():
            probe = ServiceProbe(pointing_to(hanging.url), timeout_s=60, wait_s=0)
            await probe.services()
            await hanging.asked.wait()
            await probe.aclose()
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
        async with client(ServiceProbe(pointing_to(url), wait_s=5)) as it:
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
        errors = {service["error"] for service in await probe.services()}
        await probe.aclose()
        assert errors == {expected}

    run(scenario)


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
    services = [{"status": "online"}] * online + [{"status": "offline"}] * (7 - online)
    assert overall(services) == expected


@pytest.mark.parametrize(
    ("state", "status"), [("ready", 200), ("draining", 503), ("full", 503), ("starting", 503)]
)
def test_readiness_is_what_the_application_says(state: Readiness, status: int) -> None:
    async def scenario() -> None:
        async with client(ServiceProbe(pointing_to("http://127.0.0.1:1")), state) as it:
            answer = await it.get("/health/ready")
            assert (answer.status_code, answer.json()) == (status, {"status": state})
            alive = await it.get("/health/live")
            assert (alive.status_code, alive.json()) == (200, {"status": "alive"})

    run(scenario)
