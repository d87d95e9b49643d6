"""The features of Smart Turn: the log-mel spectrogram of Whisper's encoder, for 8 s. Pure.

The steps and constants are those of Whisper's feature extraction (OpenAI, MIT): frames of 25 ms
every 10 ms under a periodic Hann window, power, 80 triangular filters of unit area on the mel scale
of Slaney's Auditory Toolbox (1998), logarithm, a floor 8 decades below the loudest value, and a
shift to about -1 … 1. Before them the waveform is scaled to mean 0 and variance 1.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.frames import INPUT_RATE_HZ, Samples

Floats: TypeAlias = npt.NDArray[np.float32]

SECONDS = 8
SAMPLES = SECONDS * INPUT_RATE_HZ
FRAME = 400
HOP = 160
MELS = 80
FRAMES = SAMPLES // HOP

_BREAK_HZ, _BREAK_MEL = 1000.0, 15.0
"""The mel scale is linear up to here, and logarithmic above."""
_STEP = np.log(6.4) / 27
"""The logarithmic part: 27 mels for a factor of 6.4."""


def _mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz * _BREAK_MEL / _BREAK_HZ
    return float(_BREAK_MEL + np.log(hz / _BREAK_HZ) / _STEP)


def _hz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    above = _BREAK_HZ * np.exp((mels - _BREAK_MEL) * _STEP)
    return np.where(mels < _BREAK_MEL, mels * _BREAK_HZ / _BREAK_MEL, above)


def _filters() -> Floats:
    """The weight of each of the 201 frequencies in each mel band, `[80, 201]`."""
    nyquist = INPUT_RATE_HZ / 2
    edges = _hz(np.linspace(_mel(0), _mel(nyquist), MELS + 2))[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    hz = np.linspace(0, nyquist, FRAME // 2 + 1)
    sides = np.minimum((hz - low) / (middle - low), (high - hz) / (high - middle))
    return np.asarray(np.maximum(sides, 0) * 2 / (high - low), np.float32)


_FILTERS = _filters()
_WINDOW = np.hanning(FRAME + 1)[:-1].astype(np.float32)


def log_mel(audio: Samples) -> Floats:
    """The features `[80, 800]` of the last 8 s of `audio` (16 kHz), after silence if it is
    shorter."""
    wave = np.zeros(SAMPLES, np.float32)
    last = audio[-SAMPLES:]
    if len(last):
        wave[-len(last) :] = last * np.float32(1 / 32768)
    wave = (wave - wave.mean()) / np.sqrt(wave.var() + np.float32(1e-7))
    padded = np.pad(wave, FRAME // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[: FRAMES * HOP : HOP]
    spectrum = np.fft.rfft(frames * _WINDOW, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    logs = np.log10(np.maximum(_FILTERS @ power.T, np.float32(1e-10)))
    floored = np.maximum(logs, logs.max() - 8)
    return np.asarray((floored + 4) / 4, np.float32)
