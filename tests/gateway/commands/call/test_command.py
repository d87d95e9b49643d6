"""`parley call` as a command: addresses, what is asked for, other servers."""

import argparse
import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from gateway.commands.call.conversation import Call, SpokenTurn
from gateway.commands.call.server import ServerAddress
from gateway.media.format import AudioFormat
from tests.support.paths import AUDIO

# --- the address -----------------------------------------------------------------------------


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
    server = ServerAddress(url, None, None, None)
    assert (server.sessions_url, server.websocket_url("id-1"), server.shown) == (
        sessions,
        socket,
        shown,
    )


def test_a_new_session_is_made_for_the_interview_and_hello_does_not_repeat_it() -> None:
    server = ServerAddress("ws://h", None, "Data Analyst", 3)
    assert server.request() == {"role": "Data Analyst", "mode": "voice", "totalQuestions": 3}
    assert server.hello(AudioFormat("mulaw", 8_000)) == {
        "type": "hello",
        "version": 1,
        "audio_in": {"encoding": "mulaw", "rate": 8_000, "channels": 1},
        "audio_out": {"encoding": "mulaw", "rate": 8_000},
    }


def test_hello_names_the_interview_of_a_session_that_may_be_new() -> None:
    hello = ServerAddress("ws://h", "mine", None, 2).hello(AudioFormat())
    assert hello["interview"] == {"role": "Software Engineer", "totalQuestions": 2}
    assert "interview" not in ServerAddress("ws://h", "mine", None, None).hello(AudioFormat())


# --- other servers ---------------------------------------------------------------------------


Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]


def answering(
    response: bytes | Answering, *words: str, token_file: Path | None = None
) -> tuple[int | str, list[bytes]]:
    """Run a call against a server that answers every connection with `response`."""
    from gateway.commands.call import call
    from gateway.commands.terminal import CommandFailed

    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        if isinstance(response, bytes):
            writer.write(response)
        else:
            await response(reader, writer, requests[-1])
        await writer.drain()
        writer.close()

    async def held() -> int | str:
        async with asyncio.timeout(20):
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            options = argparse.Namespace(
                turns=[("text", "hello")],
                url=f"ws://127.0.0.1:{port}",
                session="known" if words else None,
                role=None,
                questions=None,
                language=None,
                rate=16_000,
                encoding="pcm_s16le",
                save=None,
                webrtc="webrtc" in words,
                token_file=token_file,
                trust=None,
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


def test_a_refused_session_is_reported_in_the_servers_words() -> None:
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


def problem(status: str, code: str, title: str) -> bytes:
    body = {"title": title, "code": code}
    return http(status, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (
            http("404 Not Found", b"{}"),
            "ws://127.0.0.1:PORT knows no WebRTC; leave --webrtc out to call over WebSocket",
        ),
        (
            problem("503 Service Unavailable", "webrtc_not_installed", "pip install x"),
            "ws://127.0.0.1:PORT was installed without WebRTC: there, pip install x and start it"
            " again; or leave --webrtc out to call over WebSocket",
        ),
        (
            problem("503 Service Unavailable", "no_place", "all 100 places are taken"),
            "the server takes no more calls now (all 100 places are taken); try again later",
        ),
        (
            problem("401 Unauthorized", "token_required", "This wants a token"),
            "the server wants a token: --token-file names a file that holds it",
        ),
        (
            problem("422 Unprocessable Content", "unusable_offer", "no such thing"),
            "the server refused the call: no such thing",
        ),
        (http("200 OK", b"v=0"), "what answers at ws://127.0.0.1:PORT is no Parley"),
        (http("201 Created", b"v=0"), "what answers at ws://127.0.0.1:PORT is no Parley"),
    ],
)
def test_a_server_without_webrtc_is_reported_in_plain_words(response: bytes, message: str) -> None:
    outcome, requests = answering(response, "webrtc")
    assert outcome == message
    assert requests[0].startswith(b"POST /webrtc/known HTTP/1.1\r\n")


