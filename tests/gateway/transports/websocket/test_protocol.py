"""Clients that read slowly, and clients that do not read, in virtual time."""

import asyncio
from typing import Any

from gateway.transports.websocket.protocol import MOST_UNSENT, STALL_S, WebSocketProtocol
from pipeline.testing import run_virtual


class SlowSocket:
    """A transport that keeps what was written until `take`."""

    def __init__(self) -> None:
        self.waiting = 0
        self.aborted_at: float | None = None

    def write(self, data: bytes) -> None:
        self.waiting += len(data)

    def take(self, size: int) -> None:
        self.waiting -= size

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return self.aborted_at is not None

    def abort(self) -> None:
        self.aborted_at = asyncio.get_running_loop().time()


def paused(socket: SlowSocket, waiting: int) -> WebSocketProtocol:
    """A connection after the handshake, with so many bytes that the client has not read."""
    made: Any = WebSocketProtocol.__new__(WebSocketProtocol)
    made.loop = asyncio.get_running_loop()
    made.transport = socket
    made.writable = asyncio.Event()
    made.close_sent = made.disconnected = False
    made.send_binary(bytes(waiting))
    made.pause_writing()
    return made  # type: ignore[no-any-return]


def test_a_client_that_reads_nothing_is_dropped_after_the_time_for_it() -> None:
    async def story() -> None:
        socket = SlowSocket()
        paused(socket, 100_000)
        await asyncio.sleep(60)
        assert socket.aborted_at == STALL_S

    run_virtual(story())


def test_a_client_that_reads_more_slowly_than_it_is_answered_is_kept() -> None:
    async def story() -> None:
        socket = SlowSocket()
        connection = paused(socket, 100_000)
        for _ in range(30):
            await asyncio.sleep(1)
            socket.take(10_000)
            connection.send_text("a" * 20_000)
        assert socket.aborted_at is None
        await asyncio.sleep(60)  # from here on it reads nothing
        assert socket.aborted_at == 34.0

    run_virtual(story())


def test_what_waits_for_a_slow_client_has_a_limit() -> None:
    async def story() -> None:
        socket = SlowSocket()
        connection = paused(socket, MOST_UNSENT)
        for _ in range(30):
            await asyncio.sleep(1)
            socket.take(10)
            connection.send_text("a" * 1000)
        assert socket.aborted_at == STALL_S

    run_virtual(story())
