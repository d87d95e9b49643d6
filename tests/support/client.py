"""A client of a live call without a network: the transport in memory, and the far end of it."""

import asyncio
import json
from collections import deque
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal

import numpy as np

from gateway.live.transport import ClientFace, Media, Receiver
from gateway.media.codecs import AudioWriter, reader_of
from gateway.media.format import AudioFormat
from gateway.protocols.dialect import CloseCode, Dialect, WireAudio, WireMessage
from gateway.protocols.request import SessionRequest
from pipeline.frames import ReplyAudio

PATIENCE_S = 120.0
"""Bound of every wait for the gateway."""

SPEECH = (6000 * np.sin(2 * np.pi * np.arange(320) / 80)).astype(np.int16).tobytes()
"""20 ms of 200 Hz."""

SILENCE = bytes(640)

FRAME_S = 0.02


class MemoryTransport:
    """A `gateway.live.transport.Transport` whose far end is a `Client`.

    It holds a client back as TCP does: what is sent while it is paused waits here. `own` is the
    face that it shows by itself.
    """

    kind: Literal["websocket"] = "websocket"

    def __init__(
        self,
        dialect: Dialect,
        client: "Client",
        own: AbstractAsyncContextManager[ClientFace] | None = None,
    ) -> None:
        self.paused = False
        self.agreed: list[SessionRequest] = []
        self.lost = False
        """The line broke off."""
        self.cleared = 0
        """How often `clear` was called."""
        self._dialect = dialect
        self._client = client
        self._own = own
        self._receiver: Receiver[bytes] | None = None
        self._arriving: deque[str | bytes] = deque()
        self._taken = asyncio.Event()
        self._gone = asyncio.Event()
        self._writer = AudioWriter(AudioFormat())

    # --- for the connection ------------------------------------------------------------------

    @property
    def open(self) -> bool:
        return not self._gone.is_set()

    @property
    def unsent(self) -> int:
        return self._client.unread_bytes

    def agree(self, request: SessionRequest) -> Media[bytes]:
        self.agreed.append(request)
        self._writer = AudioWriter(request.audio_out)
        return Media(
            reader_of(request.audio_in),
            _told(request.audio_in),
            _told(request.audio_out),
            request.audio_out.rate_hz,
        )

    def attach(self, receiver: Receiver[bytes]) -> None:
        self._receiver = receiver
        self._hand_over()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        asyncio.get_running_loop().call_soon(self._hand_over)

    def send(self, message: WireMessage) -> None:
        if self.open:
            self._client.receive(message)

    def play(self, frame: ReplyAudio) -> None:
        data = self._writer.write(frame)
        messages = self._dialect.audio(frame, data)
        for message in [data] if messages is None else messages:
            if self.open:
                self._client.receive(message)

    def clear(self) -> None:
        self.cleared += 1
        self._writer.clear()

    def face(self, request: SessionRequest) -> AbstractAsyncContextManager[ClientFace] | None:
        return self._own

    def drop(self, reason: str) -> None:
        if self.open:
            self._client.end(CloseCode.POLICY, reason)
            self.hang_up()

    async def gone(self) -> bool:
        await self._gone.wait()
        return self.lost

    # --- for the client ----------------------------------------------------------------------

    def arrive(self, message: str | bytes) -> None:
        """A message reaches the gateway, or waits until it takes it."""
        self._arriving.append(message)
        self._hand_over()

    def arrive_together(self, messages: list[bytes]) -> None:
        """Messages reach the gateway in one read, which a pause does not cut."""
        assert self._receiver is not None
        assert not self._arriving
        for message in messages:
            self._receiver.on_audio(message)

    async def taken(self) -> None:
        """Return when everything that was sent has been taken, or the client has gone."""
        while self._arriving and self.open:
            self._taken.clear()
            await self._taken.wait()

    def hang_up(self) -> None:
        """The client has gone, or the gateway has closed."""
        self._gone.set()
        self._taken.set()

    def _hand_over(self) -> None:
        while self._receiver is not None and self._arriving and not self.paused:
            message = self._arriving.popleft()
            if isinstance(message, bytes):
                self._receiver.on_audio(message)
            else:
                self._receiver.on_text(message.encode())
        if not self._arriving:
            self._taken.set()


