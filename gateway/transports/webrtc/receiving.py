"""Reception behind aiortc's RTP layer: its packets and statistics, our jitter buffer and decoder.

aiortc's own buffer loses 100 ms of speech for one lost packet of 20 ms and keeps 200 ms of delay
from then on, and each of its tracks has a thread. So packets leave it where it would put them into
its buffer, after they have been counted for RTCP, and its thread is ended as it begins.
"""

import asyncio
from collections.abc import Callable

from aiortc import RTCRtpReceiver
from aiortc.rtp import RtpPacket

from gateway.transports.webrtc.aiortc_private import take_over_receiver
from gateway.transports.webrtc.jitter import CLOCK_HZ, ArrivedPacket, Item, Jitter, MediaPacket
from gateway.transports.webrtc.opus import PacketDecoder
from pipeline.frames import INPUT_RATE_HZ, Samples

QUIET = 300
"""The highest sample of what nobody can have said, 40 dB below the loudest."""

STALL_S = 0.005
"""A timer that is later than this finds packets unread, of which the loop takes one a turn: before
any is given up, they have as long to come in."""


class Reception:
    """One incoming audio track. `deliver` gets 16 kHz samples as they come: a plain call.

    Where the network stalled, silence went ahead of what then came; as much of it is left out where
    the speaker is quiet, so that no stall leaves a delay behind.
    """

    def __init__(self, receiver: RTCRtpReceiver, deliver: Callable[[Samples], None]) -> None:
        self.jitter = Jitter()
        self._deliver = deliver
        self._decoder = PacketDecoder()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._catching_up = False
        self._closed = False
        take_over_receiver(receiver, self)

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """What aiortc calls on a jitter buffer; nothing is left for it to decode."""
        if not self._closed:
            now = self._loop.time()
            came = ArrivedPacket(
                packet.sequence_number, packet.timestamp, packet.payload, packet.ssrc
            )
            self._give(self.jitter.handle(came, now))
        return False, None

    def close(self) -> None:
        """Nothing is delivered any more. Idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give(self, items: list[Item]) -> None:
        if items:
            pcm = self._decoder.decode(items)
            if self.jitter.ahead and isinstance(items[0], MediaPacket) and _is_quiet(pcm):
                self.jitter.left_out(len(pcm) * CLOCK_HZ // INPUT_RATE_HZ)
            else:
                self._deliver(pcm)
        deadline = self.jitter.deadline
        if deadline is None or self._closed or self._catching_up:
            return
        # The usual deadline moves on with every packet; a timer that is early looks again.
        if self._timer is None or self._timer.when() > deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        assert self._timer is not None
        now = self._loop.time()
        self._catching_up = not self._catching_up and now - self._timer.when() > STALL_S
        if self._catching_up:
            self._timer = self._loop.call_at(now + STALL_S, self._expire)
            return
        self._timer = None
        self._give(self.jitter.expire(now))


def _is_quiet(pcm: Samples) -> bool:
    return len(pcm) > 0 and max(int(pcm.max()), -int(pcm.min())) < QUIET
