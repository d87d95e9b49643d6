"""The speech of the WebRTC runs: the fixture clips one after the other, repeatedly."""

import asyncio
import time
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.audio.codeccontext import AudioCodecContext

from benchmarks.speech import answers
from gateway.media.resampling import converter
from pipeline.frames import INPUT_RATE_HZ, Samples

PACKET_MS = 20
CLOCK_HZ = 48_000
PACKET_SAMPLES = CLOCK_HZ * PACKET_MS // 1000

BROWSER_BIT_RATE = 32_000
"""About what Chromium sends for one voice."""


def speech(rate_hz: int) -> Samples:
    """All turns of the clips without the silence round them, at a rate."""
    said = np.concatenate([clip.segment() for clip in answers()])
    return converter(INPUT_RATE_HZ, rate_hz).push(said)


def packets(pcm: Samples) -> list[bytes]:
    """48 kHz mono as Opus packets of 20 ms, as a browser would send them."""
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, AudioCodecContext)
    codec.layout = "mono"
    codec.format = "s16"
    codec.sample_rate = CLOCK_HZ
    codec.bit_rate = BROWSER_BIT_RATE
    codec.time_base = Fraction(1, CLOCK_HZ)
    codec.options = {"application": "voip", "frame_duration": str(PACKET_MS)}
    made = []
    for start in range(0, len(pcm) - PACKET_SAMPLES + 1, PACKET_SAMPLES):
        part = pcm[start : start + PACKET_SAMPLES].reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
        frame.sample_rate = CLOCK_HZ
        made += [bytes(packet) for packet in codec.encode(frame)]
    return made


class Paced(MediaStreamTrack):
    """A track whose items are due every `period_s`.

    `lag_ms` has the delay of each item.
    """

    def __init__(self, kind: str, period_s: float) -> None:
        super().__init__()
        self.kind = kind
        self.lag_ms: list[float] = []
        self._period_s = period_s
        self._began: float | None = None
        self._count = 0

    async def due(self) -> int:
        """Wait for the next item; returns its number. Raises `MediaStreamError` at the end."""
        if self.readyState != "live":
            raise MediaStreamError
        now = time.monotonic()
        if self._began is None:
            self._began = now
        early = self._began + self._count * self._period_s - now
        if early > 0:
            await asyncio.sleep(early)
        self.lag_ms.append(max(0.0, -early * 1000))
        self._count += 1
        return self._count - 1


class Microphone(Paced):
    """Packets that were encoded before: sending them costs the client little."""

    def __init__(self, said: list[bytes], start: int = 0) -> None:
        super().__init__("audio", PACKET_MS / 1000)
        self._said = said
        self._start = start

    async def recv(self) -> Any:
        number = await self.due()
        packet = av.Packet(self._said[(self._start + number) % len(self._said)])
        packet.pts = number * PACKET_SAMPLES
        packet.time_base = Fraction(1, CLOCK_HZ)
        return packet
