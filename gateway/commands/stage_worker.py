"""`parley worker`: serve one stage, recognition or synthesis, to gateways elsewhere."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, Literal

from gateway.commands.serve import listen
from gateway.commands.terminal import CommandFailed, output
from gateway.logs import configure
from gateway.media.resampling import converter
from gateway.providers.build import options, wanted
from gateway.settings import Settings
from gateway.variables import REMOTE, secrets_of
from pipeline.errors import StageFailed
from stages._remote_server import StageServer
from stages.registry import AUTO, NoProvider, UnknownProvider, choose
from stages.third_party import describe

logger = logging.getLogger("parley.worker")

START_S = 120.0
"""How long a model may take to load."""

WorkerSlot = Literal["stt", "tts"]


def stage_worker(
    settings: Settings,
    slot: WorkerSlot,
    *,
    host: str,
    port: int,
    provider: str | None = None,
    places: int = 64,
    drain_s: int = 30,
    insecure: bool = False,
) -> int:
    """Serve a stage until SIGINT or SIGTERM; returns the exit code.

    The first signal lets calls under way end within `drain_s`, a second one ends at once. Raises
    `CommandFailed` if the address cannot be used or no provider can work.
    """
    configure(settings.log_level, settings.log_format, secrets_of(settings))
    listeners = listen(host, port)
    try:
        _check_public(settings, listeners, host, insecure=insecure)
        work = _serve(settings, slot, listeners, provider, places, drain_s)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(work)
    finally:
        for listener in listeners:
            listener.close()


def _loop_factory() -> Any:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


def _check_public(
    settings: Settings, listeners: Sequence[socket.socket], host: str, *, insecure: bool
) -> None:
    if settings.worker_key is not None or insecure:
        return
    if not all(ip_address(listener.getsockname()[0]).is_loopback for listener in listeners):
        raise CommandFailed(
            f"--host {host} would let everybody in the network use this worker: set"
            " PARLEY_WORKER_KEY here and at the gateway, to a key from `openssl rand -hex 24`, or"
            " say --insecure where you trust everybody"
        )


async def _serve(
    settings: Settings,
    slot: WorkerSlot,
    listeners: Sequence[socket.socket],
    provider: str | None,
    places: int,
    drain_s: int,
) -> int:
    stage = await started(settings, slot, provider)
    key = None if settings.worker_key is None else settings.worker_key.get_secret_value()
    server = StageServer(slot, stage, converter, key=key, places=places)
    signals = _Signals(server, drain_s)
    try:
        serving = asyncio.create_task(server.serve(listeners))
        signals.watch(serving)
        detail = getattr(stage, "detail", str)()
        host, port = listeners[0].getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        output().print(
            f"Parley's {slot} worker ({', '.join(filter(None, [stage.provider, detail]))}) listens"
            f" at ws://{shown}:{port} (Ctrl-C ends it)",
            soft_wrap=True,
        )
        await asyncio.wait((serving,))
        if not serving.cancelled():
            serving.result()
    finally:
        await signals.aclose()
        await stage.aclose()
    return 0


async def started(settings: Settings, slot: WorkerSlot, provider: str | None = None) -> Any:
    """The best provider that can work here, with its model loaded. Raises `CommandFailed`."""
    chosen = provider or wanted(settings)[slot]
    if chosen == REMOTE:  # the gateway's setting; a worker needs an engine of its own
        chosen = AUTO
    known = replace(options(settings), stt_workers=(), tts_workers=())
    try:
        choice = choose(slot, chosen, known)
    except (NoProvider, UnknownProvider) as error:
        raise CommandFailed(f"{error}; `parley doctor` shows what is missing") from None
    reasons = []
    for each in choice.providers:
        stage = None
        try:
            stage = each.build(known)
            if hasattr(stage, "start"):
                async with asyncio.timeout(START_S):
                    await stage.start()
        except Exception as error:  # from a third party, or a library; the next one may work
            told = error.detail if isinstance(error, StageFailed) else describe(error)
            logger.warning("%s: %s cannot start: %s", slot, each.name, told)
            reasons.append(f"{each.name}: {told}")
            if stage is not None:
                await stage.aclose()
        else:
            return stage
    raise CommandFailed(f"no {slot} provider can start here ({'; '.join(reasons)})")


class _Signals:
    """SIGTERM and SIGINT: the first signal drains, a second one ends at once."""

    def __init__(self, server: StageServer, drain_s: int) -> None:
        self._server = server
        self._drain_s = drain_s
        self._draining: asyncio.Task[None] | None = None

    def watch(self, serving: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()

        def end() -> None:
            if self._draining is None:
                logger.info("calls under way end within %d s", self._drain_s)
                self._draining = loop.create_task(self._server.drain(self._drain_s))
            else:
                serving.cancel()

        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, end)

    async def aclose(self) -> None:
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.wait((self._draining,))
