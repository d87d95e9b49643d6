"""A connection to a server, whichever way its audio travels."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from pipeline.frames import Samples


class LineClosed(Exception):
    """Nothing can be sent any more; the line's `close_code` says why."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Reply audio that is heard now. `at` is when its first sample is, by the loop's clock."""

    pcm: Samples
    at: float
    audible: bool


class CallLine(Protocol):
    """What a call holds its conversation over.

    Iteration gives messages as text, and reply audio: as bytes where it comes ahead of the time at
    which it is to be heard, and has to be dropped at `clear`, as `Sound` where it does not. It ends
    when the line is closed; then `close_code` and `close_reason` are set. They are those of
    WebSocket; the code is None where the line broke.
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
            pass  # the close code says what it means

    async def send(self, data: str | bytes) -> None:
        try:
            await self._socket.send(data)
        except ConnectionClosed as error:
            raise LineClosed from error
