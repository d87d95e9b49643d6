"""The charts of a report as SVG text that needs no style sheet to be right and no script. Pure.

Numbers alone go into them, and labels that are escaped. Colours are classes that the page sets, so
that light, dark and paper each get their own. All are drawn `WIDE` units wide, about the width of a
phone, and shown no larger than half as much again, so that their texts stay readable anywhere.
"""

import html
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from gateway.printable import printable
from stages.interview.delivery import COMFORTABLE_WPM, Delivery

WIDE = 360

_FAST_WPM = 220
"""The pace chart reaches at least up to here."""

_LEFT = 30
_GAP_MS = 3_000
"""Between two answers on the time axis."""


def tone(value: int | None) -> str:
    """The class of a score's colour."""
    if value is None:
        return "none"
    return "good" if value >= 70 else "fair" if value >= 45 else "low"


def ring(value: int | None) -> str:
    """A score from 0 to 100 as a ring that fills."""
    around = 2 * 3.14159265 * 52
    share = 0 if value is None else max(0, min(100, value)) / 100
    arc = (
        f'<circle class="{tone(value)}" cx="64" cy="64" r="52" fill="none" stroke-width="12" '
        f'stroke-linecap="round" stroke-dasharray="{around * share:.1f} {around:.1f}" '
        'transform="rotate(-90 64 64)"/>'
    )
    told = "Not scored" if value is None else f"{value} of 100"
    number = "–" if value is None else str(value)
    return _svg(
        128,
        128,
        f"Overall score: {told}",
        [
            '<circle class="track" cx="64" cy="64" r="52" fill="none" stroke-width="12"/>',
            arc if share else "",
            f'<text class="big" x="64" y="71" text-anchor="middle">{number}</text>',
            '<text class="soft" x="64" y="90" text-anchor="middle">of 100</text>',
        ],
        "ring",
    )


def bars(label: str, rows: Sequence[tuple[str, int | None]]) -> str:
    """Scores from 0 to 100 as lying bars."""
    left, wide = 84, WIDE - 84 - 40
    parts: list[str] = []
    for number, (name, value) in enumerate(rows):
        y = number * 30
        length = wide * max(0, min(100, value or 0)) / 100
        parts += [
            f'<text class="name" x="0" y="{y + 17}">{_text(name)}</text>',
            f'<rect class="track" x="{left}" y="{y + 7}" width="{wide}" height="12" rx="6"/>',
        ]
        if value:
            parts.append(
                f'<rect class="{tone(value)}" x="{left}" y="{y + 7}" '
                f'width="{max(12.0, length):.1f}" height="12" rx="6"/>'
            )
        shown = "–" if value is None else str(value)
        parts.append(
            f'<text class="value" x="{WIDE}" y="{y + 17}" text-anchor="end">{shown}</text>'
        )
    told = ", ".join(f"{name} {'not scored' if v is None else v}" for name, v in rows)
    return _svg(WIDE, 30 * len(rows) or 1, f"{label}: {told}", parts)


