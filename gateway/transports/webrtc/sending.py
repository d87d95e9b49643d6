"""Reply audio as RTP: a packet every 20 ms by one clock, from the moment it is encoded.

The session hands frames over up to 200 ms before they are heard. They wait here and leave exactly
when they are due, so that dropping them silences the reply within a frame. aiortc's sender keeps
its RTCP reports, statistics and life; only the loop in it is replaced. Its own sets the marker bit
on every packet, where it begins a stretch of talk (RFC 7587, section 4.1), and encodes in a thread.

Each packet is made and sent in one plain call by a timer: no task wakes for it.
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
"""Frames; playout is never more than ten ahead."""

TAIL = 10
"""Frames of silence after a stretch of talk, so that the peer's own buffer ends in quiet."""

LATE_S = 0.1
"""What is later than this, because the process stood still, is not made up for by a burst: the
clock of the track goes on with the wall's, and the rest is heard later."""

QUIET_S = 0.4
"""While nobody talks a packet of silence goes out this often, as Opus does with DTX."""

FEC_FROM = 5
"""In 256, 2 %: where the peer last reported a greater loss, the next stretch of talk goes out with
forward error correction. It costs three times as much, so not before."""


class Transmission:
    """One outgoing audio track.

    `began` is told of each stretch of a reply without a gap: its first frame, as that leaves, and
    the RTP timestamp that it leaves with. `failed` is called where nothing can be sent any more,
    for another reason than that the transport was closed.
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
        self._broken: asyncio.Future[None] | None = None  # set while it runs
        self._resting = False  # the timer is set for a packet of silence, far away
        self._silence = np.zeros(FRAME, np.int16)
        self._at = 0.0  # when the next packet is due
        self._timestamp = 0
        self._quiet = TAIL  # frames of silence since somebody talked
        self.packets = 0

    @property
    def waiting(self) -> int:
        """Frames that have not left yet."""
        return len(self._waiting)

    def cursor(self, now: float) -> tuple[int, float] | None:
        """The turn and the position in ms of what is played at `now`, None while nothing is.

        Audio owns this clock; a picture is composed for it when it is sent. It follows what has
        left, for at most a frame: a reply that has run dry or was dropped is not played.
        """
        playing = self._playing
        if playing is None or not 0 <= now - self._playing_from < 2 * FRAME_S:
            return None
        return playing.turn, playing.at_ms + (now - self._playing_from) * 1000

    def push(self, frame: ReplyAudio) -> None:
        """A frame of at most 20 ms at `SEND_RATE_HZ` that follows those that wait."""
        self._waiting.append(frame)
        if self._resting:
            # From now on the clock that fills this queue and the one that empties it tick at the
            # same time: each moment at which a process wakes up costs.
            self._rise()
            self._wake(self._at)

    def flush(self) -> None:
        """Drop what has not left."""
        self._waiting.clear()
        self._playing = None

    # --- in aiortc's sender ------------------------------------------------------------------

    async def _run(self, codec: RTCRtpCodecParameters) -> None:
        """In place of aiortc's own loop. Ends when cancelled and when the transport is closed."""
        self._port.started(codec)
        self._timestamp = secrets.randbits(32)
        self._at = self._loop.time()
        self._broken = self._loop.create_future()
        self._schedule()
        try:
            await self._broken
        except ConnectionError:
            pass
        except Exception:  # nobody awaits aiortc's task
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
        self._wake(self._at + QUIET_S if self._resting else self._at)

    def _rise(self) -> None:
        """Take up the time that has passed without packets."""
        self._resting = False
        self._advance(max(0.0, self._loop.time() - self._at))

    def _wake(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._pump)

    def _pump(self) -> None:
        """Send the packet that is due. The timer calls it."""
        self._timer = None
        if self._broken is None or self._broken.done():
            return
        if self._resting:
            self._rise()
        elif self._loop.time() - self._at > LATE_S:
            self._rise()
            self._playing, self._quiet = None, TAIL  # what follows begins anew
        try:
            pcm, marker = self._next()
            payload = self._encoder.encode(pcm)
            self._port.send(payload, marker=marker, timestamp=self._timestamp, due=self._at)
        except Exception as error:
            self._broken.set_exception(error)
            return
        self.packets += 1
        self._advance(FRAME_S)
        self._schedule()

    def _next(self) -> tuple[Samples, bool]:
        """The frame that is due, and whether it begins a stretch of talk."""
        if not self._waiting:
            self._quiet += 1
            self._playing = None
            return self._silence, False
        begins = self._quiet >= TAIL
        if begins:
            self._suit()
        self._quiet = 0
        before, frame = self._playing, self._waiting.popleft()
        self._playing, self._playing_from = frame, self._at
        if before is None or before.turn != frame.turn:
            self._began(frame, self._timestamp)
        return frame.pcm, begins

    def _suit(self) -> None:
        """Encode as the way to the peer demands. Only in quiet, where no change is heard."""
        if (self._port.fraction_lost() > FEC_FROM) is not self._fec:
            self._fec = not self._fec
            self._encoder = OpusEncoder(SEND_RATE_HZ, fec=self._fec)

    def _advance(self, seconds: float) -> None:
        self._at += seconds
        self._timestamp = self._timestamp + round(seconds * CLOCK_HZ) & 0xFFFFFFFF
