"""Large responses: sent in pieces, with a limit on all bytes, while the client keeps reading.

The HTTP server keeps a response in memory until the client has read it. Without these limits a
client that requests recordings and reads none would fill the memory, once for each connection.
"""

import asyncio
from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.rest.problems import Kind

DOWNLOADS_FULL = Kind("downloads_full", 503, "Too much is being downloaded")

MOST_BYTES = 256 << 20
"""The limit for all responses under way, for each kind of large response."""

PIECE_BYTES = 64 * 1024
"""As much as the HTTP server buffers for a client before `send` waits."""

STALL_S = 30.0
"""A client that reads no piece for this time is disconnected; a paused player requests the rest
again."""


class Outgoing:
    """The bytes of one kind of response that are being sent."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._reserved = 0

    def reserve(self, size: int) -> "Reservation":
        """Reserve `size` bytes. Raises `DOWNLOADS_FULL`, but never for the only response.

        The caller releases the reservation, or passes it to `Sent`.
        """
        if self._reserved and self._reserved + size > self._most_bytes:
            raise DOWNLOADS_FULL("Try again later", headers={"retry-after": "10"})
        return Reservation(self, size)

    def add(self, size: int) -> None:
        """Add `size` bytes to the count; a negative `size` subtracts."""
        self._reserved += size


class Reservation:
    """Bytes that count as being sent until `release`."""

    def __init__(self, outgoing: Outgoing, size: int) -> None:
        self._outgoing = outgoing
        self._size = size
        outgoing.add(size)

    def release(self) -> None:
        """Stop counting them. Idempotent."""
        self._outgoing.add(-self._size)
        self._size = 0


class Sent(Response):
    """A response that releases its reservation, however it ends."""

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
            # The last piece is empty: sending it waits until the others have been taken.
            for at in range(0, len(body) + PIECE_BYTES, PIECE_BYTES):
                piece = bytes(body[at : at + PIECE_BYTES])
                more = at < len(body)
                async with asyncio.timeout(STALL_S):
                    await send({"type": "http.response.body", "body": piece, "more_body": more})
        except TimeoutError:
            pass  # the server closes a connection whose response is incomplete
        finally:
            self.release()

    def release(self) -> None:
        """Release the reservation, also if nothing was sent."""
        self._reservation.release()
