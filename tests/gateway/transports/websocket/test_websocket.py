"""`/ws/<session_id>` on a real socket: the contract, good input and bad."""

import asyncio
import json
import socket
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.typing import Origin

from gateway.live.calls import Calls
from gateway.transports.websocket import protocol as wire
from stages.fakes import FakeSynthesizer

pytestmark = pytest.mark.slow  # spoken in real time


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
                "resume": ready["resume"],
                "interview": {
                    "role": "Software Engineer",
                    "model": "auto",
                    "currentQuestion": 1,
                    "totalQuestions": 5,
                    "isComplete": False,
                },
                "language": "en",
                "notices": [],
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


def test_a_session_made_over_rest_is_the_one_that_is_joined(gateway: Any) -> None:
    async def story() -> None:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{gateway.port}", timeout=30
        ) as client:
            body = {"role": "Product Manager", "totalQuestions": 3}
            made = (await client.post("/api/sessions", json=body)).json()
            assert made["ws_url"] == f"ws://127.0.0.1:{gateway.port}/ws/{made['session_id']}"
            async with gateway.call(made["session_id"]) as caller:
                await caller.say(type="hello", version=1)
                interview = (await caller.until("ready"))["interview"]
                assert (interview["role"], interview["totalQuestions"]) == ("Product Manager", 3)

    gateway.run(story)


# --- bad input -------------------------------------------------------------------------------


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


def test_a_slash_behind_the_address_changes_nothing(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call("slash/") as caller:
            await caller.say(type="hello", version=1)
            assert (await caller.until("ready"))["session_id"] == "slash"

    gateway.run(story)


def test_an_impossible_id_closes_with_4404(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call("no%20such%20id") as caller:
            assert (await caller.closed())[0] == 4404

    gateway.run(story)


def test_a_page_of_another_site_may_not_connect(
    gateway: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        for origin, status in (("https://evil.example", 403), ("http://localhost:3000", None)):
            try:
                async with gateway.call("page", origin=Origin(origin)):
                    found = None
            except InvalidStatus as refused:
                found = refused.response.status_code
            assert (origin, found) == (origin, status)

    gateway.run(story)
    assert lines_of_failure(caplog) == []


def lines_of_failure(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What an operator is told to look at."""
    return [record.getMessage() for record in caplog.records if record.levelname != "INFO"]


@pytest.mark.parametrize("path", ["nothing", "ws/one/two"])
def test_a_websocket_where_there_is_none_is_refused(
    gateway: Any, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    async def story() -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"ws://127.0.0.1:{gateway.port}/{path}"):
                pass
        assert refused.value.response.status_code in (403, 404)

    gateway.run(story)
    assert lines_of_failure(caplog) == []


def test_a_client_that_leaves_before_it_is_refused_is_no_failure(
    gateway: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.settings["max_sessions"] = 1

    async def story() -> None:
        async with gateway.call("one") as caller:
            await caller.say(type="hello", version=1)
            await caller.until("ready")
            for _ in range(20):
                (await raw_call(gateway)).close()
            await asyncio.sleep(0.1)

    gateway.run(story)
    assert lines_of_failure(caplog) == []


def test_a_full_server_says_so_before_the_upgrade(
    gateway: Any, caplog: pytest.LogCaptureFixture
) -> None:
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
    assert lines_of_failure(caplog) == []


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


@pytest.mark.parametrize(
    "text",
    [
        b'{"type":"text","text":"caf\xe9"}',
        b'{"type":"text","text":"\xed\xa0\x80"}',
        b'{"type":"text","text":"\xf0\x9f\x8e"}',
        b'{"type":"text","text":"\xc0\xaf"}',
    ],
    ids=["Latin-1", "a surrogate", "cut", "overlong"],
)
@pytest.mark.parametrize("first", [True, False], ids=["first", "in the call"])
def test_text_that_is_not_utf8_closes_with_1007(
    gateway: Any, caplog: pytest.LogCaptureFixture, text: bytes, first: bool
) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        with await raw_call(gateway) as raw:
            await read_until(raw, b"\r\n\r\n")
            if not first:
                await loop.sock_sendall(raw, masked(Opcode.TEXT, b'{"type":"hello","version":1}'))
                await read_until(raw, b'"ready"')
            await loop.sock_sendall(raw, masked(Opcode.TEXT, text))
            await read_until(raw, (1007).to_bytes(2, "big") + b"a text message is UTF-8")

    gateway.run(story)
    assert lines_of_failure(caplog) == []


def test_a_letter_may_be_split_between_the_fragments_of_a_message(gateway: Any) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        with await raw_call(gateway) as raw:
            await read_until(raw, b"\r\n\r\n")
            text = '{"type":"ping","t":"é"}'.encode()
            cut = text.index(b"\xc3") + 1
            parts = masked(Opcode.TEXT, b'{"type":"hello","version":1}')
            parts += masked(Opcode.TEXT, text[:cut], fin=False) + masked(Opcode.CONT, text[cut:])
            await loop.sock_sendall(raw, parts)
            await read_until(raw, '"t":"é"'.encode())

    gateway.run(story)


@pytest.mark.parametrize(
    "flood",
    [
        masked(Opcode.PING, b""),
        masked(Opcode.PONG, b""),
        masked(Opcode.CONT, b"", fin=False),
    ],
    ids=["pings", "pongs", "empty fragments"],
)
def test_a_flood_of_frames_that_are_no_messages_closes_with_1008(
    gateway: Any, flood: bytes
) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        with await raw_call(gateway) as raw:
            await read_until(raw, b"\r\n\r\n")
            await loop.sock_sendall(raw, masked(Opcode.TEXT, b'{"type":"hello","version":1}'))
            await read_until(raw, b'"ready"')
            begin = masked(Opcode.TEXT, b"", fin=False)
            frames = (begin if flood[0] & 0x0F == Opcode.CONT else b"") + flood * 50_000
            sending = asyncio.create_task(loop.sock_sendall(raw, frames))
            got = await read_until(raw, (1008).to_bytes(2, "big") + b"more than 200 messages")
            assert got.count(b"\x8a\x00") < 3_000  # pongs
            await sending

    gateway.run(story)


def test_a_client_that_pings_as_often_as_programs_do_is_answered(gateway: Any) -> None:
    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(type="hello", version=1)
            await caller.until("ready")
            for _ in range(200):
                await (await caller.socket.ping())

    gateway.run(story)


def test_a_client_that_never_reads_is_dropped(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "STALL_S", 0.2)
    monkeypatch.setattr(wire, "SEND_BUFFER", 2048)
    gateway.synthesizer = FakeSynthesizer(ms_per_word=1000)
    gateway.settings["resume_s"] = 0

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
    gateway.settings["resume_s"] = 1

    async def story() -> None:
        live = gateway.app.state.runtime.live
        async with gateway.call("gone") as caller:
            await caller.say(type="hello", version=1)
            await caller.until("reply.started")
            caller.socket.transport.abort()
        async with asyncio.timeout(20):
            while live.connections:
                await asyncio.sleep(0.02)
        async with gateway.call("gone") as caller:
            await caller.say(type="hello", version=1)
            await caller.until("ready")

    gateway.run(story)


# --- failure behind the socket ---------------------------------------------------------------


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


def test_no_compression_is_agreed(gateway: Any) -> None:
    async def story() -> None:
        url = f"ws://127.0.0.1:{gateway.port}/ws/a"
        async with connect(url, compression="deflate") as socket:
            assert socket.protocol.extensions == []

    gateway.run(story)
