"""One utterance recognised in a worker process; shared by the local recognisers."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np

from pipeline.errors import StageFailed
from pipeline.frames import INPUT_RATE_HZ, Samples, Transcript, Word
from pipeline.guard import first_due
from pipeline.utterance import LONGEST_S
from stages._worker import Header, Worker, WorkerJob, WorkerPacket
from stages.stt.recogniser_load import RecogniserLoad

log = logging.getLogger("stages.stt")

LIMIT_SAMPLES = LONGEST_S * INPUT_RATE_HZ
"""An utterance's audio beyond this is ignored; the audio before it is recognised."""


class WorkerRecognition:
    """A `pipeline.stage.Recognition` whose work a worker process does.

    The job's messages are "open" (`partials`: whether they are wanted; `hints`: likely words;
    `language`: its code or None), "audio" (16-bit samples, in pieces of at least `message_samples`)
    and "finish" (`due`: when the text is wanted, in seconds of `time.monotonic`, which is one clock
    for all processes); its replies are "partial" (`text`, `language`) and "final" (also
    `confidence`, `words`, each with its first and last millisecond, and the `reason` for a text
    that does not count; `took_s`, what the decode took since "finish", and `busy_s`, what the
    decodes of all sessions have taken since the process began). `load` keeps the last two.

    If the process dies, or is given up, all audio so far goes to the next process, at once and only
    once: an utterance that kills two processes is not tried again.
    """

    def __init__(
        self,
        worker: Worker,
        turn: int,
        message_samples: int,
        on_partial: Callable[[Transcript], None] | None = None,
        hints: Sequence[str] = (),
        language: str | None = None,
        load: RecogniserLoad | None = None,
    ) -> None:
        self._worker = worker
        self._load = RecogniserLoad() if load is None else load
        self._wanted = {"partials": on_partial is not None, "hints": [*hints], "language": language}
        self._turn = turn
        self._message_samples = message_samples
        self._on_partial = on_partial
        self._left = LIMIT_SAMPLES
        self._audio: list[Samples] = []
        self._sent = 0  # of these pieces
        self._kept_samples = 0  # in the others
        self._finishing = False
        self._again = False  # this is the second process
        self._over = False
        self._job = self._open()

    def feed(self, pcm: Samples) -> None:
        """Take the utterance's next audio. A plain call: never blocks, never raises."""
        pcm = pcm[: self._left]
        self._left -= len(pcm)
        self._audio.append(pcm.copy())
        self._kept_samples += len(pcm)
        if self._kept_samples >= self._message_samples:
            self._send()

    async def finish(self) -> AsyncIterator[Transcript]:
        """Yield the final transcript; its text is "" when nothing was understood.

        Raises StageFailed when two worker processes died or the audio could not be decoded,
        StageBusy when too much audio waits for it, or when the text would come after `first_due`.
        Cancelling, or closing the iterator, forgets the utterance.
        """
        try:
            self._finish()
            try:
                packet = await self._job.result()
            except StageFailed:
                if self._again or not (self._job.lost or self._job.refused):
                    raise
                self._begin_again()
                packet = await self._job.result()  # or the reason why there is no other process
            took_s, busy_s = packet.header.get("took_s", 0.0), packet.header.get("busy_s", 0.0)
            self._load.answered(self, took_s, busy_s, time.monotonic())
        finally:
            self.cancel()
        if reason := packet.header.get("reason"):
            log.debug("turn %d: no answer was heard (%s)", self._turn, reason)
        yield self._transcript(packet.header, final=True)

    def cancel(self) -> None:
        """Forget the utterance. Idempotent; harmless after `finish` has ended."""
        self._left = 0
        self._over = True
        self._load.dropped(self)
        self._audio, self._sent, self._kept_samples = [], 0, 0
        self._job.cancel()

    def _open(self) -> WorkerJob:
        on_reply = self._on_reply if self._wanted["partials"] else None
        job = self._worker.open_job(on_reply, self._on_lost)
        job.send("open", self._wanted)
        return job

    def _send(self) -> None:
        if self._kept_samples:
            self._job.send("audio", None, np.concatenate(self._audio[self._sent :]).tobytes())
        self._sent, self._kept_samples = len(self._audio), 0

    def _finish(self) -> None:
        self._finishing = True
        self._load.finished(self, time.monotonic())
        self._send()
        self._job.send("finish", {"due": _due_s()})

    def _on_lost(self) -> None:
        """The process is gone while the person speaks: load the next one at once."""
        if not (self._finishing or self._again or self._over):
            self._begin_again()

    def _begin_again(self) -> None:
        self._job = self._open()
        if self._job.refused:  # too soon after the last process: `finish` tries once more
            return
        self._again = True
        log.info("turn %d: recognised again, in another process", self._turn)
        self._sent, self._kept_samples = 0, sum(map(len, self._audio))
        if self._finishing:
            self._finish()
        else:
            self._send()

    def _on_reply(self, packet: WorkerPacket) -> None:
        if self._on_partial is not None:
            self._on_partial(self._transcript(packet.header, final=False))

    def _transcript(self, header: Header, *, final: bool) -> Transcript:
        return Transcript(
            turn=self._turn,
            text=header["text"],
            final=final,
            language=header["language"],
            confidence=header.get("confidence"),
            words=tuple(
                Word(text, start_ms, end_ms) for text, start_ms, end_ms in header.get("words", ())
            ),
        )


def _due_s() -> float | None:
    """When the caller wants the text, on the clock of all processes; None if it does not say."""
    due = first_due.get()
    if math.isinf(due):
        return None
    return time.monotonic() + due - asyncio.get_running_loop().time()
