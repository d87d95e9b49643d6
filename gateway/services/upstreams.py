"""One attempt at one instance: its connection, its request, the head of its answer, the body.

An attempt's clock runs only while the gateway waits for the instance: to connect, to take a piece
of the request, to begin its answer, to go on with it. A client that sends or reads slowly does not
count against the instance.

All of a request is sent before its answer is passed on. So a service that answers before it has
read the whole request is heard only when it closes the connection, or has read the rest.
"""

import asyncio
import ssl
from collections.abc import Set
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final

from gateway.services.answer_reader import MalformedAnswer
from gateway.services.definition import Endpoint, ServiceSpec
from gateway.services.failures import duration_text, failure_text
from gateway.services.forwarding import Framing, Headers, request_bytes
from gateway.services.http_connection import ConnectFailed, ConnectionBroken, HttpConnection
from gateway.services.idle_connections import IdleConnections
from gateway.services.request_body import RequestBody
from gateway.services.resolving import NEXT_AFTER_S, Resolver
from gateway.services.retries import AttemptFailed, Phase

LAST_CHUNK: Final = b"0\r\n\r\n"

NO_ANSWER: Final = (ConnectFailed, ConnectionBroken, MalformedAnswer)
"""Why an instance gave no answer, or no whole one."""

HTTP_1: Final = ["http/1.1"]
"""What TLS agrees on (ALPN)."""


class UpstreamFailed(Exception):
    """An attempt has no answer, or its answer broke off."""

    def __init__(self, failed: AttemptFailed) -> None:
        super().__init__(failed.reason)
        self.failed = failed


@dataclass(slots=True, eq=False)
class Pool:
    """The connections to one instance. A `retired` pool closes after its last call."""

    connections: IdleConnections
    calls: int = 0
    retired: bool = False

    def left(self) -> None:
        """A call is over."""
        self.calls -= 1
        if self.retired and not self.calls:
            self.connections.close()


class Upstreams:
    """The connections to all instances, a pool for each: no instance's calls wait for another's.

    Belongs to one event loop; `aclose` closes the connections.
    """

    def __init__(self) -> None:
        self._pools: dict[str, Pool] = {}
        self._tls: ssl.SSLContext | None = None
        self.resolver = Resolver()

    def pool(self, endpoint: Endpoint) -> Pool:
        """The connections to an instance."""
        found = self._pools.get(endpoint.url)
        if found is None:
            found = Pool(IdleConnections(partial(self._connection, endpoint)))
            self._pools[endpoint.url] = found
        return found

    async def status(self, endpoint: Endpoint, target: bytes, headers: Headers) -> int:
        """The status of an instance's answer to a GET. The caller limits the time.

        Raises `MalformedAnswer`, `ConnectionBroken` and `ConnectFailed`.
        """
        connections = self.pool(endpoint).connections
        connection = await connections.take()
        try:
            connection.ask(request_bytes("GET", target, headers), head_only=False, whole=True)
            status, _ = await connection.head()
        finally:
            connections.back(connection)  # only the status counts, however long the body is
        return status

    async def _connection(self, endpoint: Endpoint) -> HttpConnection:
        loop = asyncio.get_running_loop()
        try:
            tls = self.tls(endpoint)
            name = None if tls is None else endpoint.host
            addresses = await self.resolver.addresses(endpoint.host)
            for number, address in enumerate(addresses, 1):
                last = number == len(addresses)
                try:
                    async with asyncio.timeout(None if last else NEXT_AFTER_S):
                        _, connection = await loop.create_connection(
                            HttpConnection, address, endpoint.port, ssl=tls, server_hostname=name
                        )
                except OSError:
                    if last:
                        raise
                else:
                    return connection
        except (OSError, UnicodeError) as error:  # the latter of a name that cannot be one
            raise ConnectFailed from error
        raise ConnectFailed

    async def retain(self, urls: Set[str]) -> None:
        """Close the connections to all instances but these, once their calls are over."""
        for url in self._pools.keys() - urls:
            if (pool := self._pools.pop(url, None)) is None:
                continue  # another `retain` has it, while this one waited
            pool.retired = True
            if not pool.calls:
                pool.connections.close()

    async def aclose(self) -> None:
        """Close all connections."""
        await self.retain(frozenset())
        self.resolver.close()

    def tls(self, endpoint: Endpoint) -> ssl.SSLContext | None:
        """How an instance's certificate is checked; None if it has none.

        Raises `OSError` if a file for it, such as SSLKEYLOGFILE, cannot be used.
        """
        if endpoint.protocol == "http":
            return None
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(HTTP_1)
        return self._tls


