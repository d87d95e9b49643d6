"""`parley serve --workers N`: the parent of the processes (`gateway.commands.worker`)."""

import asyncio
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.commands.terminal import FINISHING, CommandFailed, output
from gateway.commands.tls import Tls
from gateway.live.registry import LAST_WORDS_S, STORE_S
from gateway.services.sources import services_file
from gateway.settings import Settings
from gateway.workers.board import LoadBoard
from gateway.workers.folder import WorkersFolder
from gateway.workers.supervisor import StartFailed, Supervisor
from stages._worker_host import WorkerHost

MODULE: Final = "gateway.commands.worker"

MODELS: Final = "models"
"""The socket at which the parent shares the processes of models."""


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """The order for one process: its index, the gateway's settings, its sockets, its folder."""

    index: int
    settings: Settings
    listeners: tuple[int, ...]
    folder: Path
    workers: int
    tls: Tls | None = None
    tells: bool = False
    """Whether the process prints at the terminal that the gateway listens."""


def serve_together(settings: Settings, listeners: Sequence[socket.socket], tls: Tls | None) -> None:
    """Serve in `settings.workers` processes at these sockets until SIGINT or SIGTERM.

    Raises `CommandFailed` if a process does not begin, and `KeyboardInterrupt` after SIGINT.
    """
    made = WorkersFolder()
    folder, workers = made.path, settings.workers
    board = LoadBoard.create(folder / "board", workers)
    descriptors = tuple(listener.fileno() for listener in listeners)
    began: set[int] = set()

    def order(index: int) -> WorkerOrder:
        tells = index == 0 and not began
        began.add(index)
        return WorkerOrder(
            index, share(settings, index), descriptors, folder, workers, tls, tells=tells
        )

    def ending() -> None:
        if any(board.load(index) for index in range(workers)):
            output().print(FINISHING)

    async def run() -> Sequence[int]:
        supervisor = Supervisor(
            MODULE,
            order,
            board,
            folder,
            inherited=(*descriptors, made.lock),
            grace_s=settings.drain_s + LAST_WORDS_S + STORE_S,
            ending=ending,
            hangs_up=services_file(settings) is not None,
        )
        async with WorkerHost(folder / MODELS):
            await supervisor.run()
        return supervisor.signals

    try:
        signals = asyncio.run(run())
    except StartFailed as error:
        raise CommandFailed(str(error)) from None
    finally:
        board.close()
        made.close()
    for sig in reversed(signals):
        signal.raise_signal(sig)


def share(settings: Settings, index: int) -> Settings:
    """The settings of one process: its share of the whole gateway's limits."""
    workers = settings.workers
    more = 1 if index < settings.max_sessions % workers else 0
    changed: dict[str, Any] = {"max_sessions": settings.max_sessions // workers + more}
    if settings.memory_mb is not None:
        changed["memory_mb"] = max(1, settings.memory_mb // workers)
    if settings.avatar_threads is not None:
        changed["avatar_threads"] = max(1, settings.avatar_threads // workers)
    return settings.model_copy(update=changed)
