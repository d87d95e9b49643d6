"""The worker's server: `Conversations` over sockets of its own (`parley worker`)."""

import json
import logging
import socket
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Literal

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from pipeline.stage import Converter, Synthesizer, Transcriber
from stages._remote_connection import ConnectionLost
from stages._remote_conversations import HELLO_S, Conversations
from stages._remote_protocol import LONGEST_TEXT_BYTES

frames_logger = logging.getLogger("stages.remote.frames")
frames_logger.setLevel(logging.CRITICAL)  # strangers who knock are no news

PING_S = 10.0
"""The longest time for an answer to a ping; after it the gateway is gone and its call ends."""

CLOSE_S = 0.5


class StageServer:
    """Serves `stage`, whose slot is "stt" or "tts", to gateways that show `key`, if there is one.

    The arguments are those of `Conversations`. Run `serve`, and `drain` to end it.
    """

    def __init__(
        self,
        slot: Literal["stt", "tts"],
        stage: Transcriber | Synthesizer,
        convert: Callable[[int, int], Converter],
        *,
        key: str | None = None,
        places: int = 64,
    ) -> None:
        self.conversations = Conversations(slot, stage, convert, key=key, places=places)
        self._servers: list[Server] = []

    async def serve(self, listeners: Sequence[socket.socket]) -> None:
        """Serve at these sockets until `drain` has ended. Cancelling ends it at once."""
        try:
            for listener in listeners:
                self._servers.append(await self._listen(listener))
            for server in self._servers:
                await server.wait_closed()
        finally:
            for server in self._servers:
                server.close()

    async def drain(self, within_s: float) -> None:
        """Begin no further call, let those under way end within this time, then close."""
        await self.conversations.drain(within_s)
        for server in self._servers:
            server.close()

    async def _listen(self, listener: socket.socket) -> Server:
        return await serve(
            self._converse,
            sock=listener,
            process_request=self._look,
            compression=None,
            max_size=LONGEST_TEXT_BYTES,
            max_queue=64,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            close_timeout=CLOSE_S,
            open_timeout=HELLO_S,
            server_header=None,
            logger=frames_logger,
        )

    def _look(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer `/health`, and refuse clients that may not connect."""
        conversations = self.conversations
        if request.path == "/health":
            ends = conversations.draining
            status = HTTPStatus.SERVICE_UNAVAILABLE if ends else HTTPStatus.OK
            response = connection.respond(status, json.dumps(conversations.health()) + "\n")
            del response.headers["Content-Type"]
            response.headers["Content-Type"] = "application/json"
            return response
        refusal = conversations.refusal(request.headers.get("Authorization", ""))
        if refusal is not None:
            status_code, words = refusal
            return connection.respond(HTTPStatus(status_code), f"{words}\n")
        return None

    async def _converse(self, connection: ServerConnection) -> None:
        await self.conversations.converse(_WebSocket(connection))


class _WebSocket:
    """A `stages._remote_connection.WorkerConnection`."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def recv(self) -> bytes | str:
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise ConnectionLost from error

    async def send(self, message: bytes | str) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed as error:
            raise ConnectionLost from error

    async def close(self, code: int, reason: str) -> None:
        await self._connection.close(code, reason)
