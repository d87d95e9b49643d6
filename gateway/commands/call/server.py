"""Connects `parley call` to a server: makes a session over HTTP, then opens its WebSocket."""

import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus

from gateway.commands.call.line import WebSocketLine
from gateway.commands.call.screen import Screen
from gateway.commands.terminal import CommandFailed
from gateway.commands.tls import trust
from gateway.interviews.sessions import SESSION_ID
from gateway.media.format import AudioFormat
from gateway.protocols import native

CONNECT_S = 10.0
SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
DEFAULT_ROLE = "Software Engineer"

LONGEST_TOKEN = 1_000
TOKEN = re.compile(r"[!-~]+")


class ServerAddress:
    """The server's address and the wanted interview. Raises `CommandFailed`."""

    def __init__(
        self,
        url: str,
        session_id: str | None,
        role: str | None,
        questions: int | None,
        trusted: Path | None = None,
        language: str | None = None,
        token: str | None = None,
    ) -> None:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or any(character.isspace() for character in url):
            raise CommandFailed("--url must be like ws://127.0.0.1:8000")
        if session_id is not None and SESSION_ID.fullmatch(session_id) is None:
            raise CommandFailed("--session: an id has 1 to 64 of A-Z a-z 0-9 _ -")
        http = SCHEMES[parts.scheme]
        place = f"{parts.netloc}{parts.path.rstrip('/')}"
        self.session_id = session_id
        self.token = token
        """A key, a ticket, a pass or WebRTC's token; the pass for a session that was made."""
        self.host = parts.hostname or ""
        self.trust = trust(trusted)
        """The trusted certificates."""
        self._http = f"{http}://{place}"
        self._ws = f"{http.replace('http', 'ws')}://{place}"
        host = parts.netloc.rpartition("@")[2]
        self.shown = f"{http.replace('http', 'ws')}://{host}"
        """The address for people, without a password."""
        self._role = role
        self._questions = questions
        self._language = language

    @property
    def headers(self) -> dict[str, str]:
        """The headers with the token, if there is one."""
        return {} if self.token is None else {"authorization": f"Bearer {self.token}"}

    @property
    def sessions_url(self) -> str:
        return f"{self._http}/api/sessions"

    def websocket_url(self, session_id: str) -> str:
        return f"{self._ws}/ws/{quote(session_id, safe='')}"

    def webrtc_url(self, session_id: str) -> str:
        return f"{self._http}/webrtc/{quote(session_id, safe='')}"

    def request(self) -> dict[str, Any]:
        """The body of the request that makes a session."""
        wanted: dict[str, Any] = {"role": self._role or DEFAULT_ROLE, "mode": "voice"}
        if self._questions is not None:
            wanted["totalQuestions"] = self._questions
        if self._language is not None:
            wanted["language"] = self._language
        return wanted

    def hello(self, audio: AudioFormat) -> dict[str, Any]:
        """The first message. It names an interview only if the session was not made by this
        command."""
        wire = {"encoding": audio.encoding, "rate": audio.rate_hz}
        message: dict[str, Any] = {
            "type": "hello",
            "version": native.VERSION,
            "audio_in": wire | {"channels": 1},
            "audio_out": wire,
        }
        if self.session_id is not None and (self._role or self._questions):
            wanted = self.request()
            del wanted["mode"]
            wanted.pop("language", None)
            message["interview"] = wanted
        if self.session_id is not None and self._language is not None:
            message["language"] = self._language
        return message


@asynccontextmanager
async def connected(
    server: ServerAddress, screen: Screen
) -> AsyncIterator[tuple[WebSocketLine, str]]:
    """An open connection and its session's id. Raises `CommandFailed`."""
    screen.status(f"connecting to {server.shown}…")
    session_id = await session_of(server)
    url = server.websocket_url(session_id)
    # A direct connection: no proxy, and no compression of audio.
    connection = connect(
        url,
        compression=None,
        open_timeout=CONNECT_S,
        proxy=None,
        ssl=server.trust if url.startswith("wss:") else None,
        additional_headers=server.headers,
    )
    try:
        socket = await connection
    except TimeoutError:
        raise _too_late(server) from None
    except InvalidStatus as error:
        raise CommandFailed(_refused(server, error)) from None
    except (InvalidHandshake, InvalidMessage):
        raise not_parley(server) from None
    except OSError as error:
        raise _no_answer(server, error) from None
    async with socket:
        yield WebSocketLine(socket), session_id


