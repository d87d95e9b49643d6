"""One attempt at one instance: its connection, its request, the head of its answer, the body.

An attempt's clock runs only while the gateway waits for the instance: to connect, to take a piece
of the request, to begin its answer, to go on with it. A client that sends or reads slowly does not
count against the instance.

httpx sends all of a request before it reads the answer. So a service that answers before it has
read the whole request is heard only when it closes the connection, or has read the rest.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Set
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

import h11
import httpcore
import httpx
from anyio.streams.tls import TLSStream

from gateway.services.definition import Endpoint, ServiceSpec
from gateway.services.failures import duration_text, failure_text
from gateway.services.forwarding import Headers
from gateway.services.idle_connections import IdleConnections
from gateway.services.request_body import RequestBody
from gateway.services.resolving import ResolvedNetwork, Resolver
from gateway.services.retries import AttemptFailed, Phase

KEPT_S: Final = 4.0
"""An idle connection is given up before usual servers close it, which they do after 5 s: a request
on a connection that is being closed is lost."""


RECEIVE_BYTES: Final = 128 * 1024
"""The receive buffer of a socket. uvloop passes all of it on at once, however slow the reader."""


class UpstreamFailed(Exception):
    """An attempt has no answer, or its answer broke off."""

    def __init__(self, failed: AttemptFailed) -> None:
        super().__init__(failed.reason)
        self.failed = failed


@dataclass(slots=True, eq=False)
class Pool:
    """The connections to the instance at this URL. A `retired` pool closes after its last call."""

    url: httpx.URL
    transport: httpx.AsyncBaseTransport
    calls: int = 0
    retired: bool = False

    async def left(self) -> None:
        """A call is over."""
        self.calls -= 1
        if self.retired and not self.calls:
            await self.transport.aclose()


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
            # Nothing from the environment: only the configured hosts are connected to.
            transport = httpx.AsyncHTTPTransport(verify=False, trust_env=False)
            # httpx hands no network on, and its pool costs more than all the rest of a call.
            own = IdleConnections(partial(self._connection, endpoint))
            transport._pool = cast("httpcore.AsyncConnectionPool", own)
            found = Pool(httpx.URL(endpoint.url), transport)
            self._pools[endpoint.url] = found
        return found

    def _connection(
        self, endpoint: Endpoint, origin: httpcore.Origin
    ) -> httpcore.AsyncHTTPConnection:
        return httpcore.AsyncHTTPConnection(
            origin,
            ssl_context=self.tls(endpoint),
            keepalive_expiry=KEPT_S,
            network_backend=ResolvedNetwork(self.resolver),
            socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)],
        )

    async def retain(self, urls: Set[str]) -> None:
        """Close the connections to all instances but these, once their calls are over."""
        for url in self._pools.keys() - urls:
            if (pool := self._pools.pop(url, None)) is None:
                continue  # another `retain` has it, while this one waited
            pool.retired = True
            if not pool.calls:
                await pool.transport.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self.retain(frozenset())
        self.resolver.close()

    def tls(self, endpoint: Endpoint) -> ssl.SSLContext | None:
        """How an instance's certificate is checked; None if it has none."""
        if endpoint.protocol == "http":
            return None
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


