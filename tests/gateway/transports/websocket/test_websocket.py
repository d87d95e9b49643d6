"""`/ws/<session_id>` on a real socket: the contract, good input and bad."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.typing import Origin

from gateway.live import connection
from gateway.live.calls import Calls
from gateway.transports.websocket import protocol as wire
from pipeline.decisions import Chunk
from pipeline.turns import TurnTaking
from stages.fakes import FakeSynthesizer, FakeTranscriber, Script
from stages.vad.energy import EnergyDetector


def test_a_client_that_sends_nothing_but_pcm_gets_a_conversation(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call() as caller:
            await caller.socket.send(bytes(640))
            ready = await caller.until("ready")
            assert ready == {
                "type": "ready",
                "seq": 1,
                "version": 1,
                "session_id": "test",
                "audio_in": {"encoding": "pcm_s16le", "rate": 16000, "channels": 1},
                "audio_out": {"encoding": "pcm_s16le", "rate": 16000},
                "providers": {
                    "vad": "fake",
                    "stt": "fake-stt",
                    "llm": "scripted",
                    "tts": "fake-tts",
                    "avatar": "visemes",
                },
                "resume": None,
                "interview": {
                    "role": "Software Engineer",
                    "model": "auto",
                    "currentQuestion": 1,
                    "totalQuestions": 5,
                    "isComplete": False,
                },
            }
            done = await caller.until("reply.done", turn=0)
            assert "Question 1" in done["heard"]
            await caller.speak()
            transcript = await caller.until("transcript", turn=1)
            assert (transcript["text"], transcript["final"]) == (
                "I like to build things that last",
                True,
            )
            assert (await caller.until("reply.done", turn=1))["interrupted"] is False
            interview = await caller.until("interview", currentQuestion=2)
            assert interview["isComplete"] is False
            assert await caller.until("turn.metrics", turn=1)
            assert [m["seq"] for m in caller.messages] == list(range(1, len(caller.messages) + 1))

    gateway.run(story)


def test_ready_comes_a_second_after_connecting_to_a_client_that_says_nothing(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call() as caller:
            assert caller.messages == []
            await caller.until("ready")

    gateway.run(story)


def test_a_hello_that_comes_too_late_to_be_looked_at_is_refused(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "READY_AFTER_S", 0.0)

    async def story() -> None:
        host, asked, answer = Calls.host, asyncio.Event(), asyncio.Event()

        @asynccontextmanager
        async def slow(*args: Any) -> AsyncIterator[Any]:
            asked.set()
            await answer.wait()  # the store takes its time
            async with host(*args) as made:
                yield made

        monkeypatch.setattr(Calls, "host", slow)
        async with gateway.call() as caller:
            await asked.wait()
            audio_in = {"encoding": "mulaw", "rate": 8000}
            await caller.say(type="hello", version=1, audio_in=audio_in)
            assert (await caller.until("error"))["code"] == "unexpected_hello"
            answer.set()
            ready = await caller.until("ready")
            assert ready["audio_in"]["encoding"] == "pcm_s16le"

    gateway.run(story)


def test_an_interview_is_complete_when_answer_n_is_accepted_and_the_server_closes(
    gateway: Any,
) -> None:
    async def story() -> None:
        interview = {"role": "data analyst", "totalQuestions": 2}
        async with gateway.call() as caller:
            await caller.say(type="hello", version=1, interview=interview)
            ready = await caller.until("ready")
            assert ready["interview"]["role"] == "Data Analyst"
            await caller.until("reply.done", turn=0)
            await caller.say(type="text", text="I would look at the raw numbers first of all")
            await caller.until("interview", currentQuestion=2, isComplete=False)
            await caller.say(type="text", text="I would talk to the people who asked for it")
            await caller.until("interview", isComplete=True)
            assert await caller.closed() == (1000, "")

    gateway.run(story)


def test_everything_that_was_said_is_in_the_store(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call("kept") as caller:
            await caller.say(type="text", text="typed before anything was asked")
            await caller.until("reply.done", turn=1)
            await caller.speak()
            await caller.until("reply.done", turn=2)
        lines = await gateway.app.state.runtime.store.read("transcript:kept")
        said = [json.loads(line) for _, line in lines]
        assert [(line["turn"], line["text"]) for line in said if line["role"] == "user"] == [
            (1, "typed before anything was asked"),
            (2, "I like to build things that last"),
        ]

    gateway.run(story)


def test_a_session_made_over_rest_is_the_one_that_is_joined(gateway: Any) -> None:
    async def story() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}") as client:
            body = {"role": "Product Manager", "totalQuestions": 3}
            made = (await client.post("/api/sessions", json=body)).json()
            assert made["ws_url"] == f"ws://127.0.0.1:{gateway.port}/ws/{made['session_id']}"
            async with gateway.call(made["session_id"]) as caller:
                await caller.say(type="hello", version=1)
                interview = (await caller.until("ready"))["interview"]
                assert (interview["role"], interview["totalQuestions"]) == ("Product Manager", 3)

    gateway.run(story)


def test_who_comes_back_is_asked_the_question_that_waits(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call("again") as caller:
            await caller.say(type="hello", version=1)
            await caller.until("reply.done", turn=0)
            await caller.say(type="text", text="I would look at the logs before anything else")
            second = (await caller.until("reply.done", turn=1))["heard"]
            await caller.until("interview", currentQuestion=2)
            await caller.say(type="bye")
            assert await caller.closed() == (1000, "")
        async with gateway.call("again") as caller:
            await caller.say(type="hello", version=1)
            assert (await caller.until("ready"))["interview"]["currentQuestion"] == 2
            opening = (await caller.until("reply.done", turn=0))["heard"]
            assert opening.startswith("Welcome back.")
            assert opening.split(". ")[-1] in second

    gateway.run(story)


def test_a_barge_in_clears_and_sends_no_further_byte_of_the_old_turn(gateway: Any) -> None:
    gateway.synthesizer = FakeSynthesizer(ms_per_word=400)

    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(type="hello", version=1)
            await caller.until("reply.started", turn=0)
            await caller.speak(ms=700, silence_ms=0)
            clear = await caller.until("clear", turn=0)
            heard_bytes = len(caller.audio)
            done = await caller.until("reply.done", turn=0)
            assert done["interrupted"] is True
            assert len(done["heard"]) < 60
            assert heard_bytes <= (clear["at_ms"] + 202) * 32
            await caller.speak(ms=0, silence_ms=400)
            await caller.until("reply.started", turn=1)
            assert len(caller.audio) - heard_bytes <= 202 * 32

    gateway.run(story)


@pytest.mark.parametrize(
    ("encoding", "rate", "sample_bytes"),
    [("mulaw", 8000, 1), ("alaw", 8000, 1), ("pcm_s16le", 48_000, 2), ("pcm_s16le", 44_100, 2)],
)
def test_other_encodings_and_rates_both_ways(
    gateway: Any, encoding: str, rate: int, sample_bytes: int
) -> None:
    async def story() -> None:
        async with gateway.call() as caller:
            audio = {"encoding": encoding, "rate": rate}
            await caller.say(type="hello", version=1, audio_in=audio, audio_out=audio)
            ready = await caller.until("ready")
            assert ready["audio_out"] == audio
            done = await caller.until("reply.done", turn=0)
            words = len(done["heard"].split())
            seconds = len(caller.audio) / sample_bytes / rate
            assert seconds == pytest.approx(words * 0.02, abs=0.01)
            count = rate // 50
            loud = {"mulaw": b"\x90", "alaw": b"\x90"}.get(encoding)
            quiet = {"mulaw": b"\xff", "alaw": b"\xd5"}.get(encoding, bytes(2))
            speech = loud * count if loud else np.full(count, 4000, np.int16).tobytes()
            for frame in [speech] * 20 + [quiet * count] * 40:
                await caller.socket.send(frame)
            stopped = await caller.until("speech.stopped", turn=1)
            started = await caller.until("speech.started", turn=1)
            assert stopped["at_ms"] - started["at_ms"] == pytest.approx(400, abs=64)

    gateway.run(story)


def test_avatar_off_sends_no_visemes(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(type="hello", version=1, avatar="off")
            await caller.until("reply.done", turn=0)
            assert not {"visemes", "avatar.state"} & set(caller.types())

    gateway.run(story)


def test_ping_is_answered(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(type="hello", version=1)
            await caller.say(type="ping", t=41)
            pong = await caller.until("pong")
            assert pong["t"] == 41
            assert isinstance(pong["now"], int)

    gateway.run(story)


def test_push_to_talk(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(type="hello", version=1, turn_detection={"mode": "manual"})
            await caller.until("reply.done", turn=0)
            await caller.say(type="commit")
            assert (await caller.until("error"))["code"] == "nothing_to_commit"
            await caller.speak(ms=400, silence_ms=600)
            await caller.until("speech.started", turn=1)
            await caller.say(type="commit")
            await caller.until("reply.done", turn=1)

    gateway.run(story)


def test_interrupt_and_played(gateway: Any) -> None:
    gateway.synthesizer = FakeSynthesizer(ms_per_word=400)

    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(type="hello", version=1)
            await caller.until("reply.text", turn=0)
            await caller.say(type="played", turn=0, ms=0)
            await caller.say(type="interrupt")
            done = await caller.until("reply.done", turn=0)
            assert (done["interrupted"], done["heard"]) == (True, "")

    gateway.run(story)


# --- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"type":"sing"}', "unknown_type"),
        ("[1,2]", "bad_json"),
        ("[" * 500 + "]" * 500, "bad_json"),
        ('{"a":' * 500 + "1" + "}" * 500, "unknown_type"),
        (bytes(641), "odd_audio"),
        (bytes(6400), "audio_too_long"),
        (json.dumps({"type": "text", "text": "x" * 8200}), "text_too_long"),
        (json.dumps({"type": "hello", "version": 1}), "unexpected_hello"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_bad_messages_get_an_error_and_the_conversation_goes_on(
    gateway: Any, message: str | bytes, code: str
) -> None:
    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(type="hello", version=1)
            await caller.until("ready")
            await caller.socket.send(message)
            error = await caller.until("error")
            assert (error["code"], error["fatal"]) == (code, False)
            await caller.say(type="text", text="and still we talk")
            await caller.until("reply.done", turn=1)

    gateway.run(story)


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        ({"version": 9}, "bad_hello"),
        ({"audio_in": {"rate": 2**31}}, "unsupported_audio"),
        ({"audio_in": {"encoding": "flac"}}, "unsupported_audio"),
        ({"audio_out": {"encoding": "opus", "rate": 44_100}}, "unsupported_audio"),
        ({"interview": {"role": "Astronaut"}}, "interview"),
        ({"interview": {"role": "Data Analyst", "totalQuestions": 99}}, "interview"),
    ],
)
def test_an_impossible_hello_gets_an_error_and_close_1008(
    gateway: Any, hello: dict[str, Any], code: str
) -> None:
    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(type="hello", **{"version": 1, **hello})
            error = await caller.until("error")
            assert (error["code"], error["fatal"]) == (code, True)
            assert (await caller.closed())[0] == 1008

    gateway.run(story)


def test_a_close_reason_is_never_too_long(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(type="hello", version=1, audio_in={"encoding": "日" * 40})
            assert (await caller.until("error"))["code"] == "unsupported_audio"
            assert (await caller.closed())[0] == 1008

    gateway.run(story)


def test_bye_after_a_recording_sent_at_once_waits_for_it(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call("burst") as caller:
            await caller.say(type="hello", version=1)
            await caller.until("reply.done", turn=0)
            await caller.speak(ms=2000, silence_ms=600)
            await caller.say(type="bye")
            assert (await caller.closed())[0] == 1000
            await caller.until("transcript", turn=1, final=True)

    gateway.run(story)


def test_ten_seconds_of_audio_in_one_message_close_with_1009(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(type="hello", version=1)
            await caller.until("ready")
            await caller.socket.send(bytes(320_000))
            assert (await caller.closed())[0] == 1009

    gateway.run(story)


def test_an_impossible_id_closes_with_4404(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call("no%20such%20id") as caller:
            assert (await caller.closed())[0] == 4404

    gateway.run(story)


def test_the_second_client_of_a_session_is_refused_and_the_first_goes_on(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call() as first:
            await first.say(type="hello", version=1)
            await first.until("ready")
            async with gateway.call() as second:
                await second.say(type="hello", version=1)
                assert (await second.until("error"))["code"] == "already_connected"
                assert (await second.closed())[0] == 1008
            await first.say(type="text", text="I am still here")
            await first.until("reply.done", turn=1)

    gateway.run(story)


def test_a_page_of_another_site_may_not_connect(gateway: Any) -> None:
    async def story() -> None:
        for origin, status in (("https://evil.example", 403), ("http://localhost:3000", None)):
            try:
                async with gateway.call("page", origin=Origin(origin)):
                    found = None
            except InvalidStatus as refused:
                found = refused.response.status_code
            assert (origin, found) == (origin, status)

    gateway.run(story)


def test_a_full_server_says_so_before_the_upgrade(gateway: Any) -> None:
    gateway.settings["max_sessions"] = 1

    async def story() -> None:
        async with gateway.call("one") as caller:
            await caller.say(type="hello", version=1)
            await caller.until("ready")
            with pytest.raises(InvalidStatus) as refused:
                async with gateway.call("two"):
                    pass
            assert refused.value.response.status_code == 503
            assert refused.value.response.headers["Retry-After"] == "5"

    gateway.run(story)


def test_a_flood_of_messages_closes_with_1008_and_others_go_on(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call("good") as good, gateway.call("bad") as bad:
            await good.say(type="hello", version=1)
            await bad.say(type="hello", version=1)
            await bad.until("ready")
            for _ in range(100):
                await bad.socket.send(b"\x00")
            error = await bad.until("error", code="flooding")
            assert error["fatal"] is True
            assert (await bad.closed())[0] == 1008
            await good.say(type="text", text="I am not the flood")
            await good.until("reply.done", turn=1)

    gateway.run(story)


def test_a_recording_sent_at_once_is_heard_whole(gateway: Any) -> None:
    heard: list[int] = []

    class Listener(FakeTranscriber):
        def open(self, turn: int, on_partial: Any = None, hints: Any = ()) -> Any:
            recognition = super().open(turn, on_partial)
            recognition.feed = lambda pcm: heard.append(len(pcm))
            return recognition

    gateway.transcriber = Listener()

    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(type="hello", version=1)
            await caller.until("reply.done", turn=0)
            await caller.speak(ms=3000, silence_ms=600)
            await caller.until("reply.done", turn=1)
            assert 3000 + 200 <= sum(heard) // 16 <= 3000 + 900

    gateway.run(story)


async def raw_call(gateway: Any, *after: bytes, receive_buffer: int = 65_536) -> socket.socket:
    """A socket after the handshake, with `after` sent in the same packet as the request."""
    loop = asyncio.get_running_loop()
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.setblocking(False)
    await loop.sock_connect(raw, ("127.0.0.1", gateway.port))
    handshake = (
        "GET /ws/raw HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await loop.sock_sendall(raw, handshake.encode() + b"".join(after))
    return raw


async def read_until(raw: socket.socket, wanted: bytes) -> bytes:
    got = b""
    async with asyncio.timeout(10):
        while wanted not in got:
            more = await asyncio.get_running_loop().sock_recv(raw, 65_536)
            assert more, f"closed after {got[-200:]!r}"
            got += more
    return got


def masked(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def test_a_client_that_does_not_wait_for_the_handshake_is_understood(gateway: Any) -> None:
    async def story() -> None:
        hello = masked(Opcode.TEXT, b'{"type":"hello","version":1}')
        loop = asyncio.get_running_loop()
        raw = await raw_call(gateway, hello, masked(Opcode.BINARY, bytes(640))[:300])
        with raw:
            await read_until(raw, b'"ready"')
            await loop.sock_sendall(raw, masked(Opcode.TEXT, b'{"type":"ping","t":5}'))

    gateway.run(story)


def test_a_message_in_fragments_is_one_message(gateway: Any) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        with await raw_call(gateway) as raw:
            await read_until(raw, b"\r\n\r\n")
            parts = masked(Opcode.TEXT, b'{"type":"hello",', fin=False)
            parts += masked(Opcode.PING, b"p") + masked(Opcode.CONT, b'"version":1}')
            for byte in parts:
                await loop.sock_sendall(raw, bytes([byte]))
            await read_until(raw, b'"ready"')

    gateway.run(story)


def test_audio_between_the_fragments_of_a_message_closes_with_1002(gateway: Any) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        with await raw_call(gateway) as raw:
            await read_until(raw, b"\r\n\r\n")
            parts = masked(Opcode.TEXT, b'{"type":', fin=False) + masked(Opcode.BINARY, bytes(640))
            await loop.sock_sendall(raw, parts)
            await read_until(raw, (1002).to_bytes(2, "big"))

    gateway.run(story)


def test_a_frame_without_a_mask_closes_with_1002(gateway: Any) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        with await raw_call(gateway) as raw:
            await read_until(raw, b"\r\n\r\n")
            await loop.sock_sendall(raw, Frame(Opcode.BINARY, bytes(640)).serialize(mask=False))
            await read_until(raw, (1002).to_bytes(2, "big"))

    gateway.run(story)


def test_a_client_that_never_reads_is_dropped(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "STALL_S", 0.2)
    monkeypatch.setattr(wire, "SEND_BUFFER", 2048)
    gateway.synthesizer = FakeSynthesizer(ms_per_word=1000)

    async def story() -> None:
        live = gateway.app.state.runtime.live
        audio_out = {"encoding": "pcm_s16le", "rate": 48_000}
        hello = json.dumps({"type": "hello", "version": 1, "audio_out": audio_out}).encode()
        with await raw_call(gateway, masked(Opcode.TEXT, hello), receive_buffer=2048):
            async with asyncio.timeout(20):
                while live.connections == 0:
                    await asyncio.sleep(0.02)
                while live.connections:
                    await asyncio.sleep(0.02)

    gateway.run(story)


def test_a_client_that_vanishes_leaves_nothing_behind(gateway: Any) -> None:
    async def story() -> None:
        live = gateway.app.state.runtime.live
        async with gateway.call("gone") as caller:
            await caller.say(type="hello", version=1)
            await caller.until("reply.started")
            caller.socket.transport.abort()
        async with asyncio.timeout(5):
            while live.connections:
                await asyncio.sleep(0.02)
        async with gateway.call("gone") as caller:
            await caller.say(type="hello", version=1)
            await caller.until("ready")

    gateway.run(story)


# --- failure behind the socket ---------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [Script(error=RuntimeError("secret detail")), Script(end=True)],
    ids=["raises", "returns nothing"],
)
def test_a_failing_recogniser_degrades_the_turn_and_the_next_one_works(
    gateway: Any, script: Script
) -> None:
    # Once while the silence may be a pause, once when the turn is decided.
    gateway.transcriber = FakeTranscriber(script, script, Script(), texts=("it works again",))

    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(type="hello", version=1)
            await caller.until("reply.done", turn=0)
            await caller.speak()
            degraded = await caller.until("degraded")
            assert (degraded["turn"], degraded["stage"], degraded["to"]) == (
                1,
                "stt",
                "canned line",
            )
            done = await caller.until("reply.done", turn=1)
            assert done["heard"].startswith("Sorry, I did not catch that.")
            await caller.speak()
            await caller.until("transcript", turn=2, text="it works again")
            await caller.until("reply.done", turn=2)

    gateway.run(story)


def test_a_bug_ends_the_session_with_1011_and_no_detail(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        def broken(*args: Any) -> Any:
            raise RuntimeError("secret detail")

        monkeypatch.setattr(Calls, "session", broken)
        async with gateway.call() as caller:
            await caller.say(type="hello", version=1)
            error = await caller.until("error")
            assert error["code"] == "internal"
            assert "secret" not in json.dumps(error)
            assert await caller.closed() == (1011, "the session failed")

    gateway.run(story)


def test_a_bug_that_only_the_detector_meets_ends_the_session_with_1011_too(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.detector = EnergyDetector()
    handle = TurnTaking.handle
    bugs: list[str] = []

    def broken(turns: TurnTaking, event: Any, now: float) -> Any:
        if isinstance(event, Chunk) and bugs:
            raise RuntimeError(bugs[0])
        return handle(turns, event, now)

    monkeypatch.setattr(TurnTaking, "handle", broken)

    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(type="hello", version=1)
            await caller.until("reply.done", turn=0)
            bugs.append("secret detail")
            await caller.socket.send(bytes(1280))
            error = await caller.until("error")
            assert error["code"] == "internal"
            assert "secret" not in json.dumps(error)
            assert await caller.closed() == (1011, "the session failed")

    gateway.run(story)
