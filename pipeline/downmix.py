"""Two channels as one, also where they cancel each other out. Pure.

A microphone with a wire swapped, or an effect for width, gives two channels that are each other's
opposite, and their mean is silence. Then the louder channel is used alone.
"""

import numpy as np

from pipeline.frames import Samples

CANCELLED = 0.1
"""The channels cancel out where their mean has less than this share of the louder one's energy.
Sound in one channel alone leaves a quarter, in both the same all of it."""

TOGETHER = 0.2
"""They are mixed again from this share on."""

LOUDER = 4.0
"""The other channel is used where it has this many times the energy."""

SOON_S = 0.02
"""Memory of the energies by which a channel is chosen."""

LATE_S = 0.5
"""Memory of those by which the channels are mixed again, so that a pause changes nothing."""


class Downmix:
    """One stream of stereo samples, in order."""

    def __init__(self, rate_hz: int) -> None:
        self._memory = np.array([[SOON_S], [LATE_S]]) * rate_hz
        # Soon and late, each of the left channel, of the right one, and of their mean.
        self._energy = np.zeros((2, 3))
        self._alone: int | None = None  # the channel that is used without the other

    def push(self, stereo: Samples) -> Samples:
        """Samples of the shape (n, 2) as n samples."""
        pcm = stereo.astype(np.float32)
        mean = (pcm[:, 0] + pcm[:, 1]) / 2
        both = np.column_stack((pcm, mean))
        kept = np.exp(-len(pcm) / self._memory)
        self._energy = self._energy * kept + np.square(both).sum(axis=0, dtype=np.float64)
        self._choose()
        if self._alone is not None:
            return np.ascontiguousarray(stereo[:, self._alone])
        mixed: Samples = mean.astype(np.int16)
        return mixed

    def _choose(self) -> None:
        soon = self._energy[0]
        loudest = int(soon[:2].argmax())
        if soon[2] < CANCELLED * soon[loudest]:
            if self._alone is None or soon[loudest] > LOUDER * soon[self._alone]:
                self._alone = loudest
        elif (self._energy[:, 2] > TOGETHER * self._energy[:, :2].max(axis=1)).all():
            self._alone = None
