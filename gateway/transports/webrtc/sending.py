"""Reply audio as RTP: a packet every 20 ms by one clock, from the moment it is encoded.

The session hands frames over up to 200 ms before they are heard. They wait here and leave exactly
when they are due, so that dropping them silences the reply within a frame. aiortc's sender keeps
its RTCP reports, statistics and life; only the loop in it is replaced. Its own sets the marker bit
on every packet, where it begins a stretch of talk (RFC 7587, section 4.1), and encodes in a thread.
"""

import asyncio
import secrets
from collections import deque
from typing import Any, cast

import numpy as np
from aiortc import RTCRtpCodecParameters, RTCRtpSender, clock
from aiortc.rtp import RtpPacket

from gateway.transports.webrtc.jitter import CLOCK_HZ
from gateway.transports.webrtc.opus import FRAME, SEND_RATE_HZ, Encoder
from pipeline.frames import ReplyAudio, Samples

FRAME_S = FRAME / SEND_RATE_HZ

MOST_WAITING = 50
"""Frames; playout is never more than ten ahead."""

TAIL = 10
"""Frames of silence after a stretch of talk, so that the peer's own buffer ends in quiet."""

QUIET_S = 0.4
"""While nobody talks a packet of silence goes out this often, as Opus does with DTX."""


class Transmission:
    """One outgoing audio track."""

    def __init__(self, sender: RTCRtpSender) -> None:
        self._inside = cast("Any", sender)  # its private names are needed
        self._inside._run_rtp = self._run
        self._loop = asyncio.get_running_loop()
        self._encoder = Encoder()
        self._waiting: deque[ReplyAudio] = deque(maxlen=MOST_WAITING)
        self._playing: ReplyAudio | None = None
        self._playing_from = 0.0
        self._more = asyncio.Event()
        self._silence = np.zeros(FRAME, np.int16)
        self._at = 0.0  # when the next packet is due
        self._timestamp = 0
        self._sequence = 0
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
        self._more.set()

    def flush(self) -> None:
        """Drop what has not left."""
        self._waiting.clear()
        self._playing = None

    async def _run(self, codec: RTCRtpCodecParameters) -> None:
        """In place of aiortc's own loop. Ends when cancelled and when the transport is closed."""
        inside = self._inside
        inside._RTCRtpSender__rtp_started.set()
        self._at = self._loop.time()
        self._sequence = secrets.randbits(15)  # SRTP's roll-over counter wants the lower half
        self._timestamp = secrets.randbits(32)
        try:
            while True:
                pcm, marker = await self._next()
                await self._send(codec.payloadType, self._encoder.encode(pcm), marker)
                self._advance(FRAME_S)
        except ConnectionError:
            pass
        finally:
            inside._RTCRtpSender__rtp_exited.set()

    async def _next(self) -> tuple[Samples, bool]:
        """The frame that is due, once it is, and whether it begins a stretch of talk."""
        if not self._waiting and self._quiet >= TAIL:
            self._more.clear()
            try:
                async with asyncio.timeout_at(self._at + QUIET_S):
                    await self._more.wait()
            except TimeoutError:
                pass
            self._advance(max(0.0, self._loop.time() - self._at))
        if (early := self._at - self._loop.time()) > 0:
            await asyncio.sleep(early)
        if not self._waiting:
            self._quiet += 1
            self._playing = None
            return self._silence, False
        begins = self._quiet >= TAIL
        self._quiet = 0
        self._playing, self._playing_from = self._waiting.popleft(), self._at
        return self._playing.pcm, begins

    def _advance(self, seconds: float) -> None:
        self._at += seconds
        self._timestamp = self._timestamp + round(seconds * CLOCK_HZ) & 0xFFFFFFFF

    async def _send(self, payload_type: int | None, payload: bytes, marker: bool) -> None:
        inside = self._inside
        now = clock.current_ntp_time()
        packet = RtpPacket(
            payload_type=payload_type or 0,
            marker=int(marker),
            sequence_number=self._sequence,
            timestamp=self._timestamp,
            ssrc=inside._ssrc,
            payload=payload,
        )
        packet.extensions.mid = inside._RTCRtpSender__mid
        packet.extensions.abs_send_time = now >> 14 & 0x00FFFFFF
        data = packet.serialize(inside._RTCRtpSender__rtp_header_extensions_map)
        self._sequence = self._sequence + 1 & 0xFFFF
        await inside.transport._send_rtp(data)
        self.packets += 1
        inside._RTCRtpSender__ntp_timestamp = now  # for the sender reports
        inside._RTCRtpSender__rtp_timestamp = packet.timestamp
        inside._RTCRtpSender__octet_count += len(payload)
        inside._RTCRtpSender__packet_count += 1
