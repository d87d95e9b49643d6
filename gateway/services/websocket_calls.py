"""One WebSocket of a client to a service: its handshake, at one instance after the other.

Until an instance accepts the handshake no message has passed, so another instance can be asked, as
for a request that may be repeated. After that the WebSocket stays with its instance.
"""

import asyncio
import logging
import random
import ssl
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.frames import CloseCode
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from gateway.services.definition import Endpoint
from gateway.services.exchange import NoAnswer, given_up, missing, outcome_of, tell
from gateway.services.failures import duration_text, failure_text
from gateway.services.forwarding import (
    Headers,
    RefusedAnswer,
    RequestOrigin,
    answer_head,
    passed_back,
    passed_on,
    retry_after_s,
    said_of,
    target_of,
)
from gateway.services.instances import Admission, Instance
from gateway.services.registry import SOONEST_S, Service, Unavailable
from gateway.services.resolving import NEXT_AFTER_S
from gateway.services.retries import AGAIN, AttemptFailed, Phase, Retrying
from gateway.services.service_connection import PING_EVERY_S, ServiceConnection
from gateway.services.upstreams import Upstreams
from pipeline.breaker import Outcome

logger = logging.getLogger("parley.services")

CLOSE_S: Final = 2.0
"""How long a service may take to answer a close frame."""

AHEAD_FRAMES: Final = 4
"""Frames that are received ahead for a client that reads slowly."""

AHEAD_BYTES: Final = 32 * 1024
"""Bytes that may wait to be sent to a service; while more wait, the next message waits, too."""

