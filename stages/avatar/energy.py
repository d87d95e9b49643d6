"""Mouth shapes from the sound alone, for a reply whose synthesizer tells no timing. Pure.

Loudness opens the mouth (`stages.tts._mouth`); where the sound lies in the spectrum tells hisses
from vowels and round vowels from wide ones. It says nothing about lips that meet.
"""

import numpy as np

from pipeline.frames import Samples, Viseme
from stages.tts._mouth import Mouth

_HISS_HZ = 3000
"""Between the strongest formants of vowels and the noise of s and sh."""

_ROUND_HZ = 500
_WIDE_HZ = 1200
"""Both formants of u and o are low, the second one of i and e is high."""


class EnergyMouth:
    """The mouth of one reply, or of one sentence: the cues' times count from its first sample."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._mouth = Mouth(rate_hz)
        self._rest = np.zeros(0, np.int16)

    def cues(self, pcm: Samples, *, last: bool = False) -> tuple[Viseme, ...]:
        """Cues for the next audio, of any length, without gap or overlap; what does not fill a
        window of 40 ms waits for more. The last cue of all is `sil`.
        """
        pcm = np.concatenate([self._rest, pcm])
        window = self._mouth.window
        ready = len(pcm) if last else len(pcm) // window * window
        self._rest = pcm[ready:].copy()
        cues: list[Viseme] = []
        for start in range(0, ready, window):
            part = pcm[start : min(start + window, ready)]
            for cue in self._mouth.cues(part):
                _append(cues, self._refined(cue, part))
        if last:
            for cue in self._mouth.cues(pcm[:0], last=True):
                _append(cues, cue)
        return tuple(cues)

    def _refined(self, cue: Viseme, pcm: Samples) -> Viseme:
        if cue.shape == "sil":
            return cue
        centre_hz = _centre_hz(pcm, self._rate_hz)
        shape = cue.shape
        if centre_hz > _HISS_HZ:
            shape = "SS"
        elif centre_hz < _ROUND_HZ:
            shape = {"oh": "ou", "E": "ou"}.get(shape, shape)
        elif centre_hz > _WIDE_HZ:
            shape = {"oh": "E", "E": "ih"}.get(shape, shape)
        # The loudness is in the shape already.
        return Viseme(cue.at_ms, cue.duration_ms, shape)


def _centre_hz(pcm: Samples, rate_hz: int) -> float:
    """The frequency of the sine that changes from sample to sample as much as this sound does."""
    samples = pcm.astype(np.float64)
    power = float(samples @ samples)
    change = np.diff(samples)
    ratio = float(change @ change) / power if power else 0.0
    return float(np.arcsin(min(np.sqrt(ratio) / 2, 1.0))) * rate_hz / np.pi


def _append(cues: list[Viseme], cue: Viseme) -> None:
    if cues and cues[-1].shape == cue.shape:
        first = cues.pop()
        cue = Viseme(first.at_ms, first.duration_ms + cue.duration_ms, cue.shape)
    cues.append(cue)
