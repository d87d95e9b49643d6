"""A service that costs next to nothing, for the proxies of `benchmarks.proxy`.

`GET /small` is a little JSON, `/big` ten megabytes. A WebSocket at any path gets its messages back.

    python -m benchmarks.proxy_upstream 8001
"""

import asyncio
import base64
import hashlib
import sys
from typing import Final, cast

import uvloop

BIG_BYTES: Final = 10_000_000
PIECE: Final = b"x" * 50_000

SMALL: Final = b'{"id":7,"title":"Interview with A. Candidate","state":"open","questions":[1,2,3]}'
JSON: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
SWITCHED: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    b"sec-websocket-accept: %b\r\n\r\n"
)
MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, section 1.3."""


class Upstream(asyncio.Protocol):
    """One connection. Requests have no body; messages of a WebSocket have less than 126 bytes."""

    def __init__(self) -> None:
        self._received = b""
        self._websocket = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._sending: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._writable.set()
        if self._sending is not None:
            self._sending.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while self._received and not self._websocket:
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            self._received = rest
            self._answer(head)
        while self._websocket and len(self._received) >= 6:
            length = self._received[1] & 0x7F
            if len(self._received) < 6 + length:
                return
            self._frame(self._received[: 6 + length])
            self._received = self._received[6 + length :]

    def _answer(self, head: bytes) -> None:
        lines = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
        }
        if key := lines.get(b"sec-websocket-key"):
            accept = base64.b64encode(hashlib.sha1(key + MAGIC, usedforsecurity=False).digest())
            self._transport.write(SWITCHED % accept)
            self._websocket = True
        elif head.split(b" ", 2)[1] == b"/big":
            self._transport.write(JSON % (BIG_BYTES + 2) + b'"')
            self._sending = asyncio.create_task(self._big())
        else:
            self._transport.write(JSON % len(SMALL) + SMALL)

    async def _big(self) -> None:
        for _ in range(BIG_BYTES // len(PIECE)):
            await self._writable.wait()
            self._transport.write(PIECE)
        self._transport.write(b'"')

    def _frame(self, frame: bytes) -> None:
        kind, mask, payload = frame[0], frame[2:6], frame[6:]
        plain = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self._transport.write(bytes((kind, len(plain))) + plain)
        if kind & 0x0F == 8:
            self._transport.close()


async def serve(port: int) -> None:
    """Serve until cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", port, backlog=2048)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
