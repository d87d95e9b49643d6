"""One connection to an instance: one request at a time goes out on it, and its answer comes back.

The answer is read as the client takes it: while `HELD_BYTES` wait, the service is not read. What
comes while nothing was asked, or behind an answer, belongs to nobody, and ends the connection.
"""

import asyncio
import select
import socket
from typing import Final, cast

from gateway.services.answer_reader import AnswerReader, MalformedAnswer
from gateway.services.forwarding import Headers

HELD_BYTES: Final = 64 * 1024

RECEIVE_BYTES: Final = 128 * 1024
"""The receive buffer of a socket. uvloop passes all of it on at once, however slow the reader."""


class ConnectFailed(Exception):
    """There is no connection; the cause says why."""


class ConnectionBroken(Exception):
    """The connection ended before the answer did."""


class HttpConnection(asyncio.Protocol):
    """A connection of asyncio's, which makes it. Belongs to one event loop."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        """When its last answer was over, by the loop's clock."""
        self._transport: asyncio.Transport | None = None
        self._poll: select.poll | None = None
        self._reader: AnswerReader | None = None
        self._pieces: list[bytes] = []
        self._held = 0
        self._paused = False
        self._sent = True
        self._ended = False
        self._failure: Exception | None = None
        self._coming: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    # --- what a call does --------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether an idle connection takes a request. Bytes that wait on it, or its end, are of no
        request: the loop has not read them yet."""
        if self._ended or self._transport is None or self._transport.is_closing():
            return False
        return not self._readable()

    def ask(self, head: bytes, *, head_only: bool, whole: bool) -> None:
        """Send the head of a request. It is `whole` if no body follows; the answer to HEAD is
        `head_only`."""
        assert self._transport is not None
        self._reader = AnswerReader(head_only=head_only)
        self._sent = whole
        if self._ended:  # since it was made: there was nobody to tell
            self._fail(ConnectionBroken())
        else:
            self._transport.write(head)

    async def send(self, piece: bytes) -> bool:
        """Send a piece of the body once the service has taken what came before.

        Returns whether more can be sent: a service may end the connection, and have answered.
        """
        assert self._transport is not None
        if self._writable is not None:
            await self._writable
        if self._ended:
            return False
        self._transport.write(piece)
        return True

    async def finish(self) -> None:
        """Wait until the service has taken the body, as far as it does not wait in its system."""
        if self._writable is not None:
            await self._writable
        self._sent = True

    async def head(self) -> tuple[int, Headers]:
        """The status and the header lines of the answer.

        Raises `ConnectionBroken` and `MalformedAnswer`.
        """
        assert self._reader is not None
        while not self._reader.status:
            await self._more()
        return self._reader.status, self._reader.headers

    @property
    def ready(self) -> bool:
        """Whether `piece` need not wait."""
        return bool(self._pieces) or self.complete

    @property
    def complete(self) -> bool:
        """Whether all of the answer has been taken."""
        return not self._pieces and self._reader is not None and self._reader.complete

    async def piece(self) -> bytes:
        """All of the answer's body that waits, b"" behind the last piece. Raises as `head` does.

        Many small pieces come as one: to take them one by one never waits, and would keep the loop
        from everything else meanwhile.
        """
        while not self.ready:
            await self._more()
        if not self._pieces:
            return b""
        piece = b"".join(self._pieces)  # which does not copy a single one
        self._pieces.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            assert self._transport is not None
            if not self._transport.is_closing():  # uvloop refuses it then
                self._transport.resume_reading()
        return piece

    def leave(self) -> bool:
        """The call is over. Returns whether the connection takes another one; if not, it ends."""
        reader, self._reader = self._reader, None
        keeps = reader is not None and reader.complete and reader.keeps and not self._pieces
        if not keeps or not self._sent or self._ended:
            self.abort()
            return False
        return True

    def close(self) -> None:
        """End an idle connection."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    async def _more(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._coming = asyncio.get_running_loop().create_future()
        try:
            await self._coming
        finally:
            self._coming = None

    def _readable(self) -> bool:
        assert self._transport is not None
        if self._poll is None:
            found = self._transport.get_extra_info("socket").fileno()
            if not hasattr(select, "poll"):  # Windows
                return bool(select.select([found], [], [], 0)[0])
            self._poll = select.poll()
            self._poll.register(found, select.POLLIN)
        return bool(self._poll.poll(0))

    # --- what asyncio tells ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        connected = transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        if self._reader is None:
            self._transport.abort()
            return
        try:
            pieces = self._reader.feed(data)
        except MalformedAnswer as error:
            self._fail(error)
            self._transport.abort()
            return
        for piece in pieces:
            self._pieces.append(piece)
            self._held += len(piece)
        if self._reader.complete:
            if not self._reader.keeps and self._sent:
                self._transport.pause_reading()  # what is still to come is of no use
        elif self._held > HELD_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)

    def pause_writing(self) -> None:
        if not self._ended:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def _end(self, error: Exception | None = None) -> None:
        if self._ended:
            return
        self._ended = True
        self.resume_writing()
        if self._reader is None or self._reader.complete:
            return
        try:
            if error is not None:
                raise error
            self._reader.end()
        except Exception as cause:
            broken = ConnectionBroken()
            broken.__cause__ = cause
            self._fail(broken)
        self._wake()

    def _fail(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        self._wake()

    def _wake(self) -> None:
        if self._coming is not None and not self._coming.done():
            self._coming.set_result(None)
