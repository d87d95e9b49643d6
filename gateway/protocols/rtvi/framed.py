"""`FramedRtvi`: RTVI over a WebSocket, whose messages and audio are protobuf frames. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from gateway.media.format import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, AudioFormat
from gateway.protocols.dialect import (
    AudioMessage,
    Command,
    InterruptReply,
    Outgoing,
    ProtocolError,
    Reconfigure,
    Send,
)
from gateway.protocols.request import SessionRequest
from gateway.protocols.rtvi.dialect import Rtvi
from gateway.protocols.rtvi.frames import (
    AUDIO,
    INTERRUPTION,
    INTERRUPTION_FRAME,
    MESSAGE,
    AudioFrames,
    Frame,
    MalformedFrame,
    message_frame,
    read,
)
from pipeline.frames import Clear, ReplyAudio

RECORDED_HZ = 16_000
"""The sample rate of clients' audio, unless a frame names another."""

PLAYED_HZ = 24_000
"""The sample rate at which the JavaScript client plays all audio, even if a frame names another."""

LEAD_MS = 100
"""The JavaScript client cannot be told to drop what it was sent, so it gets little in advance. A
barge-in is decided at least 300 ms after the reply was held, when all of this has been played."""

BROWSER = "@pipecat-ai/client-js"
"""This library knows no frame for interruptions and logs an error where one comes."""


class FramedRtvi:
    """A `gateway.protocols.dialect.Dialect`; `unwrap` finds the audio in clients' messages."""

    resumable = False
    runs_tools = True

    def __init__(self, request: SessionRequest, clock: Callable[[float], float]) -> None:
        self._request = replace(
            request,
            audio_in=AudioFormat(rate_hz=RECORDED_HZ),
            audio_out=AudioFormat(rate_hz=PLAYED_HZ),
            lead_ms=LEAD_MS,
        )
        self._messages = Rtvi(self._request, clock, signalled=False)
        self._audio = AudioFrames(PLAYED_HZ)
        # Where the audio lay in the last message: what is before it, behind it, and in all.
        self._head = self._tail = b""
        self._size = -1
        self._start = self._end = 0

    def begin(self) -> Sequence[Command]:
        return self._messages.begin()

    # --- from the client ---------------------------------------------------------------------

    def unwrap(self, message: bytes) -> bytes | None:
        """The audio in a message: see `Unwrap`. A message that is like the last one around its
        audio is not read again."""
        if (
            len(message) == self._size
            and message.startswith(self._head)
            and message.endswith(self._tail)
        ):
            return message[self._start : self._end]
        try:
            frame = read(message)
        except MalformedFrame:
            return None
        if frame.kind != AUDIO or not frame.end or self._format_of(frame) != self._request.audio_in:
            return None
        self._size, self._start, self._end = len(message), frame.start, frame.end
        self._head, self._tail = message[: frame.start], message[frame.end :]
        return message[frame.start : frame.end]

    def parse(self, message: bytes, now: float) -> Sequence[Command]:
        """See `Dialect.parse`."""
        try:
            frame = read(message)
        except MalformedFrame as error:
            text = f"this is no frame of RTVI's protobuf schema: {error}"
            raise ProtocolError("bad_frame", text) from None
        match frame.kind:
            case kind if kind == MESSAGE:
                return [_framed(command) for command in self._messages.parse(frame.data(1), now)]
            case kind if kind == AUDIO:
                return self._heard(frame)
            case kind if kind == INTERRUPTION:
                return (InterruptReply(overtakes=True),)
            case _:
                text = "text and transcription frames are not taken; send text in an RTVI message"
                raise ProtocolError("unknown_type", text)

    def refuse(self, error: ProtocolError) -> Sequence[bytes]:
        """See `Dialect.refuse`."""
        return [message_frame(text) for text in self._messages.refuse(error)]

    def _heard(self, frame: Frame) -> Sequence[Command]:
        """Audio, of another format than before if need be."""
        audio = AudioMessage(frame.data(3))
        wanted = self._format_of(frame)
        if wanted == self._request.audio_in:
            return (audio,)
        if wanted.channels > 2 or not LOWEST_RATE_HZ <= wanted.rate_hz <= HIGHEST_RATE_HZ:
            text = (
                f"audio of {wanted.rate_hz} Hz in {wanted.channels} channels is not taken;"
                f" {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz in 1 or 2 are"
            )
            raise ProtocolError("unsupported_audio", text)
        self._request = replace(self._request, audio_in=wanted)
        self._size = -1
        return (Reconfigure(self._request), audio)

    def _format_of(self, frame: Frame) -> AudioFormat:
        return AudioFormat(rate_hz=frame.number(4) or RECORDED_HZ, channels=frame.number(5) or 1)

    # --- to the client -----------------------------------------------------------------------

    def encode(self, output: Outgoing, now: float) -> Sequence[bytes]:
        """See `Dialect.encode`."""
        made = [message_frame(text) for text in self._messages.encode(output, now)]
        if isinstance(output, Clear) and self._messages.library != BROWSER:
            made.insert(0, INTERRUPTION_FRAME)
        return made

    def audio(self, frame: ReplyAudio, data: bytes) -> Sequence[bytes]:
        """Reply audio as an `AudioRawFrame`."""
        framed = self._audio.write(data)
        if self._messages.events.speaking:
            return (framed,)
        return [*self.encode(frame, 0.0), framed]


def _framed(command: Command) -> Command:
    if isinstance(command, Send) and isinstance(command.message, str):
        return Send(message_frame(command.message))
    return command
