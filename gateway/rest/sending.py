"""Large answers: in pieces, so many bytes at a time, and only while the client goes on reading.

A server keeps what it was given until the client has read it. A client that asks for recordings
and reads none would have all of them kept in memory, once for each of its connections.
"""

import asyncio
from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.rest.problems import Kind

DOWNLOADS_FULL = Kind("downloads_full", 503, "Too much is being downloaded")

MOST_BYTES = 256 << 20
"""On their way at a time, of each kind of large answer."""

PIECE_BYTES = 64 * 1024
"""As much as the server keeps for a client before it has us wait."""

STALL_S = 30.0
"""Who reads no piece for so long is left: a player that only pauses asks for the rest again."""


class Outgoing:
    """How many bytes of one kind of answer are on their way."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._reserved = 0

    def reserve(self, size: int) -> "Reservation":
        """A place for so many bytes. Raises `DOWNLOADS_FULL`, but never where there are no others.

        The caller releases it, or gives it to `Sent`.
        """
        if self._reserved and self._reserved + size > self._most_bytes:
            raise DOWNLOADS_FULL("Try again later", headers={"retry-after": "10"})
        return Reservation(self, size)

    def add(self, size: int) -> None:
        """Count bytes that come, or go where there are less than none."""
        self._reserved += size


class Reservation:
    """Bytes that are counted until `release`."""

    def __init__(self, outgoing: Outgoing, size: int) -> None:
        self._outgoing = outgoing
        self._size = size
        outgoing.add(size)

    def release(self) -> None:
        """They are gone. Idempotent."""
        self._outgoing.add(-self._size)
        self._size = 0


class Sent(Response):
    """An answer that gives its place back, however it ends."""

    def __init__(
        self,
        body: bytes,
        status: int,
        headers: Mapping[str, str],
        form: str,
        reservation: Reservation,
    ) -> None:
        super().__init__(body, status, headers, media_type=form)
        self._reservation = reservation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = memoryview(self.body)
        head = {"status": self.status_code, "headers": self.raw_headers}
        try:
            await send({"type": "http.response.start", **head})
            # The last one is empty: what waits for it is that the others are on their way.
            for at in range(0, len(body) + PIECE_BYTES, PIECE_BYTES):
                piece = bytes(body[at : at + PIECE_BYTES])
                more = at < len(body)
                async with asyncio.timeout(STALL_S):
                    await send({"type": "http.response.body", "body": piece, "more_body": more})
        except TimeoutError:
            pass  # the server closes a connection whose answer has not come to its end
        finally:
            self.release()

    def release(self) -> None:
        """Give the place back; also where nothing is sent."""
        self._reservation.release()
