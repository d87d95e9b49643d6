"""`parley replay`: repeats the decisions of a recorded session, and shows them second by second."""

import argparse
import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.commands.replay.page import page
from gateway.commands.replay.sound import beside
from gateway.commands.replay.timeline import Bar, JournalTimeline, describe, timeline
from gateway.commands.terminal import DONE, FAILED, CommandFailed, output
from gateway.printable import printable
from pipeline.journal import FLOOR_DBFS
from pipeline.replay import Difference, JournalError, Replayed, replay
from pipeline.turns import TurnState

CELLS = 10
CELL_MS = 100
STEPS = "▁▂▃▄▅▆▇█"
LOUDEST_DBFS = -10.0
SHOWN = 5
QUIET = 3
"""At least this many seconds without events are shown as one line."""

STATES = {
    TurnState.IDLE: "·",
    TurnState.LISTENING: "L",
    TurnState.THINKING: "T",
    TurnState.SPEAKING: "S",
}
COLOURS = {"·": "dim", "L": "green", "T": "yellow", "S": "cyan"}
STAGES = {"endpointing": "e", "stt": "r", "llm": "l", "tts": "s", "transport": "o", "filler": "f"}
LEGEND = (
    "One line a second, one character for 100 ms. Turn: · idle, L listening, T thinking, "
    "S speaking. Stages: e endpointing, r recognition, l reply, s synthesis, o transport, f filler."
)


def run(arguments: argparse.Namespace) -> int:
    """Run the command. Raises `CommandFailed` if the file is no journal or cannot be read."""
    replayed = read(arguments.file)
    lanes = timeline(replayed)
    sound = beside(arguments.file, replayed)
    console = output()
    show(console, replayed, lanes)
    if sound is not None:
        length, where = _clock(int(sound.duration_s)), printable(str(sound.path))
        console.print(Text(f"The person's audio, {length}, is in {where}."))
    if arguments.html is not None:
        try:
            shown = page(
                replayed,
                lanes,
                audio="" if sound is None else sound.link(arguments.html),
                spoken=() if sound is None else sound.turns,
            )
            arguments.html.write_text(shown, encoding="utf-8")
        except OSError as error:
            raise CommandFailed(f"{arguments.html}: {error.strerror}") from None
        console.print(Text(f"The timeline is in {printable(str(arguments.html))}."))
    return FAILED if replayed.differences else DONE


def read(path: Path) -> Replayed:
    """The journal in a file, played again. Raises `CommandFailed`."""
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            return replay(lines)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandFailed(f"{path}: no journal: not UTF-8") from None
    except JournalError as error:
        raise CommandFailed(f"{path}: {error}") from None


def verdict(replayed: Replayed) -> str:
    """The result of the replay, in one line."""
    count, different = len(replayed.decisions), len(replayed.differences)
    came = f"{different} of them differ" if different else "identical"
    cut = ", the journal was cut" if replayed.cut else ""
    return f"{count} decisions, {came}{cut}"


