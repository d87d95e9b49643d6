"""What must hold for any bytes: a function raises where it does not."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import numpy as np
import uvicorn
from uvicorn.server import ServerState
from websockets.frames import Frame
from websockets.protocol import State
from websockets.server import ServerProtocol

from gateway.media.codecs import RefusedAudio, reader_of
from gateway.media.format import LONGEST_MESSAGE_MS, AudioFormat
from gateway.protocols.dialect import (
    AudioMessage,
    Command,
    ProtocolError,
    ReportPlayed,
    SessionReady,
    Start,
    Truncate,
    WireAudio,
)
from gateway.protocols.native.messages import parse
from gateway.protocols.openai_live import LiveOpening, OpenAiLive
from gateway.protocols.openai_realtime import OpenAiRealtime
from gateway.protocols.openai_realtime.opening import session_of
from gateway.protocols.request import SessionRequest
from gateway.protocols.rtvi import FramedRtvi, Rtvi
from gateway.protocols.rtvi.frames import read as read_frame
from gateway.protocols.twilio import TwilioDialect
from gateway.transports.http import HttpProtocol
from gateway.transports.webrtc.offers import MAX_BYTES, OfferError, is_usable, screen, trickled
from gateway.transports.websocket.framing import FOR_PARSER, FrameSplitter
from pipeline.frames import Clear, ReplyAudio, ToolCall
from stages._containers import HEAD_BYTES, is_cut, sniff
from stages._glued import parts
from stages._sse import EventStream, MalformedStream
from stages._trailing import sound_end
from stages.llm._chunks import choice_of
from stages.stt._server_reply import NoTranscription, UploadedSpeech, transcript

AUDIO_FIELD = 3
"""Of an `AudioRawFrame`."""

LONGEST = 16 * 1024
"""Of an input; the limits of lengths have tests of their own."""


def cut(data: bytes) -> tuple[bytes, list[bytes]]:
    """The input without its first byte, whole and in pieces whose sizes that byte chooses."""
    seed, rest = (data[0] if data else 0), data[1:LONGEST]
    pieces, at, size = [], 0, seed % 7 + 1
    while at < len(rest):
        pieces.append(rest[at : at + size])
        at += size
        size = (size * 5 + seed) % 61 + 1
    return rest, pieces


# --- WebSocket frames ------------------------------------------------------------------------

Seen = tuple[int, bytes]


def _parser() -> ServerProtocol:
    return ServerProtocol(state=State.OPEN, max_size=65_536)


def _frames(parser: ServerProtocol, data: bytes) -> Iterator[Seen]:
    parser.receive_data(data)
    for event in parser.events_received():
        assert isinstance(event, Frame)
        yield event.opcode | event.fin << 7, bytes(event.data)


def _closing(parser: ServerProtocol) -> int | None:
    return None if parser.close_sent is None else parser.close_sent.code


def websocket(data: bytes) -> None:
    """The short way for messages gives the same ones and close codes as the full parser."""
    whole, pieces = cut(data)
    reference = _parser()
    expected = list(_frames(reference, whole))
    splitter, parser, found = FrameSplitter(65_536), _parser(), []
    for piece in pieces:
        for kind, part in splitter.push(piece):
            if _closing(parser) is not None:
                break
            if kind == FOR_PARSER:
                found += _frames(parser, part)
            else:
                found.append((kind | 0x80, part))
    assert found == expected, (found, expected)
    # What is wrong with a frame that is not complete yet, only the full parser sees.
    assert splitter._held or _closing(parser) == _closing(reference)


# --- HTTP ------------------------------------------------------------------------------------


async def _application(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("it is not run here")


class _Loop:
    def create_task(self, work: Any, **options: Any) -> Any:
        work.close()
        return SimpleNamespace(add_done_callback=lambda done: None)

    def call_later(self, delay_s: float, call: Any, *arguments: Any) -> Any:
        return SimpleNamespace(cancel=lambda: None)


class _Reader(HttpProtocol):
    """Notes the requests that it reads, and answers none."""

    def __init__(self, config: uvicorn.Config) -> None:
        loop: Any = _Loop()
        super().__init__(config, ServerState(), {}, loop)
        self.read: list[Any] = []
        self.upgraded = False
        quiet: Any = SimpleNamespace(
            get_extra_info=lambda name: None,
            write=lambda data: None,
            close=lambda: None,
            can_write_eof=lambda: False,
            pause_reading=lambda: None,
            resume_reading=lambda: None,
            get_protocol=lambda: SimpleNamespace(data_received=lambda data: None),
        )
        self.connection_made(quiet)

    def handle_websocket_upgrade(self) -> None:
        self.upgraded = True
        self.read.append(("upgrade", self.url, list(self.headers)))

    def on_headers_complete(self) -> None:
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            scope = self.cycle.scope
            self.read.append((scope["method"], scope["raw_path"], list(scope["headers"])))

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self.read and isinstance(self.read[-1], bytes):
            self.read[-1] += body
        else:
            self.read.append(body)


_CONFIG = uvicorn.Config(_application, http=_Reader, ws="none", lifespan="off", log_config=None)
_CONFIG.load()


def _requests(pieces: list[bytes]) -> tuple[list[Any], int | None]:
    reader = _Reader(_CONFIG)
    for piece in pieces:
        if not reader.upgraded:
            reader.data_received(piece)
    for request in reader.read:
        if isinstance(request, tuple):
            names = [name for name, _ in request[2]]
            assert names.count(b"host") <= 1
            assert not {b"transfer-encoding", b"content-length"} <= set(names)
    return reader.read, None if reader.refused is None else reader.refused.status


def http(data: bytes) -> None:
    """The same requests are read whatever the pieces, and none that could be read otherwise."""
    whole, pieces = cut(data)
    assert _requests([whole]) == _requests(pieces)


# --- dialects --------------------------------------------------------------------------------


TWILIO_CODES = {
    *("bad_json", "unknown_event", "bad_message", "bad_payload", "bad_parameter"),
    *("wrong_stream", "unexpected_event", "unsupported_audio", "unknown_language"),
}
"""`docs/twilio.md` says what each means."""

_SILENCE = np.zeros(160, np.int16)

WIRE = WireAudio("pcm_s16le", 24_000)


def native(data: bytes) -> None:
    """A message is a command or a described error."""
    refused = None
    try:
        parse(data)
    except ProtocolError as error:
        refused = error
    assert refused is None or (refused.code and len(refused.message) < 1_000)


def openai(data: bytes) -> None:
    """So is each message of a connection, whatever came before it; a line is one."""
    count = iter(range(10**9))
    dialect = OpenAiRealtime(
        session_of({}, model="gpt-realtime"), new_id=lambda kind: f"{kind}_{next(count)}"
    )
    dialect.begin()
    for line in data[:LONGEST].split(b"\n"):
        try:
            dialect.parse(line, 0.0)
        except ProtocolError as error:
            dialect.refuse(error)


LIVE_CODES = {
    *("invalid_json", "event_too_long", "missing_required_parameter", "invalid_value"),
    *("unknown_event", "unsupported_event", "session_not_started", "session_already_started"),
    *("cannot_update", "nothing_to_answer", "invalid_tool_call_id", "conversation_full"),
}
"""`docs/gpt-live.md` says what each means."""


def live(data: bytes) -> None:
    """The same of the Live API, whose session starts with the first line that says so; replies are
    spoken and cut off meanwhile."""
    count, now = iter(range(10**9)), [0.0]
    dialect = OpenAiLive(
        LiveOpening(),
        new_id=lambda kind: f"{kind}_{next(count)}",
        clock=lambda: now[0],
        expires_at=1,
    )
    for number, line in enumerate(data[:LONGEST].split(b"\n")):
        now[0] = number / 10
        refused = None
        try:
            for command in dialect.parse(line, now[0]):
                if isinstance(command, Start):
                    dialect.encode(SessionReady("s", WIRE, WIRE, {}, None), now[0])
                assert not isinstance(command, AudioMessage) or len(command.data) < LONGEST
        except ProtocolError as error:
            refused = error
        assert refused is None or refused.code in LIVE_CODES
        assert refused is None or len(refused.message) < 1_000
        said = dialect.refuse(refused) if refused else ()
        if number % 8 == 7:
            said = [*said, *dialect.audio(ReplyAudio(number, _SILENCE, 0), bytes(96))]
            for output in (ToolCall(number, "c", "f", "{}"), Clear(number, 20)):
                said = [*said, *dialect.encode(output, now[0])]
        assert all(json.loads(message)["type"] for message in said)


def twilio(data: bytes) -> None:
    """The same of a telephone call, whose replies are played and cleared meanwhile."""
    dialect = TwilioDialect()
    for number, line in enumerate(data[:LONGEST].split(b"\n")):
        commands: Sequence[Command] = ()
        refused = None
        try:
            commands = dialect.parse(line, 0.0)
        except ProtocolError as error:
            refused = error
        assert refused is None or refused.code in TWILIO_CODES
        assert refused is None or len(refused.message) < 1_000
        for command in commands:
            assert not isinstance(command, AudioMessage) or len(command.data) < LONGEST
            assert not isinstance(command, ReportPlayed | Truncate) or command.turn == 0
        for message in dialect.audio(ReplyAudio(0, _SILENCE, 20 * number), bytes(160)):
            assert dialect._stream is None or json.loads(message)["streamSid"] == dialect._stream
        if number % 16 == 15:
            dialect.encode(Clear(0, 20 * number), 0.0)


def rtvi(data: bytes) -> None:
    """A frame of RTVI's WebSocket is audio, commands or a described error, as is its message over a
    data channel; and what is taken for audio lies in it as it is read.
    """
    message = data[:LONGEST]
    framed = FramedRtvi(SessionRequest(), lambda now: now)
    audio = framed.unwrap(message)
    if audio is not None:
        assert read_frame(message).data(AUDIO_FIELD) == audio == framed.unwrap(message)
    for dialect in (framed, Rtvi(SessionRequest(), lambda now: now)):
        refused = None
        try:
            dialect.parse(message, 0.0)
        except ProtocolError as error:
            refused = error
        if refused is not None:
            assert refused.code
            assert len(refused.message) < 1_000
            assert dialect.refuse(refused)


# --- media -----------------------------------------------------------------------------------

_FORMATS = [
    AudioFormat("opus", 48_000, 1),
    AudioFormat("opus", 16_000, 2),
    AudioFormat("pcm_s16le", 16_000, 1),
    AudioFormat("pcm_s16le", 44_100, 2),
    AudioFormat("mulaw", 8_000, 1),
    AudioFormat("alaw", 8_000, 2),
]


def audio(data: bytes) -> None:
    """A binary message is refused with a code, or becomes samples of its duration."""
    reader = reader_of(_FORMATS[(data[0] if data else 0) % len(_FORMATS)])
    message = data[1:LONGEST]
    try:
        duration_ms = reader.duration_ms(message)
    except RefusedAudio:
        return
    assert 0 <= duration_ms <= LONGEST_MESSAGE_MS
    if duration_ms:
        samples = reader.read(message)
        assert samples.dtype == np.int16
        assert len(samples) <= 16 * duration_ms + 16


def container(data: bytes) -> None:
    """What sounds of a file is divided into parts, none of which is empty or beyond its end."""
    file = data[:LONGEST]
    found = sniff(file[:HEAD_BYTES])
    if found is None:
        return
    is_cut(io.BytesIO(file), len(file), found)
    end = 0
    for begin, stop in parts(io.BytesIO(file), len(file), found):
        assert end == begin < stop
        end = stop
    assert end == sound_end(io.BytesIO(file), len(file), found) <= len(file)


def sdp(data: bytes) -> None:
    """An offer is refused, or it is what another screening leaves as it is."""
    text = data[: MAX_BYTES + 1].decode(errors="replace")
    for public in (False, True):
        with suppress(OfferError):
            offer = screen(text, public=public)
            assert screen(offer.sdp, public=public) == offer
        with suppress(OfferError):
            found = trickled(text, ufrag="abcd", public=public)
            assert all(is_usable(f"a=candidate:{line}", public=public) for line in found)


# --- what other servers send -----------------------------------------------------------------


def sse(data: bytes) -> None:
    """The same events whatever the pieces."""

    def events(pieces: list[bytes]) -> list[str]:
        stream, found = EventStream(), []
        for piece in pieces:
            found += stream.feed(piece)
        return [*found, *stream.finish()]

    whole, pieces = cut(data)
    with suppress(MalformedStream):
        assert events([whole]) == events(pieces)


def chat(data: bytes) -> None:
    """A piece of a chat server's reply has a text, or is malformed."""
    with suppress(ValueError, RecursionError):
        value = json.loads(data)
        if isinstance(value, dict):
            with suppress(AttributeError, TypeError, LookupError):
                assert isinstance(choice_of(value).text, str)


def recognised(data: bytes) -> None:
    """A transcription server's reply is a transcript, or none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict):
        with suppress(NoTranscription):
            heard, reason = transcript(1, value, UploadedSpeech(3.0, -20.0, ("Postgres",), "en"))
            assert bool(heard.text) is not bool(reason)
            heard.text.encode()


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        *(websocket, http, native, openai, live, rtvi, twilio, audio),
        *(container, sdp, sse, chat, recognised),
    )
}
