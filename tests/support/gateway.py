"""A real server on a real socket, with scripted stages or configured providers behind it."""

import asyncio
import json
import socket
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gateway.app import create_app
from gateway.commands.serve import early_refusal, server_config
from gateway.settings import Settings
from gateway.transports.http import HttpProtocol, turning_away
from pipeline.breaker import Breaker
from pipeline.guard import Candidate, Guard
from pipeline.session import Stages
from stages.fakes import FakeDetector, FakeSynthesizer, FakeTranscriber
from stages.llm.scripted import ScriptedInterviewer

PATIENCE_S = 60.0
"""Bound of every wait in these tests; none of them comes near it."""

SPEECH = (6000 * np.sin(2 * np.pi * np.arange(320) / 80)).astype(np.int16).tobytes()
"""20 ms of 200 Hz."""

SILENCE = bytes(640)


class Caller:
    """A client: collects what the server says, and speaks in frames."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []
        self.audio = bytearray()
        self._more = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for message in self.socket:
                if isinstance(message, bytes):
                    self.audio += message
                else:
                    self.messages.append(json.loads(message))
                self._more.set()
        except ConnectionClosed:
            pass
        self._more.set()

    async def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The first message of a type with these fields, once it is there."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for message in self.messages:
                    if message["type"] == kind and fields.items() <= message.items():
                        return message
                if self._reader.done():
                    ended = f"{self.socket.close_code} {self.socket.close_reason}"
                    raise AssertionError(f"{ended} before {kind} {fields}: {self.messages}")
                self._more.clear()
                await self._more.wait()

    async def another(self) -> None:
        """Return when another message has come."""
        async with asyncio.timeout(PATIENCE_S):
            assert not self._reader.done(), "closed"
            self._more.clear()
            await self._more.wait()

    async def closed(self) -> tuple[int | None, str | None]:
        """The close code and reason, once the server has closed."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait([self._reader])
            await self.socket.wait_closed()
        return self.socket.close_code, self.socket.close_reason

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def speak(self, ms: int = 400, silence_ms: int = 1000) -> None:
        """Speech and then silence, as fast as the server takes them."""
        for frame in [SPEECH] * (ms // 20) + [SILENCE] * (silence_ms // 20):
            await self.socket.send(frame)

    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]


class PromptServer(uvicorn.Server):
    """uvicorn that starts and ends without its pauses of 100 ms, some three for each test."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serves = asyncio.Event()
        self._ends = asyncio.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)  # the headers of every answer
        self.serves.set()
        await self._ends.wait()

    def end(self) -> None:
        """Serve no longer, in an orderly way."""
        self._ends.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        state = self.server_state
        for connection in tuple(state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while state.connections or state.tasks:
                    await asyncio.sleep(0.002)
        except TimeoutError:
            for task in state.tasks:
                task.cancel()
        await self.lifespan.shutdown()


class Gateway:
    """A server in this process. `settings` and the stages may be changed before it runs.

    With `configured` the settings choose the providers. It goes by its places alone, since how busy
    the machine is beside it is no matter of most tests.
    """

    def __init__(self, folder: Path) -> None:
        self.settings: dict[str, Any] = {
            "data_dir": folder,
            "silence_ms": 300,
            "admission": "places",
        }
        self.configured = False
        self.early = True  # full, it refuses a WebSocket before that is made
        self.detector: Any = FakeDetector()
        self.transcriber: Any = FakeTranscriber(texts=("I like to build things that last",))
        self.responder: Any = ScriptedInterviewer()
        self.synthesizer: Any = FakeSynthesizer(ms_per_word=20)
        self.port = 0
        self.app: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Serve while the story lasts."""
        asyncio.run(self._run(story))

    def scripted(self) -> Stages:
        return Stages(
            self.detector,
            Guard("stt", [Candidate(self.transcriber.provider, self.transcriber, Breaker())]),
            Guard("llm", [Candidate(self.responder.provider, self.responder, Breaker())]),
            Guard("tts", [Candidate(self.synthesizer.provider, self.synthesizer, Breaker())]),
        )

    async def _run(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        stages = None if self.configured else self.scripted()
        settings = Settings(**self.settings)
        self.app = create_app(settings, stages=stages)
        early = turning_away(early_refusal(self.app, settings, None))
        config = server_config(self.app, http=early if self.early else HttpProtocol)
        config.port = 0
        server = PromptServer(config)
        serving = asyncio.create_task(server.serve())
        started = asyncio.create_task(server.serves.wait())
        await asyncio.wait({serving, started}, timeout=PATIENCE_S, return_when=FIRST_COMPLETED)
        assert started.done()
        self.port = server.servers[0].sockets[0].getsockname()[1]
        try:
            async with asyncio.timeout(2 * PATIENCE_S):
                await story()
        finally:
            if (runtime := self.app.state.runtime).live.connections:
                await runtime.live.wind_down(0)  # as `parley serve` does
            server.end()
            await serving

    @asynccontextmanager
    async def call(self, session_id: str = "test", **options: Any) -> AsyncIterator[Caller]:
        url = f"ws://127.0.0.1:{self.port}/ws/{session_id}"
        async with connect(url, compression=None, **options) as socket:
            yield Caller(socket)
