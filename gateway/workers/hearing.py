"""How long a process of a gateway has told its parent nothing. Pure: time is an argument, in
seconds.

A parent that did not run could hear nothing: a container was paused, or a busy machine ran others.
The time by which the parent is late does not count as the silence of a process.
"""

from typing import Final

HELD_UP_S: Final = 0.25
"""A parent that looks so much too late was held up, and may not have read what it was told."""


class Hearing:
    """Call `heard` when the process tells something, and `silent_s` every `look_every_s`."""

    def __init__(self, now: float, *, look_every_s: float) -> None:
        self._heard_at = now
        self._look_at = now + look_every_s
        self._look_every_s = look_every_s

    def heard(self, now: float) -> None:
        """The process has told something."""
        self._heard_at = now

    def silent_s(self, now: float) -> float:
        """How many seconds the process has told nothing while its parent ran."""
        late_s = now - self._look_at
        if late_s > HELD_UP_S:
            self._heard_at = min(now, self._heard_at + late_s)
        self._look_at = now + self._look_every_s
        return now - self._heard_at
