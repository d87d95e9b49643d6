"""The charts of a report as SVG, readable without a style sheet and without a script.

The numbers are computed here; the drawings are in `templates/`. Colours are classes that the page
sets for light, dark and print. All charts but the ring are `WIDE` units wide, about the width of a
phone, and shown at most 1.5 times as large, so that their texts stay readable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, pi
from pathlib import Path

from markupsafe import Markup

from gateway.templates import Templates
from stages.interview.delivery import Delivery
from stages.interview.report_words import Words, report_words

WIDE = 360

_FAST_WPM = 220
"""The least upper end of the pace chart."""

_TOP, _BOTTOM, _FLOOR = 6, 126, 186
"""Heights in the pace chart: of the fastest pace, of pace 0, and of the base line of pauses."""

_LEFT = 30
_GAP_MS = 3_000
"""Between two answers on the time axis."""

_LONGEST_PAUSE = 44
"""The drawn height of the longest pause."""

_LEAST_WAIT_MS = 1_000
"""The least upper end of the chart of waits: a wait that nobody notices is no tall bar."""

_RADIUS = 52


def tone(value: int | None) -> str:
    """The class of a score's colour."""
    if value is None:
        return "none"
    return "good" if value >= 70 else "fair" if value >= 45 else "low"


ENGLISH = report_words("en")

TEMPLATES = Templates(Path(__file__).parent / "templates", tone=tone, wide=WIDE)


@dataclass(frozen=True, slots=True)
class _Bar:
    """A score, and its bar's position and length."""

    name: str
    value: int | None
    y: int
    length: float


@dataclass(frozen=True, slots=True)
class _Box:
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class _Answer:
    """A spoken answer: its start, the points of its pace, and its pauses."""

    name: str
    x: float
    pace: Sequence[tuple[float, float]]
    pauses: Sequence[_Box]


@dataclass(frozen=True, slots=True)
class _Wait:
    """The wait for one reply: its bar, and the bar's middle."""

    name: str
    wait_s: float
    middle: float
    x: float
    y: float
    width: float
    height: float


def ring(value: int | None, words: Words = ENGLISH) -> Markup:
    """A score from 0 to 100 as a ring that fills."""
    around = 2 * pi * _RADIUS
    share = 0 if value is None else max(0, min(100, value)) / 100
    return TEMPLATES.render(
        "ring.svg",
        words=words,
        value=value,
        radius=_RADIUS,
        around=around,
        filled=around * share,
    )


def bars(label: str, rows: Sequence[tuple[str, int | None]], words: Words = ENGLISH) -> Markup:
    """Scores from 0 to 100 as horizontal bars."""
    left, track = 84, WIDE - 84 - 40
    description = ", ".join(f"{name} {words('not scored') if v is None else v}" for name, v in rows)
    return TEMPLATES.render(
        "bars.svg",
        label=f"{label}: {description}",
        high=30 * len(rows) or 1,
        left=left,
        track=track,
        bars=[
            _Bar(name, value, 30 * row, max(12.0, track * max(0, min(100, value or 0)) / 100))
            for row, (name, value) in enumerate(rows)
        ],
    )


def speaking(
    answers: Sequence[tuple[int, Delivery]],
    comfortable_wpm: tuple[int, int],
    words: Words = ENGLISH,
) -> Markup:
    """Speaking rate and pauses over time, for all spoken answers in a row.

    Each answer has its question's number; rates that are easy to follow are marked. "" if no answer
    has a duration and a rate.
    """
    known = [(number, d) for number, d in answers if d.duration_ms]
    total = sum(d.duration_ms or 0 for _, d in known) + _GAP_MS * (len(known) - 1)
    if not known or not any(d.pace or d.words_per_minute for _, d in known):
        return Markup()
    rates = [p.words_per_minute for _, d in known for p in d.pace]
    rates += [d.words_per_minute for _, d in known if d.words_per_minute and not d.pace]
    fastest = 50 * ceil(max([_FAST_WPM, *rates]) / 50)
    longest_ms = max([2_000, *(pause.length_ms for _, d in known for pause in d.pauses)])
    scale = (WIDE - _LEFT) / total

    def height(wpm: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * wpm / fastest

    drawn = []
    at_ms = 0.0
    for number, delivery in known:
        begins = _LEFT + at_ms * scale
        length = (delivery.duration_ms or 0) * scale
        drawn.append(
            _Answer(
                words("Q{0}", number) if length > 24 else f"{number}",
                begins,
                _pace(delivery, begins, length, scale, height),
                [
                    _Box(
                        begins + pause.at_ms * scale,
                        _FLOOR - (tall := _LONGEST_PAUSE * min(1, pause.length_ms / longest_ms)),
                        max(2.0, pause.length_ms * scale),
                        tall,
                    )
                    for pause in delivery.pauses
                ],
            )
        )
        at_ms += (delivery.duration_ms or 0) + _GAP_MS
    low, high = (height(wpm) for wpm in comfortable_wpm)
    spoken = [(number, d.words_per_minute, d.pause_count or 0) for number, d in known]
    return TEMPLATES.render(
        "speaking.svg",
        words=words,
        description=", ".join(
            words("question {0} {1} words a minute with {2} pauses", number, rate, pauses)
            for number, rate, pauses in spoken
            if rate
        ),
        left=_LEFT,
        top=_TOP,
        floor=_FLOOR,
        band=_Box(_LEFT, high, WIDE - _LEFT, low - high),
        marks=[(mark, height(mark)) for mark in (0, *comfortable_wpm, fastest)],
        answers=drawn,
    )


def latency(rows: Sequence[tuple[int, int]], words: Words = ENGLISH) -> Markup:
    """How long the interviewer took to begin its reply, by question number, in milliseconds."""
    if not rows:
        return Markup()
    slowest = max(_LEAST_WAIT_MS, *(value for _, value in rows))
    step = (WIDE - 8) / len(rows)
    width = min(34.0, step * 0.6)
    waits = []
    for index, (number, value) in enumerate(rows):
        middle = 4 + step * (index + 0.5)
        tall = max(2.0, 96 * value / slowest)
        name = words("Q{0}", number) if step > 24 else f"{number}"
        waits.append(_Wait(name, value / 1000, middle, middle - width / 2, 122 - tall, width, tall))
    description = ", ".join(
        words("question {0} {1} seconds", number, f"{value / 1000:.1f}") for number, value in rows
    )
    return TEMPLATES.render("latency.svg", words=words, description=description, bars=waits)


def _pace(
    delivery: Delivery,
    begins: float,
    length: float,
    scale: float,
    height: Callable[[float], float],
) -> list[tuple[float, float]]:
    """The line of one answer's rate: through the middles of its windows, or level."""
    if not delivery.pace:
        if delivery.words_per_minute is None:
            return []
        level = height(delivery.words_per_minute)
        return [(begins, level), (begins + length, level)]
    starts = [pace.at_ms for pace in delivery.pace]
    middles = [(a + b) / 2 for a, b in pairwise([*starts, delivery.duration_ms or starts[-1]])]
    return [
        (begins + middle * scale, height(pace.words_per_minute))
        for middle, pace in zip(middles, delivery.pace, strict=True)
    ]
