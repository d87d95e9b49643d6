"""Opus on a lossy way: what the jitter buffer gives out as samples, gaps included."""

from collections.abc import Iterable

import numpy as np

from gateway.media import opus_packets as opus
from gateway.media.opus import OpusDecoder
from gateway.transports.webrtc.jitter import CLOCK_HZ, Item, MediaPacket
from pipeline.frames import INPUT_RATE_HZ, Samples

SEND_RATE_HZ = 24_000
"""Reply audio is encoded at this rate; voices are made at 22 or 24 kHz."""

FRAME = SEND_RATE_HZ // 50
"""Samples of one packet: 20 ms."""

FADE_MS = 80
"""Concealed speech fades from the half of this on; longer, it would sound like speech that goes on,
to a detector of voices too."""

_FADE = INPUT_RATE_HZ * FADE_MS // 1000
_PACKET = INPUT_RATE_HZ * opus.PACKET_MS // 1000


class PacketDecoder:
    """One stream of Opus packets to mono samples at 16 kHz. Keeps state: packets come in order.

    What is lost is concealed by libopus (`opus.LOST`), for as long as `FADE_MS`. Its forward error
    correction is out of reach: FFmpeg has no call for it.
    """

    def __init__(self) -> None:
        self._decoder = OpusDecoder()
        self._concealed = 0  # samples since something was heard

    def decode(self, items: Iterable[Item]) -> Samples:
        """What the jitter buffer gave out, as one stretch of audio, gaps included."""
        parts = [self._one(item) for item in items]
        return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.int16), *parts])

    def _one(self, item: Item) -> Samples:
        if isinstance(item, MediaPacket):
            try:
                pcm = self._decoder.decode(item.payload)
            except opus.NotOpus:
                return self._conceal(_PACKET)
            self._concealed = 0
            return pcm
        samples = item.samples * INPUT_RATE_HZ // CLOCK_HZ
        if item.lost:
            return self._conceal(samples)
        self._concealed = 0
        return np.zeros(samples, np.int16)

    def _conceal(self, samples: int) -> Samples:
        """So much audio for a gap that follows what was heard."""
        out: Samples = np.zeros(samples, np.int16)
        at = np.arange(self._concealed, min(self._concealed + samples, _FADE))
        self._concealed += samples
        if len(at):
            lost = [self._decoder.decode(opus.LOST) for _ in range(0, len(at), _PACKET)]
            pcm = np.concatenate(lost)[: len(at)]  # the very first is a little short
            out[: len(pcm)] = pcm * np.minimum(2 - 2 * at / _FADE, 1.0)[: len(pcm)]
        return out
