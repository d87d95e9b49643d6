"""When the sounds of a hibari part are heard, from what its network says of it. Pure.

The network gives each phoneme a length, and each row of 12.5 ms an energy. The lengths alone would
be late and would miss pauses. Measured over 43 sentences of the question banks: a sound begins two
rows before its phoneme does; the time of a stress mark, and the mouth of an "h", are those of the
vowel behind it; a plosive's closure lies in the rows before it; and a pause lies inside the phoneme
before it, which is stretched over it. The energy follows the level of the sound (correlation 0.99),
0 being about -58 dB.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.tts._misaki import SILENCE, shapes

ROW_MS = 12.5

_EARLIER = 2
_QUIET = 0.0
_PAUSE = 5
"""Quiet rows (62 ms) that close the mouth; in fewer there is a plosive's closure."""

_PULLED = 6
"""Rows behind a pause in which the next phoneme must begin: it is the sound that ended it."""

_CLOSURE = 4
"""Rows before a plosive in which its closure is looked for."""

_CLOSED = 2
"""Rows before the end of a pause in which the mouth closes for a plosive."""

_LEAD_IN = 4
"""Rows (50 ms) of silence that are kept before the first sound, of the network's 350 ms."""

_LEAD_OUT = 24
"""Rows (300 ms) of silence that are kept after the last sound, of 450 ms."""

_OF_NEXT = frozenset("ˈˌh")
"""Symbols whose time is that of the next one, as far as the mouth is concerned."""

_STILL = (None, (), ("sil",))
_PLOSIVES = frozenset("pbtdkɡʧʤ")


@dataclass(frozen=True, slots=True)
class Times:
    """When a part is heard, in rows from its first one.

    The sound should begin with the row `first` and end before the row `after`. `starts` has the
    start of each symbol; `mouth` the symbols that move the mouth, pauses included as `SILENCE`, in
    order of time.
    """

    first: int
    after: int
    starts: tuple[int, ...]
    mouth: tuple[tuple[str, int], ...]


def times(symbols: str, lengths: Sequence[int], energy: npt.NDArray[np.floating]) -> Times:
    """The times of a part. `symbols` begin and end with the network's `SILENCE`; `lengths` are
    theirs, in rows; `energy` has a value for each row."""
    rows = len(energy)
    pauses = _pauses(energy > _QUIET)
    starts: list[int] = []
    mouth: list[tuple[int, str]] = [(since, SILENCE) for since, _ in pauses]
    at, earlier, opened, last = 0, -1, -1, -1
    for symbol, length in zip(symbols, lengths, strict=True):
        start = min(max(0, at - _EARLIER), max(0, rows - 1))
        at += length
        if 0 <= earlier < start:
            start = earlier
        earlier = start if symbol in _OF_NEXT else -1
        plosive = symbol in _PLOSIVES
        if plosive:
            since = max(min(last + 1, start), start - _CLOSURE)
            start = since + int(np.argmin(energy[since : start + 1]))
        moves = shapes(symbol) not in _STILL
        for since, until in pauses:
            late = start < until + _PULLED and opened < until and moves
            if since < start and (start < until or late) and until < rows:
                start = until - _CLOSED * plosive
                opened = until if moves else opened
        starts.append(start)
        if moves:
            mouth.append((start, symbol))
            last = start
    mouth.sort(key=lambda entry: entry[0])
    first = pauses[0][1] if pauses and pauses[0][0] == 0 and pauses[0][1] < rows else 0
    after = pauses[-1][0] if pauses and pauses[-1][1] == rows else rows
    first = max(0, first - _LEAD_IN)
    after = min(rows, after + _LEAD_OUT)
    return Times(
        first - first % 2,  # even, so that all times are whole milliseconds
        after + (after - first + first % 2) % 2,
        tuple(starts),
        tuple((symbol, start) for start, symbol in mouth),
    )


def _pauses(loud: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The pauses: first row, and first row after it."""
    edges = np.flatnonzero(np.diff(np.pad(~loud, 1).astype(np.int8)))
    runs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [(since, until) for since, until in runs if until - since >= _PAUSE]
