"""A worker as an ASGI application, in uvicorn: the same protocol, and a call to a connection."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.media.resampling import converter
from pipeline.frames import Sentence
from stages import _remote_conversations
from stages._remote_asgi import Message, StageApp, _AsgiConnection
from stages._remote_conversations import Conversations
from stages._remote_protocol import LONGEST_TEXT_BYTES, PROTOCOL, control, sound
from stages.fakes import FakeSynthesizer
from stages.stt.remote import RemoteTranscriber
from stages.tts.remote import RemoteSynthesizer
from tests.support.remote_worker import SECOND, CountingTranscriber

LIMIT_S = 20.0
KEY = "the-workers-key"
HELLO = control("hello", protocol=PROTOCOL, stage="stt").decode()


def run(story: Awaitable[None]) -> None:
    async def main() -> None:
        async with asyncio.timeout(LIMIT_S):
            await story

    asyncio.run(main())


@asynccontextmanager
async def served(slot: Any = "stt", **options: Any) -> AsyncIterator[tuple[str, Conversations]]:
    """The address of a worker in uvicorn, and its conversations."""
    stage: Any = CountingTranscriber() if slot == "stt" else FakeSynthesizer(ms_per_word=20)
    conversations = Conversations(slot, stage, converter, **options)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Conversations]:
        yield conversations

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        StageApp(opened), lifespan="on", log_config=None, ws="websockets-sansio"
    )
    server = uvicorn.Server(config)
    # uvicorn would take the signals of the process under test.
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment,method-assign]
    serving = asyncio.create_task(server.serve([listener]))
    try:
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0.005)
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/stage", conversations
    finally:
        server.should_exit = server.force_exit = True
        await serving


async def text_of(stage: RemoteTranscriber) -> str:
    recognition = stage.open(1)
    for at in range(0, len(SECOND), 1600):
        recognition.feed(SECOND[at : at + 1600])
    return [each.text async for each in recognition.finish()][-1]


async def until(done: Callable[[], bool]) -> None:
    while not done():
        await asyncio.sleep(0.005)


# --- the protocol -------------------------------------------------------------------------------


def test_a_gateway_is_served_as_by_the_worker_of_the_command_line() -> None:
    async def story() -> None:
        async with served(key=KEY) as (url, _):
            stage = RemoteTranscriber([url], key=KEY)
            assert [await text_of(stage) for _ in range(2)] == ["16000", "16000"]
            assert stage.detail() == "counting"
            await stage.aclose()
        async with served("tts", key=KEY) as (url, _):
            voice = RemoteSynthesizer([url], key=KEY, rate_hz=16_000)
            pieces = [piece async for piece in voice.speak(Sentence(1, "one two"))]
            assert sum(len(piece.pcm) for piece in pieces) == 16_000 * 40 // 1000
            await voice.aclose()

    run(story())


def test_who_shows_no_key_is_refused_with_words() -> None:
    async def story() -> None:
        async with served(key=KEY) as (url, _):
            stage = RemoteTranscriber([url], key="another-key")
            assert await stage.probe() == (
                f"{url}: it refuses the key: PARLEY_WORKER_KEY must be the same here and there"
            )
            await stage.aclose()

    run(story())


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(
            control("open", epoch=1, hints=["x" * LONGEST_TEXT_BYTES]).decode(), id="a long text"
        ),
        pytest.param(sound(1, SECOND)[:-1], id="half a sample"),
        pytest.param(
            control("\U0001f600" * 40, epoch=1).decode(), id="a type longer than a reason may be"
        ),
    ],
)
def test_a_gateway_that_sends_nonsense_is_disconnected(said: bytes | str) -> None:
    async def story() -> None:
        async with served() as (url, _), connect(url, compression=None) as client:
            await client.send(HELLO)
            await client.recv()
            await client.send(said)
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1002

    run(story())


def test_a_call_ends_when_its_gateway_is_gone() -> None:
    async def story() -> None:
        async with served() as (url, conversations):
            async with connect(url, compression=None) as client:
                await client.send(HELLO)
                await client.send(control("open", epoch=1).decode())
                await until(lambda: conversations.calls == 1)
                client.transport.abort()
            await until(lambda: conversations.calls == 0)

    run(story())


@pytest.mark.parametrize("under_way", [True, False], ids=["in a call", "between calls"])
@pytest.mark.parametrize("turns", range(6))
def test_nothing_is_left_of_a_connection_whose_task_is_cancelled_as_it_ends(
    turns: int, under_way: bool
) -> None:
    """Ray Serve tells of the end, and cancels some turns of the loop later."""

    async def story() -> None:
        conversations = Conversations("stt", CountingTranscriber(), converter, single=True)
        received, sent = asyncio.Queue[Message](), list[Message]()

        async def send(message: Message) -> None:
            sent.append(message)

        serving = asyncio.create_task(conversations.converse(_AsgiConnection(received.get, send)))
        never_answered = [control("open", epoch=1).decode(), sound(1, SECOND[:10] * 0 + 99)]
        never_answered.append(control("finish", epoch=1).decode())
        for said in [HELLO, *(never_answered if under_way else [])]:
            kind = "text" if isinstance(said, str) else "bytes"
            received.put_nowait({"type": "websocket.receive", kind: said})
        await until(lambda: len(sent) > under_way)  # `ready`, and `draining` as the call begins
        assert (len(conversations._said), conversations.calls) == (1, int(under_way))
        received.put_nowait({"type": "websocket.disconnect", "code": 1000})
        for _ in range(turns):
            await asyncio.sleep(0)
        serving.cancel()
        await asyncio.wait((serving,))
        for _ in range(5):
            await asyncio.sleep(0)
        assert (conversations._said, conversations.calls) == ({}, 0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())


def test_a_supervisor_is_told_how_the_application_is() -> None:
    async def story() -> None:
        async with served(key=KEY, places=3) as (url, conversations):
            base = url.replace("ws", "http", 1)
            async with httpx.AsyncClient(trust_env=False) as web:
                ready = await web.get(f"{base}/health")
                conversations.draining = True
                ending, other = await web.get(f"{base}/health"), await web.get(f"{base}/other")
            assert (ready.status_code, ending.status_code, other.status_code) == (200, 503, 404)
            assert ready.json() == {
                "status": "ready",
                "stage": "stt",
                "provider": "counting",
                "calls": 0,
                "places": 3,
            }

    run(story())


def test_a_stage_that_cannot_be_loaded_is_the_reason_why_the_server_does_not_start() -> None:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Conversations]:
        raise OSError("no model here")
        yield

    sent: list[Message] = []

    async def story() -> None:
        async def receive() -> Message:
            return {"type": "lifespan.startup"}

        async def send(message: Message) -> None:
            sent.append(message)

        await StageApp(opened)({"type": "lifespan"}, receive, send)

    run(story())
    assert sent == [{"type": "lifespan.startup.failed", "message": "no model here"}]


def test_before_its_stage_is_loaded_an_application_refuses_and_says_so() -> None:
    async def story() -> None:
        app, sent = StageApp(lambda: contextlib.nullcontext()), list[Message]()  # type: ignore[arg-type,return-value]

        async def receive() -> Message:
            return {"type": "websocket.connect"}

        async def send(message: Message) -> None:
            sent.append(message)

        await app({"type": "http", "path": "/stt/health"}, receive, send)
        await app({"type": "websocket", "headers": []}, receive, send)
        assert [each.get("status") for each in sent] == [503, None, None]
        assert json.loads(sent[1]["body"]) == {"status": "starting"}
        assert (sent[2]["type"], sent[2]["reason"]) == (
            "websocket.close",
            "the worker has not started",
        )

    run(story())


# --- one call to a connection -------------------------------------------------------------------


def test_each_call_has_a_connection_of_its_own() -> None:
    async def story() -> None:
        async with served(single=True) as (url, conversations):
            stage = RemoteTranscriber([url])
            assert await text_of(stage) == "16000"
            await until(lambda: not conversations._said)
            recognition = stage.open(2)
            recognition.feed(SECOND)
            await until(lambda: conversations.calls == 1)
            (first,) = stage._lines._lines
            await until(lambda: first.draining)
            assert await text_of(stage) == "16000"  # over another connection
            recognition.feed(SECOND)
            assert [each.text async for each in recognition.finish()] == ["32000"]
            assert not recognition._again
            await until(lambda: not conversations._said)
            await stage.aclose()

    run(story())


def test_a_connection_without_a_call_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_remote_conversations, "UNUSED_S", 0.05)

    async def story() -> None:
        async with served(single=True) as (url, conversations):
            stage = RemoteTranscriber([url])
            assert await stage.probe() is None
            await until(lambda: not conversations._said)
            assert await text_of(stage) == "16000"
            await stage.aclose()

    run(story())


def test_a_gateway_that_does_not_leave_is_disconnected_after_its_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_remote_conversations, "UNUSED_S", 0.1)

    async def story() -> None:
        async with served(single=True) as (url, conversations), connect(url) as client:
            await client.send(HELLO)
            await client.send(control("open", epoch=1).decode())
            await client.send(sound(1, SECOND))
            await asyncio.sleep(0.5)  # the call goes on
            assert conversations.calls == 1
            await client.send(control("finish", epoch=1).decode())
            told = [json.loads(message)["type"] async for message in client]
            assert (told, client.close_code) == (["ready", "draining", "final"], 1000)

    run(story())


def test_a_gateway_that_begins_call_after_call_is_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_remote_conversations, "UNUSED_S", 0.1)

    async def story() -> None:
        async with served(single=True) as (url, conversations), connect(url) as client:
            await client.send(HELLO)
            with contextlib.suppress(ConnectionClosed):
                for epoch in range(1, 100):
                    await client.send(control("open", epoch=epoch).decode())
                    await asyncio.sleep(0.02)
            assert epoch < 99
            told = [json.loads(message)["type"] async for message in client]
            assert (told[:3], client.close_code) == (["ready", "draining", "busy"], 1000)
            await until(lambda: not conversations._said)

    run(story())
