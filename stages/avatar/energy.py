"""Mouth shapes from the sound alone, for a reply whose synthesizer gives no timing. Pure.

Loudness opens the mouth; the centre of the spectrum tells hisses from vowels and round vowels from
wide ones. Closed lips (p, b, m) cannot be told from the sound.
"""

import numpy as np
import numpy.typing as npt

from pipeline.frames import Samples, Viseme

WINDOW_MS = 40
"""One picture at 25 a second."""

_LOUD = 2000.0
"""The loudest RMS to compare with at the beginning: 24 dB below full scale."""

_OPENINGS = ((0.6, "aa"), (0.3, "oh"), (0.06, "E"))
"""Shapes by their least share of the loudest window so far; below the last the mouth is closed."""

_HISS_HZ = 3000
"""Between the strongest formants of vowels and the noise of s and sh."""

_ROUND_HZ = 500
_WIDE_HZ = 1200
"""Both formants of u and o are low, the second one of i and e is high."""

_ROUND = {"oh": "ou", "E": "ou"}
_WIDE = {"oh": "E", "E": "ih"}


class EnergyMouth:
    """The mouth of one reply or sentence: the cues' times count from its first sample."""

    def __init__(self, rate_hz: int) -> None:
        self.window = max(1, rate_hz * WINDOW_MS // 1000)
        """Samples of a window."""
        self._rate_hz = rate_hz
        self._position = 0
        self._loudest = _LOUD

    def cues(self, pcm: Samples, *, last: bool = False) -> tuple[Viseme, ...]:
        """Cues for the next audio, without gap or overlap; equal neighbours are one cue.

        All audio but the last must be a whole number of windows. The very last cue is `sil`, of no
        duration if the voice goes on to the end.
        """
        cues: list[Viseme] = []
        if len(pcm):
            shapes = self._shapes(pcm)
            changes = [at for at in range(len(shapes)) if not at or shapes[at] != shapes[at - 1]]
            ends = [*(at * self.window for at in changes[1:]), len(pcm)]
            for at, end in zip(changes, ends, strict=True):
                start_ms, end_ms = self._ms(at * self.window), self._ms(end)
                if end_ms > start_ms:
                    cues.append(Viseme(start_ms, end_ms - start_ms, shapes[at]))
            self._position += len(pcm)
        if last and (not cues or cues[-1].shape != "sil"):
            cues.append(Viseme(self._ms(0), 0, "sil"))
        return tuple(cues)

    def _ms(self, samples: int) -> int:
        return round((self._position + samples) * 1000 / self._rate_hz)

    def _shapes(self, pcm: Samples) -> list[str]:
        """The shape of each window."""
        samples = pcm.astype(np.float64)
        starts = np.arange(0, len(pcm), self.window)
        sizes = np.diff(starts, append=len(pcm))
        power = np.add.reduceat(samples * samples, starts)
        loudness = np.sqrt(power / sizes)
        loudest = np.maximum.accumulate(np.maximum(loudness, self._loudest))
        self._loudest = float(loudest[-1])
        centres_hz = _centres_hz(samples, starts, power) * self._rate_hz
        return [
            _shape(share, centre_hz)
            for share, centre_hz in zip(loudness / loudest, centres_hz, strict=True)
        ]


def _shape(share: float, centre_hz: float) -> str:
    opening = next((shape for least, shape in _OPENINGS if share >= least), "sil")
    if opening == "sil":
        return opening
    if centre_hz > _HISS_HZ:
        return "SS"
    if centre_hz < _ROUND_HZ:
        return _ROUND.get(opening, opening)
    return _WIDE.get(opening, opening) if centre_hz > _WIDE_HZ else opening


def _centres_hz(
    samples: npt.NDArray[np.float64], starts: npt.NDArray[np.int_], power: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The centre of each window's spectrum, as a share of the sample rate: the frequency of the
    sine that changes from sample to sample as much as the sound does."""
    change = np.diff(samples, append=samples[-1:])
    change[starts[1:] - 1] = 0.0  # from one window to the next
    ratio = np.add.reduceat(change * change, starts) / np.maximum(power, 1.0)
    centres: npt.NDArray[np.float64] = np.arcsin(np.minimum(np.sqrt(ratio) / 2, 1.0)) / np.pi
    return centres
