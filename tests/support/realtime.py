"""The stock Python client of OpenAI's Realtime API, and a gateway whose chat model is a peer's."""

import asyncio
import base64
import itertools
import wave
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime.realtime_server_event import RealtimeServerEvent
from pydantic import TypeAdapter

from stages.llm.openai import OpenAIResponder
from tests.support.event_log import Event, EventLog
from tests.support.paths import ROOT
from tests.support.peers import Peer
from tests.support.webrtc import Doorway

SERVER_EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
RATE_HZ = 24_000
Story = Callable[[], Coroutine[Any, Any, None]]

_names = itertools.count(1)

WEATHER: Event = {
    "type": "function",
    "name": "weather",
    "description": "The weather at a place.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
}


def pcm(speech_ms: int, silence_ms: int = 0, rate_hz: int = RATE_HZ) -> bytes:
    """A tone that the detector takes for speech, and silence after it: 16 bits, mono."""
    time_s = np.arange(speech_ms * rate_hz // 1000) / rate_hz
    tone = (6000 * np.sin(2 * np.pi * 200 * time_s)).astype("<i2").tobytes()
    return tone + bytes(silence_ms * rate_hz // 1000 * 2)


def clip(seconds: int, silence_ms: int = 0, rate_hz: int = RATE_HZ) -> bytes:
    """The beginning of a fixture's speech, and silence after it: 16 bits, mono."""
    with wave.open(str(ROOT / "fixtures/audio/software-engineer-1.wav")) as file:
        assert file.getnchannels() == 1
        own_hz = file.getframerate()
        samples = np.frombuffer(file.readframes(seconds * own_hz), "<i2").astype(np.float64)
    places = np.arange(len(samples) * rate_hz // own_hz) * own_hz / rate_hz
    speech: bytes = np.interp(places, np.arange(len(samples)), samples).astype("<i2").tobytes()
    return speech + pcm(0, silence_ms, rate_hz)


def loudness(audio: bytes) -> int:
    """The highest sample of 16 bits."""
    return int(np.abs(np.frombuffer(audio, "<i2").astype(np.int32)).max(initial=0))


def server_vad(**fields: Any) -> Event:
    """A session that ends turns after 200 ms of silence and shows what it understood."""
    detection = {"type": "server_vad", "silence_duration_ms": 200, **fields}
    audio = {"input": {"turn_detection": detection, "transcription": {"model": "whisper-1"}}}
    return {"type": "realtime", "audio": audio}


def manual() -> Event:
    """A session whose client ends the turns."""
    audio = {"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}}
    return {"type": "realtime", "audio": audio}


def text_of(response: Event) -> str:
    """What the one message of a response says."""
    [message] = response["output"]
    [part] = message["content"]
    return str(part.get("transcript", part.get("text")))


class Talk(EventLog):
    """One connection of the stock client."""

    def __init__(self, connection: AsyncRealtimeConnection) -> None:
        super().__init__(connection, SERVER_EVENT, "response.output_audio.delta")
        self.connection = connection

    async def append(self, audio: bytes, piece: int = 9600) -> None:
        for at in range(0, len(audio), piece):
            data = base64.b64encode(audio[at : at + piece]).decode()
            await self.connection.input_audio_buffer.append(audio=data)

    async def speak(self, ms: int = 400, silence_ms: int = 800) -> None:
        """A turn: speech, and enough silence to end it."""
        await self.append(pcm(ms, silence_ms))

    async def speak_live(self, ms: int, silence_ms: int = 800) -> None:
        """The same as a microphone does it: what is sent meanwhile is not behind it."""
        audio = pcm(ms, silence_ms)
        piece = RATE_HZ // 10
        for at in range(0, len(audio), piece):
            await self.append(audio[at : at + piece])
            await asyncio.sleep(piece / 2 / RATE_HZ)

    async def write(self, text: str, role: str = "user") -> None:
        """An item with text."""
        kind = "output_text" if role == "assistant" else "input_text"
        item: Any = {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
        await self.connection.conversation.item.create(item=item)

    async def done(self) -> Event:
        """The next response that is done."""
        response: Event = (await self.until("response.done"))["response"]
        return response


class RealtimeGateway(Doorway):
    """A gateway that stock clients reach. With `chat` the peer answers as that model does."""

    def __init__(self, folder: Path, peer: Peer) -> None:
        super().__init__(folder)
        self.key = "no key"
        self.chat_name = ""
        self._peer = peer

    def chat(self, model: str) -> None:
        """Let the peer's model answer; its requests are known by a name of their own."""
        self.chat_name = f"{model}/realtime-{next(_names)}"
        self.responder = OpenAIResponder(self._peer.url, self.chat_name)

    async def _run(self, story: Story) -> None:
        try:
            await super()._run(story)
        finally:
            await self.responder.aclose()

    def asked(self) -> list[list[Event]]:
        """The messages of every request to the chat model, but for those of the system."""
        requests = self._peer.requests(self.chat_name)
        return [[m for m in asked["messages"] if m["role"] != "system"] for asked in requests]

    def requests(self) -> list[Event]:
        """Every request to the chat model, whole."""
        return self._peer.requests(self.chat_name)

    def client(self, key: str | None = None) -> AsyncOpenAI:
        """The stock client; `client.realtime` is at its base URL."""
        return AsyncOpenAI(
            api_key=key or self.key,
            base_url=f"{self.url}/v1",
            websocket_base_url=f"ws://127.0.0.1:{self.port}/v1",
            max_retries=0,
        )

    @asynccontextmanager
    async def talk(
        self, model: str = "assistant", session: Event | None = None, **options: Any
    ) -> AsyncIterator[Talk]:
        """A connection, with `session` as its first update."""
        key = options.pop("key", None)
        async with self.client(key) as client:
            async with client.realtime.connect(model=model, **options) as connection:
                talk = Talk(connection)
                await talk.until("session.created")
                if session is not None:
                    update: Any = session
                    await connection.session.update(session=update)
                    await talk.until("session.updated")
                yield talk
            await talk.reader  # reads on while the connection closes, or closing would take long

    @asynccontextmanager
    async def sideband(self, call_id: str, key: str | None = None) -> AsyncIterator[Talk]:
        """A sideband of a call."""
        async with self.client(key) as client:
            async with client.realtime.connect(call_id=call_id) as connection:
                talk = Talk(connection)
                yield talk
            await talk.reader
