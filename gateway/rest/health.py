"""How the gateway and the services around it are.

`GET /health` answers at once, also while every service hangs: probes run beside the requests, one
round for however many callers, and whatever has not answered in time is reported as offline.
"""

import asyncio
import errno
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway import __version__
from gateway.settings import Settings

PROBE_TIMEOUT_S = 3.0
ANSWER_WITHIN_S = 0.8
CACHE_S = 5.0

Status = Literal["online", "degraded", "offline"]
Readiness = Literal["ready", "draining", "full", "starting"]


@dataclass(frozen=True, slots=True)
class StageReport:
    """Which provider answers in a slot, how it is, and why it was chosen.

    `note` is what a person should know about it, such as demo quality; empty for nothing.
    """

    slot: str
    provider: str
    status: str
    why: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer of a service, or the reason why there is none. `at` is seconds since the epoch."""

    at: float
    latency_ms: int
    error: str | None


def service_urls(settings: Settings) -> dict[str, str]:
    """What is asked of each service, in the order of the report."""
    return {
        "conversation-service": f"{settings.conversation_url}/health",
        "voice-service": f"{settings.voice_url}/health",
        "avatar-service": f"{settings.avatar_url}/health",
        "interview-service": f"{settings.interview_url}/health",
        "analytics-service": f"{settings.analytics_url}/health",
        "granite-interview-service": f"{settings.granite_interview_url}/health",
        "ollama": f"{settings.ollama_url}/api/tags",
    }


class ServiceProbe:
    """Asks every service how it is, all at once, and remembers the answers for `cache_s`.

    `urls` are those of `service_urls`. Each gets one attempt of `timeout_s` at most; a caller waits
    `wait_s` at most, counted from the start of the round. The probe owns the round under way:
    `aclose` ends it. `transport` replaces the network.
    """

    def __init__(
        self,
        urls: Mapping[str, str],
        *,
        timeout_s: float = PROBE_TIMEOUT_S,
        wait_s: float = ANSWER_WITHIN_S,
        cache_s: float = CACHE_S,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._urls = dict(urls)
        self._timeout_s = timeout_s
        self._wait_s = wait_s
        self._cache_s = cache_s
        self._clock = clock
        # Neither proxies from the environment nor redirects: only the configured hosts are asked.
        self._client = httpx.AsyncClient(
            trust_env=False, follow_redirects=False, timeout=timeout_s, transport=transport
        )
        self._round: asyncio.Task[None] | None = None
        self._started_at = 0.0
        # The answers of the latest round, as they come in.
        self._readings: dict[str, Reading] = {}

    async def services(self) -> list[dict[str, Any]]:
        """The report's `services`. Being cancelled does not disturb the round under way."""
        now = self._clock()
        if self._round is None or (self._round.done() and now - self._started_at >= self._cache_s):
            self._started_at = now
            self._readings = {}
            self._round = asyncio.create_task(self._ask_all(self._readings))
        readings = self._readings
        if not self._round.done():
            left_s = max(0.0, self._started_at + self._wait_s - now)
            await asyncio.wait({self._round}, timeout=left_s)
        return [self._entry(name, readings.get(name)) for name in self._urls]

    async def aclose(self) -> None:
        """End the round under way and close the connections."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.wait({self._round})
        await self._client.aclose()

    async def _ask_all(self, readings: dict[str, Reading]) -> None:
        async with asyncio.TaskGroup() as group:
            for name, url in self._urls.items():
                group.create_task(self._ask(name, url, readings))

    async def _ask(self, name: str, url: str, readings: dict[str, Reading]) -> None:
        begun = time.perf_counter()
        try:
            # Only the status counts, so the body is not read, however long it is.
            async with asyncio.timeout(self._timeout_s), self._client.stream("GET", url) as answer:
                status = answer.status_code
            error = None if status == 200 else f"HTTP {status}"
        except (TimeoutError, httpx.TimeoutException):
            error = f"no answer within {_duration(self._timeout_s)}"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as failure:
            error = _reason(failure)
        latency_ms = round((time.perf_counter() - begun) * 1000)
        readings[name] = Reading(time.time(), latency_ms, error)

    def _entry(self, name: str, reading: Reading | None) -> dict[str, Any]:
        if reading is None:
            late = f"no answer within {_duration(self._wait_s)}"
            return {"name": name, "status": "offline", "error": late}
        if reading.error is not None:
            return {"name": name, "status": "offline", "error": reading.error}
        return {
            "name": name,
            "status": "online",
            "latencyMs": reading.latency_ms,
            "lastChecked": _iso(reading.at),
        }


def overall(services: Sequence[Mapping[str, Any]]) -> Status:
    """Six or more of the seven services make the whole online, three to five degraded."""
    online = sum(service["status"] == "online" for service in services)
    if online >= 6:
        return "online"
    return "degraded" if online >= 3 else "offline"


def health_routes(
    probe: ServiceProbe,
    stages: Callable[[], Sequence[StageReport]],
    readiness: Callable[[], Readiness],
) -> list[Route]:
    """`/health` for people and clients, `/health/live` and `/health/ready` for supervisors."""
    started_at = time.monotonic()

    async def health(request: Request) -> JSONResponse:
        services = await probe.services()
        return _fresh(
            {
                "status": overall(services),
                "timestamp": _iso(time.time()),
                "gateway": {
                    "version": __version__,
                    "uptime_seconds": int(time.monotonic() - started_at),
                },
                "services": services,
                "stages": [asdict(report) for report in stages()],
            }
        )

    async def live(request: Request) -> JSONResponse:
        return _fresh({"status": "alive"})

    async def ready(request: Request) -> JSONResponse:
        state = readiness()
        return _fresh({"status": state}, 200 if state == "ready" else 503)

    return [
        Route("/health", health, methods=["GET"]),
        Route("/health/live", live, methods=["GET"]),
        Route("/health/ready", ready, methods=["GET"]),
    ]


def _fresh(body: Mapping[str, Any], status: int = 200) -> JSONResponse:
    return JSONResponse(body, status, headers={"cache-control": "no-store"})


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
