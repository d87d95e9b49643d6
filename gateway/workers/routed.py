"""The HTTP protocol of a process that has siblings: each WebSocket goes where it belongs."""

import asyncio
import socket
from typing import Any, cast
from urllib.parse import unquote

from gateway.rest.subpath import without
from gateway.transports.http import HttpProtocol, Turned
from gateway.transports.websocket.protocol import WebSocketProtocol
from gateway.workers.handover import Told, give
from gateway.workers.routes import Way, websocket_way
from gateway.workers.siblings import Siblings
from gateway.workers.tunnel import Tunnels

MOST_HOPS = 3
"""A connection that came to a process which has filled up meanwhile is handed over again, so often
at most."""


class Door:
    """Gives connections to the siblings of a process, and takes theirs.

    `serving` is called with the keyword arguments of uvicorn's protocols once the server has begun.
    `turned` says who is refused a WebSocket before it is made. `subpath` is the path below which
    the gateway is on another host, or "".
    """

    def __init__(
        self, siblings: Siblings, turned: Turned | None = None, *, subpath: str = ""
    ) -> None:
        self.siblings = siblings
        self.subpath = subpath
        self.tunnels: Tunnels | None = None
        self._arguments: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # bounded by the connections that arrive
        door = self

        class Routed(_Routed):
            def __init__(self, **arguments: Any) -> None:
                super().__init__(**arguments)
                self.door = door
                self.turned = turned

        self.protocol: type[HttpProtocol] = Routed

    def serving(self, **arguments: Any) -> None:
        """The server has begun, and makes its protocols with these arguments."""
        self._arguments = arguments
        self.tunnels = Tunnels(arguments["server_state"].connections)

    def take(self, taken: socket.socket, told: Told, data: bytes) -> None:
        """A connection has arrived (`gateway.workers.handover.Take`)."""
        task = asyncio.get_running_loop().create_task(self._take(taken, told, data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def missed(self, told: Told) -> None:
        """A connection that was handed over to this process did not arrive: nothing is on its way
        any more (`gateway.workers.handover.Missed`)."""
        self.siblings.board.received(self.siblings.index, told.giver)

    async def _take(self, taken: socket.socket, told: Told, data: bytes) -> None:
        def protocol() -> asyncio.Protocol:
            made = cast("_Routed", self.protocol(**self._arguments))
            made.arrived = (told, data)
            return made

        try:
            await asyncio.get_running_loop().connect_accepted_socket(protocol, taken)
        except OSError:
            taken.close()
        finally:
            self.siblings.board.received(self.siblings.index, told.giver)

    def give(self, worker: int, protocol: "_Routed", data: bytes) -> bool:
        """Give a connection to another process, with what was read of it; whether it has it."""
        hops = 1 if protocol.arrived is None else protocol.arrived[0].hops + 1
        transport = protocol.transport
        secure = transport.get_extra_info("ssl_object") is not None
        # Under TLS this transport goes on sending: the end of the handshake often waits in it.
        if not secure and transport.get_write_buffer_size():
            return False  # an answer is still to be sent here
        siblings = self.siblings
        path = siblings.arrivals_path(worker)
        scheme = protocol.scheme or "http"
        if not secure:
            told = Told(siblings.index, scheme, protocol.known, hops)
            given = give(path, transport.get_extra_info("socket").fileno(), told, data)
        else:
            assert self.tunnels is not None
            near, far = self.tunnels.open(transport)
            with far:
                told = Told(siblings.index, scheme, protocol.client, hops)
                given = give(path, far.fileno(), told, data)
            if given:
                self.tunnels.join(transport, near)
            else:
                near.close()
                transport.resume_reading()
        if given:
            siblings.board.handed(siblings.index, worker)
        return given

    def close(self) -> None:
        """Take nothing more."""
        for task in self._tasks:
            task.cancel()
        if self.tunnels is not None:
            self.tunnels.close()


class _Routed(HttpProtocol):
    """One connection, which may have arrived from another process."""

    door: Door
    arrived: tuple[Told, bytes] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.arrived is not None:
            told, data = self.arrived
            self.scheme = told.scheme  # type: ignore[assignment]
            self.client = told.client or self.client
            self.data_received(data)

    @property
    def known(self) -> tuple[str, int] | None:
        """The client, where the socket does not say it."""
        return None if self.arrived is None else self.arrived[0].client

    def passed_on(self, rest: bytes) -> bool:
        siblings = self.door.siblings
        if self.arrived is not None and (self.arrived[0].hops >= MOST_HOPS or siblings.accepting()):
            return False
        worker = siblings.place(_way(self.url, self.door.subpath))
        if worker == siblings.index:
            return False
        if not self.door.give(worker, self, self._head(self.headers) + rest):
            return False
        self._expect(None)
        self.connections.discard(self)
        if self.transport.get_extra_info("ssl_object") is None:
            self.transport.abort()  # its own descriptor alone: the connection lives on elsewhere
        return True

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        made = self.transport.get_protocol()
        if not isinstance(made, WebSocketProtocol):
            return
        if self.arrived is not None and self.arrived[0].client is not None:
            made.client = self.arrived[0].client
            scope = getattr(made, "scope", None)
            if scope is not None:
                scope["client"] = made.client
                scope["scheme"] = "wss"
        if _way(self.url, self.door.subpath).kind != "worker":  # a sideband takes no place
            self.door.siblings.enter(made, lambda: not made.transport.is_closing())


def _way(url: bytes, subpath: str) -> Way:
    path, _, query = url.decode("latin-1").partition("?")
    return websocket_way(without(unquote(path), subpath), query)
