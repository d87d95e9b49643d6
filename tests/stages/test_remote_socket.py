"""The client's side of a WebSocket to a worker, over a line of the test's."""

import asyncio
from typing import Any

import pytest
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from pipeline.testing import run_virtual
from stages._remote_protocol import LONGEST_BINARY_BYTES
from stages._remote_socket import CLOSE_S, RemoteSocket


class Peer(asyncio.Transport):
    """The line and the server behind it, which takes what is written at once.

    With `reads` false the server is one that has stopped reading: `close` never comes to its end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reads = True
        self.closed_at: float | None = None
        self.frames: list[Frame] = []
        self.socket: RemoteSocket | None = None
        self._server = ServerProtocol()
        self._closing = False

    def write(self, data: Any) -> None:
        self._server.receive_data(bytes(data))
        for event in self._server.events_received():
            if isinstance(event, Request):
                self._server.send_response(self._server.accept(event))
            elif isinstance(event, Frame):
                self.frames.append(event)
        self._answer()

    def send(self, opcode: Opcode, data: bytes, *, fin: bool = True) -> None:
        """What the server says."""
        assert self.socket is not None
        self.socket.data_received(Frame(opcode, data, fin).serialize(mask=False))

    def _answer(self) -> None:
        assert self.socket is not None
        for data in self._server.data_to_send():
            if data and not self._closing:
                asyncio.get_running_loop().call_soon(self.socket.data_received, data)

    def get_write_buffer_size(self) -> int:
        return 0 if self.reads else 100_000

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True
        if self.reads:
            self._over()

    def abort(self) -> None:
        self._closing = True
        self._over()

    def _over(self) -> None:
        if self.closed_at is None and self.socket is not None:
            self.closed_at = asyncio.get_running_loop().time()
            asyncio.get_running_loop().call_soon(self.socket.connection_lost, None)


class Owner:
    """Keeps what comes."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, bool]] = []
        self.reasons: list[str] = []

    def opened(self) -> None:
        """The test knows."""

    def alive(self) -> None:
        """The test knows."""

    def message(self, data: bytes, *, is_text: bool) -> None:
        self.messages.append((data, is_text))

    def ended(self, reason: str) -> None:
        self.reasons.append(reason)


async def opened() -> tuple[RemoteSocket, Peer, Owner]:
    owner, peer = Owner(), Peer()
    socket = peer.socket = RemoteSocket("ws://worker:8100", {}, owner)
    socket.connection_made(peer)
    await asyncio.sleep(0.001)
    return socket, peer, owner


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "has stopped"])
def test_a_connection_ends_in_time_whatever_its_peer_does(reads: bool) -> None:
    async def story() -> None:
        socket, peer, owner = await opened()
        peer.reads = reads
        began = asyncio.get_running_loop().time()
        socket.close()
        socket.close()
        await asyncio.sleep(10)
        assert [frame.opcode for frame in peer.frames] == [Opcode.CLOSE]
        assert peer.closed_at == pytest.approx(began + (0 if reads else CLOSE_S))
        assert owner.reasons == []

    run_virtual(story())


def test_a_message_in_many_frames_is_one_and_empty_frames_take_no_room() -> None:
    async def story() -> None:
        socket, peer, owner = await opened()
        peer.send(Opcode.TEXT, b"one", fin=False)
        for _ in range(1000):
            peer.send(Opcode.CONT, b"", fin=False)
        assert len(socket._parts) == len(b"one")
        peer.send(Opcode.CONT, b" message")
        peer.send(Opcode.BINARY, b"another")
        assert owner.messages == [(b"one message", True), (b"another", False)]

    run_virtual(story())


def test_a_message_that_is_too_long_ends_the_connection_before_it_is_kept() -> None:
    async def story() -> None:
        _, peer, owner = await opened()
        piece = bytes(LONGEST_BINARY_BYTES // 4)
        peer.send(Opcode.BINARY, piece, fin=False)
        for _ in range(4):
            peer.send(Opcode.CONT, piece, fin=False)
        peer.send(Opcode.CONT, b"!")
        assert (owner.messages, len(owner.reasons)) == ([], 1)

    run_virtual(story())
