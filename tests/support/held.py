"""When the machine was busy with others: what is late then says nothing about the gateway."""

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

LOOK_EVERY_S = 0.02
LONGEST_WAIT_S = 0.01
AROUND_S = 0.12
"""What happened so shortly before or after is not judged either."""


class Held:
    """Notes when the kernel let the event loop, or those who draw, wait for a processor, by its own
    account (`schedstat`; where there is none, never). An async context manager.
    """

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Held":
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._looking is not None
        self._looking.cancel()
        await asyncio.wait([self._looking])

    async def _look(self) -> None:
        before, at = self._waited_s(), time.time()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now, waited = time.time(), self._waited_s()
            if any(s - before.get(thread, s) > LONGEST_WAIT_S for thread, s in waited.items()):
                self.times.append((at, now))
            before, at = waited, now

    @staticmethod
    def _waited_s() -> dict[int, float]:
        """The time on a run queue, of the event loop and of those who draw."""
        found = {}
        for thread in threading.enumerate():
            if thread is threading.main_thread() or thread.name.startswith("face"):
                file = Path(f"/proc/self/task/{thread.native_id}/schedstat")
                if thread.native_id is not None and file.exists():
                    found[thread.native_id] = int(file.read_text().split()[1]) / 1e9
        return found

    def at(self, moment_s: float) -> bool:
        """Whether it was so at a moment of the wall clock."""
        return any(a - AROUND_S < moment_s < b + AROUND_S for a, b in self.times)


def enough(judged: int, fewest: int) -> None:
    """Skip the test where too little could be judged; fail it where tests are not to be skipped."""
    if judged < fewest:
        reason = f"the machine is too busy to measure: {judged} of at least {fewest} moments left"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
