"""`/ws/<session_id>`: one spoken interview over one WebSocket, in the native dialect.

`Connection` holds it over any `Transport`, such as a WebRTC peer.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from starlette.responses import PlainTextResponse
from starlette.types import Receive
from starlette.websockets import WebSocket

from gateway.faces.service import NOT_DRAWN
from gateway.faces.stream import FaceStream
from gateway.interviews.sessions import SESSION_ID, SessionTaken
from gateway.live.ingress import Flooded, IngressPacer
from gateway.media import opus_packets as opus
from gateway.media.codecs import AudioPacker, AudioUnpacker
from gateway.media.format import AudioFormat
from gateway.protocols.native import messages as native
from gateway.protocols.native.messages import ProtocolError
from gateway.runtime import Runtime
from gateway.security import may_connect
from gateway.transports.websocket.protocol import EXTENSION, Receiver, WebSocketProtocol
from pipeline.frames import (
    AvatarState,
    Clear,
    Degraded,
    Fault,
    Output,
    ReplyAudio,
    Spoken,
    Visemes,
)
from pipeline.session import Session
from stages.interview import InterviewError

logger = logging.getLogger("parley.websocket")

SpeechTap = Callable[[Spoken], None]
"""Hears the reply's speech before it is played."""

READY_AFTER_S = 1.0
"""`ready` comes this long after connecting where the client sends nothing."""

PATIENCE_WITH_ERRORS = 50
"""So many errors of one client are answered; then it is broken or hostile."""

RETRY_AFTER_S = 5

MOST_UNSENT_BYTES = 32 * 1024
"""A client that is so far behind gets no pictures: audio is never to wait behind more than some of
them. The first 200 ms of a reply, with theirs, take about as much."""

LONGEST_REASON_BYTES = 123
"""Of a close frame: 125 bytes less the code (RFC 6455, section 5.5)."""


async def websocket_endpoint(websocket: WebSocket) -> None:
    """The endpoint of the route. Needs uvicorn with the `WebSocketProtocol` protocol class."""
    engine: Runtime = websocket.app.state.engine
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
    wire: WebSocketProtocol | None = websocket.scope["extensions"].get(EXTENSION)
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


