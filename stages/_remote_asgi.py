"""The worker as an ASGI application: `Conversations` in a server that belongs to others.

The server must let calls end before it ends. uvicorn by itself does not: on SIGTERM it closes all
WebSockets at once. So `parley worker` has a server of its own, and Ray Serve drains its replicas.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, TypeAlias

from stages._remote_connection import ConnectionLost
from stages._remote_conversations import Conversations
from stages._remote_protocol import LONGEST_TEXT_BYTES, ProtocolViolation

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

CLOSE_S = 0.5
REFUSED = 1008


class StageApp:
    """Speaks the workers' protocol over a WebSocket at any path; `GET …/health` tells its state.

    `opened` loads the stage when the server starts the application (ASGI's lifespan), and releases
    it when the server ends it. An exception of it is the reason why the server does not start.
    """

    def __init__(self, opened: Callable[[], AbstractAsyncContextManager[Conversations]]) -> None:
        self._opened = opened
        self._conversations: Conversations | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection, one request, or the application's life."""
        match scope["type"]:
            case "lifespan":
                await self._live(receive, send)
            case "http":
                await self._tell(scope, send)
            case "websocket":
                await self._serve(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        phase = "startup"
        await receive()
        try:
            async with self._opened() as conversations:
                self._conversations = conversations
                await send({"type": "lifespan.startup.complete"})
                phase = "shutdown"
                await receive()
                await conversations.drain(0)
                self._conversations = None
        except Exception as error:  # of a provider, or of a library; the server says it
            await send({"type": f"lifespan.{phase}.failed", "message": str(error)})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    async def _tell(self, scope: Message, send: Send) -> None:
        conversations = self._conversations
        if scope["path"].rpartition("/")[2] != "health":
            told, status = "a worker speaks over WebSockets, and tells its /health\n", 404
        elif conversations is None:
            told, status = json.dumps({"status": "starting"}) + "\n", 503
        else:
            status = 503 if conversations.draining else 200
            told = json.dumps(conversations.health()) + "\n"
        await _respond(send, "http", status, told, "text/plain" if status == 404 else _JSON)

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        refusal: tuple[int, str] | None = (503, "the worker has not started")
        if self._conversations is not None:
            refusal = self._conversations.refusal(_authorization(scope))
        if refusal is None:
            assert self._conversations is not None
            await send({"type": "websocket.accept"})
            await self._conversations.converse(_AsgiConnection(receive, send))
        elif "websocket.http.response" in (scope.get("extensions") or {}):
            status, words = refusal
            await _respond(send, "websocket.http", status, f"{words}\n", "text/plain")
        else:  # the server answers 403
            await send({"type": "websocket.close", "code": REFUSED, "reason": refusal[1]})


class _AsgiConnection:
    """A `stages._remote_connection.WorkerConnection`."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._lost = False

    async def recv(self) -> bytes | str:
        if self._lost:
            raise ConnectionLost
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._lost = True
            raise ConnectionLost
        text: str | None = message.get("text")
        data: bytes | str = (message.get("bytes") or b"") if text is None else text
        if len(data) > LONGEST_TEXT_BYTES:  # of a text these are characters, which is close enough
            raise ProtocolViolation(f"a message of {len(data)} bytes")
        return data

    async def send(self, message: bytes | str) -> None:
        if self._lost:
            raise ConnectionLost
        kind = "text" if isinstance(message, str) else "bytes"
        try:
            await self._send({"type": "websocket.send", kind: message})
        except (OSError, RuntimeError) as error:  # the server's words for a client that has left
            raise ConnectionLost from error

    async def close(self, code: int, reason: str) -> None:
        if not self._lost:
            self._lost = True
            with suppress(OSError, RuntimeError, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._send({"type": "websocket.close", "code": code, "reason": reason})


_JSON = "application/json"


async def _respond(send: Send, kind: str, status: int, told: str, media_type: str) -> None:
    headers = [(b"content-type", media_type.encode())]
    await send({"type": f"{kind}.response.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.response.body", "body": told.encode()})


def _authorization(scope: Message) -> str:
    found: list[bytes] = [value for name, value in scope["headers"] if name == b"authorization"]
    return found[0].decode("latin-1") if found else ""
