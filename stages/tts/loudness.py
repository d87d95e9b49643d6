"""How loud a voice is, and a fixed gain that brings it to one loudness. Pure.

Loudness is measured as ITU-R BS.1770-5 says (annex 1, one channel): K-weighting, blocks of 400 ms
that overlap by three quarters, an absolute gate at -70 LUFS and a relative one 10 LU below the
rest. The standard gives the filters for 48 kHz only; for other rates they are computed from the
analogue filters behind them (Brecht De Man, "Evaluation of implementations of the EBU R128 loudness
measurement", AES 145, 2018). The true peak is that of the signal at four times its rate (annex 2).
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from pipeline.frames import Samples

TARGET_LUFS = -16.0
"""Of every voice on this machine: what is usual for speech on the web (AES TD1008)."""

HIGHEST_DBFS = -2.0
"""The highest sample after the gain; the sound between samples stays below -1 dBFS."""

MOST_GAIN_DB = 20.0

_KNEE_DBFS = -6.0
"""From here on, peaks are bent."""

_ROUND_PEAK_S = 0.001
"""The gain changes over this time on both sides of a peak, and as long again."""

_TAPS = np.arange(-7.5, 8)
_HALFWAY = np.sinc(_TAPS) * np.hamming(len(_TAPS))
"""Interpolates halfway between samples."""

_FULL_SCALE = 32768.0
_BLOCK_S, _STEP_S = 0.4, 0.1
_ABSOLUTE_GATE_LUFS, _RELATIVE_GATE_LU = -70.0, 10.0
_OFFSET_LU = -0.691

_SHELF_HZ, _SHELF_DB, _SHELF_Q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
_HIGH_PASS_HZ, _HIGH_PASS_Q = 38.13547087602444, 0.5003270373238773


def loudness_lufs(samples: npt.NDArray[np.floating], rate_hz: int) -> float:
    """The integrated loudness of mono samples, 1.0 being full scale; -inf for silence."""
    weighted = _k_weighted(samples.astype(np.float64), rate_hz)
    size, step = round(_BLOCK_S * rate_hz), round(_STEP_S * rate_hz)
    if len(weighted) < size:
        weighted = np.pad(weighted, (0, size - len(weighted)))
    blocks = np.lib.stride_tricks.sliding_window_view(weighted, size)[::step]
    power = np.mean(blocks * blocks, axis=1)
    power = power[_lufs(power) > _ABSOLUTE_GATE_LUFS]
    if not len(power):
        return -math.inf
    gate = float(_lufs(np.mean(power))) - _RELATIVE_GATE_LU
    return float(_lufs(np.mean(power[_lufs(power) > gate])))


def true_peak_dbfs(samples: npt.NDArray[np.floating]) -> float:
    """The highest value of the sound between the samples as well; -inf for silence."""
    if not len(samples):
        return -math.inf
    size = 4 * len(samples)
    # A signal of four times the rate has the same spectrum, and nothing above.
    spectrum = np.zeros(size // 2 + 1, np.complex128)
    original = np.fft.rfft(samples)
    spectrum[: len(original)] = original
    peak = 4 * float(np.abs(np.fft.irfft(spectrum, size)).max())
    return 20 * math.log10(peak) if peak > 0 else -math.inf


@dataclass(frozen=True, slots=True)
class VoiceLevel:
    """A gain in dB, and a limiter for the peaks that it makes. It keeps no state."""

    gain_db: float

    @classmethod
    def toward_target(cls, loudness_lufs: float) -> Self:
        """The gain for a voice of this loudness: at most 20 dB, and none for silence."""
        if loudness_lufs == -math.inf:
            return cls(0.0)
        return cls(min(TARGET_LUFS - loudness_lufs, MOST_GAIN_DB))

    def apply(self, samples: npt.NDArray[np.floating], rate_hz: int) -> Samples:
        """The samples (1.0 is full scale) louder, as 16-bit ones.

        Above the knee a peak approaches the highest value without reaching it. The gain round it
        goes down and up within some milliseconds: bending each sample by itself would add sound
        between the samples, above full scale.
        """
        louder = samples * (10 ** (self.gain_db / 20))
        knee, highest = 10 ** (_KNEE_DBFS / 20), 10 ** (HIGHEST_DBFS / 20)
        size = _with_halves(louder)
        if size.max(initial=0.0) > knee:
            bent = knee + (highest - knee) * np.tanh((size - knee) / (highest - knee))
            gain = np.where(size > knee, bent / np.maximum(size, knee), 1.0)
            louder = louder * _smooth(gain, round(_ROUND_PEAK_S * rate_hz))
        return np.round(louder * _FULL_SCALE).astype(np.int16)

    def apply_to_pcm(self, pcm: Samples, rate_hz: int) -> Samples:
        """The same for 16-bit samples."""
        return self.apply(pcm / np.float32(_FULL_SCALE), rate_hz)


class LevelStream:
    """A level over sound that comes in slices: they join to what `VoiceLevel.apply` makes of all.

    It holds back the last `held` samples until more come, since the gain depends on those round a
    sample: some 2.5 ms on both sides. Raises `ValueError` where `held` is less than that.
    """

    def __init__(self, level: VoiceLevel, rate_hz: int, held: int) -> None:
        self._level, self._rate_hz, self._held = level, rate_hz, held
        self._reach = 2 * round(_ROUND_PEAK_S * rate_hz) + len(_HALFWAY) // 2
        if held < self._reach:
            raise ValueError(f"{held} samples are too few: {self._reach} count")
        self._recent: npt.NDArray[np.floating] = np.zeros(0, np.float32)
        self._given = 0  # of the recent ones, how many were given out

    def add(self, samples: npt.NDArray[np.floating], *, last: bool) -> Samples:
        """Take the next samples, of any number; returns those that are now complete. The last call
        returns all that is left."""
        recent = np.concatenate([self._recent, samples])
        until = len(recent) if last else max(self._given, len(recent) - self._held)
        louder = self._level.apply(recent, self._rate_hz)[self._given : until]
        since = max(0, until - self._reach)
        self._recent, self._given = recent[since:], until - since
        return louder


def _with_halves(samples: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """The size of each sample, or of the sound halfway to a neighbour if that is larger."""
    reach = len(_HALFWAY) // 2
    halves = np.abs(np.convolve(np.pad(samples, reach), _HALFWAY, "valid"))
    size: npt.NDArray[np.floating] = np.maximum(np.abs(samples), halves[:-1])
    return np.asarray(np.maximum(size, halves[1:]))


def _smooth(gain: npt.NDArray[np.floating], reach: int) -> npt.NDArray[np.floating]:
    """A gain that is nowhere above the given one and changes slowly: the mean, over `reach` samples
    on both sides, of the least in as many."""
    width = 2 * reach + 1
    least, seen = np.pad(gain, 2 * reach, "edge"), 1
    while seen < width:  # the least of twice as many, until it is that of the width
        step = min(seen, width - seen)
        least, seen = np.minimum(least[:-step], least[step:]), seen + step
    sums = np.cumsum(np.pad(least, (1, 0)))
    means: npt.NDArray[np.floating] = (sums[width:] - sums[:-width]) / width
    return means


def _lufs(power: npt.NDArray[np.floating] | np.floating) -> npt.NDArray[np.floating]:
    return np.asarray(_OFFSET_LU + 10 * np.log10(np.maximum(power, 1e-20)))


def _k_weighted(samples: npt.NDArray[np.float64], rate_hz: int) -> npt.NDArray[np.float64]:
    """Both filters, applied in the frequency domain; the padding takes up the filters' tails."""
    size = len(samples) + rate_hz // 2
    turns = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = _shelf(turns, rate_hz) * _high_pass(turns, rate_hz)
    filtered = np.fft.irfft(np.fft.rfft(samples, size) * response, size)
    result: npt.NDArray[np.float64] = filtered[: len(samples)]
    return result


