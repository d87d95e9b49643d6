"""Reply audio as RTP: one packet every 20 ms, by one clock.

The session hands frames over up to 200 ms before they are due. They wait here and leave exactly on
time, so that dropping them silences the reply within one frame. aiortc's sender keeps its RTCP
reports, statistics and lifetime; only its send loop is replaced. aiortc's loop encodes in a thread
and sets the marker bit on every packet; the bit means that a stretch of talk begins (RFC 7587,
section 4.1).

A timer makes and sends each packet in one plain call; no task wakes up for it.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable

import numpy as np
from aiortc import RTCRtpCodecParameters, RTCRtpSender

from gateway.media.opus import OpusEncoder
from gateway.transports.webrtc.aiortc_private import RtpSenderPort
from gateway.transports.webrtc.jitter import CLOCK_HZ
from gateway.transports.webrtc.opus import FRAME, SEND_RATE_HZ
from pipeline.frames import ReplyAudio, Samples

logger = logging.getLogger("parley.webrtc")

FRAME_S = FRAME / SEND_RATE_HZ

MOST_WAITING = 50
"""Frames that may wait to be sent; playout is never more than ten ahead."""

TAIL = 10
"""Frames of silence after a stretch of talk, so that the peer's jitter buffer ends in silence."""

LATE_S = 0.1
"""If the process stood still for longer than this, the missed packets are not sent in a burst: the
track's clock jumps to the present, and the waiting frames are heard later."""

QUIET_S = 0.4
"""The interval of packets while there is only silence to send, as Opus does with DTX."""

FEC_FROM = 5
"""In 256ths, so 2 %. If the peer last reported a greater loss, the next stretch of talk is sent
with forward error correction, which takes three times the time to encode."""


class Transmission:
    """One outgoing audio track.

    `began` is called when a stretch of a reply without a gap begins to leave, with its first frame
    and the RTP timestamp of that. `failed` is called when sending has ended for another reason than
    a closed transport.
    """

    def __init__(
        self,
        sender: RTCRtpSender,
        began: Callable[[ReplyAudio, int], None] = lambda frame, timestamp: None,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._port = RtpSenderPort(sender, self._run)
        self._began = began
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._encoder = OpusEncoder()
        self._fec = False
        self._waiting: deque[ReplyAudio] = deque(maxlen=MOST_WAITING)
        self._playing: ReplyAudio | None = None
        self._playing_from = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._broken: asyncio.Future[None] | None = None  # set while the loop runs
        self._resting = False  # the timer is set for a packet of silence, `QUIET_S` away
        self._silence = np.zeros(FRAME, np.int16)
        self._due = 0.0  # when the next packet is due
        self._timestamp = 0
        self._quiet = TAIL  # frames of silence since the last frame of speech
        self.packets = 0

    @property
    def waiting(self) -> int:
        """Frames that have not been sent."""
        return len(self._waiting)

    def cursor(self, now: float) -> tuple[int, float] | None:
        """The turn and the position in ms of the audio that is played at `now`; None in silence.

        Pictures are composed for this position. It follows the last frame that was sent, for at
        most one more frame: a reply that has run out of frames or was dropped is not played.
        """
        playing = self._playing
        if playing is None or not 0 <= now - self._playing_from < 2 * FRAME_S:
            return None
        return playing.turn, playing.at_ms + (now - self._playing_from) * 1000

    def push(self, frame: ReplyAudio) -> None:
        """Append a frame of at most 20 ms at `SEND_RATE_HZ` to those that wait."""
        self._waiting.append(frame)
        if self._resting:
            # From now on the pacer's timer and this one fire together, which wakes the process up
            # half as often.
            self._catch_up()
            self._set_timer(self._due)

    def flush(self) -> None:
        """Drop the frames that have not been sent."""
        self._waiting.clear()
        self._playing = None

    # --- in aiortc's sender ------------------------------------------------------------------

    async def _run(self, codec: RTCRtpCodecParameters) -> None:
        """The send loop. Ends when it is cancelled and when the transport is closed."""
        self._port.started(codec)
        self._timestamp = secrets.randbits(32)
        self._due = self._loop.time()
        self._broken = self._loop.create_future()
        self._schedule()
        try:
            await self._broken
        except ConnectionError:
            pass
        except Exception:  # aiortc awaits no result of its task
            logger.exception("no audio is sent any more")
            self._failed()
        finally:
            self._broken = None
            self._resting = False
            if self._timer is not None:
                self._timer.cancel()
            self._port.exited()

    def _schedule(self) -> None:
        self._resting = not self._waiting and self._quiet >= TAIL
        self._set_timer(self._due + QUIET_S if self._resting else self._due)

    def _catch_up(self) -> None:
        """Move the track's clock to the present, past the time without packets."""
        self._resting = False
        self._advance(max(0.0, self._loop.time() - self._due))

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._send)

    def _send(self) -> None:
        """Send the packet that is due. The timer calls this."""
        self._timer = None
        if self._broken is None or self._broken.done():
            return
        if self._resting:
            self._catch_up()
        elif self._loop.time() - self._due > LATE_S:
            self._catch_up()
            self._playing, self._quiet = None, TAIL  # the next frame begins a stretch
        try:
            pcm, marker = self._next()
            payload = self._encoder.encode(pcm)
            self._port.send(payload, marker=marker, timestamp=self._timestamp, due=self._due)
        except Exception as error:
            self._broken.set_exception(error)
            return
        self.packets += 1
        self._advance(FRAME_S)
        self._schedule()

    def _next(self) -> tuple[Samples, bool]:
        """The samples that are due, and whether they begin a stretch of talk."""
        if not self._waiting:
            self._quiet += 1
            self._playing = None
            return self._silence, False
        begins = self._quiet >= TAIL
        if begins:
            self._adapt_encoder()
        self._quiet = 0
        before, frame = self._playing, self._waiting.popleft()
        self._playing, self._playing_from = frame, self._due
        if before is None or before.turn != frame.turn:
            self._began(frame, self._timestamp)
        return frame.pcm, begins

    def _adapt_encoder(self) -> None:
        """Adapt to the loss that the peer reports. Only after silence, where no change is heard."""
        if (self._port.fraction_lost() > FEC_FROM) is not self._fec:
            self._fec = not self._fec
            self._encoder = OpusEncoder(SEND_RATE_HZ, fec=self._fec)

    def _advance(self, seconds: float) -> None:
        self._due += seconds
        self._timestamp = self._timestamp + round(seconds * CLOCK_HZ) & 0xFFFFFFFF
