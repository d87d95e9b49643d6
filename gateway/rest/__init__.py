"""The HTTP API. This module puts its table of operations together."""

from collections.abc import Awaitable, Callable

from starlette.middleware import Middleware
from starlette.routing import Route

from gateway.interviews.service import InterviewService
from gateway.interviews.sessions import Mode
from gateway.rest.correlation import CorrelationMiddleware
from gateway.rest.cors import Cors
from gateway.rest.health import ServiceStatuses, StatusSources, health_operations
from gateway.rest.interviews import interview_operations
from gateway.rest.limits import LimitHeaders
from gateway.rest.operation import CheckOf, Operation, routes
from gateway.rest.pages import page_operations
from gateway.rest.recordings import recording_operations
from gateway.rest.sessions import session_operations
from gateway.rest.stateless import Services
from gateway.rest.stateless.endpoints import stateless_operations
from gateway.rest.stateless.model_endpoints import model_operations
from gateway.rest.subpath import SubpathMiddleware, subpath_of
from gateway.rest.tickets import ticket_operations
from gateway.security import Access
from gateway.settings import Settings
from gateway.store import Store
from stages.interview.languages import default_language

__all__ = ["middleware", "operations", "rest_routes"]


def operations(
    store: Store,
    probe: ServiceStatuses,
    settings: Settings,
    sources: StatusSources,
    end: Callable[[str], Awaitable[None]],
    services: Services,
    interviews: Callable[[], InterviewService],
    access: Access,
    refusal: Callable[[Mode], str | None],
) -> list[Operation]:
    """Every documented endpoint; `end` ends a session that is live in this process.

    `refusal` says why no further session of a mode can be made now.
    """
    return [
        *health_operations(probe, sources),
        *session_operations(
            store,
            settings.session_ttl_s,
            end,
            lambda record: interviews().written.is_live(record),
            lambda language: interviews().notices(language),
            language=default_language(settings.stt_language),
            recording_allowed=settings.recording == "allowed",
            tells=settings.tells,
            refusal=refusal,
        ),
        *interview_operations(interviews, store, settings.session_ttl_s, settings.upload_max_mb),
        *recording_operations(interviews, store),
        *ticket_operations(store, access),
        *stateless_operations(services.interviews),
        *model_operations(services.catalogue),
    ]


def rest_routes(table: list[Operation], check: CheckOf | None = None) -> list[Route]:
    """The routes of the table and of the pages that describe it; `check` says who may use them.

    The application adds `problems.EXCEPTION_HANDLERS` and `middleware`.
    """
    return routes([*table, *page_operations(table)], check)


def middleware(settings: Settings, *, limited: bool = False) -> list[Middleware]:
    """The middleware around every route. It does not affect WebSockets."""
    subpath = subpath_of(settings.public_url)
    return [
        *([Middleware(SubpathMiddleware, subpath=subpath)] if subpath else []),
        Middleware(CorrelationMiddleware),
        *([Middleware(LimitHeaders)] if limited else []),
        Middleware(Cors, origins=settings.cors_origins, services=settings.services is not None),
    ]
