"""One paced client session: it sends the microphone without a pause and notes when things arrive.

It speaks Parley's own WebSocket dialect (docs/protocol.md) through the public `websockets` client,
as any client would; it shares no code with the gateway. All times are seconds of the
monotonic clock: uvloop's own counts whole milliseconds.
"""

import asyncio
import json
import time
from array import array
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from benchmarks.speech import FRAME_BYTES, FRAME_MS
from benchmarks.timing import deciding_frame

SILENCE = bytes(FRAME_BYTES)
SILENCE_MS = 800
"""The endpointing silence that the client asks for, so that it knows when a decision is
possible."""
CONNECT_TIMEOUT_S = 10.0
READY_TIMEOUT_S = 10.0
ABNORMAL = 1006
"""The close code of a connection that broke off (RFC 6455, 7.1.5)."""


class CallEnded(Exception):
    """The connection closed; `code` is the WebSocket close code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the server closed the call with {code}")
        self.code = code


class CallRefused(ConnectionRefusedError):
    """The server did not accept the call; `status` is that of its HTTP answer, 0 without one."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


@dataclass(slots=True)
class Turn:
    """One turn as the client saw it."""

    turn: int
    started_at: float | None = None
    stopped_at: float | None = None
    """When `speech.stopped` came: the end-of-turn decision as a client sees it."""
    ready_at: float | None = None
    """When the client sent the frame that made the decision possible."""
    ended_at: float | None = None
    """When the client sent the last frame in which the server heard speech."""
    arrivals: "array[float]" = field(default_factory=lambda: array("d"))
    positions_ms: "array[float]" = field(default_factory=lambda: array("d"))
    reply_ms: float = 0.0
    clear_at: float | None = None
    frames_after_clear: int = 0
    done_at: float | None = None
    interrupted: bool = False
    transcript: str | None = None
    """The final transcript."""
    partials: int = 0
    """How many partial transcripts came."""
    recogniser: str | None = None
    """The provider of the final transcript, as the turn's metrics name it."""

    @property
    def first_at(self) -> float | None:
        return self.arrivals[0] if self.arrivals else None

    @property
    def last_at(self) -> float | None:
        return self.arrivals[-1] if self.arrivals else None


