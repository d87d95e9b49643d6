"""Mixes several channels to one, also where they cancel each other out. Pure.

A microphone with a wire swapped, or an effect for width, gives two channels that are each other's
opposite, and their mean is silence. Then the louder channel is used alone. If only one of many
channels has a microphone, as in recorders with eight inputs, that channel is used alone, too.
"""

import numpy as np

from pipeline.frames import Samples

CANCELLED = 0.1
"""The channels cancel out where their mean has less than this share of the louder one's energy.
Sound in one of two channels leaves a quarter, the same sound in all channels all of it."""

TOGETHER = 0.2
"""From this share on the channels are mixed again."""

LOUDER = 4.0
"""Another channel is used if it has this many times the energy."""

SOON_S = 0.02
"""How far back the energies reach by which a channel is chosen."""

LATE_S = 0.5
"""How far back the energies reach by which channels are mixed again: a pause changes nothing."""


class Downmix:
    """One stream of samples of several channels, in order."""

    def __init__(self, rate_hz: int, channels: int = 2) -> None:
        self._memory = np.array([[SOON_S], [LATE_S]]) * rate_hz
        self._shares = np.full(channels, 1 / channels, np.float32)
        # Soon and late, each of the channels, and of their mean.
        self._energy = np.zeros((2, channels + 1))
        self._alone: int | None = None  # the channel that is used without the others

    def push(self, sound: Samples) -> Samples:
        """Samples of the shape (n, channels) as n samples."""
        pcm = sound.astype(np.float32)
        mean = pcm @ self._shares
        both = np.column_stack((pcm, mean))
        kept = np.exp(-len(pcm) / self._memory)
        self._energy = self._energy * kept + np.square(both).sum(axis=0, dtype=np.float64)
        self._choose()
        if self._alone is not None:
            return np.ascontiguousarray(sound[:, self._alone])
        mixed: Samples = mean.astype(np.int16)
        return mixed

    def _choose(self) -> None:
        soon = self._energy[0]
        loudest = int(soon[:-1].argmax())
        if soon[-1] < CANCELLED * soon[loudest]:
            if self._alone is None or soon[loudest] > LOUDER * soon[self._alone]:
                self._alone = loudest
        elif (self._energy[:, -1] > TOGETHER * self._energy[:, :-1].max(axis=1)).all():
            self._alone = None
