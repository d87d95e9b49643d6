"""Restricts a gateway without keys to requests for the names of its own machine.

Browsers keep a page of another site out by its origin, unless that site's name resolves to this
machine for a moment; then the page's requests look like those of the gateway's own page.
"""

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.security import names_this_machine

MISDIRECTED = 421

WORDS = (
    "without keys this gateway answers to names of its own machine alone, such as localhost;"
    " PARLEY_PROXIES names a proxy in front of it, PARLEY_CORS_ORIGINS another page's origin,"
    " and PARLEY_API_KEYS lets only clients with a key in\n"
)


def for_this_machine(app: ASGIApp, origins: str) -> ASGIApp:
    """The application, for requests to this machine or to a host of `origins`; others get 421."""

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or names_this_machine(
            Headers(scope=scope).get("host", ""), origins
        ):
            await app(scope, receive, send)
            return
        refusal = PlainTextResponse(WORDS, MISDIRECTED)
        if scope["type"] == "websocket":
            await receive()  # the handshake
        await refusal(scope, receive, send)

    return answered
