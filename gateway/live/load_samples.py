"""Measures the load of the process twice a second, for `gateway.live.pressure`."""

import asyncio
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.live.pressure import LoadSample, Pressure, RecentTurns
from pipeline.frames import TurnMetrics
from pipeline.stage import Observed
from stages.stt.recogniser_load import RecogniserLoad

LOOK_EVERY_S = 0.05
LOOKS = 10
"""Timers of a sample: together they last half a second."""

CGROUP = Path("/sys/fs/cgroup")
PAGE_BYTES = resource.getpagesize()


class LoadSamples:
    """The load of one process. A `pipeline.stage.Observer` of every session, for their turns.

    `memory_mb` is the limit for this process. Without it the limit of its control group counts, for
    all processes of the group.
    """

    def __init__(self, pressure: Pressure, memory_mb: int | None = None) -> None:
        self._pressure = pressure
        self._memory = own_share(memory_mb) if memory_mb else group_share
        self._turns = RecentTurns()
        self.strained: Callable[[str | None, float], None] = _nobody
        """Called with each sample: what strains the machine, or None (`Pressure.strain`), and when
        (loop time)."""
        self.uplink_s: Callable[[], float] = _unknown
        """The shortest wait of input audio since the last call."""
        self.recognisers: Sequence[RecogniserLoad] = ()
        """The load of each recogniser's model on this machine."""

    def observe(self, output: Observed, now: float) -> None:
        """Take an output of a session."""
        if isinstance(output, TurnMetrics):
            self._turns.note(output, now)

    async def run(self) -> None:
        """Measure until cancelled. Call it on the event loop's own thread."""
        loop = asyncio.get_running_loop()
        while True:
            began_s, used_s = loop.time(), time.thread_time()
            lag_s = 0.0
            for _ in range(LOOKS):
                due_s = loop.time() + LOOK_EVERY_S
                await asyncio.sleep(LOOK_EVERY_S)
                lag_s = max(lag_s, loop.time() - due_s)
            now = loop.time()
            busy = (time.thread_time() - used_s) / (now - began_s)
            recognition_s, factor = self._turns.best(now)
            clock, models = time.monotonic(), self.recognisers
            sample = LoadSample(
                loop_lag_s=lag_s,
                busy=busy,
                uplink_s=self.uplink_s(),
                recognition_queue_s=max((each.queue_s(clock) for each in models), default=0.0),
                recogniser=max((each.factor(clock) for each in models), default=0.0),
                recognition_s=recognition_s,
                turn_factor=factor,
                memory=self._memory(),
            )
            self._pressure.observe(sample, clock)
            self.strained(self._pressure.strain(), now)


def _nobody(strain: str | None, now: float) -> None:
    """Does nothing: the default for `strained`."""


def _unknown() -> float:
    """Return 0: no wait is measured."""
    return 0.0


def own_share(limit_mb: int) -> Callable[[], float]:
    """Make a function that returns the share of the limit in use by this process; 0 if unknown."""

    def share() -> float:
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):  # no Linux
            return 0.0
        return pages * PAGE_BYTES / (limit_mb * 2**20)

    return share


def group_share() -> float:
    """The share of the control group's memory that cannot be taken back; 0 without a limit."""
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        lines = (CGROUP / "memory.stat").read_text().splitlines()
        cached = next(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    except (OSError, ValueError, StopIteration):  # "max" is no number
        return 0.0
    return (used - cached) / limit