class UpstreamAttempt:
    """One request to one instance. `head` gets the answer's head, `piece` its body.

    `framing` is how the body's length is told. Raises `RefusedRequest` for a head that could be
    read as two.
    """

    def __init__(
        self,
        pool: Pool,
        spec: ServiceSpec,
        *,
        method: str,
        target: bytes,
        headers: Headers,
        framing: Framing,
        body: RequestBody,
        limit_s: float,
    ) -> None:
        self.phase = Phase.CONNECT
        self.asked_at = 0.0
        """When the whole request was sent, by the loop's clock; 0 before."""
        self.status = 0
        self.headers: Headers = []
        self.waited_s = 0.0
        """How long the attempt waited for the instance last, or waits."""
        self._pool = pool
        self._spec = spec
        self._framing = framing
        self._body = body
        self._limit_s = limit_s
        self._clock: asyncio.Timeout | None = None
        self._connection: HttpConnection | None = None
        self._open = False
        self._head_only = method == "HEAD"
        self._request = request_bytes(method, target, headers)

    async def head(self) -> None:
        """Send the request and wait for the head of the answer: `status` and `headers`.

        Raises `UpstreamFailed`, and what reading the client's body raises.
        """
        self._pool.calls += 1
        self._open = True
        try:
            connection = self._connection = await self._connected()
            empty = self._framing.empty
            connection.ask(self._request, head_only=self._head_only, whole=empty)
            if empty:
                self._sent()
                async with asyncio.timeout(self._limit_s):
                    self.status, self.headers = await connection.head()
            else:
                async with asyncio.timeout(None) as self._clock:
                    await self._send(connection)
                    self.status, self.headers = await connection.head()
        except TimeoutError:
            raise self._late() from None
        except NO_ANSWER as error:
            raise self._failed(failure_text(error)) from None
        self.phase = Phase.BODY

    async def piece(self) -> bytes:
        """The next piece of the answer's body, b"" behind the last one.

        Raises `UpstreamFailed` if the answer breaks off or stalls.
        """
        connection = self._connection
        assert connection is not None
        try:
            if connection.ready:
                return await connection.piece()
            self.waited_s = self._spec.idle_timeout_s
            async with asyncio.timeout(self.waited_s):
                return await connection.piece()
        except TimeoutError:
            raise self._late() from None
        except NO_ANSWER as error:
            raise self._failed(failure_text(error)) from None

    @property
    def complete(self) -> bool:
        """Whether all of the answer's body has been taken."""
        return self._connection is not None and self._connection.complete

    def close(self) -> None:
        """Give the connection back, or end it if the answer was not read to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.connections.back(connection)
        if self._open:
            self._open = False
            self._pool.left()

    async def _connected(self) -> HttpConnection:
        connections = self._pool.connections
        if (idle := connections.take_idle()) is not None:
            return idle
        self.waited_s = min(self._spec.connect_timeout_s, self._limit_s)
        async with asyncio.timeout(self.waited_s):
            return await connections.make()

    async def _send(self, connection: HttpConnection) -> None:
        """Send the body as the connection takes it. The clock waits for the instance's answer when
        this returns."""
        self.phase = Phase.SEND
        self._body.waits = self._client_waits
        self._run(self._spec.idle_timeout_s)
        sent, chunked, told = 0, self._framing.chunked, self._framing.length
        async with aclosing(self._body.pieces()) as pieces:
            async for piece in pieces:
                sent += len(piece)
                if told is not None and sent > told:
                    raise self._refused("the request is longer than it says")
                if chunked:
                    piece = b"%x\r\n%b\r\n" % (len(piece), piece)
                if not await connection.send(piece):
                    break
            else:
                if told is not None and sent < told:
                    raise self._refused("the request is shorter than it says")
                if chunked:
                    await connection.send(LAST_CHUNK)
                await connection.finish()
        self._sent()
        self._run(self._limit_s)

    def _sent(self) -> None:
        self.phase = Phase.HEAD
        self.asked_at = asyncio.get_running_loop().time()
        self.waited_s = self._limit_s

    def _client_waits(self, waiting: bool) -> None:
        self._run(None if waiting else self._spec.idle_timeout_s)

    def _run(self, wait_s: float | None) -> None:
        """Start the clock: wait this long for the instance; None stops the clock."""
        assert self._clock is not None
        now = asyncio.get_running_loop().time()
        self._clock.reschedule(None if wait_s is None else now + wait_s)
        if wait_s is not None:
            self.waited_s = wait_s

    def _late(self) -> UpstreamFailed:
        reason = f"no answer within {duration_text(self.waited_s)}"
        return UpstreamFailed(AttemptFailed(self.phase, reason, timed_out=True))

    def _failed(self, reason: str) -> UpstreamFailed:
        return UpstreamFailed(AttemptFailed(self.phase, reason))

    def _refused(self, reason: str) -> UpstreamFailed:
        return UpstreamFailed(AttemptFailed(self.phase, reason, refused=True))
