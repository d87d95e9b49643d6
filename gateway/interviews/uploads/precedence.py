"""Live voice first: one piece of one upload is recognised at a time, and only while nobody speaks.

Whether anybody does is asked of the recognisers: a local one has a job in its worker process from
the moment somebody begins to speak until the words are final (`stages._worker.WorkerStats`). Where
a piece of an upload is under way when somebody begins, it is given up and done again later: a
person speaks longer than a recogniser takes to notice, so the words of live voice find it free.

A recogniser without such a process (a server) is asked by one upload at a time and left to itself.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from gateway.interviews.uploads.errors import UploadBusy
from pipeline.stage import Transcriber
from stages._worker import WorkerStats

T = TypeVar("T")

POLL_S = 0.05
"""How long it takes at most to notice that somebody speaks."""

QUIET_S = 1.0
"""After live voice has been recognised, its reply is spoken first."""


class WaitBudget:
    """How long an upload may yet wait for live voice, in seconds."""

    def __init__(self, seconds: float) -> None:
        self.left_s = seconds


class LiveFirst:
    """The one place for uploads at the recognisers of a process."""

    def __init__(self, transcribers: Sequence[Transcriber]) -> None:
        self._transcribers = tuple(transcribers)
        self._ours: Counter[int] = Counter()
        self._turn = asyncio.Lock()

    def live(self) -> int:
        """How many live utterances the recognisers have, spoken just now or waiting for words."""
        return sum(max(0, _jobs(stage) - self._ours[id(stage)]) for stage in self._transcribers)

    @contextmanager
    def ours(self, stage: Transcriber) -> Iterator[None]:
        """Say that an utterance of this recogniser belongs to an upload."""
        self._ours[id(stage)] += 1
        try:
            yield
        finally:
            self._ours[id(stage)] -= 1

    async def run(self, work: Callable[[], Awaitable[T]], budget: WaitBudget) -> T:
        """Do the work when it disturbs nobody, from its beginning each time it has been given up.

        Uploads take turns in the order in which they ask. Raises `UploadBusy` when patience has run
        out, and what the work raises.
        """
        async with self._turn:
            while True:
                await self._wait_for_silence(budget)
                began = asyncio.get_running_loop().time()
                task = asyncio.ensure_future(work())
                try:
                    if await self._undisturbed(task):
                        return task.result()
                finally:
                    task.cancel()
                    await asyncio.wait([task])
                    if not task.cancelled():
                        task.exception()  # seen: it is raised above or no longer of interest
                budget.left_s -= asyncio.get_running_loop().time() - began

    async def _wait_for_silence(self, budget: WaitBudget) -> None:
        loop = asyncio.get_running_loop()
        quiet_at = loop.time()
        while True:
            now = loop.time()
            if self.live():
                quiet_at = now + QUIET_S
            elif now >= quiet_at:
                return
            if budget.left_s <= 0:
                raise UploadBusy(
                    "live_voice_first",
                    "Live conversations need the recogniser; try again later",
                    retry_after_s=30,
                )
            await asyncio.sleep(POLL_S)
            budget.left_s -= loop.time() - now

    async def _undisturbed(self, task: asyncio.Future[T]) -> bool:
        while not task.done():
            await asyncio.wait([task], timeout=POLL_S)
            if not task.done() and self.live():
                return False
        return True


def _jobs(stage: Transcriber) -> int:
    stats = getattr(stage, "stats", None)
    found = stats() if callable(stats) else None
    return found.jobs if isinstance(found, WorkerStats) else 0
