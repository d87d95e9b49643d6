"""`WebSocketTransport`: a client's messages and audio over one WebSocket."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal

from starlette.types import Receive

from gateway.live.transport import ClientFace, Media, Receiver
from gateway.media.codecs import AudioWriter, reader_of
from gateway.media.format import AudioFormat
from gateway.protocols.dialect import CloseCode, Dialect, Outgoing, Unwrap, WireAudio, WireMessage
from gateway.protocols.request import SessionRequest
from gateway.transports.websocket.protocol import WebSocketProtocol
from pipeline.frames import ReplyAudio


class WebSocketTransport:
    """A `gateway.live.transport.Transport`. Audio is sent as the dialect says.

    With `unwrap` the client's binary messages are those of the dialect, and `unwrap` finds the
    audio in them.

    The ASGI `receive` reports the disconnect, with a message of type `websocket.disconnect`.
    `early` are messages that were received before, each as (whether it is text, its content).
    """

    kind: Literal["websocket"] = "websocket"

    def __init__(
        self,
        protocol: WebSocketProtocol,
        dialect: Dialect,
        receive: Receive,
        early: Sequence[tuple[bool, bytes]] = (),
        unwrap: Unwrap | None = None,
    ) -> None:
        self._protocol = protocol
        self._dialect = dialect
        self._receive = receive
        self._early = early
        self._unwrap = unwrap
        self._writer = AudioWriter(AudioFormat())
        self.pause = protocol.pause
        self.resume = protocol.resume

    @property
    def open(self) -> bool:
        return self._protocol.open

    @property
    def unsent(self) -> int:
        return self._protocol.unsent

    def agree(self, request: SessionRequest) -> Media[bytes]:
        self._writer = AudioWriter(request.audio_out)
        return Media(
            reader_of(request.audio_in),
            _announced(request.audio_in),
            _announced(request.audio_out),
            request.audio_out.rate_hz,
        )

    def attach(self, receiver: Receiver[bytes]) -> None:
        if self._unwrap is not None:
            receiver = _Unwrapping(receiver, self._unwrap)
        self._protocol.attach(receiver)
        early, self._early = self._early, ()
        for is_text, data in early:
            if is_text:
                receiver.on_text(data)
            else:
                receiver.on_audio(data)

    def send(self, message: WireMessage) -> None:
        self._protocol.send_message(message)

    def play(self, frame: ReplyAudio) -> None:
        data = self._writer.write(frame)
        messages = self._dialect.audio(frame, data)
        if messages is None:
            self._protocol.send_binary(data)
        else:
            for message in messages:
                self.send(message)

    def clear(self) -> None:
        """Reset the encoder: the client drops the audio that it has not played."""
        self._writer.clear()

    def face(self, request: SessionRequest) -> AbstractAsyncContextManager[ClientFace] | None:
        return None

    def drop(self, reason: str) -> None:
        if self._protocol.open:
            self._protocol.refuse(CloseCode.POLICY, reason)

    async def gone(self) -> bool:
        message: Any = {"type": ""}
        while message["type"] != "websocket.disconnect":
            message = await self._receive()  # `attach` has delivered all earlier messages
        return self._protocol.lost


class _Unwrapping:
    """Receives a client's binary messages, and passes the audio in them on to another receiver.

    It is on the hot path.
    """

    __slots__ = ("_on_audio", "_unwrap", "emit", "on_control", "on_text")

    def __init__(self, receiver: Receiver[bytes], unwrap: Unwrap) -> None:
        self._unwrap = unwrap
        self._on_audio = receiver.on_audio
        self.on_text = receiver.on_text
        self.on_control = receiver.on_control
        self.emit: Callable[[Outgoing], None] = receiver.emit

    def on_audio(self, data: bytes) -> None:
        audio = self._unwrap(data)
        if audio is None:
            self.on_text(data)
        else:
            self._on_audio(audio)


def _announced(audio: AudioFormat) -> WireAudio:
    return WireAudio(audio.encoding, audio.rate_hz, audio.channels)
