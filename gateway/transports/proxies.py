"""The headers in which proxies report a client: `X-Forwarded-Proto` and `-For`, or `Forwarded`.

uvicorn's middleware decides which proxies it trusts, but reads an `X-Forwarded-Proto` of one word
only. After several proxies the header is a list, "https,http", or has several lines: its first word
is the scheme that the client used. WebSocket's schemes are allowed, too.

`Forwarded` (RFC 7239) is read only if neither of the other two came: a proxy that writes those may
pass on a `Forwarded` that the client wrote.
"""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from gateway.transports.forwarded import UNKNOWN, Hop, hops

FOR = b"x-forwarded-for"
FORWARDED = b"forwarded"
PROTO = b"x-forwarded-proto"
SCHEMES = {b"https": b"https", b"wss": b"https", b"http": b"http", b"ws": b"http"}


def behind(app: ASGIApp, proxies: str) -> ASGIApp:
    """The application behind `proxies`, networks with commas between them, or "*"."""
    middleware = ProxyHeadersMiddleware(app, proxies)  # type: ignore[arg-type]
    trusting = cast("ASGIApp", middleware)
    trusted = middleware.trusted_hosts

    async def first_word(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            headers = scope["headers"]
            names = [name for name, _ in headers]
            if PROTO in names:
                scope["headers"] = _with_one_proto(headers)
            elif FORWARDED in names and FOR not in names:
                client = scope.get("client")
                if client is not None and client[0] in trusted:  # others' is not read
                    scope["headers"] = [*headers, *_lines(headers, trusted.__contains__)]
        await trusting(scope, receive, send)

    return first_word


def address_behind(
    proxies: str,
) -> Callable[[Sequence[tuple[bytes, bytes]], tuple[str, int] | None], str | None]:
    """Return a function from header lines and a connection to the client's network address, as an
    application `behind` these proxies sees it; "" stands for no proxies."""
    if not proxies:
        return _own_address

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        """Does nothing: only the scope that it is called with is needed."""

    async def nothing(message: Message | None = None) -> Any:
        """Receive and send nothing."""

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
    first = said[0].split(b",", 1)[0].strip().lower()
    others = [(name, value) for name, value in headers if name != PROTO]
    return [*others, (PROTO, SCHEMES[first])] if first in SCHEMES else others


def _lines(
    headers: Sequence[tuple[bytes, bytes]], is_trusted: Callable[[str], bool]
) -> list[tuple[bytes, bytes]]:
    """The contents of `Forwarded`, as the lines that uvicorn reads.

    The scheme is that of the hop whose address uvicorn takes for the client's: the last one that is
    no trusted proxy's, or the first.
    """
    told = [value.decode("latin-1") for name, value in headers if name == FORWARDED]
    if not told:
        return []
    found = hops(told)
    lines = []
    if not found:  # one cannot know who wrote it, and takes nobody for the proxy
        lines.append((FOR, UNKNOWN.encode()))
    elif any(hop.address != UNKNOWN for hop in found):
        lines.append((FOR, ", ".join(hop.address for hop in found).encode()))
    if scheme := SCHEMES.get(_client_scheme(found, is_trusted)):
        lines.append((PROTO, scheme))
    return lines


def _client_scheme(found: Sequence[Hop], is_trusted: Callable[[str], bool]) -> bytes:
    scheme = ""
    for hop in reversed(found):
        scheme = hop.scheme or scheme
        if not is_trusted(hop.address):
            break
    return scheme.encode()
