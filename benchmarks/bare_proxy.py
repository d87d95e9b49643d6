"""A proxy as platforms write it by hand: Starlette and httpx, in the shape of a design's own code.

It reads a request as a whole, asks the service with one `httpx.AsyncClient`, and answers with the
JSON that came. Everything that is not on the way of a request is left out: discovery, metrics.

    BARE_UPSTREAM=http://127.0.0.1:8001 python -m benchmarks.bare_proxy 8000
"""

import os
import sys
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"]


class CircuitBreaker:
    """Opens after five failures in a row."""

    def __init__(self) -> None:
        self.failures = 0

    async def call(self, work: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        if self.failures >= 5:
            raise RuntimeError("Circuit breaker is OPEN")
        try:
            result = await work(*args, **kwargs)
        except Exception:
            self.failures += 1
            raise
        self.failures = 0
        return result


def bare_app(upstream: str) -> Starlette:
    """The proxy in front of one service, whatever its name."""
    client = httpx.AsyncClient(timeout=30.0)
    breakers: dict[str, CircuitBreaker] = {}

    async def made(method: str, url: str, **kwargs: Any) -> httpx.Response:
        response = await client.request(method, url, **kwargs)
        response.raise_for_status()
        return response

    async def route(request: Request) -> Response:
        headers = dict(request.headers)
        body = await request.body() if request.method in ("POST", "PUT", "PATCH") else None
        headers["X-Correlation-ID"] = headers.get("X-Correlation-ID", str(uuid.uuid4()))
        breaker = breakers.setdefault(request.path_params["service"], CircuitBreaker())
        response = await breaker.call(
            made,
            request.method,
            f"{upstream}/{request.path_params['path']}",
            headers=headers,
            content=body,
            params=dict(request.query_params),
        )
        return JSONResponse(response.json())

    async def ready(request: Request) -> Response:
        return JSONResponse({"status": "ready"})

    return Starlette(
        routes=[
            Route("/health/ready", ready),
            Route("/{service}/{path:path}", route, methods=METHODS),
        ]
    )


if __name__ == "__main__":
    uvicorn.run(
        bare_app(os.environ["BARE_UPSTREAM"]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="warning",
    )
