"""A TCP line to a gateway that can be cut, as when a laptop changes its network."""

import asyncio
import contextlib
from types import TracebackType


class TcpLine:
    """Stands on a port of its own and passes bytes on to `port` of this machine.

    An async context manager; leaving it ends its connections. While it is `down` it takes none.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.down = False
        self.dialled = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._forgotten: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "TcpLine":
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"ws://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Break every connection without a goodbye."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def swallow(self) -> None:
        """Pass nothing more on over the connections that there are, as a firewall does that has
        forgotten them; new ones work."""
        self._forgotten.update(self._writers)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.dialled += 1
        if self.down:
            writer.transport.abort()
            return
        onward_reader, onward = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, onward]
        with contextlib.suppress(ConnectionError):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass(reader, onward))
                tasks.create_task(self._pass(onward_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                if writer not in self._forgotten:
                    writer.write(data)
                    await writer.drain()
        writer.close()
