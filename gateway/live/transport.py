"""The contract of a transport, which carries one client's messages and audio.

A transport owns the codec and the media clock. It hands over input audio as it has it, of type `P`:
bytes of a WebSocket message, or samples of an RTP decoder. The `AudioReader` that it chose for the
session turns them into samples.
"""

from collections.abc import Sized
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from gateway.protocols.dialect import Outgoing, ProtocolError, WireAudio, WireMessage
from gateway.protocols.request import SessionRequest
from pipeline.frames import ReplyAudio, Samples
from pipeline.stage import Observer

P = TypeVar("P", bound=Sized)
P_contra = TypeVar("P_contra", contravariant=True)


class AudioReader(Protocol[P]):
    """Turns one client's audio into samples at 16 kHz. Keeps state: audio comes in order."""

    @property
    def lost(self) -> P:
        """The audio that replaces refused audio of known length."""

    def duration_ms(self, data: P) -> float:
        """How long `data` lasts, at most 100 ms. Raises `gateway.media.codecs.RefusedAudio`."""

    def read(self, data: P) -> Samples:
        """The samples of `data`, which `duration_ms` has accepted."""


@dataclass(frozen=True, slots=True)
class Media(Generic[P]):
    """The format of a client's audio in both directions. Reply audio has `reply_rate_hz`."""

    reader: AudioReader[P]
    audio_in: WireAudio
    audio_out: WireAudio
    reply_rate_hz: int


class Receiver(Protocol[P_contra]):
    """Takes a transport's messages and audio. Plain calls that do not raise."""

    def on_text(self, data: bytes) -> None:
        """Take a message of the client, for its dialect."""

    def on_audio(self, data: P_contra) -> None:
        """Take audio of the client."""

    def on_control(self) -> bool:
        """Note a ping, or another frame that is no message. False if it is not to be answered."""

    def emit(self, output: Outgoing) -> None:
        """Send the client an output of the transport itself."""


class ClientFace(Protocol):
    """The interviewer's face for one client."""

    @property
    def provider(self) -> str:
        """The name of what draws the face, for the client."""

    def start(self) -> ProtocolError | None:
        """Show the face. Returns an error for a request that cannot be met."""

    def observers(self) -> tuple[Observer, ...]:
        """The face as an observer of the session's outputs; empty if it needs none of them."""


class Transport(Protocol[P]):
    """Carries one client's messages and audio. Plain calls that do not raise, but for `gone`."""

    @property
    def kind(self) -> Literal["websocket", "webrtc"]:
        """The kind of transport, as the operator sees it."""

    @property
    def open(self) -> bool:
        """Whether the client can still be reached."""

    @property
    def unsent(self) -> int:
        """Bytes of messages that have not left for the network yet."""

    def agree(self, request: SessionRequest) -> Media[P]:
        """Set the format of audio from now on, by the request if the transport allows that."""

    def attach(self, receiver: Receiver[P]) -> None:
        """Pass messages and audio to `receiver` from now on, and earlier ones at once."""

    def pause(self) -> None:
        """Stop reading from the client if the transport can: more audio has come than is due."""

    def resume(self) -> None:
        """Read from the client again."""

    def send(self, message: WireMessage) -> None:
        """Send a message that the dialect has made."""

    def play(self, frame: ReplyAudio) -> None:
        """Send reply audio, of at most 20 ms."""

    def clear(self) -> None:
        """Drop the reply audio that was not sent yet."""

    def face(self, request: SessionRequest) -> AbstractAsyncContextManager[ClientFace] | None:
        """The face that this transport sends by itself, such as video; None if it has none."""

    def drop(self, reason: str) -> None:
        """Close at once: the client has come back over another transport."""

    async def gone(self) -> bool:
        """Return when the client has disconnected: True if the line was lost and it may come
        back, False if it has left. Cancelling loses nothing."""
