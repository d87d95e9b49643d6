"""How long a provider usually takes to its first useful item, and how long to wait for it. Pure.

A provider that is usually quick is given up early when it is slow: the person waits for the turn,
not for the provider. The usual time of a provider is the 95th percentile of its latest calls.
"""

import math
from collections import deque

WINDOW = 64
"""The number of latest calls that are remembered: at one call a turn, the turns of some minutes."""

FACTOR = 2.0
"""A provider may take this many times as long as it usually takes. Assumed value."""

FEW = 8
"""With fewer calls than this not much is known, and a provider may take `FACTOR_OF_FEW` times as
long as the slowest call."""

FACTOR_OF_FEW = 3.0

FLOOR_S = 0.5
"""The least time that a provider gets, however quick it is: networks have short delays. Assumed."""


class ProviderPace:
    """The pace of one provider, for all sessions of the process. Bounded by `WINDOW`."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=WINDOW)

    def note(self, first_s: float) -> None:
        """A call gave its first useful item after `first_s` of waiting."""
        self._latest.append(first_s)

    def forget(self) -> None:
        """Forget all calls so far: they say nothing about the provider any more."""
        self._latest.clear()

    @property
    def usual_s(self) -> float | None:
        """The 95th percentile (nearest rank); None before the first call."""
        if not self._latest:
            return None
        ordered = sorted(self._latest)
        return ordered[math.ceil(0.95 * len(ordered)) - 1]

    def limit_s(self, cap_s: float) -> float | None:
        """How long a call may take to its first useful item, `cap_s` at most; None if no call
        has told how long it takes."""
        usual_s = self.usual_s
        if usual_s is None:
            return None
        factor = FACTOR if len(self._latest) >= FEW else FACTOR_OF_FEW
        return min(max(FLOOR_S, factor * usual_s), cap_s)
