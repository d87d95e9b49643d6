"""One delivery of one event to one webhook: a signed POST.

Only what answers 2xx has taken it. Redirections are not followed, and an address that is in none of
the allowed networks is not connected to, whatever name leads to it and whenever it does.
"""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import httpcore
import httpx

from gateway.events.event import OutboxEvent
from gateway.events.signing import signed_headers
from gateway.events.webhooks_file import Webhook
from gateway.services.failures import duration_text, failure_text
from gateway.services.networks import AllowedNetworks
from gateway.services.resolving import ResolvedNetwork, Resolver

LIMIT_S: Final = 10.0
"""From the look-up of the name to the end of the answer."""

MOST_ANSWER_BYTES: Final = 16 * 1024
"""What is read of an answer, so that the connection can be used again."""

LONGEST_REASON: Final = 200
KEPT_OPEN_S: Final = 15.0
CONNECTIONS: Final = 40


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """The outcome of an attempt: why it failed, "" if the event was taken.

    `retry_after_s` is what the receiver asks for, 0 if it asks for nothing.
    """

    problem: str = ""
    retry_after_s: float = 0.0


Post = Callable[[Webhook, OutboxEvent], Awaitable[DeliveryOutcome]]
"""Makes one attempt. Raises nothing but cancellation."""


class WebhookPost:
    """Makes attempts over the network. Belongs to one event loop; `aclose` ends it."""

    def __init__(self, networks: AllowedNetworks, *, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._resolver = Resolver()
        # Nothing from the environment: no proxy stands between, which could connect elsewhere.
        self._transport = httpx.AsyncHTTPTransport(verify=False, trust_env=False)
        # httpx hands no network on.
        self._transport._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=CONNECTIONS,
            max_keepalive_connections=CONNECTIONS,
            keepalive_expiry=KEPT_OPEN_S,
            network_backend=_AllowedNetwork(self._resolver, networks),
        )

    async def __call__(self, webhook: Webhook, event: OutboxEvent) -> DeliveryOutcome:
        body = json.dumps(event.shown(), separators=(",", ":")).encode()
        headers = {
            "content-type": "application/json",
            "user-agent": "parley-webhooks",
            **signed_headers(webhook.secrets, event.id, int(time.time()), body),
        }
        request = httpx.Request("POST", webhook.url, headers=headers, content=body)
        try:
            async with asyncio.timeout(self._limit_s):
                answer = await self._transport.handle_async_request(request)
                try:
                    await _read_some(answer)
                finally:
                    await answer.aclose()
        except TimeoutError:
            return DeliveryOutcome(f"no answer within {duration_text(self._limit_s)}")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            return DeliveryOutcome(failure_text(error)[:LONGEST_REASON])
        if answer.is_success:
            return DeliveryOutcome()
        return DeliveryOutcome(
            f"HTTP {answer.status_code}", _seconds(answer.headers.get("retry-after", ""))
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()
        self._resolver.close()


class _AllowedNetwork(ResolvedNetwork):
    """Connects to allowed addresses alone, to those that were looked up and checked."""

    def __init__(self, resolver: Resolver, networks: AllowedNetworks) -> None:
        super().__init__(resolver)
        self._names = resolver
        self._networks = networks

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            addresses = await self._names.addresses(host)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error
        checked = (self._networks.allowed(address) for address in addresses)
        allowed = [address for address in checked if address is not None]
        if not allowed:
            raise httpcore.ConnectError("its address is in none of the allowed networks")
        # The first alone: the others are tried by the next attempts, as far as names rotate.
        return await super().connect_tcp(
            allowed[0], port, timeout, local_address, socket_options or _NO_DELAY
        )


_NO_DELAY: Final = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]


async def _read_some(answer: httpx.Response) -> None:
    read = 0
    async for piece in answer.aiter_raw():
        read += len(piece)
        if read > MOST_ANSWER_BYTES:
            return


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0.0
