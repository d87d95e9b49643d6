"""One utterance recognised in a worker process; shared by the local recognisers."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np

from pipeline.frames import INPUT_RATE_HZ, Samples, Transcript, Word
from pipeline.guard import first_due
from pipeline.utterance import LONGEST_S
from stages._worker import Header, Worker, WorkerPacket

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
    that does not count).
    """

    def __init__(
        self,
        worker: Worker,
        turn: int,
        message_samples: int,
        on_partial: Callable[[Transcript], None] | None = None,
        hints: Sequence[str] = (),
        language: str | None = None,
    ) -> None:
        self._turn = turn
        self._message_samples = message_samples
        self._on_partial = on_partial
        self._left = LIMIT_SAMPLES
        self._kept: list[Samples] = []
        self._kept_samples = 0
        self._job = worker.open_job(None if on_partial is None else self._on_reply)
        wanted = {"partials": on_partial is not None, "hints": [*hints], "language": language}
        self._job.send("open", wanted)

    def feed(self, pcm: Samples) -> None:
        """Take the utterance's next audio. A plain call: never blocks, never raises."""
        pcm = pcm[: self._left]
        self._left -= len(pcm)
        self._kept.append(pcm.copy())
        self._kept_samples += len(pcm)
        if self._kept_samples >= self._message_samples:
            self._send()

    async def finish(self) -> AsyncIterator[Transcript]:
        """Yield the final transcript; its text is "" when nothing was understood.

        Raises StageFailed when the worker process died or could not decode the audio, StageBusy
        when too much audio waits for it, or when the text would come after `first_due`. Cancelling,
        or closing the iterator, forgets the utterance.
        """
        try:
            self._send()
            self._job.send("finish", {"due": _due_s()})
            packet = await self._job.result()
        finally:
            self._job.cancel()
        if reason := packet.header.get("reason"):
            log.debug("turn %d: no answer was heard (%s)", self._turn, reason)
        yield self._transcript(packet.header, final=True)

    def cancel(self) -> None:
        """Forget the utterance. Idempotent; harmless after `finish` has ended."""
        self._left = 0
        self._kept, self._kept_samples = [], 0
        self._job.cancel()

    def _send(self) -> None:
        if self._kept_samples:
            self._job.send("audio", None, np.concatenate(self._kept).tobytes())
        self._kept, self._kept_samples = [], 0

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
