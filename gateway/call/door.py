"""The way into a server for `parley call`: a session over HTTP, then its WebSocket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus

from gateway.audio import AudioFormat
from gateway.call.screen import Screen
from gateway.protocols import native
from gateway.sessions import SESSION_ID
from gateway.terminal import CommandFailed

CONNECT_S = 10.0
SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
DEFAULT_ROLE = "Software Engineer"


class Door:
    """Where the server is and which interview is wanted there. Raises `CommandFailed`."""

    def __init__(
        self, url: str, session_id: str | None, role: str | None, questions: int | None
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
        self._http = f"{http}://{place}"
        self._ws = f"{http.replace('http', 'ws')}://{place}"
        host = parts.netloc.rpartition("@")[2]
        self.shown = f"{http.replace('http', 'ws')}://{host}"
        """The address for people, without a password."""
        self._role = role
        self._questions = questions

    @property
    def sessions_url(self) -> str:
        return f"{self._http}/api/sessions"

    def websocket_url(self, session_id: str) -> str:
        return f"{self._ws}/ws/{quote(session_id, safe='')}"

    def request(self) -> dict[str, Any]:
        """The body that makes a session."""
        wanted: dict[str, Any] = {"role": self._role or DEFAULT_ROLE, "mode": "voice"}
        if self._questions is not None:
            wanted["totalQuestions"] = self._questions
        return wanted

    def hello(self, audio: AudioFormat) -> dict[str, Any]:
        """The first message. It names an interview only where the session was not made for it."""
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
            message["interview"] = wanted
        return message


@asynccontextmanager
async def connected(door: Door, screen: Screen) -> AsyncIterator[tuple[ClientConnection, str]]:
    """An open connection and its session's id. Raises `CommandFailed`."""
    screen.status(f"connecting to {door.shown}…")
    session_id = door.session_id or await _new_session(door)
    # Nothing on the way but the network: no proxy, and no compression of audio.
    connection = connect(
        door.websocket_url(session_id), compression=None, open_timeout=CONNECT_S, proxy=None
    )
    try:
        socket = await connection
    except TimeoutError:
        raise _too_late(door) from None
    except InvalidStatus as error:
        raise CommandFailed(_refused(door, error)) from None
    except (InvalidHandshake, InvalidMessage):
        raise _no_parley(door) from None
    except OSError:
        raise _nobody(door) from None
    async with socket:
        yield socket, session_id


async def _new_session(door: Door) -> str:
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=CONNECT_S) as client:
            answer = await client.post(door.sessions_url, json=door.request())
            body = answer.json()
            if answer.status_code == 201:
                return _session_id(body["session_id"])
            message = str(body.get("detail") or body["title"])
    except httpx.ConnectError:
        raise _nobody(door) from None
    except httpx.TimeoutException:
        raise _too_late(door) from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError):
        raise _no_parley(door) from None
    raise CommandFailed(f"the server made no session: {message}")


def _session_id(value: object) -> str:
    if not isinstance(value, str) or SESSION_ID.fullmatch(value) is None:
        raise ValueError("no session id")
    return value


def _refused(door: Door, error: InvalidStatus) -> str:
    status = error.response.status_code
    if status == 503:
        why = (error.response.body or b"").decode(errors="replace")[:200]
        return f"the server takes no more sessions now ({why}); try again later"
    return f"{door.shown} refused the connection with HTTP {status}"


def _nobody(door: Door) -> CommandFailed:
    return CommandFailed(f"nothing answers at {door.shown}; start it with `parley serve`")


def _too_late(door: Door) -> CommandFailed:
    return CommandFailed(f"{door.shown} did not answer within {CONNECT_S:.0f} s")


def _no_parley(door: Door) -> CommandFailed:
    return CommandFailed(f"what answers at {door.shown} is no Parley")
