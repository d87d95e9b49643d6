"""Decides which web pages may use the API from a browser (the Fetch standard's CORS protocol)."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from gateway.rest.once import HEADER, REPLAYED
from gateway.rest.problems import Kind

REFUSED = Kind("origin_not_allowed", 400, "This page may not send such a request")

READ = ("Location", "Link", "ETag", "Retry-After", "X-Correlation-ID", REPLAYED.title())
"""Headers of responses that pages may read."""

SENT = (
    HEADER,
    "authorization",
    "if-match",
    "last-event-id",
    "openai-beta",
    "x-api-key",
    "x-correlation-id",
    "x-openai-agents-sdk",
)
"""Headers that pages may send; those of OpenAI's name the clients of `/v1/realtime`."""


class Cors(CORSMiddleware):
    """Starlette's middleware, but with problem details for a refused preflight request.

    `origins` are separated by commas; "*" allows every page, "none" none. With `services` behind
    the gateway their methods are allowed, too.
    """

    def __init__(self, app: ASGIApp, origins: str, *, services: bool = False) -> None:
        super().__init__(
            app,
            allow_origins=[origin for origin in origins.split(",") if origin != "none"],
            allow_methods=[
                "GET",
                "HEAD",
                "POST",
                "PATCH",
                "DELETE",
                *(["PUT"] if services else []),
            ],
            allow_headers=SENT,
            expose_headers=READ,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """The response to a browser's preflight request."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        detail = bytes(response.body).decode() + "; PARLEY_CORS_ORIGINS names the pages that may"
        return REFUSED(detail, headers={"vary": response.headers["vary"]}).response()
