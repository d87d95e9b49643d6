"""A client that sends bytes over TCP, and loses nothing of the answer when the server closes."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

PATIENCE_S = 30.0


class RawClient:
    """A connection. asyncio's streams drop what was received when sending fails; this does not."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self.received = bytearray()

    async def send(self, data: bytes, pieces: int = 1) -> None:
        """Send `data` in so many pieces, as far as the server has not closed."""
        size = max(1, -(-len(data) // pieces))
        with suppress(ConnectionError):
            for start in range(0, len(data), size):
                await self._loop.sock_sendall(self._socket, data[start : start + size])
                await asyncio.sleep(0)

    async def read_until(
        self, enough: Callable[[bytearray], bool] | None = None, *, within_s: float | None = None
    ) -> bytearray:
        """Add to `received` until there is enough, the server closes, or `within_s` is over."""
        gone = (ConnectionError,) if within_s is None else (ConnectionError, TimeoutError)
        with suppress(*gone):
            async with asyncio.timeout(within_s or PATIENCE_S):
                while enough is None or not enough(self.received):
                    more = await self._loop.sock_recv(self._socket, 65_536)
                    if not more:
                        break
                    self.received += more
        return self.received

    def reset(self) -> None:
        """Leave without a word: the server gets a reset when the connection is closed."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@asynccontextmanager
async def raw_client(port: int, *, receive_buffer: int | None = None) -> AsyncIterator[RawClient]:
    """A client that is connected, until the block ends."""
    with socket.socket() as made:
        if receive_buffer is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
        yield RawClient(made)
