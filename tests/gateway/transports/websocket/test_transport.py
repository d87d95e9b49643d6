"""`WebSocketTransport`: how reply audio goes onto a WebSocket, and when the client has gone."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest

from gateway.live.transport import Receiver
from gateway.media.format import AudioFormat
from gateway.media.opus import OpusEncoder
from gateway.protocols.dialect import Outgoing, WireAudio
from gateway.protocols.native import NativeDialect
from gateway.protocols.request import SessionRequest
from gateway.transports.websocket.protocol import WebSocketProtocol
from gateway.transports.websocket.transport import WebSocketTransport
from pipeline.frames import ReplyAudio
from pipeline.testing import run_virtual

TONE = (6000 * np.sin(2 * np.pi * 200 * np.arange(480) / 24_000)).astype(np.int16)


class Protocol:
    """Keeps what is sent."""

    open = True
    lost = True
    unsent = 5

    def __init__(self) -> None:
        self.sent: list[str | bytes] = []
        self.send_message = self.send_binary = self.sent.append

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class InMessages(NativeDialect):
    """Reply audio travels in messages."""

    def audio(self, frame: ReplyAudio, data: bytes) -> Sequence[str]:
        return [json.dumps({"turn": frame.turn, "bytes": len(data)}), "done"]


async def nothing() -> Any:
    await asyncio.Event().wait()


def transport(protocol: Protocol, dialect: NativeDialect | None = None) -> WebSocketTransport:
    real = cast("WebSocketProtocol", protocol)
    return WebSocketTransport(real, dialect or NativeDialect(), nothing)


@pytest.mark.parametrize(("encoding", "size"), [("pcm_s16le", 960), ("mulaw", 480), ("alaw", 480)])
def test_reply_audio_is_one_binary_message_a_frame(encoding: Any, size: int) -> None:
    sending = transport(protocol := Protocol())
    media = sending.agree(SessionRequest(audio_out=AudioFormat(encoding, 24_000)))
    assert media.audio_in == WireAudio("pcm_s16le", 16_000)
    assert (media.audio_out, media.reply_rate_hz) == (WireAudio(encoding, 24_000), 24_000)
    sending.play(ReplyAudio(0, TONE, 0))
    assert [type(message) for message in protocol.sent] == [bytes]
    assert [len(message) for message in protocol.sent] == [size]
    assert (sending.open, sending.unsent) == (True, 5)


def test_after_clear_a_new_encoder_begins() -> None:
    sending = transport(protocol := Protocol())
    sending.agree(SessionRequest(audio_out=AudioFormat("opus", 24_000)))
    for at_ms in (0, 20):
        sending.play(ReplyAudio(0, TONE, at_ms))
    sending.clear()
    sending.play(ReplyAudio(0, TONE, 40))
    first, second, third = protocol.sent
    assert first == third == OpusEncoder(24_000).encode(TONE)
    assert second != first


def test_reply_audio_goes_in_messages_where_the_dialect_says_so() -> None:
    sending = transport(protocol := Protocol(), InMessages())
    sending.agree(SessionRequest(audio_out=AudioFormat("mulaw", 24_000)))
    sending.play(ReplyAudio(3, TONE, 0))
    assert protocol.sent == ['{"turn": 3, "bytes": 480}', "done"]


class Wrapped(NativeDialect):
    """All messages are binary: "A" and audio, or "M" and a message."""

    def audio(self, frame: ReplyAudio, data: bytes) -> Sequence[bytes]:
        return [b"A" + data]


def test_binary_messages_of_the_dialect_are_sent_as_binary() -> None:
    sending = transport(protocol := Protocol(), Wrapped())
    sending.agree(SessionRequest(audio_out=AudioFormat("mulaw", 24_000)))
    sending.play(ReplyAudio(3, TONE[:4], 0))
    sending.send(b"Mclear")
    sending.send("text")
    silence, *others = protocol.sent
    assert isinstance(silence, bytes)
    assert (silence[:1], len(silence)) == (b"A", 5)
    assert others == [b"Mclear", "text"]


def test_the_dialect_finds_the_audio_in_binary_messages() -> None:
    got: list[tuple[str, bytes]] = []

    class Taker:
        def on_text(self, data: bytes) -> None:
            got.append(("message", data))

        def on_audio(self, data: bytes) -> None:
            got.append(("audio", data))

        def on_control(self) -> bool:
            return True

        def emit(self, output: Outgoing) -> None: ...

    class Reading(Protocol):
        def attach(self, receiver: Receiver[bytes]) -> None:
            receiver.on_audio(b"Aab")
            receiver.on_audio(b"M{}")
            receiver.on_text(b"text")

    WebSocketTransport(
        cast("WebSocketProtocol", Reading()),
        Wrapped(),
        nothing,
        [(False, b"Aearly")],
        lambda message: message[1:] if message[:1] == b"A" else None,
    ).attach(Taker())
    assert got == [
        ("audio", b"ab"),
        ("message", b"M{}"),
        ("message", b"text"),
        ("audio", b"early"),
    ]


def test_the_client_has_gone_when_its_disconnect_is_reported() -> None:
    events = [{"type": "websocket.receive", "bytes": b""}, {"type": "websocket.disconnect"}]

    async def receive() -> Any:
        await asyncio.sleep(1)
        return events.pop(0)

    async def main() -> None:
        protocol = cast("WebSocketProtocol", Protocol())
        await WebSocketTransport(protocol, NativeDialect(), receive).gone()
        assert asyncio.get_running_loop().time() == 2

    run_virtual(main())
