"""Loudness and peak of speech. Pure.

Loudness is that of ITU-R BS.1770-4 for one channel: K-weighting, blocks of 400 ms every 100 ms, the
absolute gate at -70 LUFS and the relative one 10 LU below. The two filters are the standard's for
any sample rate, by the parameters in De Man, "Evaluation of Implementations of the EBU R128
Loudness Measurement" (AES 145, 2018). They are applied to the spectrum: the sound is whole anyway.
Peaks are true peaks by annex 2: of the sound at four times its rate.
"""

import math

import numpy as np
import numpy.typing as npt

from pipeline.frames import Samples

BLOCK_MS, STEP_MS = 400, 100
ABSOLUTE_GATE, RELATIVE_GATE = -70.0, -10.0
OVERSAMPLING = 4

_SHELF_HZ, _SHELF_DB, _SHELF_Q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
_SHELF_SLOPE = 0.4996667741545416
_PASS_HZ, _PASS_Q = 38.13547087602444, 0.5003270373238773
_OFFSET = -0.691
_PADDING_S = 0.5
"""Silence behind the sound, into which the filters ring."""


def loudness(pcm: Samples, rate_hz: int) -> float:
    """The integrated loudness in LUFS; -inf where nothing is as loud as the absolute gate."""
    weighted = _weighted(pcm.astype(float) / 32768.0, rate_hz)
    size, step = rate_hz * BLOCK_MS // 1000, rate_hz * STEP_MS // 1000
    starts = range(0, len(weighted) - size + 1, step)
    powers = np.array([np.mean(weighted[start : start + size] ** 2) for start in starts])
    kept = powers[powers > _power(ABSOLUTE_GATE)]
    if not len(kept):
        return -math.inf
    kept = kept[kept > _power(_lufs(float(np.mean(kept))) + RELATIVE_GATE)]
    return _lufs(float(np.mean(kept)))


def true_peak_db(pcm: Samples) -> float:
    """The true peak in dB below full scale; -inf for silence."""
    if not len(pcm) or not np.any(pcm):
        return -math.inf
    spectrum = np.fft.rfft(pcm.astype(float) / 32768.0)
    finer = np.fft.irfft(spectrum, len(pcm) * OVERSAMPLING) * OVERSAMPLING
    return 20 * math.log10(float(np.max(np.abs(finer))))


def _lufs(power: float) -> float:
    return _OFFSET + 10 * math.log10(power)


def _power(lufs: float) -> float:
    return float(10 ** ((lufs - _OFFSET) / 10))


def _weighted(sound: npt.NDArray[np.float64], rate_hz: int) -> npt.NDArray[np.float64]:
    size = len(sound) + round(_PADDING_S * rate_hz)
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(size))
    response = _shelf(z, rate_hz) * _high_pass(z, rate_hz)
    return np.fft.irfft(np.fft.rfft(sound, size) * response, size)[: len(sound)]


def _shelf(z: npt.NDArray[np.complex128], rate_hz: int) -> npt.NDArray[np.complex128]:
    k = math.tan(math.pi * _SHELF_HZ / rate_hz)
    high = 10 ** (_SHELF_DB / 20)
    band = high**_SHELF_SLOPE
    b = (high + band * k / _SHELF_Q + k * k, 2 * (k * k - high), high - band * k / _SHELF_Q + k * k)
    a = (1 + k / _SHELF_Q + k * k, 2 * (k * k - 1), 1 - k / _SHELF_Q + k * k)
    return _response(b, a, z)


def _high_pass(z: npt.NDArray[np.complex128], rate_hz: int) -> npt.NDArray[np.complex128]:
    k = math.tan(math.pi * _PASS_HZ / rate_hz)
    scale = 1 + k / _PASS_Q + k * k
    a = (1.0, 2 * (k * k - 1) / scale, (1 - k / _PASS_Q + k * k) / scale)
    return _response((1.0, -2.0, 1.0), a, z)


def _response(
    b: tuple[float, float, float],
    a: tuple[float, float, float],
    z: npt.NDArray[np.complex128],
) -> npt.NDArray[np.complex128]:
    """Of a filter at `z`, which is e^(-jw)."""
    above, below = b[0] + b[1] * z + b[2] * z * z, a[0] + a[1] * z + a[2] * z * z
    return above / below
