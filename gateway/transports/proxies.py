"""What proxies say about how a client came: `X-Forwarded-Proto` and `X-Forwarded-For`.

uvicorn's middleware decides whose word is taken, and reads `X-Forwarded-Proto` if it is one word.
Where requests pass several proxies it is a list, "https,http", or stands in several lines: the
first word is what the client used. WebSocket's schemes are allowed, too.
"""

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

PROTO = b"x-forwarded-proto"
SCHEMES = {b"https": b"https", b"wss": b"https", b"http": b"http", b"ws": b"http"}


def behind(app: ASGIApp, proxies: str) -> ASGIApp:
    """The application behind `proxies`, networks with commas between them, or "*"."""
    trusting: ASGIApp = ProxyHeadersMiddleware(app, proxies)  # type: ignore[arg-type,assignment]

    async def first_word(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            scope["headers"] = _with_one_proto(scope["headers"])
        await trusting(scope, receive, send)

    return first_word


def _with_one_proto(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    said = [value for name, value in headers if name == PROTO]
    if not said:
        return headers
    first = said[0].split(b",", 1)[0].strip().lower()
    others = [(name, value) for name, value in headers if name != PROTO]
    return [*others, (PROTO, SCHEMES[first])] if first in SCHEMES else others
