"""Limits over HTTP: 429 with `Retry-After`, and in each answer the requests that are left.

`RateLimit-Policy` and `RateLimit` are those of draft-ietf-httpapi-ratelimit-headers-10: q requests
in w seconds, r left now, t seconds until all of them may come again.
"""

import math
from collections.abc import Sequence

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.limits.buckets import LimitVerdict, Quota
from gateway.limits.limiter import Limiter, LimitsUnavailable
from gateway.limits.token_quotas import TokenQuota, TokenVerdict
from gateway.live.registry import network
from gateway.rest.problems import (
    LIMITS_UNAVAILABLE,
    QUOTA_USED,
    RETRY,
    TOO_MANY_REQUESTS,
    Problem,
)

LIMITS = "parley.limits"
"""The key of a request's verdicts, a list, in its scope."""

SAFE = ("GET", "HEAD", "OPTIONS")

WORDS = {
    "address": "this network address",
    "key": "this key, token, ticket or pass",
    "service": "this service, by all clients together",
}


class HttpLimits:
    """Counts requests. Every method raises `Problem` for a request that a limit refuses."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    async def address(self, request: HTTPConnection) -> None:
        """Count a request by its network address, before its client is known."""
        client = None if request.client is None else request.client.host
        try:
            note(request, await self._limiter.address(network(client)))
        except LimitsUnavailable:
            raise LIMITS_UNAVAILABLE(headers=RETRY) from None

    async def client(self, request: HTTPConnection, client: str | None) -> None:
        """Count a request of a client that was let in; None: clients need not say who they are."""
        service = request.path_params.get("service") if "path" in request.path_params else None
        # The handshake of a WebSocket begins something, and is a GET.
        changes = request.scope["type"] == "websocket" or request.scope["method"] not in SAFE
        try:
            note(request, await self._limiter.client(client, service, changes=changes))
        except LimitsUnavailable:
            raise LIMITS_UNAVAILABLE(headers=RETRY) from None

    async def service(self, request: HTTPConnection, name: str) -> None:
        """Count a request to one more service. The answer has the last service's verdict only."""
        try:
            verdicts = await self._limiter.client(None, name, changes=False)
        except LimitsUnavailable:
            raise LIMITS_UNAVAILABLE(headers=RETRY) from None
        told = request.scope.setdefault(LIMITS, [])
        told[:] = [one for one in told if one.limit.policy != "service"]
        note(request, verdicts)


class LimitHeaders:
    """The middleware around every route: it adds to each answer what is left of its limits."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        verdicts: list[LimitVerdict | TokenVerdict] = []
        scope[LIMITS] = verdicts

        async def told(message: Message) -> None:
            if verdicts and message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *_headers(verdicts)]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, told)


def _headers(verdicts: Sequence[LimitVerdict | TokenVerdict]) -> list[tuple[bytes, bytes]]:
    policies = ", ".join(f'"{one.limit.policy}";q={one.most};w={one.window_s}' for one in verdicts)
    left = ", ".join(
        f'"{one.limit.policy}";r={one.remaining};t={math.ceil(one.reset_s)}' for one in verdicts
    )
    return [(b"ratelimit-policy", policies.encode()), (b"ratelimit", left.encode())]


def note(request: HTTPConnection, verdicts: Sequence[LimitVerdict | TokenVerdict]) -> None:
    """Add the verdicts to the answer. Raises `Problem` if one refuses the request."""
    request.scope.setdefault(LIMITS, []).extend(verdicts)
    refused = [one for one in verdicts if not one.allowed]
    if refused:
        raise refusal(max(refused, key=lambda one: one.wait_s))


def refusal(verdict: LimitVerdict | TokenVerdict) -> Problem:
    """The problem for a request that a limit refuses."""
    headers = {"retry-after": f"{max(1, math.ceil(verdict.wait_s))}"}
    limit = verdict.limit
    if isinstance(limit, TokenQuota):
        of = (
            "of one session in a day"
            if limit.policy == "tokens-session"
            else f"in a {limit.period}"
        )
        return QUOTA_USED(f"{limit.most} tokens {of} (UTC)", headers=headers)
    if isinstance(limit, Quota):
        return QUOTA_USED(f"{limit.most} in a day (UTC)", headers=headers)
    return TOO_MANY_REQUESTS(
        f"{limit.rate.burst} at once of {WORDS[limit.policy]}", headers=headers
    )
