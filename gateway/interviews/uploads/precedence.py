"""Live voice first: one piece of one upload is recognised at a time, and only without live speech.

The recognisers tell whether there is live speech: a local one has a job in its worker process from
the onset of an utterance until its words are final (`stages._worker.WorkerStats`). If live speech
begins while a piece of an upload is recognised, that piece is cancelled and recognised again later:
an utterance lasts longer than the cancellation takes, so its final transcript need not wait.

A recogniser without a worker process (a server) gets one upload at a time and nothing else changes.
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
"""How often the recognisers are asked, which bounds the delay until live speech is noticed."""

QUIET_S = 1.0
"""Pause after a live utterance, in which its reply can begin."""


class WaitBudget:
    """How much longer an upload may wait for live voice, in seconds."""

    def __init__(self, seconds: float) -> None:
        self.left_s = seconds


class LiveFirst:
    """Admits one piece of an upload at a time to the recognisers of a process."""

    def __init__(self, transcribers: Sequence[Transcriber]) -> None:
        self._transcribers = tuple(transcribers)
        self._ours: Counter[int] = Counter()
        self._turn = asyncio.Lock()

    def live(self) -> int:
        """How many live utterances the recognisers have, without a final transcript yet."""
        return sum(max(0, _jobs(stage) - self._ours[id(stage)]) for stage in self._transcribers)

    @contextmanager
    def ours(self, stage: Transcriber) -> Iterator[None]:
        """Count one of this recogniser's utterances as an upload's while the block lasts."""
        self._ours[id(stage)] += 1
        try:
            yield
        finally:
            self._ours[id(stage)] -= 1

    async def run(self, work: Callable[[], Awaitable[T]], budget: WaitBudget) -> T:
        """Do `work` while there is no live speech; if live speech begins, cancel the work and start
        it anew.

        Uploads get their turn in the order of the calls. Raises `UploadBusy` when `budget` is used
        up, and what `work` raises.
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
                        task.exception()  # retrieved, so that asyncio does not log it
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
