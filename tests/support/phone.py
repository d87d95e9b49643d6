"""Twilio's end of a Media Stream, and the caller's telephone behind it."""

import asyncio
import base64
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gateway.media.g711 import CODES
from tests.support.client import SPEECH

FRAME_S = 0.02
STREAM = "MZ18ad3ab5a668481ce02b83e7395059f0"
CALL = "CA0123456789abcdef0123456789abcdef"


def mulaw(pcm: bytes, step: int = 1) -> bytes:
    """Samples of 16 bits as mu-law, every `step`th of them."""
    samples = np.frombuffer(pcm, "<i2")[::step].astype(np.int32)
    return CODES["mulaw"][samples + 32768].tobytes()


LOUD, QUIET = mulaw(SPEECH, 2), b"\xff" * 160
"""20 ms of 200 Hz, and of silence."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Audio that the telephone has been sent; it is played from `at` to `end` (loop time)."""

    at: float
    end: float
    data: bytes


class Telephone:
    """Plays what it is sent, in its order and at its own time, and returns marks as Twilio does.

    The first audio into a silence is heard `delay_s` later, and all of it `slowness` times as long
    as it lasts. `send` takes the messages to the gateway.
    """

    def __init__(
        self, send: Callable[[str], None], *, delay_s: float = 0.0, slowness: float = 1.0
    ) -> None:
        self.send = send
        self.delay_s = delay_s
        self.slowness = slowness
        self.events: list[dict[str, Any]] = []
        """Every message of the gateway."""
        self.times_s: list[float] = []
        self.played: list[Piece] = []
        self.clears = 0
        self.more = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._free_at = 0.0
        self._marks: deque[tuple[str, asyncio.TimerHandle]] = deque()
        self._sequence = 0

    # --- to the gateway ----------------------------------------------------------------------

    def connected(self) -> None:
        self.send('{"event":"connected","protocol":"Call","version":"1.0.0"}')

    def start(self, call: str = CALL, **parameters: str) -> None:
        """Begin the stream; `parameters` are those of the TwiML."""
        inside = {
            "accountSid": "AC0123456789abcdef0123456789abcdef",
            "streamSid": STREAM,
            "callSid": call,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        }
        self.tell("start", start=inside)

    def media(self, data: bytes) -> None:
        payload = base64.b64encode(data).decode()
        about = {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": payload}
        self.tell("media", media=about)

    def press(self, digit: str) -> None:
        self.tell("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    def stop(self) -> None:
        self.tell("stop", stop={"accountSid": "AC", "callSid": CALL})

    def tell(self, event: str, **fields: Any) -> None:
        self._sequence += 1
        about = {"sequenceNumber": str(self._sequence), "streamSid": STREAM}
        self.send(json.dumps({"event": event, **about, **fields}))

    # --- from the gateway --------------------------------------------------------------------

    def receive(self, message: str) -> None:
        event, now = json.loads(message), self._loop.time()
        self.events.append(event)
        self.times_s.append(now)
        assert event["streamSid"] == STREAM
        match event["event"]:
            case "media":
                self._play(base64.b64decode(event["media"]["payload"], validate=True), now)
            case "mark":
                name = event["mark"]["name"]
                timer = self._loop.call_at(max(now, self._free_at), self._returned)
                self._marks.append((name, timer))
            case "clear":
                self._clear(now)
            case other:
                raise AssertionError(other)
        self.more.set()

    def _play(self, data: bytes, now: float) -> None:
        at = self._free_at if self._free_at > now else now + self.delay_s
        self._free_at = at + len(data) / 8000 * self.slowness
        self.played.append(Piece(at, self._free_at, data))

    def _returned(self) -> None:
        name, _ = self._marks.popleft()
        self.tell("mark", mark={"name": name})

    def _clear(self, now: float) -> None:
        self.clears += 1
        self.played = [piece for piece in self.played if piece.at < now]
        self._free_at = min(self._free_at, now)
        flushed, self._marks = self._marks, deque()
        for name, timer in flushed:
            timer.cancel()
            self.tell("mark", mark={"name": name})

    def hang_up(self) -> None:
        """Play nothing more."""
        for _, timer in self._marks:
            timer.cancel()
        self._marks.clear()

    # --- what was heard ----------------------------------------------------------------------

    def kinds(self, start: int = 0) -> list[str]:
        return [event["event"] for event in self.events[start:]]

    def turns_after_clears(self) -> list[tuple[int, int]]:
        """Of each `clear`: the turn of the last mark before it, and of the first one after it.

        The gateway sends a mark behind the first frame of each stretch of a reply.
        """
        found, last, cleared = [], -1, False
        for event in self.events:
            if event["event"] == "clear":
                cleared = True
            elif event["event"] == "mark":
                turn = int(event["mark"]["name"].partition(":")[0])
                if cleared:
                    found.append((last, turn))
                last, cleared = turn, False
        return found

    def loud_s(self) -> float:
        """How long something was heard that is no silence."""
        now = self._loop.time()
        heard = [piece for piece in self.played if piece.at < now]
        quiet = {CODES["mulaw"][32768], CODES["mulaw"][32767]}
        return sum(piece.end - piece.at for piece in heard if not set(piece.data) <= quiet)


class PhoneCall(Telephone):
    """A call over a WebSocket, whose microphone never stops: it sends silence between words."""

    def __init__(self, socket: ClientConnection, **options: Any) -> None:
        self._out: asyncio.Queue[str] = asyncio.Queue()
        super().__init__(self._out.put_nowait, **options)
        self.socket = socket
        self.closed = asyncio.Event()
        self._words: deque[bytes] = deque()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            others = [tasks.create_task(self._write()), tasks.create_task(self._speak())]
            try:
                async for message in self.socket:
                    assert isinstance(message, str)
                    self.receive(message)
            except ConnectionClosed:
                pass
            finally:
                self.closed.set()
                self.more.set()
                for other in others:
                    other.cancel()

    async def _write(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self.socket.send(await self._out.get())

    async def _speak(self) -> None:
        due = self._loop.time()
        while True:
            self.media(self._words.popleft() if self._words else QUIET)
            due += FRAME_S
            await asyncio.sleep(max(0.0, due - self._loop.time()))

    def say(self, sound: bytes) -> None:
        """Speak mu-law into the microphone."""
        self._words.extend(sound[at : at + 160] for at in range(0, len(sound), 160))

    async def until(self, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                assert not self.closed.is_set(), (self.kinds()[-5:], self.socket.close_reason)
                self.more.clear()
                await self.more.wait()

    async def quiet(self, for_s: float = 0.6) -> None:
        """Return when all that was sent has been played, and nothing has come for a while."""
        async with asyncio.timeout(60):
            while True:
                at = self._loop.time()
                if self.times_s and at - max(self.times_s[-1], self._free_at) > for_s:
                    return
                assert not self.closed.is_set(), (self.kinds()[-5:], self.socket.close_reason)
                await asyncio.sleep(0.05)

    async def ended(self) -> tuple[int | None, str | None]:
        """The close code and reason, once the gateway has closed."""
        async with asyncio.timeout(60):
            await self.closed.wait()
            await self.socket.wait_closed()
        return self.socket.close_code, self.socket.close_reason


@asynccontextmanager
async def phone_call(
    url: str, parameters: dict[str, str] | None = None, *, begin: bool = True, **options: Any
) -> AsyncIterator[PhoneCall]:
    """A call at the stream's `url`, which ends with the block as when the caller hangs up."""
    async with connect(url, compression=None, proxy=None) as socket:
        call = PhoneCall(socket, **options)
        if begin:
            call.connected()
            call.start(url.rpartition("/")[2], **(parameters or {}))
        running = asyncio.create_task(call.run())
        try:
            yield call
            if not call.closed.is_set():
                call.stop()
                await asyncio.sleep(0.05)
        finally:
            call.hang_up()
            await socket.close()
            await running
