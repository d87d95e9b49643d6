"""Less noise in a client's audio: WebRTC's noise suppressor, through `pywebrtc-audio` (Apache-2.0).

The library works in C++ without the GIL: 20 ms of audio take about 20 µs, so it runs inline.
"""

from importlib.util import find_spec
from typing import Literal

import numpy as np

from pipeline.frames import INPUT_RATE_HZ, Samples

FRAME = INPUT_RATE_HZ // 100
"""The suppressor takes 10 ms at a time."""

LEVEL = 1
"""12 dB of suppression. With 6 dB the noise stays, with 18 dB words go: `docs/turn-taking.md`."""


def check() -> str | None:
    """Why noise cannot be reduced here, in a sentence, or None."""
    if find_spec("pywebrtc_audio") is None:
        return "noise reduction is not installed here: pip install 'parley-gateway[noise]'"
    return None


class NoiseReducer:
    """One client's audio, 16 kHz. It keeps state; less than 10 ms of audio are held back.

    `far_field` also takes away what lies below a voice, such as hum. Neither changes the level:
    automatic gain would make voices in the background as loud as the person's. Raises
    `ModuleNotFoundError` if `check` returns a reason.
    """

    def __init__(self, kind: Literal["near_field", "far_field"]) -> None:
        from pywebrtc_audio import AudioProcessor

        self._processor = AudioProcessor(
            sample_rate=INPUT_RATE_HZ,
            noise_suppression=True,
            ns_level=LEVEL,
            high_pass_filter=kind == "far_field",
        )
        self._rest: Samples = np.zeros(0, np.int16)

    def push(self, pcm: Samples) -> Samples:
        """Take the next audio; returns as much as came, less the samples that are held back."""
        audio = np.concatenate((self._rest, pcm)) if len(self._rest) else pcm
        whole = len(audio) // FRAME * FRAME
        self._rest = audio[whole:]
        if not whole:
            return np.zeros(0, np.int16)
        cleaner: Samples = self._processor.process(audio[:whole])
        return cleaner
