"""A call against a scripted server, in virtual time: who speaks when, and how calls end."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosedError

from gateway.audio import AudioFormat
from gateway.call import Call, Spoken, Typed
from gateway.call_door import Door
from pipeline.testing import run_virtual

HELLO = {"type": "hello", "version": 1}
LOUD = np.full(16_000, 1000, np.int16)
READY = {"type": "ready", "session_id": "s", "providers": {"stt": "fake"}}


class Heard:
    """A screen that keeps what it is shown."""

    def __init__(self) -> None:
        self.remarks: list[str] = []
        self.messages: list[str] = []

    def status(self, text: str) -> None:
        pass

    def say(self, text: str) -> None:
        self.remarks.append(text)

    def show(self, message: dict[str, Any]) -> None:
        self.messages.append(message["type"])

    def close(self, summary: dict[str, Any]) -> None:
        pass


class Server:
    """The far end of a socket. It answers speech after 0.8 s of silence, and typed text at once."""

    def __init__(self, *, answers: bool = True, questions: int = 10, opening: bool = True) -> None:
        self.received: list[dict[str, Any]] = []
        self.frames: list[tuple[float, bytes]] = []
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self._answers = answers
        self._questions = questions
        self._opening = opening
        self._outbox: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._turn = 0
        self._spoken = False
        self._silent_frames = 0

    # --- what a client connection has --------------------------------------------------------

    async def send(self, data: str | bytes) -> None:
        if self.close_code is not None:
            raise ConnectionClosedError(None, None)
        if isinstance(data, bytes):
            self._hear(data)
            return
        message = json.loads(data)
        self.received.append(message)
        match message["type"]:
            case "hello":
                self.push(READY)
                if self._opening:
                    self.reply("Welcome.")
            case "text":
                self._turn += 1
                self.reply("Fine.")
            case "bye":
                self.close(1000)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while (data := await self._outbox.get()) is not None:
            yield data

    # --- what the server does ----------------------------------------------------------------

    def push(self, *messages: dict[str, Any] | bytes) -> None:
        for message in messages:
            self._outbox.put_nowait(message if isinstance(message, bytes) else json.dumps(message))

    def close(self, code: int, reason: str = "") -> None:
        self.close_code, self.close_reason = code, reason
        self._outbox.put_nowait(None)

    def reply(self, text: str) -> None:
        turn = self._turn
        self.push({"type": "reply.started", "turn": turn}, bytes(3200))
        self.push({"type": "reply.done", "turn": turn, "interrupted": False, "heard": text})
        complete = turn >= self._questions
        self.push({"type": "interview", "isComplete": complete})
        if complete:
            self.close(1000)

    def _hear(self, frame: bytes) -> None:
        self.frames.append((asyncio.get_running_loop().time(), frame))
        if any(frame):
            self._spoken, self._silent_frames = True, 0
        elif self._spoken:
            self._silent_frames += 1
            if self._silent_frames == 40:
                self._spoken = False
                self._turn += 1
                self.push({"type": "speech.started", "turn": self._turn, "at_ms": 0})
                if self._answers:
                    self.reply("Fine.")


def held(
    server: Server, turns: Iterable[Spoken | Typed], *, keep: bool = False, timeout_s: float = 5
) -> tuple[Call, Heard]:
    screen = Heard()
    call = Call(list(turns), AudioFormat(), timeout_s, screen, keep=keep)
    run_virtual(call.run(server, "s", HELLO))
    return call, screen


def test_the_turns_are_said_in_order_each_after_the_reply() -> None:
    server = Server()
    call, screen = held(server, [Typed("one"), Spoken("two.wav", LOUD), Typed("three")])
    assert call.failure is None
    assert [message["type"] for message in server.received] == ["hello", "text", "text", "bye"]
    assert [message.get("text") for message in server.received[1:3]] == ["one", "three"]
    assert screen.messages.count("reply.done") == 4
    assert call.summary() == {
        "session_id": "s",
        "turns": 3,
        "said": 3,
        "answers": 3,
        "complete": False,
        "failure": None,
    }


def test_the_microphone_never_stops_and_keeps_its_schedule() -> None:
    server = Server()
    held(server, [Spoken("one.wav", LOUD)])
    times = [at for at, _ in server.frames]
    assert times == pytest.approx([index * 0.02 for index in range(len(times))])
    spoken = [index for index, (_, frame) in enumerate(server.frames) if any(frame)]
    assert len(spoken) == 50
    assert spoken == list(range(spoken[0], spoken[0] + 50))
    assert {len(frame) for _, frame in server.frames} == {640}


def test_a_turn_that_is_not_answered_fails_the_call() -> None:
    call, _ = held(Server(answers=False), [Spoken("one.wav", LOUD)])
    assert call.failure == "one.wav was not answered within 5 s"


def test_an_interviewer_that_says_nothing_fails_the_call() -> None:
    call, _ = held(Server(opening=False), [Typed("one")])
    assert call.failure == "the interviewer did not begin within 5 s"


def test_a_server_that_is_never_ready_fails_the_call() -> None:
    server = Server()
    server.push = lambda *messages: None  # type: ignore[method-assign]
    call, _ = held(server, [Typed("one")])
    assert call.failure == "the server was not ready within 5 s"


def test_a_server_that_reads_nothing_fails_the_call() -> None:
    class Deaf(Server):
        async def send(self, data: str | bytes) -> None:
            if isinstance(data, bytes):
                await asyncio.Event().wait()
            await super().send(data)

    call, _ = held(Deaf(), [Typed("one")])
    assert call.failure == "the server has taken no audio for 5 s"


def test_turns_beyond_the_interviews_end_are_no_failure() -> None:
    call, screen = held(Server(questions=1), [Typed("one"), Typed("two"), Typed("three")])
    assert (call.failure, call.summary()["complete"]) == (None, True)
    assert screen.remarks[-1] == "The interview is complete; of your turns, 2 had no place in it."


@pytest.mark.parametrize(
    ("code", "reason", "failure"),
    [
        (1000, "", "the server closed the connection with code 1000"),
        (1006, None, "the connection broke off"),
        (1008, "flooding", "the server closed the connection with code 1008 (flooding)"),
        (1012, "", "the server is shutting down"),
        (1013, "", "the server is full; try again later"),
    ],
)
def test_a_server_that_leaves_early_fails_the_call(code: int, reason: str, failure: str) -> None:
    server = Server(opening=False)
    server.push(READY)
    server.close(code, reason)
    call, _ = held(server, [Typed("one")])
    assert call.failure == failure


def test_a_fatal_error_is_told_with_the_servers_words() -> None:
    server = Server(opening=False)
    server.push(READY, {"type": "error", "turn": 0, "message": "no such role", "fatal": True})
    server.close(1008)
    call, _ = held(server, [Typed("one")])
    assert call.failure == "the server ended the interview: no such role"


@pytest.mark.parametrize("message", ["no json", "[]", "{}", '{"type": "reply.done"}'])
def test_what_is_not_the_protocol_fails_the_call(message: str) -> None:
    server = Server()
    server._outbox.put_nowait(message)
    call, _ = held(server, [Typed("one")])
    assert call.failure == "the server sent something that is not Parley's protocol"


def test_the_replies_are_kept_and_a_clear_cuts_them() -> None:
    whole, _ = held(Server(), [Typed("one")], keep=True)
    assert whole.recording is not None
    cleared = Server()
    cleared.push({"type": "reply.started", "turn": 0}, bytes(6400), {"type": "clear", "turn": 0})
    cut, _ = held(cleared, [Typed("one")], keep=True)
    assert cut.recording is not None
    # 0.1 s of opening, a breath and a reply of 0.1 s; of 0.2 s more, nothing had been played.
    assert whole.recording.duration_s == cut.recording.duration_s == pytest.approx(0.6, abs=0.05)


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
    body = b'{"error": {"code": "unknown_role", "message": "no role is called Baker"}}'
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
    from gateway.call import _turn

    clip = Path(__file__).parents[2] / "fixtures/audio/data-analyst-3.wav"
    turn = _turn("file", clip)
    assert isinstance(turn, Spoken)
    assert (turn.name, round(turn.duration_s, 1)) == ("data-analyst-3.wav", 7.8)
