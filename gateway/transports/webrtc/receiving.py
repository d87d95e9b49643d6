"""Reception behind aiortc's RTP layer: its packets and statistics, our jitter buffer and decoder.

aiortc's own buffer loses 100 ms of speech for one lost packet of 20 ms and keeps 200 ms of delay
from then on, and each of its tracks has a thread. So packets leave it where it would put them into
its buffer, after they have been counted for RTCP, and its thread is ended as it begins.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiortc import RTCRtpReceiver
from aiortc.rtp import RtpPacket

from gateway.transports.webrtc.jitter import Item, Jitter, Packet
from gateway.transports.webrtc.opus import Decoder
from pipeline.frames import Samples


class Reception:
    """One incoming audio track. `deliver` gets 16 kHz samples as they come: a plain call."""

    def __init__(self, receiver: RTCRtpReceiver, deliver: Callable[[Samples], None]) -> None:
        self.jitter = Jitter()
        self._deliver = deliver
        self._decoder = Decoder()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        _take_over(receiver, self)

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """What aiortc calls on a jitter buffer; nothing is left for it to decode."""
        if not self._closed:
            now = self._loop.time()
            came = Packet(packet.sequence_number, packet.timestamp, packet.payload, packet.ssrc)
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
            self._deliver(self._decoder.decode(items))
        deadline = self.jitter.deadline
        if deadline is None or self._closed:
            return
        # The usual deadline moves on with every packet; a timer that is early looks again.
        if self._timer is None or self._timer.when() > deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self._give(self.jitter.expire(self._loop.time()))


def _take_over(receiver: RTCRtpReceiver, reception: Reception) -> None:
    # Private names of aiortc 1.15 and 1.16; the tests of a whole conversation stand guard.
    inside: Any = receiver
    inside._RTCRtpReceiver__jitter_buffer = reception
    receive = receiver.receive

    async def without_thread(parameters: Any) -> None:
        await receive(parameters)
        inside._RTCRtpReceiver__stop_decoder()

    inside.receive = without_thread
