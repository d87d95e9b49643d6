"""`PeerTransport`: a client's messages over a data channel, its audio and face over RTP."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Literal

import numpy as np
from aiortc import RTCDataChannel

from gateway.faces.service import VISEMES, FaceService
from gateway.live.connection import READY_AFTER_S
from gateway.live.face import DrawnByClient
from gateway.live.sideband import Sidebands
from gateway.live.transport import ClientFace, Media, Receiver
from gateway.media.format import LONGEST_MESSAGE_MS
from gateway.protocols.dialect import (
    MESSAGE_TOO_LONG,
    ProtocolError,
    ReplyTiming,
    WireAudio,
    WireMessage,
)
from gateway.protocols.left_out import HEAD, LeftOut
from gateway.protocols.request import SessionRequest
from gateway.transports.webrtc.face import VideoFace
from gateway.transports.webrtc.jitter import CLOCK_HZ
from gateway.transports.webrtc.opus import SEND_RATE_HZ
from gateway.transports.webrtc.sending import Transmission
from gateway.transports.webrtc.video import Video
from pipeline.frames import INPUT_RATE_HZ, Degraded, ReplyAudio, Samples
from stages.avatar.quality import QualityLevel

logger = logging.getLogger("parley.webrtc")

MOST_HELD_MESSAGES = 50
MOST_BUFFERED_BYTES = 1024 * 1024
"""A peer that leaves more than this of the data channel unread is dropped."""

STALL_S = 20.0
"""A peer that takes none of the messages that wait for this long is dropped. After an outage of ten
seconds, which a call survives, SCTP sends again after 15 (it doubles its wait from one second)."""

LONGEST_MESSAGE_CHARS = 64 * 1024
LONGEST_AUDIO = INPUT_RATE_HZ * LONGEST_MESSAGE_MS // 1000
"""Samples that the receiver takes in one call."""


class DecodedAudio:
    """A `gateway.live.transport.AudioReader` of audio that the RTP decoder has decoded."""

    lost: Samples = np.zeros(0, np.int16)

    def duration_ms(self, data: Samples) -> float:
        return len(data) * 1000 / INPUT_RATE_HZ

    def read(self, data: Samples) -> Samples:
        return data


class PeerTransport:
    """A `gateway.live.transport.Transport` over one peer connection.

    With `waits`, audio that comes before the first message is dropped for `READY_AFTER_S`, because
    it can overtake a `hello`. `hang_up` ends the peer.
    """

    kind: Literal["webrtc"] = "webrtc"

    def __init__(self, session_id: str, hang_up: Callable[[], None], *, waits: bool) -> None:
        self.transmission: Transmission | None = None
        """The track of the reply audio; set before the connection runs."""
        self.video: Video | None = None
        """The track of the face, if the peer receives video."""
        self.faces: FaceService | None = None
        self.sidebands: Sidebands | None = None
        """The sidebands of the call; they get every message, too."""
        self.refuse: Callable[[ProtocolError], None] | None = None
        """Tells the peer what is wrong with a message; None before there is a receiver."""
        self._session_id = session_id
        self._hang_up = hang_up
        self._waits = waits
        self._gone = asyncio.Event()
        self._channel: RTCDataChannel | None = None
        # Before there is a channel, and before there is a receiver; bounded, see _on_message.
        self._unsent: deque[WireMessage] = deque(maxlen=MOST_HELD_MESSAGES)
        self._early: deque[str] = deque()
        self._receiver: Receiver[Samples] | None = None
        self._accepted = 0  # bytes of all messages so far
        # Of them, when `reads` last found more: its first call finds more than -1.
        self._taken, self._taken_at = -1, 0.0
        self._telling = False  # the client is told of a message that was left out
        self._postponed: list[WireMessage] | None = (
            None  # what was left out while the channel opens
        )
        self._audio_from = 0.0  # audio that comes before this time is dropped

    def end(self) -> None:
        """Send nothing more, and let `gone` return. Idempotent."""
        self._gone.set()

    def drop(self, reason: str) -> None:
        self._hang_up()

    async def gone(self) -> bool:
        await self._gone.wait()
        return False

    @property
    def open(self) -> bool:
        return not self._gone.is_set()

    # --- from the peer -----------------------------------------------------------------------

    def opened(self, channel: RTCDataChannel) -> bool:
        """Take the data channel that the peer opened. False if it has one already."""
        if self._channel is not None:
            return False
        self._channel = channel
        channel.on("message", self._on_message)
        channel.on("close", self._hang_up)
        left_out: list[WireMessage] = []
        self._postponed = left_out
        while self._unsent:
            self._send(self._unsent.popleft())
        self._postponed = None
        for message in left_out:  # told after what was to be sent before it
            self._left_out(message)
        return True

    def attach(self, receiver: Receiver[Samples]) -> None:
        first, self._receiver = self._receiver is None, receiver
        if first and self._waits and not self._early:
            self._audio_from = asyncio.get_running_loop().time() + READY_AFTER_S
        while self._early:
            self._deliver(receiver, self._early.popleft())

    def _on_message(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            message = "audio does not travel on the data channel"  # answered as `bad_json`
        too_long = len(message) > LONGEST_MESSAGE_CHARS
        if too_long and self._receiver is not None and self.refuse is not None:
            text = f"a message has at most {LONGEST_MESSAGE_CHARS} characters"
            self.refuse(ProtocolError(MESSAGE_TOO_LONG, text))
        elif too_long:
            logger.info("session %s: a message is too long", self._session_id)
            self._hang_up()
        elif self._receiver is not None:
            self._deliver(self._receiver, message)
        elif len(self._early) < MOST_HELD_MESSAGES:
            self._early.append(message)
        else:
            logger.info("session %s: too many messages before the session", self._session_id)
            self._hang_up()

    def _deliver(self, receiver: Receiver[Samples], message: str) -> None:
        self._audio_from = 0.0
        receiver.on_text(message.encode(errors="replace"))

    def receive_audio(self, pcm: Samples) -> None:
        """Take decoded audio of the peer's microphone."""
        if self._receiver is None or asyncio.get_running_loop().time() < self._audio_from:
            return  # the session has not begun
        if len(pcm) <= LONGEST_AUDIO:
            self._receiver.on_audio(pcm)
            return
        for start in range(0, len(pcm), LONGEST_AUDIO):
            self._receiver.on_audio(pcm[start : start + LONGEST_AUDIO])

    def pause(self) -> None:
        """Do nothing: RTP has no backpressure, and the ingress pacer is bounded."""

    def resume(self) -> None:
        """Do nothing, as `pause`."""

    # --- to the peer -------------------------------------------------------------------------

    def agree(self, request: SessionRequest) -> Media[Samples]:
        """Agree on Opus whatever the client asks for (RFC 7587: its clock is 48 kHz)."""
        opus = WireAudio("opus", CLOCK_HZ)
        return Media(DecodedAudio(), opus, opus, SEND_RATE_HZ)

    @property
    def unsent(self) -> int:
        """Bytes that wait for the data channel."""
        return 0 if self._channel is None else self._channel.bufferedAmount

    def send(self, message: WireMessage) -> None:
        """Send a message. Before the channel opens, the last `MOST_HELD_MESSAGES` are kept."""
        if self.sidebands is not None:
            self.sidebands.send(message)
        self._send(message)

    def _send(self, message: WireMessage) -> None:
        channel = self._channel
        if channel is None:
            self._unsent.append(message)
        elif channel.readyState == "open" and self.open:
            if channel.bufferedAmount > MOST_BUFFERED_BYTES:
                logger.info("session %s: the peer does not read", self._session_id)
                self._hang_up()
                return
            before = channel.bufferedAmount
            try:
                channel.send(message)
            except ValueError as error:  # longer than the peer said that it takes
                level = logging.DEBUG if self._telling else logging.WARNING
                logger.log(level, "session %s: a message was left out: %s", self._session_id, error)
                self._left_out(message)
            else:
                self._accepted += channel.bufferedAmount - before

    def _left_out(self, message: WireMessage) -> None:
        """Tell the client of it, but not that telling it was as impossible."""
        if self._postponed is not None:
            self._postponed.append(message)
            return
        if self._receiver is None or self._telling:
            return
        text = message.decode(errors="replace") if isinstance(message, bytes) else message
        self._telling = True
        try:
            self._receiver.emit(LeftOut(text[:HEAD], len(text.encode(errors="replace"))))
        finally:
            self._telling = False

    def reads(self, now: float) -> bool:
        """Whether the peer takes its messages: False where it has taken none of those that wait for
        `STALL_S`. Call it every few seconds."""
        waiting = self.unsent
        taken = self._accepted - waiting
        if not waiting or taken != self._taken:
            self._taken, self._taken_at = taken, now
        return now - self._taken_at < STALL_S

    def play(self, frame: ReplyAudio) -> None:
        assert self.transmission is not None
        self.transmission.push(frame)

    def clear(self) -> None:
        assert self.transmission is not None
        self.transmission.flush()

    def began(self, frame: ReplyAudio, timestamp: int) -> None:
        """Tell the client which position in the reply an RTP timestamp stands for."""
        if self._receiver is not None:
            self._receiver.emit(ReplyTiming(frame.turn, frame.at_ms, timestamp))

    def stepped(self, old: QualityLevel, new: QualityLevel, reason: str) -> None:
        """Tell the client that the video continues at another quality level."""
        turn = 0 if self.video is None else self.video.turn
        self.replaced(turn, old.name, new.name, reason)

    def replaced(self, turn: int, source: str, target: str, reason: str) -> None:
        """Tell the client that `target` draws the video in place of `source`."""
        if self._receiver is not None:
            self._receiver.emit(Degraded(turn, "avatar", source, target, reason))

    def face(self, request: SessionRequest) -> AbstractAsyncContextManager[ClientFace]:
        """The face as video; without video the client draws it, as pictures are not sent here."""
        if self.video is None or self.faces is None:
            return nullcontext(
                DrawnByClient(VISEMES if request.avatar == "frames" else request.avatar)
            )
        return VideoFace(self.video, self.faces, request.face).running()