def show(console: Console, replayed: Replayed, lanes: JournalTimeline) -> None:
    """The verdict, the first differences and the timeline."""
    console.print(Text(f"session {printable(replayed.session_id)}", "dim"))
    console.print(Text(verdict(replayed), "red" if replayed.differences else "green"))
    for difference in replayed.differences[:SHOWN]:
        console.print(Text(printable(_told(difference)), "red"))
    if len(replayed.differences) > SHOWN:
        console.print(Text(f"and {len(replayed.differences) - SHOWN} more", "red"))
    console.print(Text(LEGEND, "dim"))
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for heading in ("time", "level", "speech", "turn", "stages"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what happened", overflow="fold")
    for quiet, rows in itertools.groupby(seconds(lanes, replayed), key=lambda row: row.quiet):
        group = list(rows)
        if quiet is not None and len(group) >= QUIET:
            table.add_row(
                _clock(group[0].second), *[""] * 4, f"{len(group)} s {quiet}", style="dim"
            )
            continue
        for row in group:
            table.add_row(*_cells(row, replayed.policy.threshold))
    console.print(table)


def _told(difference: Difference) -> str:
    decision = difference.decision
    recorded, taken = (
        ", ".join(map(describe, actions)) or "nothing"
        for actions in (difference.recorded, decision.actions)
    )
    at_s, cause = decision.at_ms / 1000, describe(decision.cause)
    return f"line {decision.line}, {at_s:.3f} s, {cause}: was {recorded}, is {taken}"


# --- one line a second -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Second:
    """One second of a session. Every lane has `CELLS` cells; a value is None without data."""

    second: int
    levels: tuple[float | None, ...]
    speech: tuple[float | None, ...]
    states: tuple[TurnState, ...]
    turn: int
    stages: str
    news: tuple[str, ...]
    quiet: str | None
    """The state's name, if there was no speech and no event."""


def seconds(lanes: JournalTimeline, replayed: Replayed) -> Iterator[Second]:
    """The seconds for which there is data."""
    low = replayed.policy.threshold - replayed.policy.hysteresis
    news = _news(lanes)
    starts = [band.start for band in lanes.bands]
    known = {int(at // 1000) for at, _ in (*lanes.speech, *lanes.levels)} | set(news)
    for second in sorted(known):
        moments = [second * 1000.0 + cell * CELL_MS for cell in range(CELLS)]
        bands = [lanes.bands[max(0, bisect_right(starts, at) - 1)] for at in moments]
        speech = _loudest(lanes.speech, moments)
        bars = [
            bar for bar in lanes.bars if bar.start < moments[-1] + CELL_MS and bar.end >= moments[0]
        ]
        silent = all(value is None or value < low for value in speech)
        settled = len(set(bands)) == 1 and second not in news and silent
        yield Second(
            second,
            _loudest(lanes.levels, moments),
            speech,
            tuple(band.state for band in bands),
            bands[-1].turn,
            "".join(_stage(bars, at) for at in moments),
            tuple(news.get(second, ())),
            bands[0].state.value if settled else None,
        )


def _news(lanes: JournalTimeline) -> dict[int, list[str]]:
    news: dict[int, list[str]] = {}
    for tick in lanes.ticks:
        news.setdefault(int(tick.at_ms // 1000), []).append(printable(tick.label))
    for name, ages in lanes.queue_ages.items():
        for second, values in itertools.groupby(ages, key=lambda age: int(age[0] // 1000)):
            oldest_ms = max(value for _, value in values)
            news.setdefault(second, []).append(f"{printable(name)} queue {oldest_ms:.0f} ms")
    return news


def _loudest(
    values: Sequence[tuple[float, float]], moments: Sequence[float]
) -> tuple[float | None, ...]:
    bounds = [bisect_left(values, (at,)) for at in (*moments, moments[-1] + CELL_MS)]
    return tuple(
        max((value for _, value in values[first:last]), default=None)
        for first, last in itertools.pairwise(bounds)
    )


def _stage(bars: Sequence[Bar], at_ms: float) -> str:
    """The newest stage that is running in the cell from `at_ms` on."""
    for bar in reversed(bars):
        if bar.start < at_ms + CELL_MS and bar.end >= at_ms:
            return STAGES.get(bar.stage, "?")
    return " "


def _cells(row: Second, threshold: float) -> list[Text]:
    reach = LOUDEST_DBFS - FLOOR_DBFS
    levels = "".join(
        " " if value is None else _step((value - FLOOR_DBFS) / reach) for value in row.levels
    )
    speech, turn = Text(), Text(f"{row.turn:>3} ")
    for value in row.speech:
        heard = value is not None and value >= threshold
        speech.append(" " if value is None else _step(value), "green" if heard else "dim")
    for state in row.states:
        turn.append(STATES[state], COLOURS[STATES[state]])
    return [
        Text(_clock(row.second), "dim"),
        Text(levels, "blue"),
        speech,
        turn,
        Text(row.stages, "magenta"),
        Text(", ".join(row.news)),
    ]


def _step(share: float) -> str:
    return STEPS[max(0, min(len(STEPS) - 1, int(share * len(STEPS))))]


def _clock(second: int) -> str:
    return f"{second // 60}:{second % 60:02}"
