"""Smart Turn v3.2: the probability that a turn is finished, from its last 8 s of sound.

A small network on Whisper's encoder (BSD-2-Clause, Daily; 8.7 MB), trained on speech up to a pause
of 200 ms. An answer takes about 40 ms of one core, so it runs in a worker process, which all
sessions share.
"""

from pathlib import Path

from pipeline.frames import Samples
from stages._worker import Header, Worker, WorkerStats

MOST_WAITING_BYTES = 4 << 20
"""Sixteen questions in the pipe. Of those in the process, `stages.turn._smart_turn` says how many
may wait."""


class SmartTurnModel:
    """A `pipeline.stage.TurnModel` with its network in one worker process.

    `model` is the file. The process starts on first use, or with `start`.
    """

    provider = "smart-turn"

    def __init__(self, model: Path) -> None:
        self._worker = Worker(
            "stages.turn._smart_turn:handler",
            {"model": str(model)},
            stage="turn",
            provider=self.provider,
            max_pending_bytes=MOST_WAITING_BYTES,
        )

    async def start(self) -> Header:
        """Load the network now; returns what was loaded, with `answer_ms`, what an answer costs.

        Raises StageFailed ("connect") with a sentence that says what is wrong with the file.
        """
        return await self._worker.start()

    async def finished(self, audio: Samples) -> float:
        """The probability, 0 to 1, that the person who said `audio` (16 kHz) has finished.

        Raises StageFailed when the worker process died, StageBusy when too many questions wait for
        it. Cancelling drops a question that has not begun.
        """
        job = self._worker.open_job()
        try:
            job.send("ask", None, audio.tobytes())
            packet = await job.result()
        finally:
            job.cancel()
        probability: float = packet.header["finished"]
        return probability

    def stats(self) -> WorkerStats:
        """The worker process's present state."""
        return self._worker.stats()

    async def aclose(self) -> None:
        """End the worker process. Questions under way fail."""
        await self._worker.aclose()
