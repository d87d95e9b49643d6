"""A turn's time as a picture: its budget, and the time of each stage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from gateway.printable import printable

WIDTH = 24
WAITING, WORKING, BEYOND = "░", "█", "▶"


@dataclass(frozen=True, slots=True)
class Row:
    """One stage; milliseconds from the end of speech. `bar` is `WIDTH` characters at most.

    The bar is light until the stage gave its first result, then dark until its end.
    """

    stage: str
    provider: str
    bar: str
    start: str
    first: str
    end: str


def rows(metrics: Mapping[str, Any], width: int = WIDTH) -> list[Row]:
    """The rows of a `turn.metrics` message, in its order."""
    span_ms = _span_ms(metrics)
    return [
        Row(
            str(stage["stage"]),
            str(stage["provider"]),
            _bar(stage, span_ms, width),
            _ms(stage["start"]),
            _ms(stage["first"]),
            _ms(stage["end"]),
        )
        for stage in metrics["stages"]
    ]


def verdict(metrics: Mapping[str, Any]) -> str:
    """The turn in one line."""
    turn, budget = metrics["turn"], f"budget {metrics['budget_ms']} ms"
    actual = metrics["voice_to_voice_ms"]
    if actual is None:
        return f"turn {turn}: no reply was heard, {budget}"
    spare = metrics["budget_ms"] - actual
    left = f"{spare:.0f} ms to spare" if spare >= 0 else f"{-spare:.0f} ms over"
    return f"turn {turn}: voice to voice {actual:.0f} ms, {budget}, {left}"


def draw(metrics: Mapping[str, Any]) -> Group:
    """`verdict` and `rows` for a terminal of 80 columns."""
    late = (metrics["voice_to_voice_ms"] or 0) > metrics["budget_ms"]
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for heading in ("stage", "provider", ""):
        table.add_column(heading, no_wrap=True)
    for heading in ("start", "first", "end"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=5)
    for row in rows(metrics):
        bar = Text(row.bar.ljust(WIDTH), "cyan")
        names = Text(printable(row.stage)), Text(printable(row.provider))
        table.add_row(*names, bar, row.start, row.first, row.end)
    return Group(Text(verdict(metrics), "yellow" if late else "dim"), table)


def _span_ms(metrics: Mapping[str, Any]) -> float:
    """The time of the full width: the budget, or the first reply audio if that came later.

    Synthesis goes on during the reply; its bar then extends to the edge.
    """
    firsts = [stage["first"] for stage in metrics["stages"] if stage["first"] is not None]
    return float(max([metrics["budget_ms"], metrics["voice_to_voice_ms"] or 0, *firsts, 1]))


def _bar(stage: Mapping[str, Any], span_ms: float, width: int) -> str:
    def column(at_ms: float) -> int:
        return min(width, max(0, round(at_ms / span_ms * width)))

    end_ms = stage["end"]
    if end_ms is None:  # cut off: only its first result is known
        end_ms = stage["start"] if stage["first"] is None else stage["first"]
    start, end = column(stage["start"]), column(end_ms)
    first = start if stage["first"] is None else column(stage["first"])
    bar = " " * start + WAITING * (first - start) + WORKING * (end - max(first, start))
    if len(bar) == start:  # too short to be visible otherwise
        bar = bar[: width - 1] + WORKING
    return bar[:-1] + BEYOND if end_ms > span_ms else bar


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
