"""The HTTP side: health and sessions. The routes are put together here."""

from collections.abc import Callable, Sequence

from starlette.routing import Route

from gateway.rest.health import (
    Readiness,
    ServiceProbe,
    StageReport,
    health_routes,
    service_urls,
)
from gateway.rest.problems import EXCEPTION_HANDLERS, Problem
from gateway.rest.sessions import session_routes
from gateway.settings import Settings
from gateway.store import Store

__all__ = [
    "EXCEPTION_HANDLERS",
    "Problem",
    "Readiness",
    "ServiceProbe",
    "StageReport",
    "routes",
    "service_urls",
]


def routes(
    store: Store,
    probe: ServiceProbe,
    settings: Settings,
    stages: Callable[[], Sequence[StageReport]],
    readiness: Callable[[], Readiness],
) -> list[Route]:
    """All of them; the application adds `EXCEPTION_HANDLERS` and closes store and probe."""
    return [
        *health_routes(probe, stages, readiness),
        *session_routes(store, settings.session_ttl_s),
    ]
