"""Audio on the wire: PCM16, mu-law, A-law and Opus, to and from the engine's samples."""

from dataclasses import dataclass
from typing import Literal

import av
import numpy as np
import numpy.typing as npt

from gateway.media import opus_packets as opus
from pipeline.frames import INPUT_RATE_HZ, ReplyAudio, Samples

Encoding = Literal["pcm_s16le", "mulaw", "alaw", "opus"]
ENCODINGS: tuple[Encoding, ...] = ("pcm_s16le", "mulaw", "alaw", "opus")
LOWEST_RATE_HZ = 8_000
HIGHEST_RATE_HZ = 48_000
LONGEST_MESSAGE_MS = 100


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """How audio travels in one direction. Of Opus a message is one packet, of the others samples.

    An Opus packet says itself what it holds: for incoming audio `rate_hz` and `channels` then tell
    no more than what went into it.
    """

    encoding: Encoding = "pcm_s16le"
    rate_hz: int = INPUT_RATE_HZ
    channels: int = 1

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample of all channels; not for Opus."""
        return (2 if self.encoding == "pcm_s16le" else 1) * self.channels

    def duration_ms(self, data: bytes) -> float:
        """How long a message lasts. Raises `opus.NotOpus` where it is no Opus packet but should."""
        if self.encoding == "opus":
            return opus.duration_ms(data)
        return len(data) * 1000 / (self.sample_bytes * self.rate_hz)


# --- G.711 -----------------------------------------------------------------------------------


def _mulaw_to_linear() -> Samples:
    """ITU-T G.711 mu-law expansion for all 256 codes."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    linear: Samples = np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)
    return linear


def _alaw_to_linear() -> Samples:
    """ITU-T G.711 A-law expansion for all 256 codes."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code & 0x70) >> 4
    magnitude = ((code & 0x0F) << 4) + 8
    magnitude = np.where(segment, (magnitude + 0x100) << np.maximum(segment - 1, 0), magnitude)
    linear: Samples = np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)
    return linear


def _nearest_codes(expansion: Samples) -> npt.NDArray[np.uint8]:
    """For every 16-bit sample (index + 32768) the code whose expansion lies nearest."""
    order = np.argsort(expansion, kind="stable")
    levels = expansion[order].astype(np.int32)
    middles = (levels[:-1] + levels[1:]) // 2
    return order[np.searchsorted(middles, np.arange(-32768, 32768))].astype(np.uint8)


_EXPANSIONS = {"mulaw": _mulaw_to_linear(), "alaw": _alaw_to_linear()}
_CODES = {name: _nearest_codes(table) for name, table in _EXPANSIONS.items()}


def decode(data: bytes, audio: AudioFormat) -> Samples:
    """Wire bytes (a whole number of samples, no Opus) as mono samples at the wire's rate."""
    if audio.encoding == "pcm_s16le":
        pcm = np.frombuffer(data, "<i2").astype(np.int16, copy=False)
    else:
        pcm = _EXPANSIONS[audio.encoding][np.frombuffer(data, np.uint8)]
    if audio.channels == 1:
        return pcm
    mono: Samples = pcm.reshape(-1, audio.channels).mean(axis=1).astype(np.int16)
    return mono


def encode(pcm: Samples, audio: AudioFormat) -> bytes:
    """Mono samples at the wire's rate as wire bytes, but for Opus."""
    if audio.encoding == "pcm_s16le":
        return pcm.astype("<i2", copy=False).tobytes()
    return _CODES[audio.encoding][pcm.astype(np.int32) + 32768].tobytes()


# --- sample rates ----------------------------------------------------------------------------


class Unchanged:
    """The converter between equal rates."""

    def push(self, pcm: Samples) -> Samples:
        return pcm

    def flush(self) -> Samples:
        return np.zeros(0, np.int16)


class Resampler:
    """FFmpeg's resampler, stateful. It holds back 0.7 to 2 ms (soxr: 4 to 38 ms, in bursts)."""

    def __init__(self, source_hz: int, target_hz: int) -> None:
        self._source_hz = source_hz
        self._target_hz = target_hz
        self._renew()

    def _renew(self) -> None:
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=self._target_hz)

    def push(self, pcm: Samples) -> Samples:
        if not len(pcm):
            return pcm
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = self._source_hz
        return _joined(self._resampler.resample(frame))

    def flush(self) -> Samples:
        rest = _joined(self._resampler.resample(None))
        self._renew()  # FFmpeg's resampler takes nothing more once it has been drained
        return rest


def _joined(frames: list[av.AudioFrame]) -> Samples:
    parts: list[Samples] = [frame.to_ndarray()[0] for frame in frames]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def converter(source_hz: int, target_hz: int) -> Unchanged | Resampler:
    """A converter between two rates; see `pipeline.stage.Converter`."""
    return Unchanged() if source_hz == target_hz else Resampler(source_hz, target_hz)


# --- messages --------------------------------------------------------------------------------


class AudioUnpacker:
    """One client's audio messages to samples at 16 kHz. Keeps state: they come in order."""

    def __init__(self, audio: AudioFormat) -> None:
        self._audio = audio
        self._opus = opus.OpusDecoder() if audio.encoding == "opus" else None
        self._rate = converter(audio.rate_hz, INPUT_RATE_HZ)  # of samples; packets need none

    def unpack(self, data: bytes) -> Samples:
        """What a message holds. It has been checked; libopus conceals what it refuses still."""
        if self._opus is None:
            return self._rate.push(decode(data, self._audio))
        try:
            return self._opus.decode(data)
        except opus.NotOpus:
            return self._opus.decode(opus.LOST)


class AudioPacker:
    """One client's reply audio to messages, one a frame."""

    def __init__(self, audio: AudioFormat) -> None:
        self._audio = audio
        self._opus: opus.OpusEncoder | None = None

    def pack(self, frame: ReplyAudio) -> bytes:
        """The message for a frame, which has the wire's rate and 20 ms at most."""
        if self._audio.encoding != "opus":
            return encode(frame.pcm, self._audio)
        if self._opus is None or frame.at_ms == 0:
            self._opus = opus.OpusEncoder(self._audio.rate_hz)
        return self._opus.encode(frame.pcm)

    def clear(self) -> None:
        """Let nothing of what was packed ring on in what follows."""
        self._opus = None
