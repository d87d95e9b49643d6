"""Plots as SVG text, made here so that the report needs no plotting library. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 40, 48
LEGEND = 270
"""Where the legend begins, beside the title."""

COLOURS = {
    "parley": "#1b7f5c",
    "livekit": "#2f6fb3",
    "pipecat": "#b3582f",
    "echo": "#777777",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its label, the target whose colour it has, its value."""

    label: str
    target: str
    value: float


@dataclass(frozen=True, slots=True)
class Line:
    """Points of one target, in order of x."""

    label: str
    target: str
    points: Sequence[tuple[float, float]]


def ticks(most: float) -> list[float]:
    """Round numbers from 0 to at least `most`, four to six of them."""
    if most <= 0:
        return [0.0, 1.0]
    raw = most / 5
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw)
    return [step * number for number in range(math.ceil(most / step) + 1)]


def bars(title: str, unit: str, values: Sequence[Bar]) -> str:
    """Horizontal bars, each with its value beside it."""
    row = 30
    height = TOP + row * len(values) + 12
    label_width = 230
    scale = (WIDTH - label_width - 80) / max((bar.value for bar in values), default=1.0)
    parts = [_open(height), _title(f"{title}, {unit}")]
    for number, bar in enumerate(values):
        y = TOP + number * row
        width = max(1.0, bar.value * scale)
        parts += [
            _text(label_width - 8, y + 15, bar.label, "end"),
            f'<rect x="{label_width}" y="{y}" width="{width:.1f}" height="20" '
            f'fill="{COLOURS[bar.target]}"/>',
            _text(label_width + width + 6, y + 15, f"{bar.value:.3g}", "start"),
        ]
    return "".join([*parts, "</svg>"])


def lines(
    title: str,
    x_title: str,
    y_title: str,
    values: Sequence[Line],
    *,
    limit: float | None = None,
    most_y: float | None = None,
) -> str:
    """Lines with a point at each measurement. `limit` is drawn across; above `most_y` it is cut."""
    points = [point for line in values for point in line.points]
    across = ticks(max((x for x, _ in points), default=1.0))
    top = max((y for _, y in points), default=1.0)
    up = ticks(top if most_y is None else min(top, most_y))

    def x_of(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * x / across[-1]

    def y_of(y: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(y, up[-1]) / up[-1]

    parts = [_open(HEIGHT), _title(title)]
    for y in up:
        parts.append(_rule(LEFT, y_of(y), WIDTH - RIGHT, y_of(y), "#ddd"))
        parts.append(_text(LEFT - 6, y_of(y) + 4, f"{y:g}", "end"))
    parts += [_text(x_of(x), HEIGHT - BOTTOM + 16, f"{x:g}", "middle") for x in across]
    parts.append(_text((LEFT + WIDTH) / 2, HEIGHT - 10, x_title, "middle"))
    parts.append(_text(LEFT - 50, TOP - 8, y_title, "start"))
    if limit is not None and limit <= up[-1]:
        parts.append(_rule(LEFT, y_of(limit), WIDTH - RIGHT, y_of(limit), "#c00", "6 4"))
    for number, line in enumerate(values):
        colour = COLOURS[line.target]
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in line.points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3" fill="{colour}"/>'
            for x, y in line.points
        ]
        x = LEGEND + number * 110
        parts.append(f'<rect x="{x}" y="11" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(x + 16, 20, line.label, "start"))
    return "".join([*parts, "</svg>"])


def _open(height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" font-family="sans-serif" font-size="12" '
        'role="img"><rect width="100%" height="100%" fill="#fff"/>'
    )


def _title(text: str) -> str:
    return f'<text x="8" y="20" font-size="14" font-weight="bold">{escape(text)}</text>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashed}/>'
    )
