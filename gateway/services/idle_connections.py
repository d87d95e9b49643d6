"""The connections to one instance: idle ones wait for the next call, which takes the latest.

Calls have a bound already (`ServiceSpec.max_connections`), so nobody waits here, and only the
connection that is taken has to be checked.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.services.http_connection import HttpConnection

KEPT_S: Final = 4.0
"""An idle connection is given up before usual servers close it, which they do after 5 s: a request
on a connection that is being closed is lost."""


class IdleConnections:
    """The connections that `made` makes. `close` ends all."""

    def __init__(self, made: Callable[[], Awaitable[HttpConnection]]) -> None:
        self._made = made
        self._idle: deque[HttpConnection] = deque()
        self._all: set[HttpConnection] = set()
        self._closed = False

    async def take(self) -> HttpConnection:
        """An idle connection, or a new one. Raises as making one does."""
        return self.take_idle() or await self.make()

    def take_idle(self) -> HttpConnection | None:
        """The connection that was used last, if one is idle."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if not _expired(connection, now) and connection.usable:
                return connection
            self._end(connection)
        return None

    async def make(self) -> HttpConnection:
        """A new connection. Raises as making one does."""
        connection = await self._made()
        self._all.add(connection)
        return connection

    def back(self, connection: HttpConnection) -> None:
        """A call is over. A connection that was not read to the answer's end is ended."""
        if not connection.leave():
            self._all.discard(connection)
            return
        now = connection.idle_since = asyncio.get_running_loop().time()
        if self._closed:
            self._end(connection)
            return
        # Those that wait the longest are at the front.
        while self._idle and _expired(self._idle[0], now):
            self._end(self._idle.popleft())
        self._idle.append(connection)

    def close(self) -> None:
        """End all connections, including those in use."""
        self._closed = True
        self._idle.clear()
        while self._all:
            self._all.pop().abort()

    def _end(self, connection: HttpConnection) -> None:
        self._all.discard(connection)
        connection.close()


def _expired(connection: HttpConnection, now: float) -> bool:
    return now >= connection.idle_since + KEPT_S
