"""A WebSocket to a remote worker, as a client, with plain calls: sending never waits.

`websockets` reads and writes the frames; the rest of a connection is here, without a task or a
queue of its own, because a frame of audio must cost neither.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol, cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from stages._certificates import trusted
from stages._remote_protocol import LONGEST_BINARY_BYTES

logger = logging.getLogger("stages.remote.frames")
logger.setLevel(logging.CRITICAL)  # what breaks a connection is said by its owner, once

_UNAUTHORIZED = 401

CLOSE_S = 0.5
"""How long unsent data may take after `close`; a peer that does not read would hold the connection
for minutes."""


class SocketOwner(Protocol):
    """Takes what comes over a `RemoteSocket`. Plain calls."""

    def opened(self) -> None:
        """Messages can be sent now."""

    def alive(self) -> None:
        """Something has come, if only a pong."""

    def message(self, data: bytes, *, is_text: bool) -> None:
        """A whole message."""

    def ended(self, reason: str) -> None:
        """The connection has ended; called once, unless it was dropped."""


class RemoteSocket(asyncio.Protocol):
    """One connection. `connect` is awaited once; all else are plain calls on the event loop."""

    def __init__(self, url: str, headers: Mapping[str, str], owner: SocketOwner) -> None:
        self._url = parse_uri(url)
        self._headers = headers
        self._owner: SocketOwner | None = owner
        self._frames = ClientProtocol(self._url, max_size=LONGEST_BINARY_BYTES, logger=logger)
        self._transport: asyncio.Transport | None = None
        self._parts = bytearray()  # of a message in several frames, which `_frames` bounds
        self._is_text = False
        self._closing: asyncio.TimerHandle | None = None

    async def connect(self) -> None:
        """Connect and ask for the WebSocket. Raises `OSError`."""
        uri = self._url
        await asyncio.get_running_loop().create_connection(
            lambda: self,
            uri.host,
            uri.port,
            ssl=trusted() if uri.secure else None,
            server_hostname=uri.host if uri.secure else None,
        )

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait for the network."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def send(self, data: bytes, *, is_text: bool) -> None:
        """Send a message; nothing happens if the connection has ended."""
        if self._frames.state is State.OPEN:
            if is_text:
                self._frames.send_text(data)
            else:
                self._frames.send_binary(data)
            self._flush()

    def ping(self) -> None:
        """Send a ping."""
        if self._frames.state is State.OPEN:
            self._frames.send_ping(b"")
            self._flush()

    def drop(self) -> None:
        """End the connection at once, without further calls of the owner. Idempotent."""
        self._owner = None
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """End the connection in order, within `CLOSE_S`, without further calls of the owner.

        Idempotent.
        """
        self._owner = None
        if self._frames.state is State.OPEN and self._transport is not None:
            self._frames.send_close(1000)
            self._flush()
            self._transport.close()
            self._closing = asyncio.get_running_loop().call_later(CLOSE_S, self._transport.abort)
        elif self._closing is None:
            self.drop()

    # --- what asyncio calls --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._owner is None:  # dropped while it connected
            self._transport.abort()
            return
        request = self._frames.connect()
        for name, value in self._headers.items():
            request.headers[name] = value
        self._frames.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self._owner is None:
            return
        self._owner.alive()
        self._frames.receive_data(data)
        for event in self._frames.events_received():
            if isinstance(event, Response):
                if event.status_code == 101 and self._frames.handshake_exc is None:
                    self._tell_opened()
            elif isinstance(event, Frame):
                self._take(event)
        self._flush()
        if self._frames.handshake_exc is not None or self._frames.close_expected():
            self._end(self._why())

    def eof_received(self) -> None:
        self._end(self._why())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._closing is not None:
            self._closing.cancel()
        self._end(self._why())

    # --- inside --------------------------------------------------------------------------------

    def _tell_opened(self) -> None:
        if self._owner is not None:
            self._owner.opened()

    def _take(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._is_text = frame.opcode is Opcode.TEXT
        elif frame.opcode is not Opcode.CONT:
            return
        self._parts += frame.data  # an empty frame adds nothing, however many there are
        if frame.fin:
            whole, self._parts = bytes(self._parts), bytearray()
            if self._owner is not None:
                self._owner.message(whole, is_text=self._is_text)

    def _why(self) -> str:
        refused = self._frames.handshake_exc
        if isinstance(refused, InvalidStatus):
            status = refused.response.status_code
            if status == _UNAUTHORIZED:
                return "it refuses the key: PARLEY_WORKER_KEY must be the same here and there"
            return f"it refuses the connection with HTTP {status}"
        if refused is not None:
            return "what answers there speaks no WebSocket"
        close = self._frames.close_rcvd
        if close is not None:
            return f"it has closed the connection ({close.code} {close.reason})".rstrip(" )") + ")"
        return "the connection broke off"

    def _end(self, reason: str) -> None:
        owner, self._owner = self._owner, None
        if self._transport is not None:
            self._transport.abort()
        if owner is not None:
            owner.ended(reason)

    def _flush(self) -> None:
        transport = self._transport
        for data in self._frames.data_to_send():
            if transport is not None and not transport.is_closing() and data:
                transport.write(data)
