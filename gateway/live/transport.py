"""What carries one client's messages and audio: the side of the seam that a transport fills.

A transport owns the codec and the media clock. Input audio is handed over as the transport has it,
of type `P`: bytes of a WebSocket message, or samples of an RTP decoder. The `AudioReader` that the
transport chose for the session turns it into samples.
"""

from collections.abc import Sized
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from gateway.protocols.dialect import Outgoing, ProtocolError, SessionRequest, WireAudio
from pipeline.frames import ReplyAudio, Samples
from pipeline.stage import Observed

P = TypeVar("P", bound=Sized)
P_contra = TypeVar("P_contra", contravariant=True)


class AudioReader(Protocol[P]):
    """One client's audio to samples at 16 kHz. Keeps state: audio comes in order."""

    @property
    def lost(self) -> P:
        """What takes the place of audio that was refused but lasted some time."""

    def duration_ms(self, data: P) -> float:
        """How long it lasts, at most 100 ms. Raises `gateway.media.codecs.UnusableAudio`."""

    def read(self, data: P) -> Samples:
        """What it holds; `duration_ms` has accepted it."""


@dataclass(frozen=True, slots=True)
class Media(Generic[P]):
    """How a client's audio travels. Reply audio is made at `reply_rate_hz`."""

    reader: AudioReader[P]
    audio_in: WireAudio
    audio_out: WireAudio
    reply_rate_hz: int


class Receiver(Protocol[P_contra]):
    """What a transport hands messages and audio to. Plain calls that do not raise."""

    def on_text(self, data: bytes) -> None:
        """A text message of the client."""

    def on_audio(self, data: P_contra) -> None:
        """Audio of the client."""

    def emit(self, output: Outgoing) -> None:
        """Something that the transport found out and the client should know."""


class ClientFace(Protocol):
    """The interviewer's face, as one client is shown it; also a `pipeline.stage.Observer`."""

    @property
    def provider(self) -> str:
        """What draws it, for the client."""

    def start(self) -> ProtocolError | None:
        """Show it. Returns what the client asked for and does not get."""

    def observe(self, output: Observed, now: float) -> None: ...


class Transport(Protocol[P]):
    """Carries one client's messages and audio. Plain calls that do not raise, but for `gone`."""

    @property
    def open(self) -> bool:
        """Whether the client can still be reached."""

    @property
    def unsent(self) -> int:
        """Bytes of messages that have not left for the network yet."""

    def agree(self, request: SessionRequest) -> Media[P]:
        """Choose how audio travels from now on, as far as the transport leaves a choice."""

    def attach(self, receiver: Receiver[P]) -> None:
        """Hand everything to `receiver` from now on; what came before is handed over at once."""

    def pause(self) -> None:
        """Hold the client back, where the transport can: more came than is due."""

    def resume(self) -> None:
        """Let the client send again."""

    def send(self, message: str) -> None:
        """Send a text message."""

    def play(self, frame: ReplyAudio) -> None:
        """Send reply audio, of at most 20 ms."""

    def clear(self) -> None:
        """Drop the reply audio that has not left."""

    def face(self, request: SessionRequest) -> AbstractAsyncContextManager[ClientFace] | None:
        """The face that this transport shows by itself, such as video; None where it has none."""

    async def gone(self) -> None:
        """Return when the client has gone. Cancelling loses nothing."""
