"""Decoding of the Opus packets and gaps that the jitter buffer gives out."""

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
"""Length of concealment, which fades out over its second half. Longer concealment would sound like
speech that continues, also to the voice detector."""

_FADE = INPUT_RATE_HZ * FADE_MS // 1000
_PACKET = INPUT_RATE_HZ * opus.PACKET_MS // 1000


class PacketDecoder:
    """Decodes one stream of Opus packets, in order, to mono samples at 16 kHz.

    libopus conceals lost packets (`opus.LOST`) for up to `FADE_MS`. Forward error correction is not
    used: FFmpeg has no call for it.
    """

    def __init__(self) -> None:
        self._decoder = OpusDecoder()
        self._concealed = 0  # samples since the last packet

    def decode(self, items: Iterable[Item]) -> Samples:
        """The samples of some packets and gaps, joined."""
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
        """Samples for a lost stretch of this length."""
        out: Samples = np.zeros(samples, np.int16)
        at = np.arange(self._concealed, min(self._concealed + samples, _FADE))
        self._concealed += samples
        if len(at):
            lost = [self._decoder.decode(opus.LOST) for _ in range(0, len(at), _PACKET)]
            pcm = np.concatenate(lost)[: len(at)]  # the first one of a stream is a little short
            out[: len(pcm)] = pcm * np.minimum(2 - 2 * at / _FADE, 1.0)[: len(pcm)]
        return out
