"""Passes bytes between two transports: TLS stays in the process that has it.

A connection under TLS cannot be handed over, because its keys are in this process. The other
process gets one end of a pair of sockets instead, and this process passes on the bytes.
"""

import asyncio
import logging
import socket
from typing import Any, cast

logger = logging.getLogger("parley.workers")


class Tunnel(asyncio.Protocol):
    """One end of a tunnel; `other` is the transport at the other end, once it is there."""

    own: asyncio.Transport | None = None

    def __init__(self, other: asyncio.Transport | None = None) -> None:
        self.other = other

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.own = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.write(data)

    def eof_received(self) -> bool:
        return False  # both ends close

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.other.close()

    def pause_writing(self) -> None:
        if self.other is not None and not self.other.is_closing():
            self.other.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.is_closing():
            self.other.resume_reading()

    def shutdown(self) -> None:
        """Does nothing when the server stops (uvicorn calls this): the tunnel ends with its
        conversation."""


class Tunnels:
    """The tunnels of a process. `connections` are those that the server waits for when it stops."""

    def __init__(self, connections: set[Any]) -> None:
        self._connections = connections
        self._tasks: set[asyncio.Task[None]] = set()  # bounded by the connections

    def __len__(self) -> int:
        return sum(isinstance(connection, Tunnel) for connection in self._connections)

    def open(self, transport: asyncio.Transport) -> tuple[socket.socket, socket.socket]:
        """A pair of sockets for a client's transport, which is not read until `join`."""
        transport.pause_reading()
        near, far = socket.socketpair()
        near.setblocking(False)
        return near, far

    def join(self, transport: asyncio.Transport, near: socket.socket) -> None:
        """Pass on bytes from now on, in both directions."""
        task = asyncio.get_running_loop().create_task(self._join(transport, near))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Join no more tunnels."""
        for task in self._tasks:
            task.cancel()

    async def _join(self, transport: asyncio.Transport, near: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        if transport.is_closing():  # an `_Outer` might never be told so
            near.close()
            return
        outer = _Outer(self._connections)
        outer.own = transport
        transport.set_protocol(outer)
        self._connections.add(outer)
        try:
            # The other process may have answered already: uvloop reads before this goes on.
            inner_transport, _ = await loop.connect_accepted_socket(lambda: Tunnel(transport), near)
        except OSError as error:
            logger.info("a tunnel could not be made: %s", error)
            transport.abort()
            return
        outer.other = inner_transport
        if transport.is_closing():
            inner_transport.close()
        else:
            transport.resume_reading()


class _Outer(Tunnel):
    """The client's end, which is counted."""

    def __init__(self, connections: set[Any]) -> None:
        super().__init__()
        self._connections = connections

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        super().connection_lost(exc)
