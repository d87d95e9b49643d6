"""A client that leaves is gone at once, in every dialect, whether or not it reads to the end."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import CloseCode, Frame, Opcode

from gateway.transports.websocket import protocol as wire
from gateway.transports.websocket.protocol import WebSocketProtocol
from stages.fakes import FakeSynthesizer
from tests.support.raw_client import RawClient, raw_client

PATHS = {"native": "/ws/a", "realtime": "/v1/realtime?model=interview"}
HELLO = {"type": "hello", "version": 1, "audio_out": {"encoding": "pcm_s16le", "rate": 48_000}}

HANDSHAKE = (
    b"GET /ws/a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[WebSocketProtocol]:
    """The server's side of every connection."""
    found: list[WebSocketProtocol] = []
    made = WebSocketProtocol.connection_made

    def seen(self: WebSocketProtocol, transport: asyncio.BaseTransport) -> None:
        found.append(self)
        made(self, transport)

    monkeypatch.setattr(WebSocketProtocol, "connection_made", seen)
    return found


async def joined(gateway: Any, path: str, **options: Any) -> ClientConnection:
    """A client to which the interviewer speaks."""
    socket = await connect(f"ws://127.0.0.1:{gateway.port}{path}", compression=None, **options)
    if path.startswith("/ws/"):
        await socket.send(json.dumps(HELLO))
    await socket.recv()
    return socket


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("code", [1000, None, "bye"])
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_client_that_leaves_is_gone_at_once(gateway: Any, path: str, code: Any) -> None:
    if code == "bye" and path != PATHS["native"]:
        pytest.skip("the Realtime API has no such event")
    gateway.synthesizer = FakeSynthesizer(ms_per_word=300)

    async def story() -> None:
        live = gateway.app.state.runtime.live
        socket = await joined(gateway, path, max_queue=None, close_timeout=20)
        if code == "bye":
            await socket.send(json.dumps({"type": "bye"}))
            await socket.wait_closed()
        elif code is None:
            socket.protocol.send_close()
            socket.send_data()
            await socket.wait_closed()
        else:
            await socket.close(code)
        assert socket.close_code == (1005 if code is None else 1000)
        await until(lambda: not live.connections)

    gateway.run(story)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_the_session_of_a_client_that_no_longer_reads_does_not_wait_for_it(
    gateway: Any, path: str
) -> None:
    """The stock client stops reading at 16 messages, so that its own closing takes its limit."""
    gateway.synthesizer = FakeSynthesizer(ms_per_word=300)

    async def story() -> None:
        live = gateway.app.state.runtime.live
        socket = await joined(gateway, path, max_queue=1, close_timeout=20)
        await until(lambda: socket.recv_messages.paused)
        closing = asyncio.create_task(socket.close())
        await until(lambda: not live.connections)
        assert not closing.done(), "it has not read that it may go"
        socket.transport.abort()
        await closing

    gateway.run(story)


async def unread(client: RawClient, connections: list[WebSocketProtocol]) -> WebSocketProtocol:
    """The connection of a client that reads nothing: something waits that it does not take."""
    await client.send(HANDSHAKE)
    await client.read_until(lambda received: b"\r\n\r\n" in received)
    await client.send(Frame(Opcode.TEXT, json.dumps(HELLO).encode()).serialize(mask=True))
    (connection,) = connections
    await until(lambda: connection.transport.get_write_buffer_size() > 0)
    return connection


@pytest.fixture
def hasty(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A gateway that waits 0.2 s for a client that does not read."""
    monkeypatch.setattr(wire, "STALL_S", 0.2)
    monkeypatch.setattr(wire, "SEND_BUFFER", 2048)
    gateway.synthesizer = FakeSynthesizer(ms_per_word=1000)
    return gateway


def test_a_client_that_closes_and_does_not_read_holds_no_connection(
    hasty: Any, connections: list[WebSocketProtocol]
) -> None:
    async def story() -> None:
        async with raw_client(hasty.port, receive_buffer=2048) as client:
            connection = await unread(client, connections)
            closing = Frame(Opcode.CLOSE, CloseCode.NORMAL_CLOSURE.to_bytes(2, "big"))
            await client.send(closing.serialize(mask=True))
            await until(lambda: connection.disconnected)

    hasty.run(story)


def test_a_client_that_is_closed_and_does_not_read_holds_no_connection(
    hasty: Any, connections: list[WebSocketProtocol]
) -> None:
    async def story() -> None:
        async with raw_client(hasty.port, receive_buffer=2048) as client:
            connection = await unread(client, connections)
            connection.close_timeout = 0.2
            await client.send(Frame(Opcode.TEXT, b'{"type":"bye"}').serialize(mask=True))
            await until(lambda: connection.disconnected)

    hasty.run(story)


def test_a_client_that_does_not_read_does_not_keep_the_process(
    hasty: Any, connections: list[WebSocketProtocol], caplog: pytest.LogCaptureFixture
) -> None:
    hasty.settings["drain_s"] = 0

    async def story() -> None:
        async with raw_client(hasty.port, receive_buffer=2048) as client:
            connection = await unread(client, connections)
            closing = Frame(Opcode.CLOSE, CloseCode.NORMAL_CLOSURE.to_bytes(2, "big"))
            await client.send(closing.serialize(mask=True))
            await until(lambda: connection.transport.is_closing())
            connection.shutdown()
            await until(lambda: connection.disconnected)

    hasty.run(story)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
