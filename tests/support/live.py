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
from websockets.exceptions import ConnectionClosed

from tests.support.gateway import PATIENCE_S
from tests.support.realtime import RATE_HZ, Event, RealtimeGateway, pcm

SERVER_EVENT: TypeAdapter[Any] = TypeAdapter(ServerEvent)
DELTA = "session.output_audio.delta"


class LiveTalk:
    """One connection: it collects the events, each of them checked as the client's types have it.

    `until` finds events in their order: each is found once.
    """

    def __init__(self, connection: AsyncLiveConnection) -> None:
        self.connection = connection
        self.session = connection.session
        self.events: list[Event] = []
        self.audio = bytearray()
        self.heard_at: list[tuple[float, int]] = []
        """When audio came, by the loop's clock, and how many bytes."""
        self.passed = 0
        self.closed: ConnectionClosed | None = None
        self._more = asyncio.Event()
        self.reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while True:
                event = (await self.connection.recv()).to_dict()
                SERVER_EVENT.validate_python(event)
                if event["type"] == DELTA:
                    data = base64.b64decode(str(event["delta"]))
                    self.audio += data
                    self.heard_at.append((asyncio.get_running_loop().time(), len(data)))
                self.events.append(event)
                self._more.set()
        except ConnectionClosed as closed:
            self.closed = closed
        finally:
            self._more.set()

    async def send(self, kind: str, **fields: Any) -> None:
        """An event as it is given, right or wrong."""
        event: Any = {"type": kind, **fields}
        await self.connection.send(event)

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

    async def until(self, kind: str, **fields: Any) -> Event:
        """The next event of a type with these fields, once it is there."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for index in range(self.passed, len(self.events)):
                    event = self.events[index]
                    if event["type"] == kind and fields.items() <= event.items():
                        self.passed = index + 1
                        return event
                assert not self.reader.done(), (kind, self.types(), self.events[-1:])
                self._more.clear()
                await self._more.wait()

    async def quiet(self, seconds: float = 0.4) -> None:
        """Return when a reply has been heard, and no audio has come for a while."""
        await self.until(DELTA)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE_S):
            while (left := self.heard_at[-1][0] + seconds - loop.time()) > 0:
                await asyncio.sleep(left)
        self.passed = len(self.events)

    async def refused(self, code: str) -> Event:
        """The error object of the next error, which has this code."""
        error: Event = (await self.until("error"))["error"]
        assert error["code"] == code, error
        return error

    async def ended(self) -> tuple[int | None, str | None]:
        """Close code and reason, once the server has closed."""
        async with asyncio.timeout(PATIENCE_S):
            await self.reader
        assert self.closed is not None
        assert self.closed.rcvd is not None
        return self.closed.rcvd.code, self.closed.rcvd.reason

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]

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
