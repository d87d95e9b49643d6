"""The body of one request on its way to a service, piece by piece.

A short body is kept, so that another instance can be asked; a long body is passed on once and
never held.
"""

from collections.abc import AsyncGenerator, Callable
from typing import Final

from starlette.types import Receive

KEPT_BYTES: Final = 64 * 1024


class ClientGone(Exception):
    """The client has left before all of its request had come."""


class BodyTooLong(Exception):
    """The body is longer than the service accepts."""


class RequestBody:
    """One request's body. `receive` is the application's; nobody else may call it."""

    def __init__(self, receive: Receive, *, empty: bool, most_bytes: int) -> None:
        self._receive = receive
        self._most_bytes = most_bytes
        self._kept: bytearray | None = bytearray()
        self._bytes = 0
        self._complete = empty
        self.waits: Callable[[bool], None] = lambda waiting: None
        """Called with True before each piece is waited for, and with False when it is there."""
        self.completed: Callable[[], None] = lambda: None
        """Called when the last piece has come."""

    @property
    def complete(self) -> bool:
        """Whether all of it has come."""
        return self._complete

    @property
    def repeatable(self) -> bool:
        """Whether `pieces` can be asked for again."""
        return self._kept is not None

    async def pieces(self) -> AsyncGenerator[bytes]:
        """All pieces, from the first one on. Raises `ClientGone` and `BodyTooLong`."""
        if self._kept is None:
            raise RuntimeError("the beginning of this body is not kept")
        if self._kept:
            yield bytes(self._kept)
        while not self._complete:
            self.waits(True)
            message = await self._receive()
            self.waits(False)
            if message["type"] != "http.request":
                raise ClientGone
            piece = message.get("body", b"")
            self._complete = not message.get("more_body", False)
            self._bytes += len(piece)
            if self._bytes > self._most_bytes:
                raise BodyTooLong
            self._keep(piece)
            if self._complete:
                self.completed()
            if piece:
                yield piece

    def limit(self, most_bytes: int) -> None:
        """Set the limit of the service that gets it, which may be lower."""
        self._most_bytes = min(self._most_bytes, most_bytes)

    async def gone(self) -> None:
        """Return when the client has left. Call it only once the body is complete."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _keep(self, piece: bytes) -> None:
        if self._kept is None:
            return
        if len(self._kept) + len(piece) > KEPT_BYTES:
            self._kept = None
        else:
            self._kept += piece
