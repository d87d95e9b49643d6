"""Makes the request for a service from a client's request, with the gateway's own headers."""

import secrets
from collections.abc import Callable
from typing import Final

from starlette.requests import HTTPConnection, Request

from gateway.logs import correlation_id
from gateway.observe.trace_context import SpanId, client_trace, parse_traceparent
from gateway.rest.access import ADMITTED, Admitted
from gateway.services.exchange import ProxiedCall
from gateway.services.forwarding import Framing, RequestOrigin

LONGEST_BUDGET_MS: Final = 3_600_000


def proxied_call(request: Request, framing: Framing, prefix: str) -> ProxiedCall:
    """The request for the service to which `prefix`, the beginning of its path, leads."""
    scope, headers = request.scope, request.headers
    return ProxiedCall(
        method=request.method,
        raw_path=scope.get("raw_path") or scope["path"].encode(),
        query=scope["query_string"],
        headers=headers.raw,
        framing=framing,
        origin=request_origin(request, prefix),
        budget_s=_budget_s(headers.get("x-budget-ms", "")),
    )


def request_origin(client: HTTPConnection, prefix: str) -> RequestOrigin:
    """The origin of a request, for the service to which `prefix`, its path's beginning, leads."""
    scope, headers = client.scope, client.headers
    address = scope.get("client")
    parent = parse_traceparent(client_trace.get())
    admitted: Admitted | None = scope.get(ADMITTED)
    return RequestOrigin(
        client=address[0] if address else "",
        scheme=scope["scheme"],
        host=headers.get("host", "").encode("latin-1"),
        prefix=prefix.encode(),
        correlation_id=correlation_id.get() or secrets.token_hex(16),
        traceparent=_span(parent).traceparent,
        tracestate=(
            ()
            if parent is None
            else tuple(value for name, value in headers.raw if name == b"tracestate")
        ),
        hidden=frozenset() if admitted is None else admitted.shown_in,
    )


def _span(parent: SpanId | None, token: Callable[[int], str] = secrets.token_hex) -> SpanId:
    """The gateway's own part of the trace, which a service's spans have as their parent."""
    if parent is None:
        return SpanId(token(16), token(8))
    return SpanId(parent.trace_id, token(8), parent.sampled)


def _budget_s(text: str) -> float | None:
    """How long the client waits for the head of the answer, where it says so in milliseconds."""
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        return None
    return min(max(int(text), 1), LONGEST_BUDGET_MS) / 1000
