"""How loud an utterance is. Pure."""

import math

import numpy as np
import numpy.typing as npt

from pipeline.frames import INPUT_RATE_HZ

Audio = npt.NDArray[np.float32]
"""16 kHz, -1 to 1."""

SLICE_SAMPLES = INPUT_RATE_HZ // 20
"""Levels are those of 50 ms each."""

_SCALE = np.float32(1 / 32768)


def samples_of(audio: bytes) -> Audio:
    """16-bit samples as numbers. Raises ValueError for half a sample."""
    return np.frombuffer(audio, np.int16).astype(np.float32) * _SCALE


def loudest_db(samples: Audio) -> float:
    """The level of the loudest 50 ms (RMS, full scale 0); -inf for digital silence and none."""
    loudest = float(levels_of(samples).max()) if len(samples) else 0.0
    return 20 * math.log10(loudest) if loudest > 0 else -math.inf


def levels_of(samples: Audio) -> Audio:
    """The level (RMS) of every 50 ms."""
    whole = len(samples) // SLICE_SAMPLES * SLICE_SAMPLES
    slices = samples[:whole].reshape(-1, SLICE_SAMPLES) if whole else samples.reshape(1, -1)
    levels: Audio = np.sqrt(np.mean(slices * slices, axis=1))
    return levels
