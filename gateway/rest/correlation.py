"""`X-Correlation-ID`: one id for a request, its response, its log lines and its further requests.

`CorrelationMiddleware` takes the client's id if it is valid and makes one otherwise. Requests to
other services on behalf of this request have the same id: `gateway.logs.upstream_headers`.
"""

import re
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.logs import correlation_id
from gateway.observe.trace_context import client_trace

HEADER = b"x-correlation-id"
TRACEPARENT = b"traceparent"
SANE = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class CorrelationMiddleware:
    """The outermost middleware, so that errors have an id too.

    A WebSocket has an id in its log lines, as a request has; its client is not told.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == HEADER), b"")
        value = given if SANE.fullmatch(given) else secrets.token_hex(16).encode()

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (HEADER, value)]
                message = {**message, "headers": headers}
            await send(message)

        trace = next((value for name, value in scope["headers"] if name == TRACEPARENT), b"")
        client_trace.set(trace.decode("latin-1"))  # of this request's task, and of those it begins
        token = correlation_id.set(value.decode())
        try:
            await self._app(scope, receive, tagged)
        finally:
            correlation_id.reset(token)
