"""One process of several at a port: `python -m gateway.commands.worker DESCRIPTOR`.

The parent starts it (`gateway.commands.workers`). From the descriptor it reads its `WorkerOrder`.
"""

import asyncio
import faulthandler
import os
import pickle
import signal
import socket
import sys
from typing import Any, Final, cast

import uvicorn
from starlette.applications import Starlette

from gateway.app import create_app
from gateway.commands.serve import GatewayServer, early_refusal, kept_local, server_config
from gateway.commands.terminal import CommandFailed, complain
from gateway.commands.workers import MODELS, WorkerOrder
from gateway.live.registry import LAST_WORDS_S, STORE_S
from gateway.logs import configure
from gateway.rest.subpath import subpath_of
from gateway.variables import secrets_of
from gateway.workers.board import LoadBoard
from gateway.workers.forwarding import Forwarding, from_siblings
from gateway.workers.handover import Arrivals
from gateway.workers.routed import Door
from gateway.workers.siblings import Siblings
from gateway.workers.supervisor import WHERE
from pipeline.session import Stages
from stages._worker_shared import share

TUNNEL_LOOK_S: Final = 0.1


def main(descriptor: int) -> int:
    """Serve as one of the processes; returns the exit code."""
    faulthandler.register(WHERE)
    line = _own(descriptor)
    order = cast(
        "WorkerOrder", pickle.loads(_read(line))
    )  # from the parent, over a pair of sockets
    settings = order.settings
    configure(settings.log_level, settings.log_format, secrets_of(settings))
    share(order.folder / MODELS)
    listeners = [_own(each) for each in order.listeners]
    try:
        WorkerServer.made(order, line).run(sockets=listeners)
    except CommandFailed as error:
        complain(error.message)
        return error.code
    except KeyboardInterrupt:
        return 0
    return 0


def _own(descriptor: int) -> socket.socket:
    """A socket of the parent's, which the processes that this one starts do not inherit."""
    found = socket.socket(fileno=descriptor)
    found.set_inheritable(False)
    return found


def _read(line: socket.socket) -> bytes:
    def exactly(length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            part = line.recv(length - len(data))
            if not part:
                raise SystemExit(1)  # the parent has ended
            data += part
        return bytes(data)

    return exactly(int.from_bytes(exactly(4), "big"))


class WorkerServer(GatewayServer):
    """The server of one process; `made` makes it."""

    def __init__(
        self,
        app: Starlette,
        config: uvicorn.Config,
        own: uvicorn.Config,
        siblings: Siblings,
        door: Door,
        forwarding: Forwarding,
        line: socket.socket,
        *,
        tells: bool,
    ) -> None:
        super().__init__(app, config, tells=tells)
        self._own = own
        self._siblings = siblings
        self._door = door
        self._forwarding = forwarding
        self._line = line
        self._parent = os.getppid()
        self._arrivals: Arrivals | None = None

    @property
    def siblings(self) -> Siblings:
        """The other processes of this gateway, as this one knows them."""
        return self._siblings

    @classmethod
    def made(
        cls, order: WorkerOrder, line: socket.socket, stages: Stages | None = None
    ) -> "WorkerServer":
        """Make the server of an order; it gets its parent's messages over `line`. `stages` replace
        those of the settings, for tests."""
        settings = order.settings
        board = LoadBoard(order.folder / "board", order.workers)
        server: WorkerServer

        def orphaned() -> None:
            server.handle_exit(signal.SIGTERM, None)

        siblings = Siblings(order.index, order.folder, board, orphaned)
        app = create_app(settings, stages=stages, elsewhere=siblings)
        siblings.runtime = app.state.runtime
        siblings.page = app.state.scrape.page
        local = kept_local(app, settings, order.tls)
        subpath = subpath_of(settings.public_url)
        forwarding = Forwarding(local, siblings, subpath=subpath)
        door = Door(siblings, early_refusal(app, settings, order.tls), subpath=subpath)
        config = server_config(forwarding, order.tls, settings.proxies, door.protocol)
        own = server_config(from_siblings(local, siblings.keep, subpath=subpath))
        server = cls(app, config, own, siblings, door, forwarding, line, tells=order.tells)
        return server

    def end_process(self) -> None:
        """Begin the orderly end of all processes: the parent passes it on."""
        if os.getppid() == self._parent:
            os.kill(self._parent, signal.SIGTERM)
        else:  # it has died
            super().end_process()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        siblings, loop = self._siblings, asyncio.get_running_loop()
        self._own.load()
        common: dict[str, Any] = {
            "server_state": self.server_state,
            "app_state": self.lifespan.state,
        }
        path = siblings.http_path(siblings.index)
        path.unlink(missing_ok=True)
        own = self._own
        server = await loop.create_unix_server(
            lambda: own.http_protocol_class(config=own, **common),  # type: ignore[call-arg]
            path=str(path),
            backlog=512,
        )
        self.servers.append(server)
        self._door.serving(config=self.config, **common)
        path = siblings.arrivals_path(siblings.index)
        self._arrivals = Arrivals(path, self._door.take, self._door.missed)
        siblings.begin()
        runtime = siblings.runtime
        assert runtime is not None
        self._line.setblocking(False)
        await siblings.bus.connect(self._line, runtime.owner.token)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().shutdown(sockets)
        finally:
            if self._arrivals is not None:
                self._arrivals.close()
            self._door.close()
            await self._forwarding.aclose()
            await self._siblings.aclose()

    async def wind_down(self) -> None:
        await super().wind_down()
        tunnels, runtime = self._door.tunnels, self._siblings.runtime
        assert runtime is not None
        # What passes through here is another process's conversation, which ends likewise.
        within_s = runtime.settings.drain_s + LAST_WORDS_S + STORE_S
        for _ in range(int(within_s / TUNNEL_LOOK_S)):
            if not tunnels or self.force_exit:
                return
            await asyncio.sleep(TUNNEL_LOOK_S)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
