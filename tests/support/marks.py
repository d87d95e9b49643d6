"""Speech-like sound in which every 20 ms can be told apart, and a listener that tells them.

Each packet carries two tones of its own, as a telephone's keys do: 16 × 16 pairs, so that a packet
is known among the 256 around it (5 s). A pair is heard where there is hardly anything but its two
tones for 5 ms at least. What a decoder makes up for a lost packet repeats what was before, and
counts for nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from aiortc.codecs.opus import OpusEncoder
from av import AudioFrame
from numpy.typing import NDArray

FRAME_MS = 20
RATE_HZ = 16_000
"""Of what the listener hears."""

_SENT_HZ = 48_000
_KEYS = 16
_LOW_HZ = 400 + 160 * np.arange(_KEYS)
_HIGH_HZ = 3_100 + 160 * np.arange(_KEYS)
_WINDOW = RATE_HZ * 18 // 1000
_HOP = RATE_HZ * 5 // 2000
_HOPS = 2
_LEVEL = 300.0
_CLEAR = 2.0
"""How far a tone stands out of the others of its group; half a packet of another does not."""

_PURE = 0.8
"""The share of the power that is the pair's; made-up sound is beside its tones."""

_LATEST_S = 1.0
"""Nothing comes out so late."""

_LEVEL_SENT = 5_000


def _keys(number: int) -> tuple[int, int]:
    """The tones of a packet. Those of neighbours are far apart."""
    return number * 7 % _KEYS, (number // _KEYS + number * 5) % _KEYS


_NUMBERS = {_keys(number): number for number in range(_KEYS * _KEYS)}


def clip(stretches: Sequence[tuple[bool, float]]) -> tuple[list[bytes], list[bool]]:
    """Opus packets of 20 ms, as aiortc encodes them, and which of them carry a mark.

    `stretches` says how many seconds are marked, or silent, one after the other.
    """
    marked = [is_marked for is_marked, s in stretches for _ in range(round(s * 1000) // FRAME_MS)]
    encoder = OpusEncoder()
    packets: list[bytes] = []
    samples = _SENT_HZ * FRAME_MS // 1000
    time_s = np.arange(samples) / _SENT_HZ
    for number, is_marked in enumerate(marked):
        pcm = np.zeros(samples, np.int16)
        if is_marked:
            low, high = _keys(number % (_KEYS * _KEYS))
            tones = np.sin(2 * np.pi * _LOW_HZ[low] * time_s)
            tones += np.sin(2 * np.pi * _HIGH_HZ[high] * time_s)
            pcm = (_LEVEL_SENT * tones).astype(np.int16)
        frame = AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = _SENT_HZ
        frame.pts = number * samples
        packets += encoder.encode(frame)[0]
    # The encoder keeps some samples back; the packet of a number begins with its sound.
    return packets, marked[: len(packets)]


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples at 16 kHz that came out at `at_s`."""

    at_s: float
    pcm: NDArray[np.int16]


def heard(pieces: Iterable[Piece], sent_s: Sequence[float]) -> dict[int, float]:
    """The packets that can be heard, and when each came out.

    `sent_s` says when each was sent: of those with the same mark the latest one is meant.
    """
    pieces = list(pieces)
    if not pieces:
        return {}
    pcm = np.concatenate([piece.pcm for piece in pieces]).astype(np.float64)
    ends = np.cumsum([len(piece.pcm) for piece in pieces])
    windows = np.lib.stride_tricks.sliding_window_view(pcm, _WINDOW)[::_HOP]
    low, low_level, low_is_clear = _tones(windows, _LOW_HZ)
    high, high_level, high_is_clear = _tones(windows, _HIGH_HZ)
    shape = np.hanning(_WINDOW)
    power = (windows * shape) ** 2 @ np.ones(_WINDOW) / (shape @ shape)
    pure = (low_level**2 + high_level**2) / 2 > _PURE * power
    out: dict[int, float] = {}
    before, times = -1, 0
    for hop in np.flatnonzero(low_is_clear & high_is_clear & pure):
        mark = _NUMBERS[int(low[hop]), int(high[hop])]
        times = times + 1 if mark == before else 1
        before = mark
        if times < _HOPS:
            continue
        centre = int(hop) * _HOP + _WINDOW // 2
        at_s = pieces[int(np.searchsorted(ends, centre, side="right"))].at_s
        sent = int(np.searchsorted(sent_s, at_s, side="right"))
        number = sent - 1 - (sent - 1 - mark) % (_KEYS * _KEYS)
        if number >= 0 and at_s - sent_s[number] < _LATEST_S:
            out.setdefault(number, at_s)  # what follows may be an echo of it
    return out


def _tones(
    windows: NDArray[np.float64], tones_hz: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """The loudest of the tones in each window, how loud it is, and whether it stands out."""
    shape = np.hanning(_WINDOW)
    time_s = np.arange(_WINDOW) / RATE_HZ
    waves = np.exp(-2j * np.pi * np.outer(time_s, tones_hz)) * shape[:, None]
    levels = np.abs(windows @ waves) * 2 / shape.sum()
    ordered = np.sort(levels, axis=1)
    loudest = ordered[:, -1]
    clear = (loudest > _LEVEL) & (loudest > _CLEAR * ordered[:, -2])
    return levels.argmax(axis=1), loudest, clear
