"""Audio on the wire: PCM16, mu-law, A-law and Opus, to and from the engine's samples."""

import numpy as np

from gateway.media.format import AudioFormat
from gateway.media.g711 import CODES, EXPANSIONS
from gateway.media.opus import OpusDecoder, OpusEncoder
from gateway.media.opus_packets import LOST, NotOpus
from gateway.media.resampling import converter
from pipeline.frames import INPUT_RATE_HZ, ReplyAudio, Samples


def decode(data: bytes, audio: AudioFormat) -> Samples:
    """Wire bytes (a whole number of samples, no Opus) as mono samples at the wire's rate."""
    if audio.encoding == "pcm_s16le":
        pcm = np.frombuffer(data, "<i2").astype(np.int16, copy=False)
    else:
        pcm = EXPANSIONS[audio.encoding][np.frombuffer(data, np.uint8)]
    if audio.channels == 1:
        return pcm
    mono: Samples = pcm.reshape(-1, audio.channels).mean(axis=1).astype(np.int16)
    return mono


def encode(pcm: Samples, audio: AudioFormat) -> bytes:
    """Mono samples at the wire's rate as wire bytes, but for Opus."""
    if audio.encoding == "pcm_s16le":
        return pcm.astype("<i2", copy=False).tobytes()
    return CODES[audio.encoding][pcm.astype(np.int32) + 32768].tobytes()


class AudioUnpacker:
    """One client's audio messages to samples at 16 kHz. Keeps state: they come in order."""

    def __init__(self, audio: AudioFormat) -> None:
        self._audio = audio
        self._opus = OpusDecoder() if audio.encoding == "opus" else None
        self._rate = converter(audio.rate_hz, INPUT_RATE_HZ)  # of samples; packets need none

    def unpack(self, data: bytes) -> Samples:
        """What a message holds. It has been checked; libopus conceals what it refuses still."""
        if self._opus is None:
            return self._rate.push(decode(data, self._audio))
        try:
            return self._opus.decode(data)
        except NotOpus:
            return self._opus.decode(LOST)


class AudioPacker:
    """One client's reply audio to messages, one a frame."""

    def __init__(self, audio: AudioFormat) -> None:
        self._audio = audio
        self._opus: OpusEncoder | None = None

    def pack(self, frame: ReplyAudio) -> bytes:
        """The message for a frame, which has the wire's rate and 20 ms at most."""
        if self._audio.encoding != "opus":
            return encode(frame.pcm, self._audio)
        if self._opus is None or frame.at_ms == 0:
            self._opus = OpusEncoder(self._audio.rate_hz)
        return self._opus.encode(frame.pcm)

    def clear(self) -> None:
        """Let nothing of what was packed ring on in what follows."""
        self._opus = None
