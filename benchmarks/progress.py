"""The progress of the benchmarks: lines on stderr, so that stdout has only the results.

A benchmark is made of runs. `Progress` prints a line when a run has ended; on a terminal a bar
shows those under way, elsewhere a run that takes long says every `REMINDER_S` how far it is.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

OnProgress = Callable[[float, float], None]
"""Called with how much of a run is done and how much there is to do."""

REMINDER_S = 30.0
REFRESHES_PER_S = 2
"""Few redraws a second, because the terminal shares the load client's core."""


def duration(seconds: float) -> str:
    """A time that was measured: `0.4 s`, `31 s`, `2 min 5 s`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def estimate(seconds: float) -> str:
    """A time that is expected: `about 40 s`, `about 12 min`."""
    if seconds < 90:
        return f"about {max(1, round(seconds / 10)) * 10} s"
    return f"about {round(seconds / 60)} min"


class Progress:
    """The runs of one benchmark, which is expected to take `expected_s` in all.

    Runs may overlap. `clock` gives seconds, as `time.monotonic` does.
    """

    def __init__(
        self,
        benchmark: str,
        expected_s: float,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._benchmark = benchmark
        self._expected_s = expected_s
        self._console = console
        self._clock = clock
        self._began = clock()
        self._runs = 1
        self._finished = 0
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            refresh_per_second=REFRESHES_PER_S,
            disable=not console.is_terminal,
        )

    @contextmanager
    def runs(self, count: int) -> Iterator[None]:
        """Use this block for the benchmark, which has this number of runs."""
        self._runs = count
        self._began = self._clock()
        runs = "1 run" if count == 1 else f"{count} runs"
        self._say(f"{self._benchmark}: {runs}, {estimate(self._expected_s)}")
        with self._bars:
            yield

    @contextmanager
    def run(self, what: str) -> Iterator[OnProgress]:
        """Use this block for a run, which may report its progress. A failed run gets no line."""
        began = told = self._clock()
        bar = self._bars.add_task(f"{self._benchmark}: {what}", total=None)

        def on_progress(done: float, goal: float) -> None:
            nonlocal told
            self._bars.update(bar, completed=done, total=goal)
            now = self._clock()
            if not self._console.is_terminal and now - told >= REMINDER_S and done < goal:
                told = now
                share = f"{done / goal:.0%}"
                self._say(f"{self._benchmark}: {what}: {share} after {duration(now - began)}")

        try:
            yield on_progress
        finally:
            self._bars.remove_task(bar)
        self._finished += 1
        place = f"{self._finished:{len(str(self._runs))}} of {self._runs}"
        took = duration(self._clock() - began)
        self._say(f"{self._benchmark} {place}: {what}: {took}{self._rest()}")

    def note(self, line: str) -> None:
        """Say something about the run under way."""
        self._say(f"{self._benchmark}: {line}")

    def _rest(self) -> str:
        """The time that is left, as a clause, by the runs so far."""
        left = self._runs - self._finished
        if left <= 0:
            return ""
        each_s = (self._clock() - self._began) / self._finished
        return f"; {estimate(left * each_s)} left"

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
