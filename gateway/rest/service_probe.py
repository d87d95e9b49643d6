"""Status of the services around the gateway, probed in the background: no request waits for one."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Literal

import httpx
from pydantic import BaseModel

from gateway.refreshed import Refreshed
from gateway.services.failures import duration_text, failure_text
from gateway.settings import Settings
from stages._certificates import trusted

logger = logging.getLogger("parley.health")

PROBE_TIMEOUT_S = 3.0
CACHE_S = 5.0

IDLE_S = 60.0
"""Probing pauses once there has been no request for this time."""

CATCH_UP_S = 0.01
"""How long the first request after a pause waits for new results before it shows the old ones."""


@dataclass(frozen=True, slots=True)
class Reading:
    """When a service last answered 200, in seconds since the epoch, and its latency."""

    at: float
    latency_ms: int


class _BadStatus(Exception):
    """A service answered with a status other than 200."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


_OFFLINE = (_BadStatus, httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError)
"""Errors that mean that a service is offline; a `TimeoutError` is an `OSError`."""


def service_urls(settings: Settings) -> dict[str, tuple[str, ...]]:
    """The URLs of each service, in the order of the report; the next is used if one fails."""
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
    """Probes all services in parallel, every `cache_s` while there are requests for their status.

    `urls` are those of `service_urls`. Each service gets one attempt of at most `timeout_s`. The
    probes run inside `running`; `services` returns the results. `transport` replaces the network.
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
        # No proxies from the environment and no redirects: only the configured hosts are probed.
        self._client = httpx.AsyncClient(
            verify=trusted(),
            trust_env=False,
            follow_redirects=False,
            timeout=timeout_s,
            transport=transport,
        )
        self._readings = {
            name: Refreshed[Reading | None](
                partial(self._ask, name), None, limit_s=timeout_s, changed=partial(_log, name)
            )
            for name in self._urls
        }
        self._answering: dict[str, int] = {}  # the URL, by index, that a service answered last
        self._wanted = asyncio.Event()
        self._fresh = asyncio.Event()
        self._asked_at = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Probe the services while the block lasts; leaving closes the connections."""
        asking = asyncio.create_task(self._run())
        try:
            yield
        finally:
            asking.cancel()
            await asyncio.wait([asking])
            for reading in self._readings.values():
                await reading.aclose()
            await self._client.aclose()

    async def services(self) -> list["Service"]:
        """The latest status of each service. The first call after a pause waits `CATCH_UP_S`."""
        self._asked_at = asyncio.get_running_loop().time()
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
        self._asked_at = loop.time()
        while True:
            begun = loop.time()
            await asyncio.gather(*(reading.refresh() for reading in self._readings.values()))
            self._fresh.set()
            await asyncio.sleep(max(0.0, begun + self._cache_s - loop.time()))
            if loop.time() - self._asked_at >= IDLE_S:
                self._wanted.clear()
                self._fresh.clear()
                await self._wanted.wait()

    async def _ask(self, name: str) -> Reading:
        urls = self._urls[name]
        first = self._answering.get(name, 0)
        status = 0
        for choice in dict.fromkeys((first, *range(len(urls)))):
            begun = time.perf_counter()
            # Only the status counts, so the body is not read, however long it is.
            async with self._client.stream("GET", urls[choice]) as answer:
                status = answer.status_code
            if status == 200:
                self._answering[name] = choice
                return Reading(time.time(), round((time.perf_counter() - begun) * 1000))
        raise _BadStatus(status)

    def _entry(self, name: str) -> "Service":
        answer = self._readings[name]
        if answer.error is not None:
            return OfflineService(name=name, error=_reason(answer.error, self._timeout_s))
        if answer.value is None:
            return OfflineService(name=name, error="no answer yet")
        at, latency_ms = answer.value.at, answer.value.latency_ms
        return OnlineService(name=name, latencyMs=latency_ms, lastChecked=iso(at))


class OnlineService(BaseModel):
    """A service that answered 200, with its latency and the time of the probe (UTC)."""

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


def iso(at: float) -> str:
    """A time, in seconds since the epoch, as UTC in ISO 8601."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _log(name: str, error: Exception | None) -> None:
    """Log unexpected errors only; `/health` shows which services are offline."""
    if error is not None and not isinstance(error, _OFFLINE):
        logger.error("%s cannot be asked", name, exc_info=error)


def _reason(failure: Exception, timeout_s: float) -> str:
    if isinstance(failure, TimeoutError | httpx.TimeoutException):
        return f"no answer within {duration_text(timeout_s)}"
    return f"HTTP {failure.status}" if isinstance(failure, _BadStatus) else failure_text(failure)
