"""Requests with endless heads, on a real socket."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.support.gateway import Gateway

UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


async def ask(gateway: Gateway, request: bytes) -> bytes:
    """What the server answers until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        writer.write(request)
        got = b""
        async with asyncio.timeout(20):
            try:
                await writer.drain()
                while more := await reader.read(65_536):
                    got += more
            except ConnectionError:  # what was sent too much is not read
                pass
        return got
    finally:
        writer.close()


def status(answer: bytes) -> str:
    return answer.split(b"\r\n", 1)[0].decode()


@pytest.mark.parametrize(
    ("request_bytes", "answered"),
    [
        (b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 50_000 + b"\r\n", "431"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 101 + b"\r\n", "431"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\na: " + b"b" * 400_000, "431"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\na: " + b"b" * 66_000 + b"\r\n\r\n", "431"),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", "414"),
        (b"GET /ws/x HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"a: b\r\n" * 101 + b"\r\n", "431"),
        (b"GET /ws/x HTTP/1.1\r\n" + UPGRADE + b"a: " + b"b" * 9_000 + b"\r\n\r\n", "431"),
        (b"nonsense\r\n\r\n", "400"),
    ],
    ids=[
        "50000 lines",
        "a few too many",
        "an endless line",
        "a long line",
        "a long URL",
        "a WebSocket's lines",
        "a WebSocket's long line",
        "no HTTP",
    ],
)
def test_a_request_with_too_long_a_head_is_refused(
    gateway: Any, request_bytes: bytes, answered: str
) -> None:
    async def story() -> None:
        assert status(await ask(gateway, request_bytes)).startswith(f"HTTP/1.1 {answered} ")
        async with httpx.AsyncClient(base_url=gateway.url) as client:
            assert (await client.get("/api/sessions")).status_code < 500

    gateway.run(story)


CHUNKED = (
    b"POST /api/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n"
)
ROLE = b'18\r\n{"role": "Data Analyst"}\r\n'


@pytest.mark.parametrize(
    "rest",
    [
        ROLE + b"0\r\nX: " + b"a" * 400_000,
        ROLE + b"0\r\n" + b"a: b\r\n" * 101 + b"\r\n",
        b"18;" + b"a" * 400_000,
    ],
    ids=["an endless trailer", "too many trailers", "an endless extension of a chunk"],
)
def test_a_request_with_endless_lines_in_its_body_is_refused(gateway: Any, rest: bytes) -> None:
    async def story() -> None:
        got = await ask(gateway, CHUNKED + b"\r\n" + rest)
        assert status(got).startswith("HTTP/1.1 431 ")

    gateway.run(story)


def test_trailers_are_dropped(gateway: Any) -> None:
    async def story() -> None:
        body = ROLE + b"0\r\nDigest: a\r\nContent-Type: text/plain\r\n\r\n"
        got = await ask(gateway, CHUNKED + b"Connection: close\r\n\r\n" + body)
        assert status(got).startswith("HTTP/1.1 201 ")

    gateway.run(story)


def test_a_long_body_in_small_chunks_is_taken(gateway: Any) -> None:
    async def story() -> None:
        chunks = b"1\r\n \r\n" * 60_000
        head = CHUNKED + b"Connection: close\r\n\r\n"
        assert status(await ask(gateway, head + ROLE + chunks + b"0\r\n\r\n")).startswith(
            "HTTP/1.1 201 "
        )

    gateway.run(story)


def test_what_browsers_and_their_proxies_send_is_answered(gateway: Any) -> None:
    async def story() -> None:
        cookies = {f"x-{number}": "a" * 500 for number in range(90)}
        async with httpx.AsyncClient(base_url=gateway.url) as client:
            for _ in range(3):  # on one connection
                body = b'{"role": "Data Analyst"}' + b" " * 60_000
                headers = cookies | {"content-type": "application/json"}
                made = await client.post("/api/sessions", content=body, headers=headers)
                assert made.status_code == 201

    gateway.run(story)


def test_requests_that_follow_at_once_are_each_answered(gateway: Any) -> None:
    async def story() -> None:
        one = b"GET /health HTTP/1.1\r\nHost: x\r\na: " + b"b" * 30_000 + b"\r\n\r\n"
        last = one.replace(b"Host: x\r\n", b"Host: x\r\nConnection: close\r\n")
        assert (await ask(gateway, one * 4 + last)).count(b"HTTP/1.1 ") == 5

    gateway.run(story)
