"""What proxies say about how a client came: `X-Forwarded-Proto` and `X-Forwarded-For`.

uvicorn's middleware decides whose word is taken, and reads `X-Forwarded-Proto` if it is one word.
Where requests pass several proxies it is a list, "https,http", or stands in several lines: the
first word is what the client used. WebSocket's schemes are allowed, too.
"""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
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


def address_behind(
    proxies: str,
) -> Callable[[Sequence[tuple[bytes, bytes]], tuple[str, int] | None], str | None]:
    """Gives a client's network address by its header lines and its connection, as an application
    `behind` these proxies sees it; "" are none."""
    if not proxies:
        return _own_address

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        """What it is called with is all that is wanted."""

    async def nothing(message: Message | None = None) -> Any:
        """Nothing is received or sent."""

    app = behind(application, proxies)

    def address(
        headers: Sequence[tuple[bytes, bytes]], client: tuple[str, int] | None
    ) -> str | None:
        scope: Scope = {"type": "websocket", "headers": headers, "client": client, "scheme": "ws"}
        with suppress(StopIteration):  # it waits for nothing, so that it ends at once
            cast("Coroutine[Any, Any, None]", app(scope, nothing, nothing)).send(None)
        return _own_address(headers, scope["client"])

    return address


def _own_address(
    headers: Sequence[tuple[bytes, bytes]], client: tuple[str, int] | None
) -> str | None:
    return None if client is None else client[0]


def _with_one_proto(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    said = [value for name, value in headers if name == PROTO]
    if not said:
        return headers
    first = said[0].split(b",", 1)[0].strip().lower()
    others = [(name, value) for name, value in headers if name != PROTO]
    return [*others, (PROTO, SCHEMES[first])] if first in SCHEMES else others