def test_the_token_goes_along_and_may_be_another(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a-secret\n")
    response = problem("401 Unauthorized", "token_required", "no")
    outcome, requests = answering(response, "webrtc", token_file=file)
    assert outcome == "the server wants another token: --token-file names a file that holds it"
    assert b"\r\nauthorization: bearer a-secret\r\n" in requests[0].lower()


def test_the_token_is_not_for_the_server_that_another_one_names(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a-secret")
    head = b"HTTP/1.1 201 Created\r\nlocation: http://me@127.0.0.1:9/x\r\n"
    response = head + b"content-length: 0\r\nconnection: close\r\n\r\n"
    outcome, requests = answering(response, "webrtc", token_file=file)
    assert outcome == (
        "ws://127.0.0.1:PORT put the connection on another server, http://127.0.0.1:9: call that"
        " one with --url"
    )
    assert len(requests) == 1


def test_a_server_that_sends_no_media_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.commands.call import webrtc, whip

    for module in (webrtc, whip):
        monkeypatch.setattr(module, "CONNECT_S", 0.3)

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        if not head.startswith(b"POST"):
            writer.write(http("200 OK", b""))
            return
        length = int(re.findall(rb"content-length: (\d+)", head.lower())[0])
        offer = (await reader.readexactly(length)).decode()
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        await pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await pc.setLocalDescription(await pc.createAnswer())
        answer = pc.localDescription.sdp
        await pc.close()
        answer = re.sub(r"(a=candidate:\S+ \d \S+ \d+) \S+", r"\1 127.0.0.77", answer)
        body = answer.encode()
        writer.write(
            b"HTTP/1.1 201 Created\r\nlocation: /webrtc/known/x\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(body), body)
        )

    outcome, requests = answering(deaf, "webrtc")
    assert outcome == (
        "ws://127.0.0.1:PORT answered, but no media came over UDP within 0 s. It offered"
        " 127.0.0.77: where that cannot be reached from here, set PARLEY_WEBRTC_ADDRESSES there"
        " (docs/webrtc.md) and let UDP through; or leave --webrtc out to call over WebSocket"
    )
    assert requests[-1].startswith(b"DELETE /webrtc/known/x HTTP/1.1\r\n")


def refused(**given: Any) -> str:
    from gateway.commands.call import call
    from gateway.commands.terminal import CommandFailed

    usual = {"turns": [("text", "hello")], "url": "ws://127.0.0.1:1", "session": None, "role": None}
    usual |= {
        "questions": None,
        "language": None,
        "rate": 16_000,
        "encoding": "pcm_s16le",
        "save": None,
        "webrtc": False,
    }
    usual |= {
        "token_file": None,
        "trust": None,
        "demo_barge_in": False,
        "timeout": 5,
        "quiet": True,
    }
    with pytest.raises(CommandFailed) as caught:
        call(argparse.Namespace(json=False, **(usual | given)))
    return str(caught.value.message)


def test_unusable_options_are_refused_first(tmp_path: Path) -> None:
    film, empty = tmp_path / "x.mp4", tmp_path / "empty"
    empty.touch()
    assert refused(save=film) == f"--save {film}: pictures come over WebRTC; add --webrtc"
    assert refused(webrtc=True, rate=8_000) == (
        "--rate and --encoding are for WebSocket; WebRTC speaks Opus"
    )
    assert refused(webrtc=True, save=Path("x.avi")) == (
        "--save x.avi: the name must end in .wav, .flac, .ogg, .mp4"
    )
    assert refused(token_file=empty) == f"--token-file {empty}: there is nothing in it"
    two = tmp_path / "two"
    two.write_text("a-secret\nanother\n")
    assert refused(token_file=two) == (
        f"--token-file {two}: holds no token, which is one word on one line"
    )
    assert refused(token_file=film) == f"--token-file {film}: cannot be read"
    assert refused(trust=film) == f"--trust {film}: No such file or directory"
    assert refused(trust=empty) == f"--trust {empty}: is no certificate in PEM"


def test_a_missing_extra_is_reported_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.commands.call.command.find_spec", lambda name: None)
    assert refused(webrtc=True) == "--webrtc needs aiortc: pip install 'parley-gateway[webrtc]'"


@pytest.mark.parametrize("name", ["reply.mp4", "reply.wav"])
def test_nothing_is_said_to_be_saved_where_nothing_came(name: str, tmp_path: Path) -> None:
    from gateway.commands.call.command import _save
    from gateway.commands.call.film import Film

    path = tmp_path / name
    told: list[str] = []
    screen = SimpleNamespace(say=told.append)
    held = Call([], AudioFormat(), 1.0, cast("Any", screen), keep=True)
    with Film() as film:
        kept = _save(
            held, path, cast("Any", screen), film if name.endswith("4") else None, both=False
        )
    assert (kept, path.exists()) == (False, False)
    assert told == [f"Nothing came that could be kept: {path} was not written."]


def test_a_file_is_named_by_its_last_part(tmp_path: Path) -> None:
    from gateway.commands.call.command import _turn

    clip = AUDIO / "data-analyst-3.wav"
    turn = _turn("file", clip)
    assert isinstance(turn, SpokenTurn)
    assert (turn.name, round(turn.duration_s, 1)) == ("data-analyst-3.wav", 7.8)


def test_a_call_asks_for_a_language_where_its_session_is_made() -> None:
    new = ServerAddress("ws://h", None, None, None, language="de")
    assert new.request()["language"] == "de"
    assert "language" not in new.hello(AudioFormat())
    named = ServerAddress("ws://h", "mine", None, 2, language="de").hello(AudioFormat())
    assert (named["language"], "language" in named["interview"]) == ("de", False)
