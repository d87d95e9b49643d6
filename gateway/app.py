"""The application: its routes, and the lifespan of the process's objects."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from gateway import __version__
from gateway.limits.token_limiter import token_limiter_of
from gateway.live.elsewhere import Elsewhere
from gateway.models.calls import ModelCalls
from gateway.models.sources import chat_server, keys_of, models_of, warn_of_unused_keys
from gateway.models.usage import UsageLedger
from gateway.observe.scrape import Scrape, ScrapeSources
from gateway.providers.build import options
from gateway.rest import middleware, operations, rest_routes
from gateway.rest.access import HttpAccess
from gateway.rest.admin import AdminSources, admin_operations
from gateway.rest.chat_completions import ChatEndpoints
from gateway.rest.draining import DrainSources, drain_operation
from gateway.rest.health import StatusSources
from gateway.rest.limits import HttpLimits
from gateway.rest.limits_admin import limits_operation
from gateway.rest.metrics import metrics_operations
from gateway.rest.notifications import notifications_operation
from gateway.rest.notifications_websocket import NotificationSockets
from gateway.rest.operator_access import OperatorAccess
from gateway.rest.problems import EXCEPTION_HANDLERS
from gateway.rest.proxy import ServiceProxy
from gateway.rest.realtime import RealtimeEndpoints
from gateway.rest.registration import registration_operations
from gateway.rest.rtvi import RtviEndpoints
from gateway.rest.service_probe import ServiceProbe, service_urls
from gateway.rest.service_routes import ServiceRoute
from gateway.rest.services_admin import RegistryHealth, service_operations
from gateway.rest.sessions_admin import live_session_operations
from gateway.rest.signalling import Signalling
from gateway.rest.stateless import Services
from gateway.rest.static import static_operations
from gateway.rest.twilio import TwilioVoice
from gateway.rest.usage import usage_operation
from gateway.rest.webhooks_admin import webhook_operations
from gateway.rest.webrtc import offer_operation
from gateway.rest.websocket_proxy import ServiceWebSockets
from gateway.rest.whep import playback
from gateway.rest.whip import WhipEndpoints, calls, ingest
from gateway.runtime import Runtime
from gateway.security import WEBSOCKET, need_of
from gateway.security.access import PROXIED, PROXIED_V1, own_beginnings
from gateway.security.roles import policy
from gateway.services.current import CurrentServices
from gateway.services.networks import AllowedNetworks
from gateway.services.probing import Prober
from gateway.services.registration import Registration
from gateway.services.reloading import ServicesReload
from gateway.services.services_file import ServicesFile
from gateway.services.sources import ServicesUnusable, proxied, registry_of, services_file
from gateway.services.totals import Totals
from gateway.services.upstreams import Upstreams
from gateway.settings import Settings, SettingsError
from gateway.store import store_at
from gateway.store.probe import StoreProbe
from gateway.transports.websocket.endpoint import websocket_endpoint
from gateway.transports.websocket.openai_live import live_endpoint
from gateway.transports.websocket.realtime import realtime_endpoint
from gateway.transports.websocket.rtvi import rtvi_endpoint
from gateway.transports.websocket.twilio import twilio_endpoint
from pipeline.session import Stages


def create_app(
    settings: Settings | None = None,
    *,
    stages: Stages | None = None,
    elsewhere: Elsewhere | None = None,
) -> Starlette:
    """Parley as an ASGI application; serve it with `parley serve` (see `gateway.commands.serve`).

    `stages` replaces the providers that the settings name, for tests and benchmarks. `elsewhere`
    are the gateway's other processes.
    Raises `SettingsError` where the environment holds a value that cannot be used,
    `StoreUnavailable` where the client for the store is not installed, and `KeyFileError` where a
    key is to be made and cannot be.
    """
    settings = settings or Settings.load()
    store = store_at(settings.database, settings.redis_url)
    stored = StoreProbe(store)
    probe = ServiceProbe(service_urls(settings))
    file_says, upstreams, totals = _services(settings), Upstreams(), Totals()
    specs, models = file_says.services, models_of(file_says.models, settings)
    registry = registry_of(specs)
    prober, file = Prober(registry, upstreams), services_file(settings)
    current = CurrentServices(specs, registry, upstreams, prober)
    reload = None if file is None else ServicesReload(file, current, models)
    registration = Registration(
        current,
        AllowedNetworks.parse(settings.service_networks),
        own_beginnings(),
        None if settings.redis_url is None else store,
    )
    behind = settings.services is not None or registration.on
    runtime = Runtime(settings, store, stages=stages, elsewhere=elsewhere)
    own = registry_of(chat_server(settings))
    runtime.service_breakers = lambda: (*registry.open_breakers(), *own.open_breakers())
    webrtc = Signalling(runtime, settings)
    usage, tokens = UsageLedger(), token_limiter_of(settings, store)
    http_limits = None if runtime.limiter is None else HttpLimits(runtime.limiter)
    chats = ChatEndpoints(
        ModelCalls(models, registry, own, upstreams, keys_of(settings)), tokens, usage, http_limits
    )
    http_access = HttpAccess(
        runtime.access,
        origins=settings.cors_origins,
        webrtc_token=webrtc.token,
        maker=webrtc.maker,
        roles=policy(settings.service_roles),
        limits=http_limits,
    )
    services = Services(settings, runtime.responders, options(settings).llm_server)
    status = StatusSources(
        stages=runtime.reports,
        providers=runtime.candidates,
        queues=runtime.queues,
        languages=runtime.languages,
        readiness=runtime.readiness,
        unready=runtime.unready,
        store=stored.latest,
        taken=lambda: runtime.live.connections,
        places=settings.max_sessions,
        pressure=runtime.pressure,
    )

    operator = OperatorAccess(settings.admin_key)
    scrape = Scrape(
        runtime.metrics,
        ScrapeSources(
            version=__version__,
            places=settings.max_sessions,
            sessions=runtime.observed,
            breakers=runtime.breakers,
            service_breakers=lambda: [
                found
                for services in ((registry, own) if behind else (own,))
                for found in services.breakers(asyncio.get_running_loop().time())
            ],
            queues=runtime.queues,
            readiness=runtime.readiness,
            media=lambda: replace(webrtc.media(), dropped=runtime.dropped_chunks()),
            step=runtime.step,
            pressure=runtime.pressure_shares,
            face_level=lambda: None if runtime.studio is None else runtime.studio.level.name,
        ),
    )

    admin = AdminSources(
        stages=runtime.reports,
        providers=runtime.candidates,
        queues=runtime.queues,
        breakers=runtime.breakers,
        drills=runtime.drills if settings.drills == "allowed" else None,
        change_breaker=lambda name, change: runtime.lineup().change_breaker(name, change),
    )

    drain = DrainSources(
        end=lambda: runtime.end_process,
        draining=lambda: runtime.live.draining,
        within_s=settings.drain_s,
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        warn_of_unused_keys(settings, models)
        try:
            async with prober.running() if behind else probe.running():
                await stored.ask()
                async with registration.running(), tokens.running(), runtime, webrtc:
                    yield
        finally:
            await services.aclose()
            await upstreams.aclose()
            await stored.aclose()
            await store.aclose()

    proxies = {
        version: ServiceProxy(
            registry, upstreams, partial(http_access.check, path=path), totals, version
        )
        for path, version in ((PROXIED_V1, "/v1"), (PROXIED, ""))
    }
    app = Starlette(
        routes=[
            *(ServiceRoute(version, proxy) for version, proxy in proxies.items()),
            *rest_routes(
                [
                    *operations(
                        store,
                        RegistryHealth(registry) if behind else probe,
                        settings,
                        status,
                        runtime.end,
                        services,
                        runtime.interviews,
                        runtime.access,
                        runtime.refusal,
                    ),
                    *metrics_operations(scrape, operator),
                    *admin_operations(admin, operator),
                    *live_session_operations(runtime.observed, operator),
                    limits_operation(runtime.limiter, tokens, operator),
                    drain_operation(drain, operator),
                    *service_operations(registry, prober, reload, totals, operator, own),
                    *registration_operations(registration, operator),
                    *webhook_operations(store, runtime.webhooks, operator),
                    notifications_operation(store, runtime.notifications, runtime.access),
                    *chats.operations(),
                    usage_operation(usage, operator),
                    *static_operations(face=settings.face),
                    offer_operation(webrtc),
                    *WhipEndpoints(webrtc, calls(webrtc)).operations(),
                    *WhipEndpoints(webrtc, ingest(webrtc)).operations(),
                    *WhipEndpoints(webrtc, playback(webrtc, runtime)).operations(),
                    *RealtimeEndpoints(runtime, webrtc).operations(),
                    *TwilioVoice(runtime, settings).operations(),
                    *RtviEndpoints(runtime, webrtc).operations(),
                ],
                http_access.check,
            ),
            _websocket(
                "/ws/notifications",
                NotificationSockets(
                    store, runtime.notifications, runtime.access, http_access
                ).serve,
            ),
            _websocket("/ws/{session_id}", websocket_endpoint),
            _websocket("/ws-client", rtvi_endpoint),
            _websocket("/ws-client/{session_id}", rtvi_endpoint),
            _websocket("/v1/realtime", realtime_endpoint),
            _websocket("/v1/live/sessions", live_endpoint),
            _websocket("/twilio/{session_id}", twilio_endpoint),
            # Last: they match every path with two parts.
            *(
                route
                for path, version in ((PROXIED_V1, "/v1"), (PROXIED, ""))
                for route in (
                    _websocket(
                        path, ServiceWebSockets(registry, upstreams, http_access, version).serve
                    ),
                    Route(path, proxies[version]),
                )
            ),
        ],
        middleware=middleware(settings, limited=runtime.limiter is not None or tokens.on),
        lifespan=lifespan,
        exception_handlers=dict(EXCEPTION_HANDLERS),
    )
    app.router.redirect_slashes = False  # an unknown path of HTTP is 404, also with a slash
    app.state.runtime = runtime
    app.state.scrape = scrape
    app.state.webrtc = webrtc
    app.state.services = registry
    app.state.reload_services = None if reload is None else reload.reload
    return app


def _services(settings: Settings) -> ServicesFile:
    try:
        return proxied(settings)
    except ServicesUnusable as error:
        raise SettingsError(f"PARLEY_SERVICES: {error}") from None


def _websocket(path: str, endpoint: Callable[[WebSocket], Awaitable[None]]) -> WebSocketRoute:
    need_of(WEBSOCKET, path)  # no endpoint without a row in the table of who may use what
    route = WebSocketRoute(path, endpoint)
    if path not in (PROXIED, PROXIED_V1):  # clients put a slash behind an address as they like
        route.path_regex = re.compile(f"{route.path_regex.pattern.removesuffix('$')}/?$")
    return route
