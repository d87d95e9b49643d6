"""Mouth shapes from loudness alone, for engines that tell no timing. Pure.

An amplitude-driven mouth: it opens and closes with the voice, and says nothing about sounds. The
shapes are four of the Oculus/OVR set (`pipeline.frames.VISEMES`).
"""

import numpy as np

from pipeline.frames import Samples, Viseme

WINDOW_MS = 40
"""One picture at 25 a second."""

_LOUD = 2000.0
"""What counts as loud until something louder was heard: an RMS 24 dB below full scale."""

_SHAPES = ((0.6, "aa"), (0.3, "oh"), (0.06, "E"))
"""Shapes by the least share of the loudest window so far; below the last the mouth is closed."""


class Mouth:
    """One sentence's mouth, window by window."""

    def __init__(self, rate_hz: int) -> None:
        self.window = rate_hz * WINDOW_MS // 1000
        """Samples in a window."""
        self._rate_hz = rate_hz
        self._position = 0
        self._loudest = _LOUD

    def cues(self, pcm: Samples, *, last: bool = False) -> tuple[Viseme, ...]:
        """Cues for the sentence's next audio, without gap or overlap; neighbours that are equal are
        one cue. All but the last audio is a whole number of windows. The last cue of all is `sil`,
        of no duration where the voice goes on to the end.
        """
        cues: list[Viseme] = []
        for start in range(0, len(pcm), self.window):
            window = pcm[start : start + self.window]
            at_ms, self._position = self._at_ms(), self._position + len(window)
            shape, weight = self._shape(window)
            if cues and cues[-1].shape == shape:
                first = cues.pop()
                at_ms, weight = first.at_ms, max(weight, first.weight)
            if self._at_ms() > at_ms:
                cues.append(Viseme(at_ms, self._at_ms() - at_ms, shape, weight))
        if last and (not cues or cues[-1].shape != "sil"):
            cues.append(Viseme(self._at_ms(), 0, "sil"))
        return tuple(cues)

    def _at_ms(self) -> int:
        return round(self._position * 1000 / self._rate_hz)

    def _shape(self, window: Samples) -> tuple[str, float]:
        samples = window.astype(np.float64)
        loudness = float(np.sqrt(np.mean(samples * samples)))
        self._loudest = max(self._loudest, loudness)
        share = loudness / self._loudest
        shape = next((shape for least, shape in _SHAPES if share >= least), "sil")
        return shape, 1.0 if shape == "sil" else round(share, 2)
