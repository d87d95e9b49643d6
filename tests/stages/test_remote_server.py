"""A gateway and a worker over a real socket, in one process."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from gateway.media.resampling import converter
from pipeline.errors import CallerError, StageFailed
from pipeline.frames import Sentence
from pipeline.testing import Script
from stages import _remote_conversations
from stages._remote_protocol import PROTOCOL, control, sound
from stages._remote_server import StageServer
from stages.fakes import FakeSynthesizer
from stages.stt.remote import RemoteTranscriber
from stages.tts.remote import RemoteSynthesizer
from tests.support.remote_worker import SECOND, CountingTranscriber

LIMIT_S = 20.0


def run(story: Awaitable[None]) -> None:
    async def main() -> None:
        async with asyncio.timeout(LIMIT_S):
            await story

    asyncio.run(main())


@asynccontextmanager
async def served(slot: Any = "stt", stage: Any = None, **options: Any) -> AsyncIterator[str]:
    """The address of a worker."""
    found = stage or (CountingTranscriber() if slot == "stt" else FakeSynthesizer(ms_per_word=20))
    server = StageServer(slot, found, converter, **options)
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await server.drain(0)
        await serving


@asynccontextmanager
async def pretending(answer: Callable[[ClientConnection], Awaitable[None]]) -> AsyncIterator[str]:
    """The address of something that is no worker of this release."""
    async with serve(answer, "127.0.0.1", 0) as server:  # type: ignore[arg-type]
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def failure(url: str, **options: Any) -> StageFailed:
    """How an utterance fails at this address."""
    stage = RemoteTranscriber([url], **options)
    try:
        recognition = stage.open(1)
        recognition.feed(SECOND)
        with pytest.raises(StageFailed) as failed:
            async for _ in recognition.finish():
                pass
        return failed.value
    finally:
        await stage.aclose()


async def asked(url: str, *messages: bytes | str) -> tuple[list[Any], int | None]:
    """What a worker says to these messages until it closes, and the close code."""
    heard: list[Any] = []
    async with connect(url, compression=None) as client:
        try:
            for message in messages:
                await client.send(message)
            while True:
                told = await client.recv()
                heard.append(told if isinstance(told, bytes) else json.loads(told))
        except ConnectionClosed:
            return heard, client.close_code


def hello(**more: Any) -> str:
    return control("hello", **{"protocol": PROTOCOL, "stage": "stt", **more}).decode()


# --- who is refused -----------------------------------------------------------------------------


def test_a_worker_refuses_a_gateway_of_another_version_with_words() -> None:
    async def story() -> None:
        async with served() as url:
            told, code = await asked(url, hello(protocol=99))
            assert told == [
                {
                    "type": "refused",
                    "message": "this worker speaks version 1 of the workers' protocol, and the"
                    " gateway version 99: bring both to the same release",
                }
            ]
            assert code == 1008

    run(story())


def test_a_gateway_refuses_a_worker_of_another_version_with_words() -> None:
    async def older(client: Any) -> None:
        await client.recv()
        await client.send(control("ready", protocol=0, provider="x").decode())
        await client.wait_closed()

    async def story() -> None:
        async with pretending(older) as url:
            error = await failure(url)
            assert (error.phase, error.detail) == (
                "connect",
                "this gateway speaks version 1 of the workers' protocol, and the worker version 0:"
                " bring both to the same release",
            )

    run(story())


def test_a_worker_for_another_stage_says_so() -> None:
    async def story() -> None:
        async with served("tts") as url:
            detail = (await failure(url)).detail
            assert detail == ("it refuses the connection: this is a worker for tts, not for stt")

    run(story())


@pytest.mark.parametrize("key", [None, "another-key"], ids=["none", "another"])
def test_a_worker_with_a_key_refuses_who_does_not_show_it(key: str | None) -> None:
    async def story() -> None:
        async with served(key="the-workers-key") as url:
            detail = (await failure(url, key=key)).detail
            assert detail == (
                "it refuses the key: PARLEY_WORKER_KEY must be the same here and there"
            )
            stage = RemoteTranscriber([url], key="the-workers-key")
            assert await stage.probe() is None
            await stage.aclose()

    run(story())


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"\0", id="sound"),
        pytest.param("no JSON", id="no JSON"),
        pytest.param('{"type":"open","epoch":1}', id="a call"),
    ],
)
def test_who_does_not_say_hello_first_is_refused(said: bytes | str) -> None:
    async def story() -> None:
        async with served() as url:
            assert await asked(url, said) == ([], 1002)

    run(story())


def test_who_says_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_remote_conversations, "HELLO_S", 0.05)

    async def story() -> None:
        async with served() as url:
            assert await asked(url) == ([], 1008)

    run(story())


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(control("sing", epoch=1).decode(), id="another type"),
        pytest.param(control("\U0001f600" * 40, epoch=1).decode(), id="another type, a long one"),
        pytest.param(control("open").decode(), id="no epoch"),
        pytest.param(control("open", epoch=1, hints="x").decode(), id="hints that are none"),
        pytest.param(b"\0\0\0\1\0", id="half a sample"),
        pytest.param(sound(1, np.zeros(40_000, np.int16)), id="too much sound"),
    ],
)
def test_a_gateway_that_sends_nonsense_is_disconnected(said: bytes | str) -> None:
    async def story() -> None:
        async with served() as url:
            told, code = await asked(url, hello(), said)
            assert ([each["type"] for each in told], code) == (["ready"], 1002)

    run(story())


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        (b"\0", "a binary message of 1 bytes"),
        ("no JSON", "a text message that is no JSON: JSONDecodeError"),
        ('{"type":"sing","epoch":1}', "there is no 'sing'"),
        ('{"type":"final"}', "epoch is no whole number"),
    ],
    ids=["sound", "no JSON", "another type", "no epoch"],
)
def test_a_worker_that_sends_nonsense_is_given_up(said: bytes | str, detail: str) -> None:
    async def mad(client: Any) -> None:
        await client.recv()
        await client.send(control("ready", protocol=PROTOCOL).decode())
        await client.send(said)
        await client.wait_closed()

    async def story() -> None:
        async with pretending(mad) as url:
            error = await failure(url)
            assert (error.phase, error.detail) == (
                "protocol",
                f"the worker sent nonsense: {detail}",
            )

    run(story())


def test_what_is_no_worker_is_told_from_one() -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def story() -> None:
        async with await asyncio.start_server(web, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            error = await failure(f"ws://127.0.0.1:{port}")
            assert error.detail == "it refuses the connection with HTTP 404"
        error = await failure(f"ws://127.0.0.1:{port}")
        assert error.detail.startswith("it cannot be reached: ")

    run(story())


# --- calls --------------------------------------------------------------------------------------


def test_what_is_late_of_a_cancelled_call_is_dropped() -> None:
    async def slow(client: Any) -> None:
        await client.recv()
        await client.send(control("ready", protocol=PROTOCOL).decode())
        async for message in client:
            if isinstance(message, str) and json.loads(message)["type"] == "finish":
                epoch = json.loads(message)["epoch"]
                for each in range(1, epoch + 1):  # the answers to all before it come with it
                    told = {"text": f"call {each}", "language": None}
                    await client.send(control("final", epoch=each, **told).decode())

    async def story() -> None:
        async with pretending(slow) as url:
            stage = RemoteTranscriber([url])
            assert await stage.probe() is None
            for _ in range(3):
                recognition = stage.open(1)
                recognition.feed(SECOND)
                recognition.cancel()
            recognition = stage.open(2)
            (final,) = [each async for each in recognition.finish()]
            assert (final.turn, final.text) == (2, "call 4")
            await stage.aclose()

    run(story())


def test_a_later_call_ends_the_one_before_at_the_worker() -> None:
    async def story() -> None:
        async with served(places=1) as url, connect(url) as client:
            await client.send(hello())
            for epoch in (1, 2):
                await client.send(control("open", epoch=epoch).decode())
                await client.send(sound(epoch, SECOND))
            await client.send(control("finish", epoch=1).decode())
            await client.send(control("finish", epoch=2).decode())
            assert json.loads(await client.recv())["type"] == "ready"
            final = json.loads(await client.recv())
            assert (final["type"], final["epoch"], final["text"]) == ("final", 2, "16000")

    run(story())


def test_a_sentence_that_cannot_be_said_is_no_failure_of_the_worker() -> None:
    async def story() -> None:
        unfit = CallerError("tts", "fake-tts", "protocol", "it speaks English, not de")
        voice = FakeSynthesizer(Script(error=unfit), Script())
        async with served("tts", voice) as url:
            stage = RemoteSynthesizer([url], rate_hz=16_000)
            with pytest.raises(CallerError, match="it speaks English, not de"):
                [piece async for piece in stage.speak(Sentence(1, "Guten Tag."))]
            assert [piece async for piece in stage.speak(Sentence(1, "Hello."))]
            await stage.aclose()

    run(story())


def test_speech_comes_at_the_rate_that_the_gateway_wants() -> None:
    async def story() -> None:
        async with served("tts", FakeSynthesizer(ms_per_word=500, rate_hz=16_000)) as url:
            stage = RemoteSynthesizer([url], rate_hz=24_000)
            pieces = [piece async for piece in stage.speak(Sentence(1, "one two"))]
            assert sum(len(piece.pcm) for piece in pieces) == pytest.approx(24_000, abs=48)
            await stage.aclose()

    run(story())


def test_nothing_waits_for_a_worker_that_does_not_answer() -> None:
    """A plain call returns at once, also where nobody is there."""

    async def story() -> None:
        stage = RemoteTranscriber(["ws://127.0.0.1:9"])
        began = time.perf_counter()
        recognition = stage.open(1)
        for _ in range(100):
            recognition.feed(SECOND)
        recognition.cancel()
        await stage.aclose()
        assert time.perf_counter() - began < LIMIT_S

    run(story())


def test_a_supervisor_is_told_how_the_worker_is() -> None:
    async def story() -> None:
        async with (
            served(key="the-workers-key", places=3) as url,
            connect(url, additional_headers={"Authorization": "Bearer the-workers-key"}) as client,
        ):
            await client.send(hello())
            await client.send(control("open", epoch=1).decode())
            await client.recv()
            async with httpx.AsyncClient(trust_env=False) as web:
                answer = await web.get(url.replace("ws", "http", 1) + "/health")
            assert (answer.status_code, answer.json()) == (
                200,
                {
                    "status": "ready",
                    "stage": "stt",
                    "provider": "counting",
                    "calls": 1,
                    "places": 3,
                },
            )

    run(story())
