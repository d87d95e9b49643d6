"""The application: routes, and what lives as long as the process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from gateway.live.connection import websocket_endpoint
from gateway.providers.build import options
from gateway.rest import middleware, operations, rest_routes
from gateway.rest.health import ServiceProbe, StatusSources, service_urls
from gateway.rest.problems import EXCEPTION_HANDLERS
from gateway.rest.stateless import Services
from gateway.rest.static import static_operations
from gateway.rest.webrtc import WebRtcEndpoints
from gateway.runtime import Runtime
from gateway.settings import Settings
from gateway.store import store_at
from gateway.store.probe import StoreProbe
from pipeline.session import Stages


def create_app(settings: Settings | None = None, *, stages: Stages | None = None) -> Starlette:
    """Parley as an ASGI application; serve it with `parley serve` (see `gateway.commands.serve`).

    `stages` replaces the providers that the settings name, for tests and benchmarks.
    Raises `SettingsError` where the environment holds a value that cannot be used, and
    `StoreUnavailable` where the client for the store is not installed.
    """
    settings = settings or Settings.load()
    store = store_at(settings.database, settings.redis_url)
    stored = StoreProbe(store)
    probe = ServiceProbe(service_urls(settings))
    engine = Runtime(settings, store, stages=stages)
    doors = WebRtcEndpoints(engine, settings)
    services = Services(settings, engine.responders, options(settings).llm_server)
    inside = StatusSources(
        stages=engine.reports,
        providers=engine.candidates,
        queues=engine.queues,
        readiness=engine.readiness,
        store=stored.latest,
        taken=lambda: engine.live,
        places=settings.max_sessions,
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            async with probe.running():
                await stored.ask()
                async with engine, doors:
                    yield
        finally:
            await services.aclose()
            await stored.aclose()
            await store.aclose()

    app = Starlette(
        routes=[
            *rest_routes(
                [
                    *operations(
                        store, probe, settings, inside, engine.end, services, engine.interviews
                    ),
                    *static_operations(face=settings.face),
                    *doors.operations(),
                ]
            ),
            WebSocketRoute("/ws/{session_id}", websocket_endpoint),
        ],
        middleware=middleware(settings),
        lifespan=lifespan,
        exception_handlers=dict(EXCEPTION_HANDLERS),
    )
    app.router.redirect_slashes = False  # where nothing is, nothing is promised elsewhere
    app.state.engine = engine
    app.state.doors = doors
    return app
