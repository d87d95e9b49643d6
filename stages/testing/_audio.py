"""Audio for the rules."""

import numpy as np

from pipeline.frames import INPUT_RATE_HZ, Samples

FRAME = INPUT_RATE_HZ // 50
"""Clients send 20 ms at a time."""


def voice(seconds: float = 1.0) -> Samples:
    """A voice-like sound: harmonics of 120 Hz, four syllables a second. Read-only, as the audio of
    a session may be."""
    time_s = np.arange(int(seconds * INPUT_RATE_HZ)) / INPUT_RATE_HZ
    harmonics = sum(np.sin(2 * np.pi * 120 * n * time_s) / n for n in range(1, 20))
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * time_s)
    return _frozen((6000 * harmonics * syllables).astype(np.int16))


def silence(seconds: float) -> Samples:
    return _frozen(np.zeros(int(seconds * INPUT_RATE_HZ), np.int16))


def frames(pcm: Samples) -> list[Samples]:
    return [pcm[at : at + FRAME] for at in range(0, len(pcm), FRAME)]


def _frozen(pcm: Samples) -> Samples:
    pcm.setflags(write=False)
    return pcm