class Transport(Protocol):
    """What carries messages to the client and, from `attach` on, the client's. Plain calls."""

    @property
    def open(self) -> bool: ...

    @property
    def unsent(self) -> int: ...

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
    drops the reply audio that the carrier still holds. `greet` hears the client's `hello`, or the
    defaults in its place, once the session stands, and raises `ProtocolError` for what cannot be.
    `face` draws the face where the carrier shows it, and `animate` has it drawn elsewhere while the
    session lasts: what it gives, if anything, hears the reply's speech before it is played.
    """

    audio_in: AudioFormat
    audio_out: AudioFormat
    encoding: str
    rate_hz: int
    play: Callable[[ReplyAudio], None]
    watch: Callable[[Output], None]
    flush: Callable[[], None]
    greet: Callable[[native.Hello], None]
    animate: Callable[[native.Hello], AbstractAsyncContextManager[SpeechTap | None]]
    face: str | None = None


class Connection:
    """One client: translates between the wire and a session."""

    def __init__(
        self, wire: Transport, session_id: str, engine: Runtime, media: Media | None = None
    ) -> None:
        self._wire = wire
        self._media = media
        self._session_id = session_id
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._encoder = native.NativeEncoder()
        self._hello = self._agreed(native.Hello())
        self._session: Session | None = None
        self._portrait: FaceStream | None = None
        self._early: deque[bytes | native.Input] = deque()  # bounded by the inlet's counting
        self._spoke = asyncio.Event()  # the client's first message is here, or waited for no more
        self._leaving = asyncio.Event()
        self._close = (native.CLOSE_FINISHED, "")
        self._errors = 0
        self._drain_timer: asyncio.TimerHandle | None = None
        self._talk_in(self._hello)

    def _agreed(self, hello: native.Hello) -> native.Hello:
        if self._media is None:
            return hello
        return replace(hello, audio_in=self._media.audio_in, audio_out=self._media.audio_out)

    def _talk_in(self, hello: native.Hello) -> None:
        self._hello = hello
        self._unpacker = AudioUnpacker(hello.audio_in)
        self._packer = AudioPacker(hello.audio_out)
        self._inlet = IngressPacer(self._feed, self._obey)

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
            self._stop_draining()
            self._wire.resume()  # for the closing handshake
        return self._close

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass  # a message that came before the wire was attached has been delivered
        self._leave()

    def _leave(self) -> None:
        """Whatever comes from here on is not looked at; what waits is the session's to take."""
        self._stop_draining()
        self._wire.pause()
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
        session.end(map(self._unpacker.unpack, self._inlet.rest()))

    async def _converse(self) -> None:
        try:
            async with asyncio.timeout(READY_AFTER_S):
                await self._spoke.wait()
        except TimeoutError:
            self._spoke.set()  # what was not said by now holds as the defaults say
        if self._leaving.is_set():
            return
        hello = self._hello
        try:
            async with AsyncExitStack() as stack:
                interview = await stack.enter_async_context(
                    self._engine.interview(self._session_id, hello, self._message, self._dismiss)
                )
                journal = stack.enter_context(self._engine.journal(self._session_id))
                self._portrait = await stack.enter_async_context(self._portrayed(hello))
                overheard: SpeechTap | None = None
                if self._portrait is not None:
                    overheard = self._portrait.hear
                if self._media is not None:
                    overheard = await stack.enter_async_context(self._media.animate(hello))
                session = self._engine.session(interview, hello, self._emit, journal, overheard)
                ready = {
                    "version": native.VERSION,
                    "session_id": self._session_id,
                    "audio_in": self._describe(hello.audio_in)
                    | {"channels": hello.audio_in.channels},
                    "audio_out": self._describe(hello.audio_out),
                    "providers": self._engine.providers(self._face(hello)),
                    "resume": None,
                    "interview": interview.describe(),
                }
                self._message("ready", ready)
                self._greet(hello)
                # Once `run` has begun, deliver what came before the session stood.
                self._loop.call_soon(self._join, session)
                await session.run()
        except InterviewError as error:
            self._fail("interview", str(error))
        except SessionTaken as error:
            self._fail("already_connected", str(error))

    def _greet(self, hello: native.Hello) -> None:
        if self._media is not None:
            try:
                self._media.greet(hello)
            except ProtocolError as error:
                self._complain(error)
        elif self._portrait is not None:
            self._portrait.start()
            self._check_face(hello.face)
        elif hello.avatar == "frames":
            self._emit(Degraded(0, "avatar", "frames", "visemes", NOT_DRAWN))

    def _face(self, hello: native.Hello) -> str:
        """Who draws the face."""
        if self._media is not None and self._media.face is not None:
            return self._media.face
        if hello.avatar == "frames":
            return "visemes" if self._portrait is None else self._engine.gallery().provider
        return hello.avatar

    def _check_face(self, wanted: str | None) -> None:
        gallery = self._engine.gallery()
        if wanted is not None and wanted not in gallery.faces:
            known = ", ".join(gallery.faces)
            text = f"face: {wanted[:40]!r} is not one of {known}; {gallery.default} is shown"
            self._complain(ProtocolError("unknown_face", text))

    @asynccontextmanager
    async def _portrayed(self, hello: native.Hello) -> AsyncIterator[FaceStream | None]:
        """The pictures for a client that wants them; over WebRTC the face travels as video."""
        if hello.avatar != "frames" or self._media is not None:
            yield None
            return
        portrait = self._engine.gallery().portrait(
            hello.face,
            session_id=self._session_id,
            rate_hz=hello.audio_out.rate_hz,
            show=lambda frame: self._wire.send_text(self._encoder.picture(frame)),
            degraded=self._emit,
            room=lambda: self._wire.unsent < MOST_UNSENT_BYTES,
        )
        async with portrait as portrayed:
            yield portrayed

    # --- from the client ---------------------------------------------------------------------

    def on_text(self, data: bytes) -> None:
        """A text message."""
        if self._leaving.is_set():
            return
        try:
            self._inlet.count(self._loop.time())
            message = native.parse(data)
            first = not self._spoke.is_set()
            if isinstance(message, native.Hello):
                if not first:
                    raise ProtocolError("unexpected_hello", "hello is the first message or none")
                self._talk_in(self._agreed(message))
            elif isinstance(message, native.TypedText | native.CommitTurn | native.Bye):
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
        if self._leaving.is_set():
            return
        try:
            duration_ms = native.check_audio(data, self._hello.audio_in)
        except ProtocolError as error:
            self._complain(error)
            if error.code == "bad_packet":  # something of its length takes its place
                self._hear(opus.LOST, opus.PACKET_MS)
        else:
            self._hear(data, duration_ms)

    def _hear(self, data: bytes, duration_ms: float) -> None:
        now = self._loop.time()
        try:
            self._inlet.count(now, duration_ms)
            self._spoke.set()
            if data:
                self._inlet.take(data, duration_ms, now)
        except Flooded as error:
            self._fail("flooding", str(error))
        else:
            if self._inlet.waiting and self._drain_timer is None:
                self._wire.pause()
                self._drain_timer = self._loop.call_at(self._inlet.due, self._drain)

    def _drain(self) -> None:
        self._drain_timer = None
        self._inlet.drain(self._loop.time())
        if self._leaving.is_set():  # a `bye` was in line
            return
        if self._inlet.waiting:
            self._drain_timer = self._loop.call_at(self._inlet.due, self._drain)
        else:
            self._wire.resume()

    def _stop_draining(self) -> None:
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._drain_timer = None

    def _feed(self, data: bytes) -> None:
        if self._session is None:
            self._early.append(data)
        else:
            self._session.feed(self._unpacker.unpack(data))

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
            case native.TypedText(text):
                session.typed(text)
            case native.InterruptReply():
                session.interrupt()
            case native.CommitTurn():
                session.commit()
            case native.Played(turn, ms):
                session.played(turn, ms)
            case native.Ping(t):
                self._message("pong", {"t": t, "now": int(self._loop.time() * 1000)})
            case native.Bye():
                self._leave()

    # --- to the client -----------------------------------------------------------------------

    def _emit(self, frame: Output) -> None:
        if self._portrait is not None:
            self._portrait.watch(frame)
        media = self._media
        if isinstance(frame, ReplyAudio):
            if media is None:
                self._wire.send_audio(self._packer.pack(frame))
            else:
                media.play(frame)
            return
        if isinstance(frame, Clear):
            self._packer.clear()
        if media is not None:
            if isinstance(frame, Clear):
                media.flush()
            media.watch(frame)
        if not (self._hello.avatar == "off" and isinstance(frame, Visemes | AvatarState)):
            self._wire.send_text(self._encoder.frame(frame))

    def tell(self, kind: str, fields: dict[str, Any]) -> None:
        """Send a message of the carrier's own."""
        self._message(kind, fields)

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
