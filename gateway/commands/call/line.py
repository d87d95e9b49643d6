"""A connection to a server, over WebSocket or WebRTC."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from pipeline.frames import Samples


class LineClosed(Exception):
    """The line is closed; its `close_code` says why."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Reply audio that is played now. `at` is the loop's time of its first sample."""

    pcm: Samples
    at: float
    audible: bool


class CallLine(Protocol):
    """The connection that carries a call.

    Iteration gives messages as text, and reply audio: as bytes if it comes ahead of its time and
    must be dropped at `clear`, as `Sound` if it is played at once. It ends when the line is closed;
    then `close_code` and `close_reason` are set. They are those of WebSocket; the code is None if
    the line broke.
    """

    @property
    def close_code(self) -> int | None: ...

    @property
    def close_reason(self) -> str | None: ...

    def __aiter__(self) -> AsyncIterator[str | bytes | Sound]: ...

    async def send(self, data: str | bytes) -> None:
        """Send a message, or 20 ms of the microphone. Raises `LineClosed`."""


class WebSocketLine:
    """A WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    @property
    def close_code(self) -> int | None:
        return self._socket.close_code

    @property
    def close_reason(self) -> str | None:
        return self._socket.close_reason

    async def __aiter__(self) -> AsyncIterator[str | bytes | Sound]:
        try:
            async for data in self._socket:
                yield data
        except ConnectionClosed:
            pass  # the close code has the reason

    async def send(self, data: str | bytes) -> None:
        try:
            await self._socket.send(data)
        except ConnectionClosed as error:
            raise LineClosed from error
