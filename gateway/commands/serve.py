"""The server process: `parley serve`."""

import asyncio
import errno
import logging
import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from ipaddress import ip_address
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from gateway.app import create_app
from gateway.commands.announcement import access_line, announce, tell_when_ready, token_file
from gateway.commands.fetch import fetch
from gateway.commands.terminal import FINISHING, CommandFailed, output
from gateway.commands.tls import Tls, bound_handshakes
from gateway.ice import split
from gateway.live.garbage import collect, settle
from gateway.live.quiet import Quiet
from gateway.logs import configure
from gateway.providers.build import chosen
from gateway.runtime import Runtime
from gateway.security import KeyFileError, api_keys, key_file
from gateway.security.tokens import missing
from gateway.services.sources import ServicesUnusable, proxied
from gateway.settings import Settings
from gateway.transports.accepting import duplicates
from gateway.transports.hosts import for_this_machine
from gateway.transports.http import HttpProtocol, turning_away
from gateway.transports.proxies import address_behind, behind
from gateway.transports.websocket.protocol import WebSocketProtocol
from gateway.transports.websocket.realtime import CALL_PREFIX
from gateway.transports.websocket.refusal import EarlyRefusal
from gateway.variables import secrets_of
from pipeline.session import Stages
from stages.registry import NoProvider

logger = logging.getLogger("parley.serve")

LONGEST_MESSAGE_BYTES = 64 * 1024
"""A larger WebSocket message gets close code 1009 before it has been received."""

PING_EVERY_S = 10.0
PING_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 620
"""How long an idle connection is kept: longer than proxies keep theirs (nginx 60 s, Traefik 90 s,
Caddy 2 minutes, Google's 10 minutes). A proxy that uses one which the server is about to close
loses the request, and may not repeat a POST."""

GRACE_S = 10
"""How long requests may take to end when the server stops; sessions have ended before."""

SIGNAL_EVERY_S = 0.1
"""How often an orderly end looks for a second signal, as uvicorn does."""

BACKLOG = 128

REDIS_EXTRA = "the client for Redis: pip install 'parley-gateway[redis]'"
WITHOUT_WHISPER = "PARLEY_STT=auto starts with what is here"


def serve(settings: Settings, stages: Stages | None = None, *, tls: Tls | None = None) -> None:
    """Serve until SIGINT or SIGTERM, with `stages` in place of the providers of the settings.

    With `tls`, only over HTTPS and secure WebSockets.

    Raises `CommandFailed` if the address cannot be used or no provider fills a slot, and
    `KeyboardInterrupt` after an orderly end by SIGINT. A start that fails later exits with 3.
    """
    configure(settings.log_level, settings.log_format, secrets_of(settings))
    if settings.workers > 1:
        check_workers(settings, stages)
    listeners = listen(settings.host, settings.port)
    try:
        check_public(settings, listeners)
        _check(settings)
        if settings.workers > 1:
            from gateway.commands.workers import serve_together  # one process needs none of it

            serve_together(settings, listeners, tls)
        else:
            app = create_app(settings, stages=stages)
            local = kept_local(app, settings, tls)
            http = turning_away(early_refusal(app, settings, tls))
            config = server_config(local, tls, settings.proxies, http)
            GatewayServer(app, config).run(sockets=listeners)
    finally:
        for listener in listeners:
            listener.close()


def check_workers(settings: Settings, stages: Stages | None = None) -> None:
    """Raise `CommandFailed` if this machine cannot have as many processes at a port."""
    if settings.max_sessions < settings.workers:
        raise CommandFailed(
            f"PARLEY_MAX_SESSIONS={settings.max_sessions} leaves no place for some of"
            f" PARLEY_WORKERS={settings.workers} processes: raise the one, or lower the other"
        )
    if stages is not None:
        raise CommandFailed("PARLEY_WORKERS: given stages belong to one process")
    if not (hasattr(socket, "AF_UNIX") and hasattr(socket, "send_fds")):
        raise CommandFailed("PARLEY_WORKERS needs Linux or macOS: set it to 1")


def check_public(settings: Settings, listeners: Sequence[socket.socket]) -> None:
    """Raise `CommandFailed` for a server that the network could use without a key."""
    if settings.guarded or settings.insecure:
        return
    if all(ip_address(listener.getsockname()[0]).is_loopback for listener in listeners):
        return
    raise CommandFailed(
        f"PARLEY_HOST={settings.host} would let everybody in the network use this gateway. Either"
        " set PARLEY_API_KEYS, to keys from `openssl rand -hex 24` or to auto, which makes one in"
        f" {key_file(settings.data_dir)}; or listen on 127.0.0.1, behind a proxy that asks for a"
        " password; or, where you trust everybody, set PARLEY_INSECURE=1 (--insecure)"
    )


