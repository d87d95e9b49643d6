"""The quality of speaking faces' pictures, lowered so that sound never waits for them. Pure.

Three measures show that a process has too much to draw: pictures that are late for their sound,
pictures that were refused because no thread was free, and the share of the drawing threads' time
that is used. A viewer sees the first two, whatever their reason (such as speech recognition on the
same cores). The third rises before them, and says whether the level above would fit. They are
judged together over `WINDOW_S`, for the whole process.

Above them stands the pressure of the process (`pressed`): where its event loop is late or its
processor has too little left, sound waits already, though the pictures themselves may be in time.

After a bad window the ladder goes down one level. After `RISE_S` of calm windows in a row it goes
up one level, if the present work would fit there; a failed rise doubles the wait.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WINDOW_S = 1.0
"""25 pictures of one face. A pause of the process shorter than a quarter of it lowers nothing."""

LATE_MS = 20.0
"""Half a picture at 25 a second. With the picture before it, sound then leads by less than 45 ms,
from which on people notice it (ITU-R BT.1359)."""

BAD_SHARE = 0.25
CALM_SHARE = 0.05
"""Of a window's pictures, late or refused. A share between the two changes nothing."""

FEW = 5
"""In a window with fewer pictures, late or refused ones are ignored."""

FULL_LOAD = 0.5
"""Of the threads' time. There are as many threads as cores, up to four, and speech needs the rest.
Beyond this share, pictures also begin to queue."""

FITTING_LOAD = 0.35
"""Of the threads' time that the level above would take. The gap to `FULL_LOAD` keeps the level from
going up and down."""

PRESSED_S = 3.0
"""Under pressure the ladder waits so long after a step down, to see what it has helped. Assumed: it
is measured twice a second, and counts after two high samples."""

RISE_S = 10.0
MAX_RISE_S = 320.0
RELAPSE_S = 30.0
"""A rise that does not hold for this long doubles the wait for the next one."""


@dataclass(frozen=True, slots=True)
class QualityLevel:
    """`frame_ms` from one picture to the next; `size` is width and height in pixels. Both are 0 if
    nothing is drawn here and clients get only the mouth shapes.
    """

    name: str
    frame_ms: int
    size: int

    @property
    def work(self) -> float:
        """Pixels a millisecond; the cost is proportional to it."""
        return self.size**2 / self.frame_ms if self.frame_ms else 0.0


QUALITY_LEVELS = (
    QualityLevel("25 fps", 40, 320),
    QualityLevel("12 fps", 80, 320),
    QualityLevel("12 fps, small", 80, 192),
    QualityLevel("visemes", 0, 0),
)


class QualityLadder:
    """The level of a process. `now` is in seconds of any one clock.

    Args:
        threads: The number of drawing threads.
        levels: From the best to the cheapest.
    """

    def __init__(self, threads: int, levels: Sequence[QualityLevel] = QUALITY_LEVELS) -> None:
        self.reason = ""
        """Why the level last changed, for people."""
        self._threads = threads
        self._levels = tuple(levels)
        self._index = 0
        self._from: float | None = None
        self._drawn = self._late = self._refused = 0
        self._cost_ms = 0.0
        self._calm_from: float | None = None
        self._pressure: str | None = None
        self._pressed_at = -math.inf  # when it last went down for that
        self._risen_at: float | None = None
        self._rise_s = RISE_S

    @property
    def level(self) -> QualityLevel:
        return self._levels[self._index]

    @property
    def top(self) -> bool:
        """Whether the level is the best one."""
        return self._index == 0

    def encoded(self, late_ms: float, cost_ms: float, now: float) -> None:
        """Record a picture that was ready `late_ms` after it was due (negative: before) and took
        `cost_ms` of processor time.
        """
        self.tick(now)
        self._drawn += 1
        self._late += late_ms > LATE_MS
        self._cost_ms += cost_ms

    def refused(self, now: float) -> None:
        """Record a picture that was not drawn, because too many were waiting."""
        self.tick(now)
        self._refused += 1

    def pressed(self, why: str | None) -> None:
        """The process is under pressure from now on, and why; None where it no longer is."""
        self._pressure = why

    def tick(self, now: float) -> None:
        """Judge the window if it is over. Call it every `WINDOW_S` while pictures are drawn or the
        level is not the best: in a calm window there may be no picture.
        """
        if self._from is None:
            self._from = now
        if now - self._from < WINDOW_S:
            return
        self._judge(now, now - self._from)
        self._from = now
        self._drawn = self._late = self._refused = 0
        self._cost_ms = 0.0

    def _judge(self, now: float, length_s: float) -> None:
        if self._risen_at is not None and now - self._risen_at >= RELAPSE_S:
            self._risen_at, self._rise_s = None, RISE_S
        asked = self._drawn + self._refused
        missed = self._late + self._refused
        share = missed / asked if asked >= FEW else 0.0
        load = self._cost_ms / (length_s * 1000 * self._threads)
        if share > BAD_SHARE:
            self._fall(now, f"{missed} of {asked} pictures late or refused within a second")
        elif load > FULL_LOAD:
            self._fall(now, f"{load:.0%} of the drawing threads' time used")
        elif self._pressure is not None:
            self._calm_from = None
            # Where nothing is drawn, drawing less would help nobody.
            if asked and now - self._pressed_at >= PRESSED_S:
                self._pressed_at = now
                self._fall(now, self._pressure)
        elif share > CALM_SHARE or not self._fits(load):
            self._calm_from = None
        elif self._calm_from is None:
            self._calm_from = now - length_s
        if self._calm_from is not None and now - self._calm_from >= self._rise_s:
            self._rise(now)

    def _fits(self, load: float) -> bool:
        if self.top or not self.level.work:
            return True
        above = self._levels[self._index - 1]
        return load * above.work / self.level.work <= FITTING_LOAD

    def _fall(self, now: float, reason: str) -> None:
        self._calm_from = None
        if self._index == len(self._levels) - 1:
            return
        if self._risen_at is not None:
            self._rise_s = min(self._rise_s * 2, MAX_RISE_S)
            self._risen_at = None
        self._index += 1
        self.reason = reason

    def _rise(self, now: float) -> None:
        if self.top:
            return
        self.reason = f"calm for {self._rise_s:.0f} s"
        self._index -= 1
        self._risen_at, self._calm_from = now, None
