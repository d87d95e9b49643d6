"""A client of RTVI's WebSocket: protobuf frames by the published schema, over a stock WebSocket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.gateway import PATIENCE_S, SILENCE, SPEECH
from tests.support.pipecat_schema import Frame

Message = dict[str, Any]


class RtviClient:
    """Collects the messages, and the audio between them in `heard`; it speaks in frames."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[Message] = []
        self.heard: list[tuple[int, int]] = []
        """The bytes of reply audio, each with the number of messages before it."""
        self.audio = bytearray()
        self.interruptions = 0
        self._more = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for data in self.socket:
                assert isinstance(data, bytes)
                frame = Frame.FromString(data)
                kind = frame.WhichOneof("frame")
                if kind == "audio":
                    assert (frame.audio.sample_rate, frame.audio.num_channels) == (24_000, 1)
                    self.heard.append((len(frame.audio.audio), len(self.messages)))
                    self.audio += frame.audio.audio
                elif kind == "interruption":
                    self.interruptions += 1
                else:
                    message = json.loads(frame.message.data)
                    assert message.pop("label") == "rtvi-ai"
                    self.messages.append(message)
                self._more.set()
        except ConnectionClosed:
            pass
        finally:
            self._more.set()

    async def until(self, kind: str, since: int = 0, **data: Any) -> int:
        """The place of the first message from there on of a type, with these data, once it is
        there."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for at, message in enumerate(self.messages[since:], since):
                    held = message.get("data") or {}
                    if message["type"] == kind and data.items() <= held.items():
                        return at
                assert not self._reader.done(), f"closed before {kind} {data}: {self.messages}"
                self._more.clear()
                await self._more.wait()

    async def send(self, kind: str, data: Any = None, id: str = "7e5a1c00") -> None:
        text = json.dumps({"label": "rtvi-ai", "type": kind, "id": id, "data": data})
        await self.socket.send(Frame(message={"data": text}).SerializeToString())

    async def ready(self, library: str = "parley-tests") -> Message:
        """Say that the client is ready; the answer."""
        await self.send("client-ready", {"version": "2.1.0", "about": {"library": library}})
        return self.messages[await self.until("bot-ready")]

    async def speak(self, ms: int = 400, silence_ms: int = 1000, clip: bytes | None = None) -> None:
        """Speech, or this clip at 16 kHz, and then silence, at the pace of a microphone."""
        size = len(SPEECH)
        said = [SPEECH] * (ms // 20)
        if clip is not None:
            said = [clip[at : at + size] for at in range(0, len(clip) - size + 1, size)]
        for audio in said + [SILENCE] * (silence_ms // 20):
            sent = {"name": "audio", "audio": audio, "sample_rate": 16_000, "num_channels": 1}
            await self.socket.send(Frame(audio=sent).SerializeToString())
            await asyncio.sleep(0.02)

    def types(self, since: int = 0) -> list[str]:
        return [message["type"] for message in self.messages[since:]]

    async def closed(self) -> tuple[int | None, str | None]:
        """The close code and reason, once the server has closed."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait([self._reader])
            await self.socket.wait_closed()
        return self.socket.close_code, self.socket.close_reason


@asynccontextmanager
async def rtvi_client(
    port: int, path: str = "/ws-client", **options: Any
) -> AsyncIterator[RtviClient]:
    """A client that has connected, and leaves with the block."""
    async with connect(f"ws://127.0.0.1:{port}{path}", compression=None, **options) as socket:
        yield RtviClient(socket)
