"""A client that sends bytes over TCP, and loses nothing of the answer when the server closes."""

import asyncio
import socket
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

    async def read_until(self, enough: Callable[[bytearray], bool] | None = None) -> bytearray:
        """Add to `received` until there is enough, or the server closes."""
        with suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while enough is None or not enough(self.received):
                    more = await self._loop.sock_recv(self._socket, 65_536)
                    if not more:
                        break
                    self.received += more
        return self.received


@asynccontextmanager
async def raw_client(port: int) -> AsyncIterator[RawClient]:
    with socket.socket() as made:
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
        yield RawClient(made)
