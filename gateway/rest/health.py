"""`/health` for people and clients, `/health/live` and `/health/ready` for supervisors.

`GET /health` shows the latest results of `ServiceProbe`, so it answers within milliseconds even
while every service hangs.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, Field
from starlette.requests import Request

from gateway import __version__
from gateway.rest.operation import Handler, HttpReply, Operation, ResponseSpec
from gateway.rest.service_probe import CACHE_S, Service, iso
from gateway.status import (
    LanguageReport,
    PressureReport,
    ProviderReport,
    QueueReport,
    Readiness,
    StageReport,
    StoreReport,
)

Status = Literal["online", "degraded", "offline"]


class GatewayHealth(BaseModel):
    """Parley itself, independent of the services around it."""

    status: Annotated[Status, Field(description="whether it can hold interviews")]
    version: str
    uptime_seconds: int
    taken: Annotated[int, Field(description="live connections")]
    places: Annotated[int, Field(description="how many there may be")]
    pressure: Annotated[PressureReport, Field(description="the load, and what it refuses")]
    workers: Annotated[int, Field(description="processes that have answered")] = 1


class Health(BaseModel):
    """The whole status. `status` counts the services, `gateway.status` is about Parley."""

    status: Annotated[Status, Field(description="online: 6 services of 7, or 7; degraded: 3 to 5")]
    timestamp: str
    gateway: GatewayHealth
    services: list[Service]
    stages: Annotated[list[StageReport], Field(description="the provider of each slot")]
    providers: Annotated[list[ProviderReport], Field(description="the candidates, in order")]
    queues: Annotated[list[QueueReport], Field(description="what is under way or waits")]
    languages: Annotated[
        LanguageReport, Field(description="codes of languages; null where a provider takes any")
    ]
    store: StoreReport


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """Whether new sessions should be sent here."""

    status: Readiness
    reasons: Annotated[
        list[str], Field(description="what loads, could not start, or is too much")
    ] = []


def overall(services: Sequence[Service]) -> Status:
    """Online with six of seven services online, degraded with three; of other numbers the same
    shares."""
    online = 7 * sum(service.status == "online" for service in services)
    if online >= 6 * len(services):
        return "online"
    return "degraded" if online >= 3 * len(services) else "offline"


def own_status(readiness: Readiness, store: StoreReport, stages: Sequence[StageReport]) -> Status:
    """Whether Parley itself can interview: degraded if it is full, models still load, or a stage is
    not online."""
    if store.status == "offline" or readiness in ("draining", "failed"):
        return "offline"
    well = all(stage.status == "online" for stage in stages)
    return "online" if well and readiness == "ready" else "degraded"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSources:
    """Where `/health` gets the gateway's own status; each function returns at once."""

    stages: Callable[[], Sequence[StageReport]]
    providers: Callable[[], Sequence[ProviderReport]]
    queues: Callable[[], Sequence[QueueReport]]
    languages: Callable[[], LanguageReport]
    readiness: Callable[[], Readiness]
    unready: Callable[[], Sequence[str]]
    store: Callable[[], StoreReport]
    taken: Callable[[], int]
    places: int
    pressure: Callable[[], PressureReport]


class ServiceStatuses(Protocol):
    """Where `/health` gets the services from."""

    async def services(self) -> list[Service]:
        """The latest status of each service, within milliseconds."""
        ...


def health_operations(probe: ServiceStatuses, sources: StatusSources) -> list[Operation]:
    """`/health` for people and clients, `/health/live` and `/health/ready` for supervisors."""
    started_at = time.monotonic()

    async def health(request: Request) -> Health:
        services = await probe.services()
        stages, store = sources.stages(), sources.store()
        return Health(
            status=overall(services),
            timestamp=iso(time.time()),
            gateway=GatewayHealth(
                status=own_status(sources.readiness(), store, stages),
                version=__version__,
                uptime_seconds=int(time.monotonic() - started_at),
                taken=sources.taken(),
                places=sources.places,
                pressure=sources.pressure(),
            ),
            services=services,
            stages=[*stages],
            providers=[*sources.providers()],
            queues=[*sources.queues()],
            languages=sources.languages(),
            store=store,
        )

    async def live(request: Request) -> Alive:
        return Alive()

    async def ready(request: Request) -> HttpReply:
        state = sources.readiness()
        body = Ready(status=state, reasons=[*sources.unready()])
        return HttpReply(body, 200 if state == "ready" else 503)

    readiness_answers = {
        200: ResponseSpec("Send sessions here", Ready, {"status": "ready", "reasons": []}),
        503: ResponseSpec(
            "Not now", Ready, {"status": "starting", "reasons": ["stt: whisper is loading"]}
        ),
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
            f" {CACHE_S:g} s while there are requests for it.",
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
        "pressure": {
            "refuses": [],
            "why": [],
            "loop_lag_ms": 2.1,
            "busy": 0.04,
            "uplink_ms": 5.1,
            "recognition_queue_ms": 0,
            "recogniser": 0.0,
            "recognition_ms": 210,
            "turn_factor": 0.6,
            "memory": 0.3,
        },
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
            "detail": "",
        }
    ],
    "providers": [{"slot": "llm", "provider": "scripted", "breaker": "closed"}],
    "queues": [
        {"name": "stt pocketsphinx", "unit": "jobs", "depth": 2, "bound": None},
        {"name": "avatar face", "unit": "pictures", "depth": 1, "bound": 128},
    ],
    "languages": {"interviewer": ["en", "de"], "recogniser": ["en"], "voice": None},
    "store": {"kind": "sqlite", "status": "online"},
}
