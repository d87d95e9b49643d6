"""One utterance in Whisper's worker: its audio, and the state of its partial transcripts."""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipeline.frames import INPUT_RATE_HZ
from stages._worker_main import WorkerReply
from stages.stt._agreement import Agreement

Audio = npt.NDArray[np.float32]
"""16 kHz, -1 to 1."""

WINDOW_SAMPLES = 30 * INPUT_RATE_HZ
"""Whisper decodes 30 s at a time; longer audio needs timestamps to move on at a word's end."""

LEAST_TOKENS, MORE_TOKENS = 8, 4
"""The estimate for a partial: at least the first, and the second more than the one before had."""

_SCALE = np.float32(1 / 32768)

_NEWS_BYTES = 2 * INPUT_RATE_HZ // 2
"""A partial begins when there is at least half a second of new audio."""

_SLICE_SAMPLES = INPUT_RATE_HZ // 20
_SPEECH_RANGE = 1 / 20
"""A slice of 50 ms within 26 dB of the loudest counts as loud."""


@dataclass(slots=True)
class WhisperUtterance:
    """One utterance's audio and the state of its partials.

    `language` is its language's code, None if it is to be found; `hints` are the terms that are
    likely to be said.
    """

    reply: WorkerReply
    partials: bool
    hints: tuple[str, ...] = ()
    language: str | None = None
    audio: bytearray = field(default_factory=bytearray)
    agreement: Agreement = field(default_factory=Agreement)
    loud_at_s: float = -math.inf
    """When audio with a loud end last arrived."""
    seen_bytes: int = 0
    """Bytes of the audio that the last partial had."""
    expected_tokens: int = LEAST_TOKENS
    """The estimate for the next partial."""
    _loudest: float = 1.0

    def feed(self, pcm: bytes, now_s: float) -> None:
        """Keep the next audio."""
        self.audio += pcm
        if not self.partials:
            return
        samples = np.frombuffer(pcm, np.int16).astype(np.float32)
        slices = [samples[max(0, end - _SLICE_SAMPLES) : end] for end in _ends(len(samples))]
        levels = [float(np.sqrt(np.mean(slice_ * slice_))) for slice_ in slices]
        self._loudest = max(self._loudest, *levels)
        if levels[-1] > self._loudest * _SPEECH_RANGE:
            self.loud_at_s = now_s

    @property
    def has_news(self) -> bool:
        """Whether there is enough new audio for a partial, and all audio fits one window."""
        return (
            self.partials
            and len(self.audio) >= self.seen_bytes + _NEWS_BYTES
            and len(self.audio) <= 2 * WINDOW_SAMPLES
        )

    @property
    def audio_s(self) -> float:
        """How much audio there is."""
        return len(self.audio) / 2 / INPUT_RATE_HZ

    def samples(self) -> Audio:
        """The audio. Raises ValueError for half a sample."""
        return np.frombuffer(bytes(self.audio), np.int16).astype(np.float32) * _SCALE


def loudest_db(samples: Audio) -> float:
    """The level of the loudest 50 ms (RMS, full scale 0); -inf for digital silence."""
    whole = len(samples) // _SLICE_SAMPLES * _SLICE_SAMPLES
    slices = samples[:whole].reshape(-1, _SLICE_SAMPLES) if whole else samples.reshape(1, -1)
    power = float(np.mean(slices * slices, axis=1).max())
    return 10 * math.log10(power) if power > 0 else -math.inf


def _ends(length: int) -> range:
    """The ends of the slices; the last slice ends with the audio."""
    return range(length % _SLICE_SAMPLES or min(length, _SLICE_SAMPLES), length + 1, _SLICE_SAMPLES)
