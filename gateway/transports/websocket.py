"""`/ws/<session_id>`: one spoken interview over one WebSocket, in the native dialect.

`Connection` holds it over any `Carrier`, such as a WebRTC peer.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Protocol

from starlette.responses import PlainTextResponse
from starlette.types import Receive
from starlette.websockets import WebSocket

from gateway.audio import AudioFormat, converter, decode, encode
from gateway.engine import Engine
from gateway.protocols import native
from gateway.protocols.native import ProtocolError
from gateway.security import may_connect
from gateway.sessions import SESSION_ID, SessionTaken
from gateway.transports.inlet import Flooded, Inlet
from gateway.transports.wire import EXTENSION, Receiver, Wire
from pipeline.frames import (
    INPUT_RATE_HZ,
    AvatarState,
    Clear,
    Fault,
    Output,
    ReplyAudio,
    Visemes,
)
from pipeline.session import Session
from stages.interview import InterviewError

logger = logging.getLogger("parley.websocket")

READY_AFTER_S = 1.0
"""`ready` comes this long after connecting where the client sends nothing."""

PATIENCE_WITH_ERRORS = 50
"""So many errors of one client are answered; then it is broken or hostile."""

RETRY_AFTER_S = 5

LONGEST_REASON_BYTES = 123
"""Of a close frame: 125 bytes less the code (RFC 6455, section 5.5)."""


async def websocket_endpoint(websocket: WebSocket) -> None:
    """The endpoint of the route. Needs uvicorn with `gateway.transports.wire.Wire`."""
    engine: Engine = websocket.app.state.engine
    refusal = engine.refusal()
    if refusal is not None:
        headers = {"retry-after": str(RETRY_AFTER_S)}
        await websocket.send_denial_response(PlainTextResponse(refusal, 503, headers))
        return
    origin, host = websocket.headers.get("origin"), websocket.headers.get("host", "")
    if not may_connect(origin, host, engine.settings.cors_origins):
        text = "this page may not connect; PARLEY_CORS_ORIGINS names the pages that may"
        await websocket.send_denial_response(PlainTextResponse(text, 403))
        return
    wire: Wire | None = websocket.scope["extensions"].get(EXTENSION)
    if wire is None:
        raise RuntimeError("serve this application with `parley serve`: it needs its own protocol")
    await websocket.accept()
    session_id = websocket.path_params["session_id"]
    if SESSION_ID.fullmatch(session_id) is None:
        code, reason = native.CLOSE_NO_SESSION, "a session id has 1 to 64 of A-Z a-z 0-9 _ -"
    else:
        with engine.connected():
            code, reason = await Connection(wire, session_id, engine).run(websocket.receive)
    if wire.open:
        await websocket.close(code, reason)


class Carrier(Protocol):
    """What carries messages to the client and, from `attach` on, the client's. Plain calls."""

    @property
    def open(self) -> bool: ...

    def attach(self, receiver: Receiver) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def send_text(self, text: str) -> None: ...

    def send_audio(self, data: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Media:
    """A carrier's own way for audio, whose formats `hello` does not choose.

    `audio_in` and `audio_out` are what is handed over, `encoding` and `rate_hz` what travels.
    `play` takes the reply's audio, and `watch` sees every other frame before it is sent. `flush`
    drops the reply audio that the carrier still holds.
    """

    audio_in: AudioFormat
    audio_out: AudioFormat
    encoding: str
    rate_hz: int
    play: Callable[[ReplyAudio], None]
    watch: Callable[[Output], None]
    flush: Callable[[], None]


class Connection:
    """One client: translates between the wire and a session."""

    def __init__(
        self, wire: Carrier, session_id: str, engine: Engine, media: Media | None = None
    ) -> None:
        self._wire = wire
        self._media = media
        self._session_id = session_id
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._encoder = native.Encoder()
        self._hello = self._agreed(native.Hello())
        self._session: Session | None = None
        self._early: deque[bytes | native.Input] = deque()  # bounded by the inlet's counting
        self._spoke = asyncio.Event()  # the client's first message is here
        self._leaving = asyncio.Event()
        self._close = (native.CLOSE_FINISHED, "")
        self._errors = 0
        self._drain_timer: asyncio.TimerHandle | None = None
        self._listen_to(self._hello.audio_in)

    def _agreed(self, hello: native.Hello) -> native.Hello:
        if self._media is None:
            return hello
        return replace(hello, audio_in=self._media.audio_in, audio_out=self._media.audio_out)

    def _listen_to(self, audio: AudioFormat) -> None:
        self._audio_in = audio
        self._resampler = converter(audio.rate_hz, INPUT_RATE_HZ)
        bytes_per_ms = audio.sample_bytes * audio.rate_hz / 1000
        self._inlet = Inlet(self._feed, self._obey, bytes_per_ms)

    async def run(self, receive: Receive) -> tuple[int, str]:
        """Hold the conversation; returns the close code and reason.

        `receive` says when the client has gone: with a message of type `websocket.disconnect`.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self._watch(receive))
                self._wire.attach(self)
                await self._converse()
                watch.cancel()
        except* Exception as group:
            logger.error("session %s failed", self._session_id, exc_info=group)
            self._fail("internal", "the session failed", native.CLOSE_INTERNAL)
        finally:
            if self._drain_timer is not None:
                self._drain_timer.cancel()
        return self._close

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass  # a message that came before the wire was attached has been delivered
        self._leave()

    def _leave(self) -> None:
        self._inlet.flush()
        self._leaving.set()
        self._spoke.set()
        if self._session is not None:
            self._end(self._session)

    def _dismiss(self) -> None:
        """The session was deleted: nothing more is said in it, or stored of it."""
        self._fail("deleted", "the session was deleted", native.CLOSE_NO_SESSION)

    def _end(self, session: Session) -> None:
        """End it, and let whoever reconnects at once wait for its last words to be stored."""
        self._engine.leaving(self._session_id)
        session.end()

    async def _converse(self) -> None:
        try:
            async with asyncio.timeout(READY_AFTER_S):
                await self._spoke.wait()
        except TimeoutError:
            pass
        if self._leaving.is_set():
            return
        hello = self._hello
        try:
            async with AsyncExitStack() as stack:
                interview = await stack.enter_async_context(
                    self._engine.interview(self._session_id, hello, self._message, self._dismiss)
                )
                journal = stack.enter_context(self._engine.journal(self._session_id))
                session = self._engine.session(interview, hello, self._emit, journal)
                ready = {
                    "version": native.VERSION,
                    "session_id": self._session_id,
                    "audio_in": self._describe(hello.audio_in)
                    | {"channels": hello.audio_in.channels},
                    "audio_out": self._describe(hello.audio_out),
                    "providers": self._engine.providers(hello.avatar),
                    "resume": None,
                    "interview": interview.describe(),
                }
                self._message("ready", ready)
                self._spoke.set()
                # Once `run` has begun, deliver what came before the session stood.
                self._loop.call_soon(self._join, session)
                await session.run()
        except InterviewError as error:
            self._fail("interview", str(error))
        except SessionTaken as error:
            self._fail("already_connected", str(error))

    # --- from the client ---------------------------------------------------------------------

    def on_text(self, data: bytes) -> None:
        """A text message."""
        try:
            self._inlet.count(self._loop.time())
            message = native.parse(data)
            first = not self._spoke.is_set()
            if isinstance(message, native.Hello):
                if not first:
                    raise ProtocolError("unexpected_hello", "hello is the first message or none")
                self._hello = self._agreed(message)
                self._listen_to(self._hello.audio_in)
            elif isinstance(message, native.Text | native.Commit | native.Bye):
                self._inlet.follow(message)
            else:
                self._obey(message)
            self._spoke.set()
        except ProtocolError as error:
            self._complain(error)
        except Flooded as error:
            self._fail("flooding", str(error))

    def on_audio(self, data: bytes) -> None:
        """A binary message. The hot path: no task, no queue."""
        try:
            now = self._loop.time()
            self._inlet.count(now)
            native.check_audio(len(data), self._audio_in)
            self._spoke.set()
            if not data:
                return
            self._inlet.take(data, now)
        except ProtocolError as error:
            self._complain(error)
        except Flooded as error:
            self._fail("flooding", str(error))
        else:
            if self._inlet.waiting and self._drain_timer is None:
                self._wire.pause()
                self._drain_timer = self._loop.call_at(self._inlet.due, self._drain)

    def _drain(self) -> None:
        self._drain_timer = None
        self._inlet.drain(self._loop.time())
        if self._inlet.waiting:
            self._drain_timer = self._loop.call_at(self._inlet.due, self._drain)
        else:
            self._wire.resume()

    def _feed(self, data: bytes) -> None:
        if self._session is None:
            self._early.append(data)
        else:
            self._session.feed(self._resampler.push(decode(data, self._audio_in)))

    def _join(self, session: Session) -> None:
        self._session = session
        early, self._early = self._early, deque()
        for message in early:
            if isinstance(message, bytes):
                self._feed(message)
            else:
                self._obey(message)
        if self._leaving.is_set():
            self._end(session)

    def _obey(self, message: native.Input) -> None:
        session = self._session
        if session is None:
            self._early.append(message)
            return
        match message:
            case native.Text(text):
                session.typed(text)
            case native.Interrupt():
                session.interrupt()
            case native.Commit():
                session.commit()
            case native.Played(turn, ms):
                session.played(turn, ms)
            case native.Ping(t):
                self._message("pong", {"t": t, "now": int(self._loop.time() * 1000)})
            case native.Bye():
                self._leave()

    # --- to the client -----------------------------------------------------------------------

    def _emit(self, frame: Output) -> None:
        media = self._media
        if isinstance(frame, ReplyAudio):
            if media is None:
                self._wire.send_audio(encode(frame.pcm, self._hello.audio_out))
            else:
                media.play(frame)
            return
        if media is not None:
            if isinstance(frame, Clear):
                media.flush()
            media.watch(frame)
        if not (self._hello.avatar == "off" and isinstance(frame, Visemes | AvatarState)):
            self._wire.send_text(self._encoder.frame(frame))

    def _message(self, kind: str, fields: dict[str, Any]) -> None:
        self._wire.send_text(self._encoder.message(kind, fields))

    def _complain(self, error: ProtocolError) -> None:
        self._errors += 1
        if self._errors > PATIENCE_WITH_ERRORS:
            self._fail("flooding", "too many errors")
        elif error.fatal:
            self._fail(error.code, error.message)
        else:
            self._emit(Fault(0, error.code, error.message))

    def _fail(self, code: native.ErrorCode, message: str, close: int = native.CLOSE_POLICY) -> None:
        """Tell the client what is wrong and end the session."""
        if not self._leaving.is_set():
            self._emit(Fault(0, code, message, fatal=True))
            reason = message.encode(errors="replace")[:LONGEST_REASON_BYTES]
            self._close = (close, reason.decode(errors="ignore"))
            self._leave()

    def _describe(self, audio: AudioFormat) -> dict[str, Any]:
        media = self._media
        if media is not None:
            return {"encoding": media.encoding, "rate": media.rate_hz}
        return {"encoding": audio.encoding, "rate": audio.rate_hz}