async def session_of(server: ServerAddress) -> str:
    """The session that was named, or a new one. Raises `CommandFailed`."""
    if server.session_id is not None:
        return server.session_id
    with reported(server):
        async with client(server) as http:
            answer = await http.post(server.sessions_url, json=server.request())
            body = answer.json()
            if answer.status_code == 201:
                session_id = _session_id(body["session_id"])
                if body.get("access") is not None:
                    server.token = _credential(body["access"]["value"])
                return session_id
            if answer.status_code == 401:
                raise CommandFailed(wants_token(server))
            message = str(body.get("detail") or body["title"])
    raise CommandFailed(f"the server made no session: {message}")


def client(server: ServerAddress) -> httpx.AsyncClient:
    """An HTTP client for the server."""
    return httpx.AsyncClient(
        trust_env=False, timeout=CONNECT_S, verify=server.trust, headers=server.headers
    )


def wants_token(server: ServerAddress) -> str:
    """Advice for a server that wants a key, a ticket or a token."""
    which = "a token" if server.token is None else "another token"
    return f"the server wants {which}: --token-file names a file that holds it"


def read_token(file: Path | None) -> str | None:
    """The one word in a file. Raises `CommandFailed`."""
    if file is None:
        return None
    try:
        token = file.read_text(encoding="ascii")[:LONGEST_TOKEN].strip()
    except (OSError, UnicodeDecodeError):
        raise CommandFailed(f"--token-file {file}: cannot be read") from None
    if not token:
        raise CommandFailed(f"--token-file {file}: there is nothing in it")
    if TOKEN.fullmatch(token) is None:
        raise CommandFailed(f"--token-file {file}: holds no token, which is one word on one line")
    return token


@contextmanager
def reported(server: ServerAddress) -> Iterator[None]:
    """Turn the errors of a request into `CommandFailed`."""
    try:
        yield
    except httpx.ConnectError as error:
        raise _no_answer(server, error) from None
    except httpx.TimeoutException:
        raise _too_late(server) from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError):
        raise not_parley(server) from None


def _session_id(value: object) -> str:
    if not isinstance(value, str) or SESSION_ID.fullmatch(value) is None:
        raise ValueError("no session id")
    return value


def _credential(value: object) -> str:
    if not isinstance(value, str) or TOKEN.fullmatch(value) is None:
        raise ValueError("no pass")
    return value


def _refused(server: ServerAddress, error: InvalidStatus) -> str:
    status = error.response.status_code
    if status == 401:
        return wants_token(server)
    if status == 503:
        why = (error.response.body or b"").decode(errors="replace")[:200]
        return f"the server takes no more sessions now ({why}); try again later"
    return f"{server.shown} refused the connection with HTTP {status}"


def _no_answer(server: ServerAddress, error: BaseException | None) -> CommandFailed:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    if isinstance(error, ssl.SSLCertVerificationError):
        return CommandFailed(
            f"the certificate of {server.shown} is not trusted ({error.verify_message});"
            " --trust names a certificate that is"
        )
    if error is not None:
        return CommandFailed(f"what answers at {server.shown} speaks no TLS")
    return CommandFailed(f"nothing answers at {server.shown}; start it with `parley serve`")


def _too_late(server: ServerAddress) -> CommandFailed:
    return CommandFailed(f"{server.shown} did not answer within {CONNECT_S:.0f} s")


def not_parley(server: ServerAddress) -> CommandFailed:
    """The error for a server that is not Parley."""
    return CommandFailed(f"what answers at {server.shown} is no Parley")
