"""The application: routes, and what lives as long as the process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from gateway.engine import Engine
from gateway.rest import routes
from gateway.rest.health import ServiceProbe, service_urls
from gateway.rest.problems import EXCEPTION_HANDLERS
from gateway.settings import Settings
from gateway.store import SqliteStore
from gateway.transports.websocket import websocket_endpoint
from pipeline.session import Stages


def create_app(settings: Settings | None = None, *, stages: Stages | None = None) -> Starlette:
    """Parley as an ASGI application; serve it with `parley serve` (see `gateway.serve`).

    `stages` replaces the providers that the settings name, for tests and benchmarks.
    Raises `SettingsError` where the environment holds a value that cannot be used.
    """
    settings = settings or Settings.load()
    store = SqliteStore(settings.database)
    probe = ServiceProbe(service_urls(settings))
    engine = Engine(settings, store, stages=stages)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            async with engine:
                yield
        finally:
            await probe.aclose()
            await store.aclose()

    app = Starlette(
        routes=[
            *routes(store, probe, settings, engine.reports, engine.readiness),
            WebSocketRoute("/ws/{session_id}", websocket_endpoint),
        ],
        lifespan=lifespan,
        exception_handlers=dict(EXCEPTION_HANDLERS),
    )
    app.state.engine = engine
    return app