LENGTH: Final = b"content-length"
NEGOTIATED: Final = b"sec-websocket-"
"""Headers that belong to one connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """The handshake that a client asks for, with the `subprotocols` that it offers the service."""

    raw_path: bytes
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    subprotocols: Sequence[str]
    origin: RequestOrigin


class ClientLeft(Exception):
    """The client has left before the service accepted it."""


class HandshakeRefused(Exception):
    """A service refuses the handshake; its answer is for the client."""

    def __init__(self, status: int, head: Headers, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.head = head
        self.body = body


@dataclass(frozen=True, slots=True, eq=False)
class ServiceSocket:
    """A WebSocket with a service. `head` are the header lines of its answer for the client."""

    connection: ClientConnection
    subprotocol: str | None
    head: Headers


class WebSocketCall:
    """Makes the attempts of one handshake. `opened` is to be used once.

    `chance` gives numbers from 0 up to 1.
    """

    def __init__(
        self,
        service: Service,
        upstreams: Upstreams,
        handshake: Handshake,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._service = service
        self._upstreams = upstreams
        self._handshake = handshake
        self._chance = chance
        origin = handshake.origin
        self._target = target_of(handshake.raw_path, handshake.query, service.spec, origin.prefix)
        own = [
            (name, value)
            for name, value in passed_on(handshake.headers, origin.hidden)
            if not name.startswith(NEGOTIATED)
        ]
        self._headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in (*own, *said_of(origin))
        ]

    @asynccontextmanager
    async def opened(self, gone: "asyncio.Future[Any]") -> AsyncIterator[ServiceSocket]:
        """A WebSocket with an instance, while the block lasts; leaving it drops the connection.

        `gone` is done when the client has left; no instance is asked after that. Raises
        `NoAnswer`, `HandshakeRefused` and `ClientLeft`. Of `RefusedRequest` see the constructor.
        """
        service = self._service
        if service.websockets >= service.spec.max_websockets:
            raise NoAnswer("busy", "too many WebSockets", SOONEST_S)
        service.budget.called()
        socket, instance = await self._attempts_until(gone)
        instance.websockets += 1
        try:
            yield socket
        finally:
            instance.websockets -= 1
            if _broke_off(socket.connection):
                now = asyncio.get_running_loop().time()
                tell(f"{service.name} at {instance.key}", instance.broke_off(now))
            socket.connection.transport.abort()

    async def _attempts_until(self, gone: "asyncio.Future[Any]") -> tuple[ServiceSocket, Instance]:
        attempts = asyncio.create_task(self._attempts())
        taken = False
        try:
            await asyncio.wait((attempts, gone), return_when=FIRST_COMPLETED)
            if gone.done():
                gone.result()
                raise ClientLeft
            taken = True
            return attempts.result()
        finally:
            if not taken:  # also where this is cancelled in the very moment, or twice
                attempts.add_done_callback(_dropped)
                attempts.cancel()
                await asyncio.wait((attempts,))

    async def _attempts(self) -> tuple[ServiceSocket, Instance]:
        service, now = self._service, asyncio.get_running_loop().time
        policy = service.spec.retry_policy
        deadline = now() + service.spec.timeout_s * policy.max_attempts
        retrying = Retrying(policy=policy, idempotent=True, deadline=deadline)
        tried: dict[str, AttemptFailed] = {}
        for attempts in range(1, policy.max_attempts + 1):
            admission = service.choose(self._handshake.origin.client, now(), tried=tried)
            if isinstance(admission, Unavailable):
                raise missing(admission, tried)
            instance = admission.instance
            try:
                return await self._tried(admission, deadline - now()), instance
            except _Failed as error:
                failed, refused = error.failed, error.refused
            tried[instance.key] = failed
            wait_s = retrying.wait_s(
                attempts,
                failed,
                another=service.untried(tried, now()),
                now=now(),
                chance=self._chance(),
            )
            if wait_s is None or not service.budget.take():
                if refused is not None:  # what the service says itself is better
                    raise refused
                raise given_up(failed)
            await asyncio.sleep(wait_s)
        raise AssertionError("the policy allows no further attempt")

    async def _tried(self, admission: Admission, left_s: float) -> ServiceSocket:
        """Ask one instance. Raises `_Failed`, and `HandshakeRefused` for a refusal that stands."""
        outcome, after_s = Outcome.NEUTRAL, 0.0
        try:
            socket = await self._dialled(admission.instance.endpoint, left_s)
            outcome = Outcome.SUCCESS
            return socket
        except _Failed as error:
            outcome, after_s = Outcome.FAILURE, error.failed.retry_after_s
            raise
        except HandshakeRefused as refused:
            outcome = outcome_of(refused.status)
            if refused.status not in AGAIN:
                raise
            after_s = retry_after_s(refused.head)
            failed = AttemptFailed(
                Phase.HEAD,
                f"HTTP {refused.status}",
                status=refused.status,
                retry_after_s=after_s,
            )
            raise _Failed(failed, refused) from None
        finally:
            now = asyncio.get_running_loop().time()
            changed = admission.instance.settle(admission, outcome, now, retry_after_s=after_s)
            admission.instance.left()
            tell(f"{self._service.name} at {admission.instance.key}", changed)

    async def _dialled(self, endpoint: Endpoint, left_s: float) -> ServiceSocket:
        spec = self._service.spec
        phase, limit_s = Phase.CONNECT, min(spec.connect_timeout_s, left_s)
        connection: ClientConnection | None = None
        answered = False
        try:
            async with asyncio.timeout(limit_s):
                connection = await self._connected(endpoint)
            phase, limit_s = Phase.HEAD, min(spec.timeout_s, left_s)
            async with asyncio.timeout(limit_s):
                await connection.handshake(self._headers, None)
            assert connection.response is not None
            head = [*passed_back(_lines(connection.response), endpoint, self._prefix)]
            answered = True
        except TimeoutError:
            reason = f"no answer within {duration_text(limit_s)}"
            raise _Failed(AttemptFailed(phase, reason, timed_out=True)) from None
        except InvalidStatus as error:
            raise self._refusal(error.response, endpoint) from None
        except (OSError, UnicodeError, EOFError, InvalidHandshake, RefusedAnswer) as error:
            raise _Failed(AttemptFailed(phase, _text(error))) from None
        finally:
            if connection is not None and not answered:
                connection.transport.abort()
        connection.start_keepalive()
        own = [
            line
            for line in head
            if line[0] != LENGTH and not line[0].startswith(NEGOTIATED)  # RFC 9110, section 8.6
        ]
        return ServiceSocket(connection, connection.subprotocol, own)

    @property
    def _prefix(self) -> bytes:
        return self._handshake.origin.prefix

    async def _connected(self, endpoint: Endpoint) -> ClientConnection:
        """A connection to one of the addresses. Raises `OSError`."""
        tls = self._upstreams.tls(endpoint)
        path, _, query = self._target.decode("ascii").partition("?")
        uri = WebSocketURI(tls is not None, endpoint.host, endpoint.port, path, query)
        addresses = await self._upstreams.resolver.addresses(endpoint.host)
        for address in addresses[:-1]:
            try:
                async with asyncio.timeout(NEXT_AFTER_S):
                    return await self._connection(address, uri, tls)
            except OSError:  # as is a `TimeoutError`
                continue
        return await self._connection(addresses[-1], uri, tls)

    async def _connection(
        self, address: str, uri: WebSocketURI, tls: ssl.SSLContext | None
    ) -> ClientConnection:
        spec, offered = self._service.spec, self._handshake.subprotocols

        def made() -> ClientConnection:
            protocol = ClientProtocol(
                uri,
                subprotocols=[Subprotocol(name) for name in offered] or None,
                max_size=spec.max_message_bytes,
            )
            return ServiceConnection(
                protocol,
                ping_interval=PING_EVERY_S,
                ping_timeout=None,
                close_timeout=CLOSE_S,
                max_queue=AHEAD_FRAMES,
                write_limit=AHEAD_BYTES,
            )

        _, connection = await asyncio.get_running_loop().create_connection(
            made, address, uri.port, ssl=tls, server_hostname=None if tls is None else uri.host
        )
        return connection

    def _refusal(self, response: Response, endpoint: Endpoint) -> Exception:
        try:
            head = answer_head(
                _lines(response), "GET", response.status_code, endpoint, self._prefix
            )
        except RefusedAnswer as error:
            return _Failed(AttemptFailed(Phase.HEAD, str(error)))
        body = bytes(response.body or b"")
        own = [line for line in head if line[0] != LENGTH and not line[0].startswith(NEGOTIATED)]
        return HandshakeRefused(response.status_code, own, body)


class _Failed(Exception):
    """An attempt has not led to a WebSocket; `refused` is what the service said, if it did."""

    def __init__(self, failed: AttemptFailed, refused: HandshakeRefused | None = None) -> None:
        super().__init__(failed.reason)
        self.failed = failed
        self.refused = refused


def _lines(response: Response) -> Headers:
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1", errors="replace"))
        for name, value in response.headers.raw_items()
    ]


def _text(error: Exception) -> str:
    if isinstance(error, InvalidMessage):
        return "Answer is not HTTP"
    if isinstance(error, InvalidHandshake):
        return "Answer is no handshake of a WebSocket"
    return str(error) if isinstance(error, RefusedAnswer) else failure_text(error)


def _dropped(attempts: "asyncio.Task[tuple[ServiceSocket, Instance]]") -> None:
    """End the connection, if one was made, that nobody uses any more."""
    if not attempts.cancelled() and attempts.exception() is None:
        attempts.result()[0].connection.transport.abort()


def _broke_off(connection: ClientConnection) -> bool:
    """Whether the service ended it without a close frame, or answers no ping any more."""
    said = connection.protocol.close_sent
    quiet = said is None or said.code == CloseCode.INTERNAL_ERROR
    return connection.close_code == CloseCode.ABNORMAL_CLOSURE and quiet
