"""One delivery of one event to one webhook: a signed POST.

Only what answers 2xx has taken it, whatever comes of the rest of its answer. Redirections are not
followed, and an address that is in none of the allowed networks is not connected to, whatever name
leads to it and whenever it does.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import httpcore
import httpx

from gateway.events.event import OutboxEvent
from gateway.events.signing import signed_headers
from gateway.events.webhooks_file import Webhook
from gateway.services.failures import duration_text, failure_text
from gateway.services.networks import AllowedNetworks
from gateway.services.resolving import ResolvedNetwork, Resolver

LIMIT_S: Final = 10.0
"""From the look-up of the name to the head of the answer."""

MOST_ANSWER_BYTES: Final = 16 * 1024
REST_S: Final = 1.0
"""How much of an answer is read, and for how long, so that the connection can be used again."""

LONGEST_REASON: Final = 200
KEPT_OPEN_S: Final = 15.0
CONNECTIONS: Final = 200
"""All deliveries that may be under way (8 of 20 webhooks), and replays: none waits for another."""


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """The outcome of an attempt: why it failed, "" if the event was taken.

    `retry_after_s` is what the receiver asks for, 0 if it asks for nothing. `gone`: it wants no
    more events (HTTP 410).
    """

    problem: str = ""
    retry_after_s: float = 0.0
    gone: bool = False


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
        try:
            async with asyncio.timeout(self._limit_s):
                answer = await self._transport.handle_async_request(_request(webhook, event))
        except TimeoutError:
            return DeliveryOutcome(f"no answer within {duration_text(self._limit_s)}")
        except Exception as error:  # whatever it is, other events go on
            return DeliveryOutcome(failure_text(error)[:LONGEST_REASON])
        await _read_some(answer)
        if answer.is_success:
            return DeliveryOutcome()
        wait_s = _seconds(answer.headers.get("retry-after", ""), time.time())
        gone = answer.status_code == HTTPStatus.GONE
        return DeliveryOutcome(f"HTTP {answer.status_code}", wait_s, gone)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()
        self._resolver.close()


class _AllowedNetwork(ResolvedNetwork):
    """Connects to allowed addresses alone, to those that were looked up and checked."""

    def __init__(self, resolver: Resolver, networks: AllowedNetworks) -> None:
        super().__init__(resolver)
        self._networks = networks

    async def addresses(self, host: str) -> Sequence[str]:
        checked = map(self._networks.allowed, await super().addresses(host))
        allowed = [address for address in checked if address is not None]
        if not allowed:
            raise httpcore.ConnectError("its address is in none of the allowed networks")
        return allowed


def _request(webhook: Webhook, event: OutboxEvent) -> httpx.Request:
    body = json.dumps(event.shown(), separators=(",", ":")).encode()
    headers = {
        "content-type": "application/json",
        "user-agent": "parley-webhooks",
        **signed_headers(webhook.secrets, event.id, int(time.time()), body),
    }
    return httpx.Request("POST", webhook.url, headers=headers, content=body)


async def _read_some(answer: httpx.Response) -> None:
    """Read the rest of an answer, within bounds; a connection that still has some is closed."""
    read = 0
    try:
        async with asyncio.timeout(REST_S):
            try:
                async for piece in answer.aiter_raw():
                    read += len(piece)
                    if read > MOST_ANSWER_BYTES:
                        return
            finally:
                await answer.aclose()
    except (TimeoutError, httpx.HTTPError, OSError):
        return  # its head is all that counts


def _seconds(text: str, now: float) -> float:
    """The wait that a `Retry-After` asks for, in seconds or as a date; 0 for anything else."""
    if text.isascii() and text.isdigit() and len(text) < 7:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0
