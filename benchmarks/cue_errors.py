"""Mouth shapes against the sound they belong to: where the energy begins, and where its cue does.

Pure. Two kinds of places have an onset that can be read off the waveform without knowing the words:

- the end of a pause: the first sound after a `sil` cue of 80 ms or more;
- the release of a plosive (the cues `PP`, `DD` and `kk`): a steep rise after the closure. These
  cues stand for nasals and for unreleased or flapped sounds, too, which have no such rise. So each
  rise counts for the plosive, or the end of a pause, that is nearest to it, and a plosive without
  one does not count.

The error of a pause is the distance from the onset to the next cue's beginning, or, where that cue
is a plosive's, to the nearest point of the cue: the closure before the release is silent. The error
of a release is its distance to the nearest point of its cue.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pipeline.frames import Samples, Viseme

HOP_MS = 2.5
WINDOW_MS = 10.0
PLOSIVES = frozenset(["PP", "DD", "kk"])
SHORTEST_PAUSE_MS = 80
PAUSE_SEARCH_MS = 150.0
"""How far from the end of a pause a sound is looked for: the largest error there is."""
RELEASE_SEARCH_MS = 60.0
"""How far from a plosive's cue a rise may lie; what is farther away is another sound's. Cues that
are wrong by 50 ms still show: their errors spread over all of this."""
QUIET_DB = -36.0
"""Against the loud parts (the 95th percentile): what is below it is a pause."""
RISE_DB = 12.0
RISE_MS = 20.0
"""A release rises by so much within so little time."""

Levels = npt.NDArray[np.float64]


def pause_errors_ms(
    pcm: Samples, rate_hz: int, cues: Sequence[Viseme], breathed_ms: Sequence[float] = ()
) -> list[float]:
    """The error at the end of each pause, `PAUSE_SEARCH_MS` where no sound begins near it.

    `breathed_ms` is where words begin with an "h", which leaves the mouth as it was: the pauses
    before them are left out.
    """
    levels = _levels(pcm, rate_hz)
    loud = levels > _loud_db(levels) + QUIET_DB
    onsets_ms = np.flatnonzero(loud[1:] & ~loud[:-1]) * HOP_MS + HOP_MS
    errors = []
    for pause, following in pairwise(cues):
        breathed = any(abs(at - following.at_ms) < PAUSE_SEARCH_MS for at in breathed_ms)
        if pause.shape == "sil" and pause.duration_ms >= SHORTEST_PAUSE_MS and not breathed:
            distances = [_distance_ms(at, following) for at in onsets_ms]
            errors.append(min([PAUSE_SEARCH_MS, *distances]))
    return errors


def release_errors_ms(pcm: Samples, rate_hz: int, cues: Sequence[Viseme]) -> list[float]:
    """The error of each plosive that has a release."""
    levels = _levels(pcm, rate_hz)
    span = round(RISE_MS / HOP_MS)
    if len(levels) <= span:
        return []
    rises = levels[span:] - levels[:-span]
    owners = _owners(cues)
    nearest: dict[int, float] = {}
    for place in np.flatnonzero(rises >= RISE_DB):
        if not owners or not _steepest(rises, int(place), span):
            continue
        at_ms = (int(place) + span / 2) * HOP_MS
        error, owner = min((_distance_ms(at_ms, cues[index]), index) for index in owners)
        if error < RELEASE_SEARCH_MS:
            nearest[owner] = min(error, nearest.get(owner, error))
    return [error for owner, error in nearest.items() if cues[owner].shape in PLOSIVES]


def _owners(cues: Sequence[Viseme]) -> list[int]:
    """The cues that a steep rise may belong to: plosives, and what follows a pause."""
    shapes = ["sil", *(cue.shape for cue in cues)]
    return [
        index
        for index, cue in enumerate(cues)
        if cue.shape in PLOSIVES or (shapes[index] == "sil" and cue.shape != "sil")
    ]


def _steepest(rises: Levels, place: int, span: int) -> bool:
    """Whether no other rise within a release's length is steeper."""
    around = rises[max(0, place - span) : place + span + 1]
    return bool(rises[place] >= np.max(around))


def _distance_ms(at_ms: float, cue: Viseme) -> float:
    if cue.shape in PLOSIVES:
        return max(0.0, cue.at_ms - at_ms, at_ms - cue.at_ms - cue.duration_ms)
    return abs(at_ms - cue.at_ms)


def _levels(pcm: Samples, rate_hz: int) -> Levels:
    """The level in dB of the 10 ms round each multiple of `HOP_MS`."""
    power = np.concatenate([[0.0], np.cumsum((pcm.astype(float) / 32768.0) ** 2)])
    centres = np.arange(0, len(pcm), rate_hz * HOP_MS / 1000)
    half = rate_hz * WINDOW_MS / 2000
    starts = np.clip(centres - half, 0, len(pcm)).astype(int)
    ends = np.clip(centres + half, 0, len(pcm)).astype(int)
    means = (power[ends] - power[starts]) / np.maximum(1, ends - starts)
    return np.asarray(10 * np.log10(means + 1e-9))


def _loud_db(levels: Levels) -> float:
    return float(np.percentile(levels, 95)) if len(levels) else 0.0
