"""Clients that send a request as slowly as they can, on a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from gateway.transports import http
from tests.support.gateway import Gateway

HEAD = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"
BODY = (
    b"POST /api/sessions/none/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000\r\n\r\n"
)


async def until_closed(gateway: Gateway, first: bytes, drip: bytes) -> bytes:
    """What the server answers until it closes, to `first` and then to a byte at a time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    got = b""

    async def dripping() -> None:
        while drip:
            writer.write(drip)
            await writer.drain()
            await asyncio.sleep(0.01)

    slow = asyncio.create_task(dripping())
    try:
        writer.write(first)
        async with asyncio.timeout(20):
            try:
                while more := await reader.read(65_536):
                    got += more
            except ConnectionError:  # what was sent too late is not read
                pass
        return got
    finally:
        slow.cancel()
        await asyncio.wait([slow])
        writer.close()


@pytest.mark.parametrize(
    ("first", "drip"),
    [(b"", b""), (HEAD, b""), (HEAD + b"a: ", b"b"), (HEAD + b"\r\n" + HEAD, b"")],
    ids=["silent", "half a head", "a byte at a time", "half a second head"],
)
def test_a_head_that_does_not_come_ends_the_connection(
    gateway: Any, monkeypatch: pytest.MonkeyPatch, first: bytes, drip: bytes
) -> None:
    monkeypatch.setattr(http, "HEAD_S", 0.1)

    async def story() -> None:
        got = await until_closed(gateway, first, drip)
        assert got.count(b"HTTP/1.1 200 ") == first.count(b"\r\n\r\n")
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
            assert (await client.get("/health/live")).status_code == 200

    gateway.run(story)


def test_a_body_that_nobody_reads_ends_the_connection(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BODY_S", 0.1)

    async def story() -> None:
        got = await until_closed(gateway, BODY, b"b")
        assert got.startswith(b"HTTP/1.1 404 ")

    gateway.run(story)


def test_200_slow_clients_keep_nobody_from_an_answer(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "HEAD_S", 0.5)

    async def story() -> None:
        slow = [
            asyncio.create_task(until_closed(gateway, HEAD[: 10 + at % 20], b""))
            for at in range(200)
        ]
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
            assert (await client.get("/health/live")).status_code == 200
        assert await asyncio.gather(*slow) == [b""] * 200

    gateway.run(story)


def test_neither_an_idle_connection_nor_a_conversation_is_late(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "HEAD_S", 0.2)
    monkeypatch.setattr(http, "BODY_S", 0.2)

    async def story() -> None:
        async with (
            httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client,
            gateway.call() as caller,
        ):
            first = (await client.get("/health/live")).extensions["network_stream"]
            await caller.socket.send(bytes(640))
            await caller.until("reply.done", turn=0)
            await asyncio.sleep(0.4)
            second = (await client.get("/health/live")).extensions["network_stream"]
            assert first.get_extra_info("socket") is second.get_extra_info("socket")
            await caller.say(type="ping", t=1)
            await caller.until("pong")

    gateway.run(story)


@pytest.mark.parametrize("reads", [False, True], ids=["reads nothing", "reads slowly"])
def test_a_client_that_reads_nothing_of_an_answer_is_disconnected(
    gateway: Any, monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    monkeypatch.setattr(http, "STALL_S", 0.3)

    async def story() -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield bytes(65_536)
                    await asyncio.sleep(0)
            finally:
                over.set()

        async def endless(request: Request) -> StreamingResponse:
            return StreamingResponse(pieces())

        gateway.app.router.routes.insert(0, Route("/endless", endless))
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", gateway.port))
            await loop.sock_sendall(client, b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            began_s = loop.time()
            while reads and loop.time() < began_s + 1.0:
                assert len(await loop.sock_recv(client, 1 << 20)) > 0
                await asyncio.sleep(0.02)
                assert not over.is_set()
            async with asyncio.timeout(20):
                await over.wait()

    gateway.run(story)
