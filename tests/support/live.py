"""The stock Python client of OpenAI's Live API."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI
from openai.resources.live.live import AsyncLiveConnection
from openai.types.live.server_event import ServerEvent
from pydantic import TypeAdapter

from tests.support.event_log import EventLog
from tests.support.gateway import PATIENCE_S
from tests.support.realtime import RATE_HZ, RealtimeGateway, pcm

SERVER_EVENT: TypeAdapter[Any] = TypeAdapter(ServerEvent)
DELTA = "session.output_audio.delta"


class LiveTalk(EventLog):
    """One connection of the stock client."""

    def __init__(self, connection: AsyncLiveConnection) -> None:
        super().__init__(connection, SERVER_EVENT, DELTA)
        self.connection = connection
        self.session = connection.session
        self.heard_at: list[tuple[float, int]] = []
        """When audio came, by the loop's clock, and how many bytes."""

    def hear(self, data: bytes) -> None:
        super().hear(data)
        self.heard_at.append((asyncio.get_running_loop().time(), len(data)))

    async def append(self, audio: bytes, piece: int = 9600) -> None:
        for at in range(0, len(audio), piece):
            data = base64.b64encode(audio[at : at + piece]).decode()
            await self.session.input_audio.append(audio=data)

    async def speak_live(self, audio: bytes) -> None:
        """16 bits at 24 kHz, as a microphone sends them."""
        piece = RATE_HZ // 10
        for at in range(0, len(audio), piece):
            await self.append(audio[at : at + piece])
            await asyncio.sleep(piece / 2 / RATE_HZ)

    async def speak(self, ms: int = 400, silence_ms: int = 800) -> None:
        """A turn: speech, and enough silence to end it."""
        await self.append(pcm(ms, silence_ms))

    async def write(self, text: str) -> None:
        """A typed turn."""
        content: Any = [{"type": "input_text", "text": text}]
        item: Any = {"type": "message", "role": "user", "content": content}
        await self.connection.response.item.create(item=item)
        await self.connection.response.create()

    async def quiet(self, seconds: float = 0.4) -> None:
        """Return when a reply has been heard, and no audio has come for a while."""
        await self.until(DELTA)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE_S):
            while (left := self.heard_at[-1][0] + seconds - loop.time()) > 0:
                await asyncio.sleep(left)
        self.passed = len(self.events)

    def said(self) -> str:
        """What the replies have said, as a client puts it together."""
        return "".join(event["delta"] for event in self.of("session.output_transcript.delta"))

    def understood(self) -> str:
        """The same of the person."""
        return "".join(event["delta"] for event in self.of("session.input_transcript.delta"))


@asynccontextmanager
async def live(
    gateway: RealtimeGateway,
    model: str = "assistant",
    key: str | None = None,
    query: dict[str, str] | None = None,
    **session: Any,
) -> AsyncIterator[LiveTalk]:
    """A connection whose session has started."""
    async with bare(gateway, key, query) as talk:
        config: Any = {"model": model, **session}
        await talk.session.start(session=config)
        await talk.until("session.started")
        yield talk


@asynccontextmanager
async def bare(
    gateway: RealtimeGateway, key: str | None = None, query: dict[str, str] | None = None
) -> AsyncIterator[LiveTalk]:
    """A connection without a session."""
    client: AsyncOpenAI = gateway.client(key)
    asked: Any = query or {}
    async with client:
        async with client.live.connect(extra_query=asked) as connection:
            talk = LiveTalk(connection)
            yield talk
        await talk.reader