class Caller:
    """One session. Made by `call`."""

    def __init__(self, socket: ClientConnection, silence_ms: int = SILENCE_MS) -> None:
        self._silence_ms = silence_ms
        self.turns: dict[int, Turn] = {}
        self.sent_at = array("d")
        """When each 20 ms frame of input audio was handed to the socket."""
        self.lag_s = array("d")
        """The delay of each frame behind the schedule."""
        self.ready: dict[str, Any] | None = None
        self.interview: dict[str, Any] = {}
        self.faults: list[dict[str, Any]] = []
        self._socket = socket
        self._speech: deque[bytes] = deque()
        self._replying: Turn | None = None
        self._bytes_per_ms = 32.0
        self._news = asyncio.Event()
        self._closed: int | None = None

    # --- for scripts -------------------------------------------------------------------------

    def say(self, frames: Iterable[bytes]) -> int:
        """Play frames after what is already queued; returns the index of the first one."""
        first = len(self.sent_at) + len(self._speech)
        self._speech.extend(frames)
        return first

    @property
    def speaking(self) -> bool:
        """Whether queued speech is left to play."""
        return bool(self._speech)

    @property
    def newest(self) -> int:
        """The newest turn in the server's messages; -1 before the first."""
        return max(self.turns, default=-1)

    async def send(self, message: dict[str, Any]) -> None:
        """Send a text message. Raises `CallEnded`."""
        try:
            await self._socket.send(json.dumps(message))
        except ConnectionClosed as error:
            raise CallEnded(_close_code(error)) from error

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for news until `condition` holds; False when time ran out. Raises `CallEnded`."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    if self._closed is not None:
                        raise CallEnded(self._closed)
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    # --- sending and receiving ---------------------------------------------------------------

    async def microphone(self) -> None:
        """Send a frame every 20 ms on an absolute schedule, for as long as the call lasts."""
        clock = time.monotonic
        start = clock()
        while True:
            due = start + len(self.sent_at) * FRAME_MS / 1000
            if (wait_s := due - clock()) > 0:
                await asyncio.sleep(wait_s)
            now = clock()
            self.lag_s.append(max(0.0, now - due))
            self.sent_at.append(now)
            frame = SILENCE
            if self._speech:
                frame = self._speech.popleft()
                if not self._speech:
                    self._news.set()
            try:
                await self._socket.send(frame)
            except ConnectionClosed:
                return

    async def listen(self) -> None:
        """Record every message until the connection closes."""
        clock = time.monotonic
        try:
            async for message in self._socket:
                now = clock()
                if isinstance(message, bytes):
                    self._hear(message, now)
                else:
                    self._note(json.loads(message), now)
                    self._news.set()
            self._closed = self._socket.close_code or 1000
        except ConnectionClosed as error:
            self._closed = _close_code(error)
        finally:
            self._closed = self._closed or ABNORMAL
            self._news.set()

    def _hear(self, audio: bytes, now: float) -> None:
        turn = self._replying
        if turn is None:
            self.faults.append({"type": "error", "code": "client.audio_without_reply"})
            return
        if turn.clear_at is not None:
            turn.frames_after_clear += 1
        if not turn.arrivals:
            self._news.set()
        turn.arrivals.append(now)
        turn.positions_ms.append(turn.reply_ms)
        turn.reply_ms += len(audio) / self._bytes_per_ms

    def _turn(self, number: int) -> Turn:
        return self.turns.setdefault(number, Turn(number))

    def _note(self, message: dict[str, Any], now: float) -> None:
        match message["type"]:
            case "ready":
                self.ready = message
                self._bytes_per_ms = message["audio_out"]["rate"] * 2 / 1000
            case "speech.started":
                self._turn(message["turn"]).started_at = now
            case "speech.stopped":
                self._stopped(self._turn(message["turn"]), message["at_ms"], now)
            case "transcript":
                if message["final"]:
                    self._turn(message["turn"]).transcript = message["text"]
                else:
                    self._turn(message["turn"]).partials += 1
            case "reply.started":
                self._replying = self._turn(message["turn"])
            case "clear":
                self._turn(message["turn"]).clear_at = now
            case "reply.done":
                turn = self._turn(message["turn"])
                turn.done_at = now
                turn.interrupted = message["interrupted"]
            case "turn.metrics":
                turn = self._turn(message["turn"])
                named = (s["provider"] for s in message["stages"] if s["stage"] == "stt")
                turn.recogniser = next(named, None)
            case "interview":
                self.interview = message
            case "error" | "degraded":
                self.faults.append(message)

    def _stopped(self, turn: Turn, at_ms: int, now: float) -> None:
        turn.stopped_at = now
        turn.ready_at = self._sent_at(deciding_frame(at_ms, self._silence_ms))
        turn.ended_at = self._sent_at(max(0, at_ms - 1) // FRAME_MS)

    def _sent_at(self, frame: int) -> float | None:
        return self.sent_at[frame] if frame < len(self.sent_at) else None


def _close_code(error: ConnectionClosed) -> int:
    return error.rcvd.code if error.rcvd is not None else ABNORMAL


@asynccontextmanager
async def call(url: str, silence_ms: int = SILENCE_MS, **hello: Any) -> AsyncIterator[Caller]:
    """A session at `url` after the greeting; `hello` has further fields of the first message.

    `silence_ms` is the endpointing silence that it asks for.

    Raises `OSError` or `TimeoutError` where there is no connection, `CallRefused`, which is one of
    them, where the server refuses it, `CallEnded` where it closes before it is ready.
    """
    connection = connect(
        url,
        compression=None,
        open_timeout=CONNECT_TIMEOUT_S,
        ping_interval=None,
        max_queue=None,
        proxy=None,
    )
    try:
        socket = await connection
    except InvalidHandshake as error:
        status = error.response.status_code if isinstance(error, InvalidStatus) else 0
        raise CallRefused(status, str(error)) from error
    caller = Caller(socket, silence_ms)
    running = [asyncio.create_task(caller.listen())]
    try:
        turn_detection = {"mode": "auto", "silence_ms": silence_ms, "adaptive": False}
        await caller.send(
            {"type": "hello", "version": 1, "turn_detection": turn_detection, **hello}
        )
        if not await caller.until(lambda: caller.ready is not None, READY_TIMEOUT_S):
            raise TimeoutError("the server did not become ready")
        running.append(asyncio.create_task(caller.microphone()))
        yield caller
    finally:
        for task in running:
            task.cancel()
        ends = await asyncio.gather(*running, return_exceptions=True)
        await socket.close()
    for end in ends:
        if isinstance(end, Exception):
            raise end