def _shelf(z: npt.NDArray[np.complex128], rate_hz: int) -> npt.NDArray[np.complex128]:
    """The response of the high shelf; `z` is the delay by one sample, z**-1."""
    k = math.tan(math.pi * _SHELF_HZ / rate_hz)
    high = 10 ** (_SHELF_DB / 20)
    band = high**0.4996667741545416
    b = (high + band * k / _SHELF_Q + k * k, 2 * (k * k - high), high - band * k / _SHELF_Q + k * k)
    return _biquad(b, k, _SHELF_Q, z)


def _high_pass(z: npt.NDArray[np.complex128], rate_hz: int) -> npt.NDArray[np.complex128]:
    k = math.tan(math.pi * _HIGH_PASS_HZ / rate_hz)
    a0 = 1 + k / _HIGH_PASS_Q + k * k
    return _biquad((a0, -2 * a0, a0), k, _HIGH_PASS_Q, z)


def _biquad(
    b: tuple[float, float, float], k: float, q: float, z: npt.NDArray[np.complex128]
) -> npt.NDArray[np.complex128]:
    below = (1 + k / q + k * k) + 2 * (k * k - 1) * z + (1 - k / q + k * k) * z * z
    return np.asarray((b[0] + b[1] * z + b[2] * z * z) / below)