def _check(settings: Settings) -> None:
    """Check before the start, so that a fault is a sentence and not a traceback."""
    if settings.stt == "whisper":
        _have_whisper(settings)
    try:
        chosen(settings)
    except NoProvider as error:
        raise CommandFailed(f"{error}; `parley doctor` shows what is missing") from None
    if settings.redis_url is not None and find_spec("redis") is None:
        raise CommandFailed(f"REDIS_URL needs {REDIS_EXTRA}")
    if find_spec("aiortc") is not None:
        try:
            split(filter(None, settings.webrtc_addresses.split(",")))
        except ValueError as error:
            raise CommandFailed(
                f"PARLEY_WEBRTC_ADDRESSES: {error}; name this machine's addresses and at most one"
                " other, the public one of its NAT"
            ) from None
    try:
        proxied(settings)
    except ServicesUnusable as error:
        raise CommandFailed(f"PARLEY_SERVICES: {error}") from None
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandFailed(f"PARLEY_DATA_DIR={folder} cannot be made: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CommandFailed(f"PARLEY_DATA_DIR={folder} is not writable for this user")
    if (lacking := missing(settings)) is not None:
        raise CommandFailed(lacking)
    try:
        api_keys(settings)
    except KeyFileError as error:
        raise CommandFailed(f"PARLEY_API_KEYS=auto: {error}") from None


def _have_whisper(settings: Settings) -> None:
    """Download the model of `PARLEY_STT=whisper` if it is not here."""
    from stages.stt.whisper_models import installed_engine, repository
    from stages.stt.whisper_sources import AUTO, check, configured_problem

    model, folder = settings.whisper_model, settings.data_dir
    if installed_engine() is not None:
        return  # the registry reports it, and what to install
    if model == AUTO:
        problem, wanted = check(AUTO, folder, settings.stt_language), "base"
    else:
        problem, wanted = configured_problem(model, folder), model
    if problem is None:
        return
    if wanted.endswith(".en") and settings.stt_language not in (None, "en"):
        return  # the registry refuses it: it would not understand the language
    if repository(wanted) is None:  # a folder of the operator's: it cannot be downloaded
        raise CommandFailed(f"{problem}; {WITHOUT_WHISPER}")
    try:
        fetch(wanted, folder)
    except CommandFailed as error:
        raise CommandFailed(f"{error}; {WITHOUT_WHISPER}") from None


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of `host`; early clients wait for the start.

    Raises `CommandFailed` that names the setting to change.
    """
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except (OSError, UnicodeError):
        raise CommandFailed(f"PARLEY_HOST={host} is not an address of this machine") from None
    listeners: list[socket.socket] = []
    failure: OSError | None = None
    for family, address in dict.fromkeys((entry[0], str(entry[4][0])) for entry in found):
        try:
            # If any port will do, all addresses get the same one.
            at = listeners[0].getsockname()[1] if listeners else port
            listeners.append(socket.create_server((address, at), family=family, backlog=BACKLOG))
        except OSError as error:
            failure = error
            if error.errno == errno.EADDRINUSE:
                break
    if failure is not None and (failure.errno == errno.EADDRINUSE or not listeners):
        for listener in listeners:
            listener.close()
        raise CommandFailed(_why_not(host, port, failure)) from None
    return listeners


def _why_not(host: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            another = port + 1 if port < 65535 else port - 1
            return (
                f"port {port} is in use; stop the other program or choose another:"
                f" PARLEY_PORT={another} make run"
            )
        case errno.EACCES:
            return f"port {port} is for the administrator only; choose one from 1024, such as 8000"
        case _:
            return f"PARLEY_HOST={host} cannot be listened on: {error.strerror}"


def alone(settings: Settings, tls: Tls | None) -> bool:
    """Whether every client is a program or a browser on this machine, and needs no key.

    A proxy brings clients from elsewhere, and TLS keeps out a page whose name resolves to this
    machine.
    """
    return not settings.guarded and not settings.insecure and not settings.proxies and tls is None


def kept_local(app: ASGIApp, settings: Settings, tls: Tls | None) -> ASGIApp:
    """The application; it answers only to this machine's names if nothing else keeps others out."""
    return for_this_machine(app, settings.cors_origins) if alone(settings, tls) else app


def early_refusal(app: Starlette, settings: Settings, tls: Tls | None) -> EarlyRefusal:
    """The rule by which a WebSocket of this application is refused before it is made."""
    runtime: Runtime = app.state.runtime
    return EarlyRefusal(
        runtime.live,
        partial(runtime.metrics.refused, "websocket"),
        has_call=lambda call_id: runtime.controlled.has(call_id.removeprefix(CALL_PREFIX)),
        origins=settings.cors_origins if alone(settings, tls) else None,
        address_of=address_behind(settings.proxies),
        clock=time.time,
    )


def server_config(
    app: ASGIApp,
    tls: Tls | None = None,
    proxies: str = "",
    http: type[HttpProtocol] = HttpProtocol,
) -> uvicorn.Config:
    """uvicorn's configuration for the application, which needs this WebSocket protocol.

    `proxies` are networks, separated by commas, whose forwarding headers are trusted.
    """
    return uvicorn.Config(
        behind(app, proxies) if proxies else app,
        lifespan="on",
        http=http,
        ws=WebSocketProtocol,
        ws_max_size=LONGEST_MESSAGE_BYTES,
        ws_ping_interval=PING_EVERY_S,
        ws_ping_timeout=PING_TIMEOUT_S,
        ws_per_message_deflate=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=None if tls is None else tls.cert,
        ssl_keyfile=None if tls is None else tls.key,
    )


class GatewayServer(uvicorn.Server):
    """uvicorn for the application. With `tells` it prints that it listens."""

    def __init__(self, app: Starlette, config: uvicorn.Config, *, tells: bool = True) -> None:
        self._app = app
        self._tells = tells
        self._tasks: list[asyncio.Task[None]] = []  # until `shutdown`
        self._reloading: asyncio.Task[None] | None = None
        self._reload_again = False
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self.config.is_ssl:
            bound_handshakes(asyncio.get_running_loop())
        assert sockets is not None
        more = duplicates(sockets, asyncio.get_running_loop())
        try:
            await super().startup([*sockets, *more])
        except BaseException:  # such as the exit of a start that fails
            for each in more:
                each.close()
            raise
        settle()
        runtime = self._app.state.runtime
        runtime.end_process = self.end_process
        settings = runtime.settings
        if self._tells:
            announce(
                sockets[0],
                runtime.reports(),
                secure=self.config.is_ssl,
                access=access_line(settings),
                token_file=token_file(settings),
                workers=settings.workers,
            )
            self._tasks.append(asyncio.create_task(tell_when_ready(runtime)))
        self._tasks.append(asyncio.create_task(collect(runtime.live)))
        if runtime.load is not None:
            self._tasks.append(asyncio.create_task(runtime.load.run()))
        if runtime.studio is not None:
            runtime.studio.warm(Quiet(runtime.live, time.monotonic))
        if self._app.state.reload_services is not None and hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins an orderly end; the second one, of any kind, ends at once."""
        self.force_exit = self.should_exit
        super().handle_exit(sig, frame)
        self._app.state.runtime.refuse()

    def end_process(self) -> None:
        """Begin an orderly end, as SIGTERM does. A plain call."""
        signal.raise_signal(signal.SIGTERM)

    def _reload(self) -> None:
        """SIGHUP: read the file of services again. One reload at a time, and one more for all
        signals that come meanwhile: the file may have been read before they came."""
        self._reload_again = True
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self._reload_services())

    async def _reload_services(self) -> None:
        while self._reload_again:
            self._reload_again = False
            with suppress(ServicesUnusable):  # it is logged
                await self._app.state.reload_services()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._reloading is not None:
            self._tasks.append(self._reloading)
        await _end(self._tasks)
        await self.wind_down()
        self._app.state.runtime.drain()
        await super().shutdown(sockets)

    async def wind_down(self) -> None:
        """Let the live sessions end while the server still listens, to say that it is not ready."""
        runtime = self._app.state.runtime
        if runtime.live.connections and runtime.settings.workers == 1:
            output().print(FINISHING)
        ending = asyncio.create_task(runtime.wind_down())
        try:
            while not (ending.done() or self.force_exit):
                await asyncio.wait([ending], timeout=SIGNAL_EVERY_S)
        finally:
            await _end([ending])


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel the server's own tasks and wait for their ends; an error of theirs is logged."""
    for task in tasks:
        task.cancel()
    for end in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(end, Exception):
            logger.error("a task of the server failed", exc_info=end)
