"""Reception of audio: aiortc's RTP layer, and the gateway's jitter buffer and decoder.

aiortc's own buffer loses 100 ms of speech for one lost packet of 20 ms and adds 200 ms of delay
from then on, and each of its tracks has a thread. `Reception` takes the place of that buffer:
packets have been counted for RTCP when they come here, and the thread is ended as it starts.
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
"""The highest sample of audio that cannot be speech, 40 dB below the loudest."""

STALL_S = 0.005
"""If the timer fires later than this, received packets may still be unread: the event loop reads
one of them in each turn. They get this long to be read before a gap is given up."""


class Reception:
    """One incoming audio track. `deliver` is called with 16 kHz samples as these come.

    While the network stalls, the jitter buffer gives out silence, and the late packets follow it.
    That much silence is left out when the speaker is next quiet, so that no stall leaves a delay.
    """

    def __init__(self, receiver: RTCRtpReceiver, deliver: Callable[[Samples], None]) -> None:
        self.jitter = Jitter()
        self._deliver = deliver
        self._decoder = PacketDecoder()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._due = 0.0  # when the timer fires: what uvloop makes of a past time cannot say
        self._catching_up = False
        self._closed = False
        take_over_receiver(receiver, self)

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Take a packet from aiortc; there is never a frame for it to decode."""
        if not self._closed:
            now = self._loop.time()
            arrived = ArrivedPacket(
                packet.sequence_number, packet.timestamp, packet.payload, packet.ssrc
            )
            self._deliver_items(self.jitter.handle(arrived, now))
        return False, None

    def close(self) -> None:
        """Deliver nothing more. Idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _deliver_items(self, items: list[Item]) -> None:
        if items:
            pcm = self._decoder.decode(items)
            if self.jitter.ahead and isinstance(items[0], MediaPacket) and _is_quiet(pcm):
                self.jitter.left_out(len(pcm) * CLOCK_HZ // INPUT_RATE_HZ)
            else:
                self._deliver(pcm)
        deadline = self.jitter.deadline
        if deadline is None or self._closed or self._catching_up:
            return
        # Most packets only postpone the deadline: the timer then fires early and is set again.
        if self._timer is None or self._due > deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._expire_at(deadline)

    def _expire(self) -> None:
        now = self._loop.time()
        self._catching_up = not self._catching_up and now - self._due > STALL_S
        if self._catching_up:
            self._expire_at(now + STALL_S)
            return
        self._timer = None
        self._deliver_items(self.jitter.expire(now))

    def _expire_at(self, due: float) -> None:
        self._due = due
        self._timer = self._loop.call_at(due, self._expire)


def _is_quiet(pcm: Samples) -> bool:
    return len(pcm) > 0 and max(int(pcm.max()), -int(pcm.min())) < QUIET
