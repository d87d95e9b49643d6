"""Measures how long a process has sent its parent no message. Pure: time is an argument, in
seconds.

While the parent itself does not run, because its container is paused or the machine is busy with
others, it can read no message. The time by which the parent is late does not count as the silence
of a process.
"""

from typing import Final

HELD_UP_S: Final = 0.25
"""A parent that checks this much too late was held up, and may have unread messages."""


class Hearing:
    """Measures one process's silence. Call `heard` for each message, and `silent_s` every
    `look_every_s`."""

    def __init__(self, now: float, *, look_every_s: float) -> None:
        self._heard_at = now
        self._look_at = now + look_every_s
        self._look_every_s = look_every_s

    def heard(self, now: float) -> None:
        """Note a message of the process."""
        self._heard_at = now

    def silent_s(self, now: float) -> float:
        """For how many seconds the process has sent no message while its parent ran."""
        late_s = now - self._look_at
        if late_s > HELD_UP_S:
            self._heard_at = min(now, self._heard_at + late_s)
        self._look_at = now + self._look_every_s
        return now - self._heard_at
