"""`parley call` as a command: addresses, what is asked for, other servers."""

import argparse
import asyncio
from pathlib import Path

import pytest

from gateway.audio import AudioFormat
from gateway.call.conversation import Spoken
from gateway.call.door import Door

# --- the door --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "sessions", "socket", "shown"),
    [
        (
            "ws://127.0.0.1:8000",
            "http://127.0.0.1:8000/api/sessions",
            "ws://127.0.0.1:8000/ws/id-1",
            "ws://127.0.0.1:8000",
        ),
        (
            "https://me:pw@example.org/parley/",
            "https://me:pw@example.org/parley/api/sessions",
            "wss://me:pw@example.org/parley/ws/id-1",
            "wss://example.org",
        ),
        (
            "http://[::1]:80",
            "http://[::1]:80/api/sessions",
            "ws://[::1]:80/ws/id-1",
            "ws://[::1]:80",
        ),
    ],
)
def test_addresses_follow_from_the_url(url: str, sessions: str, socket: str, shown: str) -> None:
    door = Door(url, None, None, None)
    assert (door.sessions_url, door.websocket_url("id-1"), door.shown) == (sessions, socket, shown)


def test_a_new_session_is_made_for_the_interview_and_hello_does_not_repeat_it() -> None:
    door = Door("ws://h", None, "Data Analyst", 3)
    assert door.request() == {"role": "Data Analyst", "mode": "voice", "totalQuestions": 3}
    assert door.hello(AudioFormat("mulaw", 8_000)) == {
        "type": "hello",
        "version": 1,
        "audio_in": {"encoding": "mulaw", "rate": 8_000, "channels": 1},
        "audio_out": {"encoding": "mulaw", "rate": 8_000},
    }


def test_hello_names_the_interview_of_a_session_that_may_be_new() -> None:
    hello = Door("ws://h", "mine", None, 2).hello(AudioFormat())
    assert hello["interview"] == {"role": "Software Engineer", "totalQuestions": 2}
    assert "interview" not in Door("ws://h", "mine", None, None).hello(AudioFormat())


# --- other servers ---------------------------------------------------------------------------


def answering(response: bytes, *words: str) -> tuple[int | str, list[bytes]]:
    """Run a call against a server that answers every connection with `response`."""
    from gateway.call import call
    from gateway.terminal import CommandFailed

    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(response)
        await writer.drain()
        writer.close()

    async def held() -> int | str:
        async with asyncio.timeout(20):
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            options = argparse.Namespace(
                turns=[("text", "hello")],
                url=f"ws://127.0.0.1:{port}",
                session="known" if "known" in words else None,
                role=None,
                questions=None,
                rate=16_000,
                encoding="pcm_s16le",
                save=None,
                demo_barge_in=False,
                timeout=5,
                quiet=True,
                json=False,
            )
            async with server:
                try:
                    return await asyncio.to_thread(call, options)
                except CommandFailed as error:
                    return error.message.replace(str(port), "PORT")

    return asyncio.run(held()), requests


def http(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return head.encode() + body


def test_a_refused_session_is_told_with_the_servers_words() -> None:
    body = b'{"title": "no such role", "detail": "no role is called Baker"}'
    outcome, requests = answering(http("400 Bad Request", body))
    assert outcome == "the server made no session: no role is called Baker"
    assert requests[0].startswith(b"POST /api/sessions HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "response",
    [
        http("404 Not Found", b"<html>"),
        http("201 Created", b"[]"),
        http("201 Created", b'{"session_id": "../x"}'),
        http("200 OK", b"{}"),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
    ],
)
def test_something_else_than_parley_is_recognised(response: bytes) -> None:
    outcome, _ = answering(response)
    assert outcome == "what answers at ws://127.0.0.1:PORT is no Parley"


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (
            http("503 Service Unavailable", b"all 100 places are taken"),
            "the server takes no more sessions now (all 100 places are taken); try again later",
        ),
        (
            http("403 Forbidden", b""),
            "ws://127.0.0.1:PORT refused the connection with HTTP 403",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what answers at ws://127.0.0.1:PORT is no Parley"),
    ],
)
def test_a_refused_websocket_says_why(response: bytes, message: str) -> None:
    outcome, requests = answering(response, "known")
    assert outcome == message
    assert requests[0].startswith(b"GET /ws/known HTTP/1.1\r\n")


def test_a_file_is_named_by_its_last_part(tmp_path: Path) -> None:
    from gateway.call.command import _turn

    clip = Path(__file__).parents[3] / "fixtures/audio/data-analyst-3.wav"
    turn = _turn("file", clip)
    assert isinstance(turn, Spoken)
    assert (turn.name, round(turn.duration_s, 1)) == ("data-analyst-3.wav", 7.8)