def _told(audio: AudioFormat) -> WireAudio:
    return WireAudio(audio.encoding, audio.rate_hz, audio.channels)


class Client:
    """Collects what the gateway says, and speaks in frames."""

    def __init__(
        self, dialect: Dialect, own: AbstractAsyncContextManager[ClientFace] | None = None
    ) -> None:
        self.transport = MemoryTransport(dialect, self, own)
        self.messages: list[dict[str, Any]] = []
        self.packets: list[bytes] = []
        """Binary messages."""
        self.times_s: list[float] = []
        """When each of `messages` came, by the loop's clock."""
        self._unread: list[str | bytes] | None = None
        self._end: tuple[CloseCode, str] | None = None
        self._more = asyncio.Event()

    # --- what it gets ------------------------------------------------------------------------

    def receive(self, message: str | bytes) -> None:
        if self._unread is not None:
            self._unread.append(message)
        elif isinstance(message, bytes):
            self.packets.append(message)
        else:
            self.messages.append(json.loads(message))
            self.times_s.append(asyncio.get_running_loop().time())
        self._more.set()

    def end(self, code: CloseCode, reason: str) -> None:
        """The gateway closes."""
        self._end = (code, reason)
        self._more.set()
        self.transport.hang_up()

    @property
    def audio(self) -> bytes:
        return b"".join(self.packets)

    @property
    def unread_bytes(self) -> int:
        return sum(map(len, self._unread or ()))

    def stop_reading(self) -> None:
        """What comes from here on stays with the gateway, until `read`."""
        self._unread = []

    def read(self) -> None:
        unread, self._unread = self._unread or [], None
        for message in unread:
            self.receive(message)

    def found(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """The messages of a type with these fields."""
        return [
            message
            for message in self.messages
            if message["type"] == kind and fields.items() <= message.items()
        ]

    async def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The first message of a type with these fields, once it is there."""
        async with asyncio.timeout(PATIENCE_S):
            while not (found := self.found(kind, **fields)):
                assert self._end is None, f"closed before {kind} {fields}: {self.messages}"
                await self._something()
        return found[0]

    async def until_audio(self, packets: int) -> None:
        """Return when so many binary messages have come."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.packets) < packets:
                assert self._end is None, f"closed before its audio: {self.messages}"
                await self._something()

    async def closed(self) -> tuple[CloseCode, str]:
        """The close code and reason, once the gateway has closed."""
        async with asyncio.timeout(PATIENCE_S):
            while self._end is None:
                await self._something()
        return self._end

    async def _something(self) -> None:
        self._more.clear()
        await self._more.wait()

    def when(self, kind: str, **fields: Any) -> float:
        """The time, to the millisecond, at which the first such message came."""
        index = self.messages.index(self.found(kind, **fields)[0])
        return round(self.times_s[index], 3)

    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    # --- what it sends -----------------------------------------------------------------------

    async def send(self, *messages: str | bytes) -> None:
        """Send messages, as fast as the gateway takes them."""
        for message in messages:
            self.transport.arrive(message)
            await self.transport.taken()

    async def say(self, **message: Any) -> None:
        await self.send(json.dumps(message))

    async def speak(self, ms: int = 400, silence_ms: int = 1000) -> None:
        """Speech and then silence, as fast as the gateway takes them."""
        await self.send(*spoken(ms, silence_ms))

    async def speak_live(self, ms: int = 400, silence_ms: int = 1000) -> None:
        """Speech and then silence, in real time; each frame comes when it has been spoken."""
        for frame in spoken(ms, silence_ms):
            await asyncio.sleep(FRAME_S)
            await self.send(frame)

    def burst(self, *messages: bytes) -> None:
        """Audio that reaches the gateway in one read."""
        self.transport.arrive_together(list(messages))

    def leave(self) -> None:
        """Go without a word."""
        self.transport.hang_up()

    def lose(self) -> None:
        """Lose the line."""
        self.transport.lost = True
        self.transport.hang_up()


def spoken(ms: int, silence_ms: int) -> list[bytes]:
    """Frames of speech and then of silence."""
    return [SPEECH] * (ms // 20) + [SILENCE] * (silence_ms // 20)
