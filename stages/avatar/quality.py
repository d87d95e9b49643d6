"""The quality of speaking faces' pictures at each step of the ladder, and what they cost. Pure.

Three measures show that a process has too much to draw: pictures that are late for their sound,
pictures that were refused because no thread was free, and the share of the drawing threads' time
that is used. A viewer sees the first two, whatever their reason (such as speech recognition on the
same cores). The third rises before them, and says whether the level above would fit. They are
judged together over `WINDOW_S`, for the whole process; `pipeline.ladder` decides what follows.
"""

from dataclasses import dataclass

from pipeline.ladder import LadderStep, PictureVerdict

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


NOTHING = QualityLevel("visemes", 0, 0)

QUALITY_LEVELS = (
    QualityLevel("25 fps", 40, 320),
    QualityLevel("12 fps", 80, 320),
    QualityLevel("12 fps, small", 80, 192),
    NOTHING,
)
"""Of video, by step; the last one holds for the steps below it, too."""

MESSAGE_LEVELS = (
    QualityLevel("12 fps", 80, 320),
    QualityLevel("6 fps", 160, 320),
    QualityLevel("3 fps", 320, 320),
    NOTHING,
)
"""Of pictures in messages, likewise. All have one size: they come from one cache, and what costs
the event loop is to send one."""


def level_at(step: LadderStep, levels: tuple[QualityLevel, ...] = QUALITY_LEVELS) -> QualityLevel:
    """The level of pictures at a step of the ladder."""
    return levels[min(step, len(levels) - 1)]


class PictureLoad:
    """The pictures of a process in the window under way. `now` is in seconds of any one clock.

    `threads` is the number of drawing threads.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._from: float | None = None
        self._drawn = self._late = self._refused = 0
        self._cost_ms = 0.0

    def encoded(self, late_ms: float, cost_ms: float) -> None:
        """Record a picture that was ready `late_ms` after it was due (negative: before) and took
        `cost_ms` of processor time.
        """
        self._drawn += 1
        self._late += late_ms > LATE_MS
        self._cost_ms += cost_ms

    def refused(self) -> None:
        """Record a picture that was not drawn, because too many were waiting."""
        self._refused += 1

    @property
    def pending(self) -> bool:
        """Whether there were pictures in the window, which are still to be judged."""
        return self._drawn + self._refused > 0

    def judged(self, step: LadderStep, now: float) -> PictureVerdict | None:
        """The verdict on the window if it is over, else None. The next window begins then.

        Call it before a picture is recorded, and every `WINDOW_S` while pictures are drawn or
        `step` is not the first: in a calm window there may be no picture.
        """
        if self._from is None:
            self._from = now
        if now - self._from < WINDOW_S:
            return None
        verdict = self._verdict(step, self._from, now - self._from)
        self._from = now
        self._drawn = self._late = self._refused = 0
        self._cost_ms = 0.0
        return verdict

    def _verdict(self, step: LadderStep, since: float, length_s: float) -> PictureVerdict:
        asked = self._drawn + self._refused
        missed = self._late + self._refused
        share = missed / asked if asked >= FEW else 0.0
        load = self._cost_ms / (length_s * 1000 * self._threads)
        bad = None
        if share > BAD_SHARE:
            bad = f"{missed} of {asked} pictures late or refused within a second"
        elif load > FULL_LOAD:
            bad = f"{load:.0%} of the drawing threads' time used"
        calm = bad is None and share <= CALM_SHARE and _fits(load, step)
        return PictureVerdict(since, bad, calm)


def _fits(load: float, step: LadderStep) -> bool:
    """Whether drawing that takes this share of the threads' time would fit a step further up."""
    level = level_at(step)
    if not step or not level.work:
        return True
    return load * level_at(LadderStep(step - 1)).work / level.work <= FITTING_LOAD
