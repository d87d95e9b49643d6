"""Connects `parley call` to a server over WebRTC, by WHIP (RFC 9725). Needs aiortc."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from urllib.parse import urljoin, urlsplit

from gateway.commands.call.film import Film
from gateway.commands.call.screen import Screen
from gateway.commands.call.server import (
    CONNECT_S,
    ServerAddress,
    client,
    not_parley,
    reported,
    session_of,
    wants_token,
)
from gateway.commands.call.webrtc import NotAnAnswer, WebRtcLine
from gateway.commands.terminal import CommandFailed
from gateway.transports.webrtc.aioice_private import use_addresses

SDP = "application/sdp"
LOOPBACK = "127.0.0.1"
PORTS = {"http": 80, "https": 443}


@asynccontextmanager
async def connected(
    server: ServerAddress, screen: Screen, film: Film | None = None
) -> AsyncIterator[tuple[WebRtcLine, str]]:
    """An open connection and its session's id. Raises `CommandFailed`.

    With a film, pictures are requested and added to it.
    """
    screen.status(f"connecting to {server.shown}…")
    session_id = await session_of(server)
    line = WebRtcLine(film)
    headers = server.headers  # of a session that was made, with its pass
    where: str | None = None
    try:
        with _with_loopback(server):
            offer = await line.offer()
        answer, where = await _posted(server, session_id, offer, headers)
        screen.status(f"waiting for {server.shown} over UDP…")
        try:
            await line.dial(answer)
        except NotAnAnswer:
            raise not_parley(server) from None
        except TimeoutError:
            raise CommandFailed(_unreached(server, answer)) from None
        screen.say(f"WebRTC {line.route()}{'' if film is None else ', ' + line.pictures()}")
        yield line, session_id
    finally:
        await line.close()
        if where is not None and line.close_code is None:
            await _hang_up(server, where, headers)


@contextmanager
def _with_loopback(server: ServerAddress) -> Iterator[None]:
    """If the server is on this machine, offer the loopback address, which aioice leaves out."""
    with ExitStack() as addresses:
        if server.host in ("localhost", "::1") or server.host.startswith("127."):
            addresses.enter_context(use_addresses(LOOPBACK, only=False))
        yield


async def _posted(
    server: ServerAddress, session_id: str, offer: str, headers: dict[str, str]
) -> tuple[str, str]:
    """The answer to an offer, and the connection's URL. Raises `CommandFailed`."""
    url = server.webrtc_url(session_id)
    with reported(server):
        async with client(server) as http:
            answer = await http.post(url, content=offer, headers=headers | {"content-type": SDP})
            if answer.status_code == 201:
                return answer.text, _placed(server, url, answer.headers["location"])
            if answer.status_code in (404, 405):
                raise CommandFailed(
                    f"{server.shown} knows no WebRTC; leave --webrtc out to call over WebSocket"
                )
            body = answer.json()
            code, message = body["code"], str(body.get("detail") or body["title"])
    match answer.status_code, code:
        case 503, "webrtc_not_installed":
            raise CommandFailed(
                f"{server.shown} was installed without WebRTC: there, {message} and start it again;"
                " or leave --webrtc out to call over WebSocket"
            )
        case 503, _:
            raise CommandFailed(f"the server takes no more calls now ({message}); try again later")
        case 401, _:
            raise CommandFailed(wants_token(server))
    raise CommandFailed(f"the server refused the call: {message}")


def _placed(server: ServerAddress, url: str, location: str) -> str:
    """The connection's URL. Raises `CommandFailed` for another server, which must not get the
    token.

    Raises `ValueError` for an invalid URL.
    """
    where = urljoin(url, location)
    if _origin(where) != _origin(url):
        raise CommandFailed(
            f"{server.shown} put the connection on another server,"
            f" {_shown(where)}: call that one with --url"
        )
    return where


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


async def _hang_up(server: ServerAddress, where: str, headers: dict[str, str]) -> None:
    """Delete the connection in case the server has not noticed its end. Errors are ignored."""
    try:
        with reported(server):
            async with client(server) as http:
                await http.delete(where, headers=headers)
    except CommandFailed:
        pass


def _unreached(server: ServerAddress, answer: str) -> str:
    lines = [line.split() for line in answer.splitlines() if line.startswith("a=candidate:")]
    offered = ", ".join(dict.fromkeys(parts[4] for parts in lines if len(parts) > 4))
    if not offered:
        what = "It offered no address: it has no network, and needs PARLEY_WEBRTC_ADDRESSES"
    else:
        what = (
            f"It offered {offered}: where that cannot be reached from here, set"
            " PARLEY_WEBRTC_ADDRESSES there (docs/webrtc.md) and let UDP through"
        )
    return (
        f"{server.shown} answered, but no media came over UDP within {CONNECT_S:.0f} s. {what};"
        " or leave --webrtc out to call over WebSocket"
    )