def speaking(answers: Sequence[tuple[int, Delivery]]) -> str:
    """Speaking rate and pauses over the time of all spoken answers, one after the other.

    Each answer comes with its question's number. "" where nothing has a length.
    """
    known = [(number, d) for number, d in answers if d.duration_ms]
    total = sum(d.duration_ms or 0 for _, d in known) + _GAP_MS * (len(known) - 1)
    if not known or not any(d.pace or d.words_per_minute for _, d in known):
        return ""
    fastest = max([_FAST_WPM, *(p.words_per_minute for _, d in known for p in d.pace)])
    longest = max([2_000, *(pause.length_ms for _, d in known for pause in d.pauses)])
    top, bottom, floor = 6, 126, 186
    scale = (WIDE - _LEFT) / total

    def height(wpm: float) -> float:
        return bottom - (bottom - top) * min(wpm, fastest) / fastest

    low, high = height(COMFORTABLE_WPM[0]), height(COMFORTABLE_WPM[1])
    parts = [
        f'<rect class="band" x="{_LEFT}" y="{high:.1f}" width="{WIDE - _LEFT}" '
        f'height="{low - high:.1f}"/>',
        *(
            f'<line class="grid" x1="{_LEFT}" x2="{WIDE}" y1="{height(mark):.1f}" '
            f'y2="{height(mark):.1f}"/><text class="soft" x="{_LEFT - 5}" '
            f'y="{height(mark) + 4:.1f}" text-anchor="end">{mark}</text>'
            for mark in (0, *COMFORTABLE_WPM)
        ),
        f'<line class="grid" x1="{_LEFT}" x2="{WIDE}" y1="{floor}" y2="{floor}"/>',
    ]
    at = 0.0
    for number, delivery in known:
        begins = _LEFT + at * scale
        length = (delivery.duration_ms or 0) * scale
        parts.append(_pace(delivery, begins, length, scale, height))
        parts += [
            f'<rect class="pause" x="{begins + pause.at_ms * scale:.1f}" '
            f'y="{floor - 44 * min(1, pause.length_ms / longest):.1f}" '
            f'width="{max(2.0, pause.length_ms * scale):.1f}" '
            f'height="{44 * min(1, pause.length_ms / longest):.1f}"/>'
            for pause in delivery.pauses
        ]
        parts.append(
            f'<line class="grid" x1="{begins:.1f}" x2="{begins:.1f}" y1="{top}" y2="{floor + 5}"/>'
            f'<text class="soft" x="{begins + 3:.1f}" y="{floor + 15}">'
            f"{'Q' if length > 24 else ''}{number}</text>"
        )
        at += (delivery.duration_ms or 0) + _GAP_MS
    told = ", ".join(
        f"question {number} {d.words_per_minute} words a minute with {d.pause_count or 0} pauses"
        for number, d in known
        if d.words_per_minute
    )
    return _svg(WIDE, 206, f"Speaking rate and pauses over time: {told}", parts)


def latency(rows: Sequence[tuple[int, int]]) -> str:
    """How long the interviewer took to begin its reply, by question number, in milliseconds."""
    if not rows:
        return ""
    slowest = max(1, *(value for _, value in rows))
    step = (WIDE - 8) / len(rows)
    wide = min(34.0, step * 0.6)
    parts = []
    for place, (number, value) in enumerate(rows):
        middle = 4 + step * (place + 0.5)
        tall = max(2.0, 96 * value / slowest)
        parts.append(
            f'<rect class="wait" x="{middle - wide / 2:.1f}" y="{122 - tall:.1f}" '
            f'width="{wide:.1f}" height="{tall:.1f}" rx="3"/>'
            f'<text class="value" x="{middle:.1f}" y="{116 - tall:.1f}" text-anchor="middle">'
            f"{value / 1000:.1f}</text>"
            f'<text class="soft" x="{middle:.1f}" y="137" text-anchor="middle">'
            f"{'Q' if step > 24 else ''}{number}</text>"
        )
    parts.append(f'<line class="grid" x1="0" x2="{WIDE}" y1="122" y2="122"/>')
    told = ", ".join(f"question {number} {value / 1000:.1f} seconds" for number, value in rows)
    return _svg(WIDE, 142, f"Time until the interviewer replied: {told}", parts)


def _pace(
    delivery: Delivery,
    begins: float,
    length: float,
    scale: float,
    height: Callable[[float], float],
) -> str:
    """One answer's rate: a line through the middle of its windows, or a level one."""
    if not delivery.pace:
        if delivery.words_per_minute is None:
            return ""
        level = height(delivery.words_per_minute)
        points = [(begins, level), (begins + length, level)]
    else:
        starts = [pace.at_ms for pace in delivery.pace]
        middles = [(a + b) / 2 for a, b in pairwise([*starts, delivery.duration_ms or starts[-1]])]
        points = [
            (begins + middle * scale, height(pace.words_per_minute))
            for middle, pace in zip(middles, delivery.pace, strict=True)
        ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points)
    return f'<polyline class="pace" fill="none" points="{path}"/>{dots}'


def _svg(wide: int, high: int, label: str, parts: Iterable[str], name: str = "chart") -> str:
    return (
        f'<svg class="{name}" role="img" aria-label="{_text(label)}" '
        f'viewBox="0 0 {wide} {high}">{"".join(parts)}</svg>'
    )


def _text(text: str) -> str:
    return html.escape(printable(text))