class UpstreamAttempt:
    """One request to one instance. `head` gets the answer's head, `pieces` its body."""

    def __init__(
        self,
        pool: Pool,
        spec: ServiceSpec,
        *,
        method: str,
        target: bytes,
        headers: Headers,
        body: RequestBody,
        limit_s: float,
    ) -> None:
        self.phase = Phase.CONNECT
        self.asked_at = 0.0
        """When the whole request was sent, by the loop's clock; 0 before."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._pool = pool
        self._spec = spec
        self._body = body
        self._limit_s = limit_s
        self._clock: asyncio.Timeout | None = None
        self._response: httpx.Response | None = None
        self._open = False
        # The target is handed over byte by byte: httpx would write some paths another way.
        self._request = httpx.Request(
            method,
            pool.url,
            headers=headers,
            stream=_Sent(self),
            extensions={"target": target},
        )

    async def head(self) -> None:
        """Send the request and wait for the head of the answer: `status` and `headers`.

        Raises `UpstreamFailed`, and what reading the client's body raises.
        """
        self._pool.calls += 1
        self._open = True
        self._waited_s = min(self._spec.connect_timeout_s, self._limit_s)
        try:
            async with asyncio.timeout(self._waited_s) as self._clock:
                self._response = await self._pool.transport.handle_async_request(self._request)
        except TimeoutError:
            raise self._late() from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            raise self._failed(failure_text(error)) from None
        self.phase = Phase.BODY
        self.status = self._response.status_code
        self.headers = self._response.headers.raw

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body of the answer. Raises `UpstreamFailed` if it breaks off or stalls."""
        assert self._response is not None
        self._waited_s = self._spec.idle_timeout_s
        stream = self._response.stream
        assert isinstance(stream, httpx.AsyncByteStream)
        received = stream.__aiter__()
        while True:
            try:
                async with asyncio.timeout(self._waited_s):
                    piece = await anext(received, None)
            except TimeoutError:
                raise self._late() from None
            except (httpx.HTTPError, OSError) as error:
                raise self._failed(failure_text(error)) from None
            if piece is None:
                return
            yield piece

    async def aclose(self) -> None:
        """Give the connection back, or close it if the answer was not read to its end."""
        try:
            if self._response is not None:
                stream, self._response = self._response.stream, None
                _spoil_behind(stream)
                await stream.aclose()  # type: ignore[union-attr]
        finally:
            if self._open:
                self._open = False
                await self._pool.left()

    async def sent(self) -> AsyncIterator[bytes]:
        """The pieces of the request's body, as the connection takes them."""
        self.phase = Phase.SEND
        self._body.waits = self._client_waits
        self._run(self._spec.idle_timeout_s)
        async with aclosing(self._body.pieces()) as pieces:
            async for piece in pieces:
                yield piece
        self.phase = Phase.HEAD
        self.asked_at = asyncio.get_running_loop().time()
        self._run(self._limit_s)

    def _client_waits(self, waiting: bool) -> None:
        self._run(None if waiting else self._spec.idle_timeout_s)

    def _run(self, wait_s: float | None) -> None:
        """Start the clock: wait this long for the instance; None stops the clock."""
        assert self._clock is not None
        now = asyncio.get_running_loop().time()
        self._clock.reschedule(None if wait_s is None else now + wait_s)
        if wait_s is not None:
            self._waited_s = wait_s

    @property
    def waited_s(self) -> float:
        """How long the attempt waited for the instance last."""
        return self._waited_s

    def _late(self) -> UpstreamFailed:
        reason = f"no answer within {duration_text(self._waited_s)}"
        return UpstreamFailed(AttemptFailed(self.phase, reason, timed_out=True))

    def _failed(self, reason: str) -> UpstreamFailed:
        return UpstreamFailed(AttemptFailed(self.phase, reason))


def _spoil_behind(stream: object) -> None:
    """Have the connection closed if bytes came after the answer.

    httpx would take them for the answer to the next request on it, which is another client's. No
    public API shows them, so the range of httpcore in pyproject.toml is narrow.
    """
    stream = getattr(getattr(stream, "_httpcore_stream", None), "_stream", None)
    connection = getattr(stream, "_connection", None)
    parser = getattr(connection, "_h11_state", None)
    if not isinstance(parser, h11.Connection):
        raise TypeError("this version of httpx keeps its connections in another place")
    if parser.trailing_data[0] or _unread(getattr(connection, "_network_stream", None)):
        parser.send_failed()


def _unread(network: object) -> bool:
    """Whether bytes came that the parser has not been given: it gets 64 KiB, or one record of TLS,
    at a time, and what waits in between no longer makes the socket readable."""
    stream = getattr(network, "_stream", None)
    if isinstance(stream, TLSStream):
        if stream._read_bio.pending or stream._ssl_object.pending():
            return True
        stream = stream.transport_stream
    return bool(stream._protocol.read_queue)  # type: ignore[union-attr]


class _Sent(httpx.AsyncByteStream):
    def __init__(self, attempt: UpstreamAttempt) -> None:
        self._attempt = attempt

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._attempt.sent()
