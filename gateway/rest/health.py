"""How the gateway and the services around it are.

Nobody waits for a service: `ServiceProbe` asks them in the background, and `GET /health` shows what
it last found, in milliseconds also while every service hangs.
"""

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import httpx
from pydantic import BaseModel, Field
from starlette.requests import Request

from gateway import __version__
from gateway.rest.operation import Handler, HttpReply, Operation, ResponseSpec
from gateway.settings import Settings
from gateway.status import ProviderReport, QueueReport, Readiness, StageReport, StoreReport

PROBE_TIMEOUT_S = 3.0
CACHE_S = 5.0

IDLE_S = 60.0
"""Services are left in peace once nobody has asked about them for so long."""

CATCH_UP_S = 0.01
"""So long the first who asks after that waits for news; then the old ones are shown."""

Status = Literal["online", "degraded", "offline"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer of a service, or the reason why there is none. `at` is seconds since the epoch."""

    at: float
    latency_ms: int
    error: str | None


def service_urls(settings: Settings) -> dict[str, tuple[str, ...]]:
    """What is asked of each service, in the order of the report; the next where one answers no."""
    return {
        "conversation-service": (f"{settings.conversation_url}/health",),
        "voice-service": (f"{settings.voice_url}/health",),
        "avatar-service": (f"{settings.avatar_url}/health",),
        "interview-service": (f"{settings.interview_url}/health",),
        "analytics-service": (f"{settings.analytics_url}/health",),
        "granite-interview-service": (f"{settings.granite_interview_url}/health",),
        "ollama": (f"{settings.ollama_url}/api/health", f"{settings.ollama_url}/api/tags"),
    }


class ServiceProbe:
    """Asks every service how it is, all at once, every `cache_s` while somebody wants to know.

    `urls` are those of `service_urls`. Each service gets one attempt of `timeout_s` at most. `run`
    asks; `services` tells. `transport` replaces the network.
    """

    def __init__(
        self,
        urls: Mapping[str, Sequence[str]],
        *,
        timeout_s: float = PROBE_TIMEOUT_S,
        cache_s: float = CACHE_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._urls = {name: tuple(addresses) for name, addresses in urls.items()}
        self._timeout_s = timeout_s
        self._cache_s = cache_s
        # Neither proxies from the environment nor redirects: only the configured hosts are asked.
        self._client = httpx.AsyncClient(
            trust_env=False, follow_redirects=False, timeout=timeout_s, transport=transport
        )
        self._readings: dict[str, Reading] = {}
        self._answering: dict[str, int] = {}  # which of its URLs a service answered last
        self._wanted = asyncio.Event()
        self._fresh = asyncio.Event()
        self._told_at = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask the services as long as the block lasts; the connections are closed behind it."""
        asking = asyncio.create_task(self._run())
        try:
            yield
        finally:
            asking.cancel()
            await asyncio.wait([asking])
            await self._client.aclose()

    async def services(self) -> list["Service"]:
        """How they are, as last found. Waits for `CATCH_UP_S` where nobody has asked for long."""
        self._told_at = asyncio.get_running_loop().time()
        self._wanted.set()
        if not self._fresh.is_set():
            try:
                async with asyncio.timeout(CATCH_UP_S):
                    await self._fresh.wait()
            except TimeoutError:
                pass
        return [self._entry(name) for name in self._urls]

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._told_at = loop.time()
        while True:
            begun = loop.time()
            async with asyncio.TaskGroup() as group:
                for name in self._urls:
                    group.create_task(self._ask(name))
            self._fresh.set()
            await asyncio.sleep(max(0.0, begun + self._cache_s - loop.time()))
            if loop.time() - self._told_at >= IDLE_S:
                self._wanted.clear()
                self._fresh.clear()
                await self._wanted.wait()

    async def _ask(self, name: str) -> None:
        urls = self._urls[name]
        first = self._answering.get(name, 0)
        error: str | None = None
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout_s):
                for choice in dict.fromkeys((first, *range(len(urls)))):
                    begun = time.perf_counter()
                    # Only the status counts, so the body is not read, however long it is.
                    async with self._client.stream("GET", urls[choice]) as answer:
                        error = None if answer.status_code == 200 else f"HTTP {answer.status_code}"
                    if error is None:
                        self._answering[name] = choice
                        break
        except (TimeoutError, httpx.TimeoutException):
            error = f"no answer within {_duration(self._timeout_s)}"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as failure:
            error = _reason(failure)
        latency_ms = round((time.perf_counter() - begun) * 1000)
        self._readings[name] = Reading(time.time(), latency_ms, error)

    def _entry(self, name: str) -> "Service":
        reading = self._readings.get(name)
        if reading is None:
            return OfflineService(name=name, error="no answer yet")
        if reading.error is not None:
            return OfflineService(name=name, error=reading.error)
        return OnlineService(name=name, latencyMs=reading.latency_ms, lastChecked=_iso(reading.at))


class OnlineService(BaseModel):
    """A service that answered 200, how soon, and when it was asked (UTC)."""

    name: str
    status: Literal["online"] = "online"
    latencyMs: int
    lastChecked: str


class OfflineService(BaseModel):
    """A service that did not answer 200, and why."""

    name: str
    status: Literal["offline"] = "offline"
    error: str


Service = OnlineService | OfflineService


class GatewayHealth(BaseModel):
    """Parley itself, whatever the services around it do."""

    status: Annotated[Status, Field(description="whether it can hold interviews")]
    version: str
    uptime_seconds: int
    taken: Annotated[int, Field(description="live connections")]
    places: Annotated[int, Field(description="how many there may be")]


