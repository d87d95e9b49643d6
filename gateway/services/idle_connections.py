"""The connections to one instance: idle ones wait for the next call, which takes the latest.

httpcore's own pool checks all of its connections twice for each call, and asks the system for each
idle one whether it is readable. Here calls have a bound already (`ServiceSpec.max_connections`),
and all connections of a pool lead to one instance. So nobody waits here, and only the connection
that is taken has to be checked.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpcore


class IdleConnections:
    """A substitute for `httpcore.AsyncConnectionPool`, for one origin.

    `made` makes a connection, which connects with its first request. `aclose` closes all.
    """

    def __init__(self, made: Callable[[httpcore.Origin], httpcore.AsyncHTTPConnection]) -> None:
        self._made = made
        self._idle: deque[httpcore.AsyncHTTPConnection] = deque()
        self._all: set[httpcore.AsyncHTTPConnection] = set()
        self._closed = False

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request on an idle connection, or on a new one. Raises as httpcore does."""
        while True:
            connection = await self._taken(request.url.origin)
            try:
                answer = await connection.handle_async_request(request)
            except httpcore.ConnectionNotAvailable:
                await self._end(connection)
                continue
            except BaseException:
                await self._end(connection)
                raise
            body = _Body(answer.stream, connection, self._back)
            return httpcore.Response(
                answer.status, headers=answer.headers, content=body, extensions=answer.extensions
            )

    async def aclose(self) -> None:
        """Close all connections, including those in use."""
        self._closed = True
        self._idle.clear()
        while self._all:
            await self._all.pop().aclose()

    async def _taken(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed() and not connection.has_expired():
                return connection
            await self._end(connection)
        connection = self._made(origin)
        self._all.add(connection)
        return connection

    async def _back(self, connection: httpcore.AsyncHTTPConnection) -> None:
        """An answer is over. If it was not read to its end, its connection is closed already."""
        if self._closed or not connection.is_idle():
            await self._end(connection)
            return
        # Those that wait the longest are at the front.
        while self._idle and (self._idle[0].is_closed() or self._idle[0].has_expired()):
            await self._end(self._idle.popleft())
        self._idle.append(connection)

    async def _end(self, connection: httpcore.AsyncHTTPConnection) -> None:
        self._all.discard(connection)
        await connection.aclose()


class _Body:
    """An answer's body, which gives its connection back when it is closed."""

    def __init__(
        self,
        stream: Any,
        connection: httpcore.AsyncHTTPConnection,
        back: Callable[[httpcore.AsyncHTTPConnection], Awaitable[None]],
    ) -> None:
        self._stream = stream
        self._connection = connection
        self._back = back
        self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        pieces: AsyncIterator[bytes] = self._stream.__aiter__()
        return pieces

    async def aclose(self) -> None:
        """Idempotent."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._stream.aclose()
        finally:
            await self._back(self._connection)
