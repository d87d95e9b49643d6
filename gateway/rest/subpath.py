"""Serves Parley below a path of another host, behind a proxy: `https://host/tool/`.

The path is that of `PARLEY_PUBLIC_URL`. The proxy may remove it from the requests that it passes
on, or leave it in: both are answered. Locations in answers begin with the path, and so do the
addresses of WebSockets (`websocket_base`). The page's own links are relative.
"""

from urllib.parse import urlsplit

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SUBPATH = "parley.subpath"
"""The key of the path in a request's scope: "" or as "/tool"."""


def subpath_of(public_url: str | None) -> str:
    """The path of an address, without a slash at its end: "" or as "/tool"."""
    return "" if public_url is None else urlsplit(public_url).path.rstrip("/")


def without(path: str, subpath: str) -> str:
    """The requested path as the routes have it: without the subpath, if it begins with that."""
    return path.removeprefix(subpath) if subpath and path.startswith(f"{subpath}/") else path


class SubpathMiddleware:
    """Removes the path from requests, and adds it to the locations in answers."""

    def __init__(self, app: ASGIApp, subpath: str) -> None:
        self._app = app
        self._subpath = subpath

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        subpath = self._subpath
        if scope["type"] == "http" and scope["path"] == subpath:
            # Without the slash the page's links would point beside it.
            await RedirectResponse(f"{subpath}/", 308)(scope, receive, send)
            return
        below = f"{subpath}/"
        scope = {**scope, SUBPATH: subpath}
        if scope["path"].startswith(below):
            scope["path"] = without(scope["path"], subpath)
            scope["raw_path"] = scope["raw_path"].removeprefix(subpath.encode())

        async def placed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [(name, _below(name, value, below)) for name, value in message["headers"]]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, placed)


def _below(name: bytes, value: bytes, below: str) -> bytes:
    """A header's value, with the path added to a location of this gateway that lacks it."""
    ours = name.lower() == b"location" and value.startswith(b"/") and not value.startswith(b"//")
    return value if not ours or value.startswith(below.encode()) else below.encode() + value[1:]