class Health(BaseModel):
    """How everything is. `status` counts the services, `gateway.status` is about Parley."""

    status: Annotated[Status, Field(description="online: 6 services or 7; degraded: 3 to 5")]
    timestamp: str
    gateway: GatewayHealth
    services: list[Service]
    stages: Annotated[list[StageReport], Field(description="who answers in each slot")]
    providers: Annotated[list[ProviderReport], Field(description="who could answer, in order")]
    queues: Annotated[list[QueueReport], Field(description="what is under way or waits")]
    store: StoreReport


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """Whether new sessions should be sent here."""

    status: Readiness


def overall(services: Sequence[Service]) -> Status:
    """Six or more of the seven services make the whole online, three to five degraded."""
    online = sum(service.status == "online" for service in services)
    if online >= 6:
        return "online"
    return "degraded" if online >= 3 else "offline"


def own_status(readiness: Readiness, store: StoreReport, stages: Sequence[StageReport]) -> Status:
    """Whether Parley itself can interview: degraded where it is full or a stage is not well."""
    if store.status == "offline" or readiness in ("draining", "starting"):
        return "offline"
    well = all(stage.status == "online" for stage in stages)
    return "online" if well and readiness == "ready" else "degraded"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSources:
    """What the gateway knows of itself, each a plain call."""

    stages: Callable[[], Sequence[StageReport]]
    providers: Callable[[], Sequence[ProviderReport]]
    queues: Callable[[], Sequence[QueueReport]]
    readiness: Callable[[], Readiness]
    store: Callable[[], StoreReport]
    taken: Callable[[], int]
    places: int


def health_operations(probe: ServiceProbe, inside: StatusSources) -> list[Operation]:
    """`/health` for people and clients, `/health/live` and `/health/ready` for supervisors."""
    started_at = time.monotonic()

    async def health(request: Request) -> Health:
        services = await probe.services()
        stages, store = inside.stages(), inside.store()
        return Health(
            status=overall(services),
            timestamp=_iso(time.time()),
            gateway=GatewayHealth(
                status=own_status(inside.readiness(), store, stages),
                version=__version__,
                uptime_seconds=int(time.monotonic() - started_at),
                taken=inside.taken(),
                places=inside.places,
            ),
            services=services,
            stages=[*stages],
            providers=[*inside.providers()],
            queues=[*inside.queues()],
            store=store,
        )

    async def live(request: Request) -> Alive:
        return Alive()

    async def ready(request: Request) -> HttpReply:
        state = inside.readiness()
        return HttpReply(Ready(status=state), 200 if state == "ready" else 503)

    readiness_answers = {
        200: ResponseSpec("Send sessions here", Ready, {"status": "ready"}),
        503: ResponseSpec("Not now", Ready, {"status": "draining"}),
    }

    def described(path: str, name: str, handler: Handler, summary: str, **rest: Any) -> Operation:
        return Operation(
            method="GET",
            path=path,
            name=name,
            handler=handler,
            summary=summary,
            tags=("health",),
            **rest,
        )

    return [
        described(
            "/health",
            "getHealth",
            health,
            "How the gateway and the services around it are",
            description="Always 200. Services are asked in the background, every"
            f" {CACHE_S:g} s while somebody wants to know.",
            answers={200: ResponseSpec("How they are", Health, EXAMPLE)},
        ),
        described(
            "/health/live",
            "getLiveness",
            live,
            "Whether the process answers",
            answers={200: ResponseSpec("It does", Alive, {"status": "alive"})},
        ),
        described(
            "/health/ready",
            "getReadiness",
            ready,
            "Whether new sessions should be sent here",
            answers=readiness_answers,
        ),
        described(
            "/ready",
            "getReady",
            ready,
            "The same as /health/ready",
            answers=readiness_answers,
        ),
    ]


EXAMPLE: dict[str, Any] = {
    "status": "offline",
    "timestamp": "2026-11-20T12:19:46Z",
    "gateway": {
        "status": "online",
        "version": __version__,
        "uptime_seconds": 3600,
        "taken": 3,
        "places": 100,
    },
    "services": [
        {
            "name": "conversation-service",
            "status": "online",
            "latencyMs": 45,
            "lastChecked": "2026-11-20T12:19:43Z",
        },
        {"name": "ollama", "status": "offline", "error": "Connection refused"},
    ],
    "stages": [
        {
            "slot": "llm",
            "provider": "scripted",
            "status": "online",
            "why": "the first that can be used here",
            "note": "",
        }
    ],
    "providers": [{"slot": "llm", "provider": "scripted", "breaker": "closed"}],
    "queues": [
        {"name": "stt pocketsphinx", "unit": "jobs", "depth": 2, "bound": None},
        {"name": "avatar face", "unit": "pictures", "depth": 1, "bound": 128},
    ],
    "store": {"kind": "sqlite", "status": "online"},
}


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:g} s"


def _reason(failure: Exception) -> str:
    """Why a service could not be asked. Never the exception's own text, which may hold its URL."""
    for cause in _causes(failure):
        if isinstance(cause, ConnectionRefusedError):
            return "Connection refused"
        if isinstance(cause, OSError) and cause.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            return "Host unreachable"
    match failure:
        case httpx.ConnectError():
            return "Connection failed"
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | UnicodeError():
            return "Invalid URL"
        case httpx.RemoteProtocolError():
            return "Answer is not HTTP"
        case _:
            return "Connection broke off"


def _causes(failure: BaseException) -> Iterator[BaseException]:
    if isinstance(failure, BaseExceptionGroup):
        for member in failure.exceptions:
            yield from _causes(member)
        return
    yield failure
    if (cause := failure.__cause__ or failure.__context__) is not None:
        yield from _causes(cause)
