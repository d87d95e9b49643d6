"""A call against a scripted server, in virtual time: who speaks when, and how calls end."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import numpy as np
import pytest

from gateway.commands.call.conversation import Call, SpokenTurn, TypedTurn
from gateway.commands.call.line import LineClosed, Sound
from gateway.media.format import AudioFormat
from pipeline.testing import run_virtual

HELLO = {"type": "hello", "version": 1}
LOUD = np.full(16_000, 1000, np.int16)
READY = {"type": "ready", "session_id": "s", "providers": {"stt": "fake"}}


class Heard:
    """A screen that keeps what it is shown."""

    def __init__(self) -> None:
        self.remarks: list[str] = []
        self.messages: list[str] = []
        self.played: list[tuple[str, float]] = []
        self.dropped_ms: list[int] = []

    def status(self, text: str) -> None:
        pass

    def say(self, text: str) -> None:
        self.remarks.append(text)

    def play(self, name: str, duration_s: float) -> None:
        self.played.append((name, duration_s))

    def cut(self, dropped_ms: int) -> None:
        self.dropped_ms.append(dropped_ms)

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
        self._outbox: asyncio.Queue[str | bytes | Sound | None] = asyncio.Queue()
        self._turn = 0
        self._spoken = False
        self._silent_frames = 0

    # --- what a line has -------------------------------------------------------------------

    async def send(self, data: str | bytes) -> None:
        if self.close_code is not None:
            raise LineClosed
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

    async def __aiter__(self) -> AsyncIterator[str | bytes | Sound]:
        while (data := await self._outbox.get()) is not None:
            yield data

    # --- what the server does ----------------------------------------------------------------

    def push(self, *messages: dict[str, Any] | bytes | Sound) -> None:
        for message in messages:
            ready = isinstance(message, bytes | Sound)
            self._outbox.put_nowait(message if ready else json.dumps(message))

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
    server: Server,
    turns: Iterable[SpokenTurn | TypedTurn],
    *,
    keep: bool = False,
    timeout_s: float = 5,
) -> tuple[Call, Heard]:
    screen = Heard()
    call = Call(list(turns), AudioFormat(), timeout_s, screen, keep=keep)
    run_virtual(call.run(server, "s", HELLO))
    return call, screen


def test_the_turns_are_said_in_order_each_after_the_reply() -> None:
    server = Server()
    call, screen = held(server, [TypedTurn("one"), SpokenTurn("two.wav", LOUD), TypedTurn("three")])
    assert call.failure is None
    assert [message["type"] for message in server.received] == ["hello", "text", "text", "bye"]
    assert [message.get("text") for message in server.received[1:3]] == ["one", "three"]
    assert screen.messages.count("reply.done") == 4
    assert call.summary() == {
        "session_id": "s",
        "turns": 3,
        "said": 3,
        "answers": 3,
        "interruptions": 0,
        "resumptions": 0,
        "complete": False,
        "failure": None,
    }


def test_the_microphone_never_stops_and_keeps_its_schedule() -> None:
    server = Server()
    held(server, [SpokenTurn("one.wav", LOUD)])
    times = [at for at, _ in server.frames]
    assert times == pytest.approx([index * 0.02 for index in range(len(times))])
    spoken = [index for index, (_, frame) in enumerate(server.frames) if any(frame)]
    assert len(spoken) == 50
    assert spoken == list(range(spoken[0], spoken[0] + 50))
    assert {len(frame) for _, frame in server.frames} == {640}


def test_a_turn_that_is_not_answered_fails_the_call() -> None:
    call, _ = held(Server(answers=False), [SpokenTurn("one.wav", LOUD)])
    assert call.failure == "one.wav was not answered within 5 s"


def test_an_interviewer_that_says_nothing_fails_the_call() -> None:
    call, _ = held(Server(opening=False), [TypedTurn("one")])
    assert call.failure == "the interviewer did not begin within 5 s"


def test_a_server_that_is_never_ready_fails_the_call() -> None:
    server = Server()
    server.push = lambda *messages: None  # type: ignore[method-assign]
    call, _ = held(server, [TypedTurn("one")])
    assert call.failure == "the server was not ready within 5 s"


def test_a_server_that_reads_nothing_fails_the_call() -> None:
    class Deaf(Server):
        async def send(self, data: str | bytes) -> None:
            if isinstance(data, bytes):
                await asyncio.Event().wait()
            await super().send(data)

    call, _ = held(Deaf(), [TypedTurn("one")])
    assert call.failure == "the server has taken no audio for 5 s"


def test_turns_beyond_the_interviews_end_are_no_failure() -> None:
    call, screen = held(
        Server(questions=1), [TypedTurn("one"), TypedTurn("two"), TypedTurn("three")]
    )
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
    call, _ = held(server, [TypedTurn("one")])
    assert call.failure == failure


def test_a_fatal_error_is_reported_in_the_servers_words() -> None:
    server = Server(opening=False)
    server.push(READY, {"type": "error", "turn": 0, "message": "no such role", "fatal": True})
    server.close(1008)
    call, _ = held(server, [TypedTurn("one")])
    assert call.failure == "the server ended the interview: no such role"


@pytest.mark.parametrize("message", ["no json", "[]", "{}", '{"type": "reply.done"}'])
def test_what_is_not_the_protocol_fails_the_call(message: str) -> None:
    server = Server()
    server._outbox.put_nowait(message)
    call, _ = held(server, [TypedTurn("one")])
    assert call.failure == "the server sent something that is not Parley's protocol"


def test_the_replies_are_kept_and_a_clear_cuts_them() -> None:
    server = Server()
    clear = {"type": "clear", "turn": 0, "at_ms": 50}
    server.push({"type": "reply.started", "turn": 0}, LOUD[:3200].tobytes(), clear)
    call, screen = held(server, [TypedTurn("one")], keep=True)
    assert call.interviewer is not None
    # The silent opening, a breath and a silent reply of 0.1 s follow.
    assert call.interviewer.duration_s == pytest.approx(0.6, abs=0.05)
    assert np.count_nonzero(call.interviewer.samples(0, 16_000)) == 800
    assert screen.dropped_ms == [150]


def test_sound_that_is_heard_at_once_is_not_cut_and_silence_is_no_reply() -> None:
    server = Server()
    server.push(
        READY,
        {"type": "reply.started", "turn": 0},
        Sound(LOUD[:3200], 0.2, audible=True),
        {"type": "clear", "turn": 0, "at_ms": 0},
    )
    call, screen = held(server, [TypedTurn("one")], keep=True)
    assert call.interviewer is not None
    assert np.flatnonzero(call.interviewer.samples(0, 16_000))[[0, -1]].tolist() == [3200, 6399]
    assert screen.dropped_ms == [0]


def test_silence_that_comes_is_no_answer() -> None:
    class Silent(Server):
        async def send(self, data: str | bytes) -> None:
            await super().send(data)
            if isinstance(data, bytes):
                self.push(Sound(LOUD[:320] // 1000, 0.0, audible=False))

    call, _ = held(Silent(answers=False), [SpokenTurn("one.wav", LOUD)])
    assert call.failure == "one.wav was not answered within 5 s"


def test_the_persons_side_lies_where_it_was_spoken() -> None:
    server = Server()
    call, screen = held(server, [SpokenTurn("one.wav", LOUD)], keep=True)
    first = next(at for at, frame in server.frames if any(frame))
    assert call.person is not None
    assert call.person.duration_s == pytest.approx(first + 1.0, abs=0.001)
    assert screen.played == [("one.wav", 1.0)]
