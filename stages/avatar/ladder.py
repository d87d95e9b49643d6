"""How much the pictures of speaking faces may cost, so that sound never waits for them. Pure.

Three things show that a process has more to draw than it can: pictures that come too late to go
with their sound, pictures that were refused because nobody was free to draw them, and the share of
the drawing threads' time that is used up. The first two are what a viewer sees, whatever the
reason, such as speech recognition on the same cores; the third comes before them, and says whether
the level above would fit. They are judged together over `WINDOW_S`, for the whole process.

A bad window goes down a level at once. Up it goes after calm windows of `RISE_S` in a row, if what
is drawn now would fit up there; a rise that fails doubles the wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WINDOW_S = 1.0
"""25 pictures of one face: a pause of the process shorter than a quarter of it costs no level."""

LATE_MS = 20.0
"""Half a picture at 25 a second. With the picture before it, sound then leads by less than the
45 ms from which on people notice it (ITU-R BT.1359)."""

BAD_SHARE = 0.25
CALM_SHARE = 0.05
"""Of a window's pictures, late or refused. What lies between changes nothing."""

FEW = 5
"""Pictures in a window that are too few to tell a habit from a hiccup."""

FULL_LOAD = 0.5
"""Of the threads' time. There are as many threads as cores, up to four, and speech needs the rest;
random arrivals also begin to queue from there on."""

FITTING_LOAD = 0.35
"""Of the threads' time on the level above, as foreseen. The gap keeps it from going to and fro."""

RISE_S = 10.0
MAX_RISE_S = 320.0
RELAPSE_S = 30.0
"""A rise that does not hold for this long doubles the wait for the next one."""


@dataclass(frozen=True, slots=True)
class QualityLevel:
    """`frame_ms` from one picture to the next; `size` is width and height in pixels. Both are 0
    where nothing is drawn here and clients have the mouth shapes alone.
    """

    name: str
    frame_ms: int
    size: int

    @property
    def work(self) -> float:
        """Pixels a millisecond, which the cost goes by."""
        return self.size**2 / self.frame_ms if self.frame_ms else 0.0


QUALITY_LEVELS = (
    QualityLevel("25 fps", 40, 320),
    QualityLevel("12 fps", 80, 320),
    QualityLevel("12 fps, small", 80, 192),
    QualityLevel("visemes", 0, 0),
)


class QualityLadder:
    """Times of `now` are in seconds, of one clock, any.

    Args:
        threads: That draw, each worth a second of work a second.
        levels: From the best to the cheapest.
    """

    def __init__(self, threads: int, levels: Sequence[QualityLevel] = QUALITY_LEVELS) -> None:
        self.reason = ""
        """Why the level changed last, for people."""
        self._threads = threads
        self._levels = tuple(levels)
        self._index = 0
        self._from: float | None = None
        self._drawn = self._late = self._refused = 0
        self._cost_ms = 0.0
        self._calm_from: float | None = None
        self._risen_at: float | None = None
        self._rise_s = RISE_S

    @property
    def level(self) -> QualityLevel:
        return self._levels[self._index]

    @property
    def top(self) -> bool:
        """Whether nothing is being saved."""
        return self._index == 0

    def encoded(self, late_ms: float, cost_ms: float, now: float) -> None:
        """A picture was ready `late_ms` after it was due, or before it if negative, and took a
        thread `cost_ms` of processor time.
        """
        self.tick(now)
        self._drawn += 1
        self._late += late_ms > LATE_MS
        self._cost_ms += cost_ms

    def refused(self, now: float) -> None:
        """A picture was not drawn, because there was no room."""
        self.tick(now)
        self._refused += 1

    def tick(self, now: float) -> None:
        """Judge a window that is over. To be called every `WINDOW_S` while anything is drawn or
        saved, as calm may mean that no picture comes.
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
