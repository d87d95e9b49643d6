"""Opus to and from the engine's samples, through FFmpeg's libopus. Plain calls: 20 to 50 µs each.

What is lost is concealed here: FFmpeg offers neither libopus's own concealment nor its forward
error correction.
"""

from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.error import FFmpegError

from gateway.transports.webrtc.jitter import CLOCK_HZ, Heard, Item, duration
from pipeline.frames import INPUT_RATE_HZ, Samples

SEND_RATE_HZ = 24_000
"""Reply audio is encoded at this rate; voices are made at 22 or 24 kHz."""

FRAME = SEND_RATE_HZ // 50
"""Samples of one packet: 20 ms."""

BIT_RATE = 28_000

FADE_MS = 60
"""Concealed speech fades within this; longer, repetition sounds like a machine (G.711, app. I)."""

_HISTORY = INPUT_RATE_HZ * 40 // 1000
_SHORTEST_LAG = INPUT_RATE_HZ // 400
_LONGEST_LAG = INPUT_RATE_HZ // 66
_MATCHED = INPUT_RATE_HZ * 20 // 1000


class Decoder:
    """One stream of Opus packets to mono samples at 16 kHz. Keeps state: packets come in order."""

    def __init__(self) -> None:
        codec = av.CodecContext.create("libopus", "r")
        assert isinstance(codec, AudioCodecContext)
        codec.layout = "mono"
        codec.sample_rate = CLOCK_HZ
        self._codec = codec
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=INPUT_RATE_HZ)
        self._concealer = Concealer()

    def decode(self, items: Iterable[Item]) -> Samples:
        """What the jitter buffer gave out, as one stretch of audio, gaps included."""
        parts = [self._one(item) for item in items]
        return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.int16), *parts])

    def _one(self, item: Item) -> Samples:
        if isinstance(item, Heard):
            # FFmpeg takes an empty packet for the end of the stream, and nothing after it.
            if duration(item.payload):
                try:
                    return self._concealer.heard(self._decoded(item.payload))
                except FFmpegError:
                    pass  # it is no Opus packet
            return self._concealer.conceal(INPUT_RATE_HZ // 50)
        samples = item.samples * INPUT_RATE_HZ // CLOCK_HZ
        if item.lost:
            return self._concealer.conceal(samples)
        return self._concealer.heard(np.zeros(samples, np.int16))

    def _decoded(self, payload: bytes) -> Samples:
        parts: list[Samples] = [
            np.frombuffer(bytes(resampled.planes[0]), np.int16)[: resampled.samples]
            for frame in self._codec.decode(av.Packet(payload))
            for resampled in self._resampler.resample(frame)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.int16), *parts])


class Concealer:
    """Puts something plausible where speech is lost: its last pitch period, repeated and faded.

    The method is waveform substitution as in ITU-T G.711 appendix I, without its overlap-add.
    """

    def __init__(self) -> None:
        self._last: Samples = np.zeros(_HISTORY, np.int16)
        self._concealed = 0

    def heard(self, pcm: Samples) -> Samples:
        """Audio that is there; returns it."""
        if len(pcm) >= _HISTORY:
            self._last = pcm[-_HISTORY:]
        elif len(pcm):
            self._last = np.concatenate((self._last[len(pcm) :], pcm))
        self._concealed = 0
        return pcm

    def conceal(self, samples: int) -> Samples:
        """So much audio for a gap that follows what was heard."""
        fade = INPUT_RATE_HZ * FADE_MS // 1000
        at = np.arange(self._concealed, self._concealed + samples)
        self._concealed += samples
        out: Samples = np.zeros(samples, np.int16)
        audible = int(np.searchsorted(at, fade))
        if audible:
            period = self._last[-self._lag() :]
            repeated = period[at[:audible] % len(period)]
            out[:audible] = repeated * (1.0 - at[:audible] / fade)
        return out

    def _lag(self) -> int:
        """The pitch period of what was heard last: where it resembles itself the most."""
        signal = self._last.astype(np.float32)
        template = signal[-_MATCHED:]
        windows = np.lib.stride_tricks.sliding_window_view(signal, _MATCHED)
        lags = np.arange(_SHORTEST_LAG, _LONGEST_LAG + 1)
        candidates = windows[len(windows) - 1 - lags]
        energy = np.sqrt(np.einsum("ij,ij->i", candidates, candidates)) + 1.0
        return int(lags[np.argmax(candidates @ template / energy)])


class Encoder:
    """Mono samples at 24 kHz to Opus packets of 20 ms, one call a packet."""

    def __init__(self) -> None:
        codec = av.CodecContext.create("libopus", "w")
        assert isinstance(codec, AudioCodecContext)
        codec.layout = "mono"
        codec.format = "s16"
        codec.sample_rate = SEND_RATE_HZ
        codec.bit_rate = BIT_RATE
        codec.time_base = Fraction(1, SEND_RATE_HZ)
        # On speech: 39 µs a packet, where complexity 10 takes 177.
        codec.options = {
            "application": "audio",
            "compression_level": "2",
            "frame_duration": "20",
            "vbr": "on",
        }
        self._codec = codec

    def encode(self, pcm: Samples) -> bytes:
        """One packet for at most `FRAME` samples; a shorter frame is filled up with silence."""
        if len(pcm) < FRAME:
            pcm = np.concatenate((pcm, np.zeros(FRAME - len(pcm), np.int16)))
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(pcm.tobytes())
        frame.sample_rate = SEND_RATE_HZ
        return b"".join(bytes(packet) for packet in self._codec.encode(frame))
