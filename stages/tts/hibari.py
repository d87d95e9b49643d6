"""Speech by the voice "heart" of hibari-tts, in a worker process: English, neural, no download.

The package carries its voice (8 MB, distilled from Kokoro-82M, Apache-2.0) and needs onnxruntime
and numpy only. The network tells how long each phoneme lasts, so that mouth shapes and words have
exact times. Sound leaves after some ten milliseconds of work, whatever the sentence's length.
"""

from collections.abc import AsyncIterator, Mapping

import numpy as np

from pipeline.errors import CallerError, PipelineError, StageBusy
from pipeline.frames import Sentence, Speech, SpokenWord, Viseme
from stages._worker import Header, Worker, WorkerStats
from stages.tts._hibari_package import check, model_path, verify
from stages.tts._waveform import RATE_HZ
from stages.tts.scripts import LATIN, assumed_language, is_english

__all__ = ["MAX_CHARACTERS", "MAX_WAITING", "HibariSynthesizer", "check", "verify"]

MAX_CHARACTERS = 4096
"""Longer sentences are cut before a word: 4096 characters are about 4 minutes of audio."""

MAX_WAITING = 32
"""Sentences in the process; more are refused with `StageBusy`."""

_CUT_WITHIN = 100


class HibariSynthesizer:
    """A `pipeline.stage.Synthesizer` with its voice in one worker process.

    `lexicon` has entries for `stages.tts.pronunciation`. The process starts on first use, or with
    `start`; loading takes about a second. Raises `PipelineError` if `check` returns a reason.
    """

    provider = "hibari"
    rate_hz = RATE_HZ
    languages = frozenset({"en"})

    def __init__(
        self, lexicon: Mapping[str, str] | None = None, *, start_timeout_s: float = 60.0
    ) -> None:
        if problem := check():
            raise PipelineError(problem)
        self._worker = Worker(
            "stages.tts._hibari:handler",
            {"model": str(model_path()), "lexicon": dict(lexicon or {})},
            stage="tts",
            provider=self.provider,
            start_timeout_s=start_timeout_s,
        )

    async def start(self) -> Header:
        """Load the voice now; returns what was loaded. Raises StageFailed ("connect")."""
        return await self._worker.start()

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        """Yield the sentence in pieces of 0.2 to 0.8 s, with cues and words that begin in them.

        Sentences of all sessions are made at the same time, in turns of some milliseconds. Raises
        `CallerError` for what this voice cannot say: another language than English, another script,
        no words at all, what its phonemiser fails on; `StageFailed`: "connect" when the voice
        cannot be loaded, "stream" when the process died or the voice failed; `StageBusy` when 32
        sentences are waiting. Cancelling, or closing the iterator, ends the work within a few
        milliseconds.
        """
        text = _bounded(sentence.text)
        if not any(map(str.isalnum, text)):
            raise self._refused("nothing to say")
        if not is_english(sentence.language):
            raise self._refused(f"it speaks English, not {sentence.language}")
        if assumed_language(text) != LATIN:
            raise self._refused("it speaks English, not this script")
        if self._worker.stats().jobs >= MAX_WAITING:
            raise StageBusy("tts", self.provider, f"{MAX_WAITING} sentences are waiting")
        job = self._worker.open_job()
        spoken = False
        try:
            job.send("speak", {"text": text})
            async for packet in job:
                if packet.kind == "unreadable":
                    raise self._refused(f"it cannot read it: {packet.header['text']}")
                if packet.kind == "speech":
                    spoken = True
                    cues, words = packet.header["cues"], packet.header["words"]
                    yield Speech(
                        sentence.turn,
                        np.frombuffer(packet.payload, np.int16),
                        tuple(Viseme(*cue) for cue in cues),
                        tuple(SpokenWord(*word) for word in words),
                    )
        finally:
            job.cancel()
        if not spoken:
            raise self._refused("it knows none of the words")

    def stats(self) -> WorkerStats:
        """The worker process's present state."""
        return self._worker.stats()

    async def aclose(self) -> None:
        """End the worker process. Sentences under way fail."""
        await self._worker.aclose()

    def _refused(self, reason: str) -> CallerError:
        return CallerError("tts", self.provider, "protocol", reason)


def _bounded(text: str) -> str:
    """At most `MAX_CHARACTERS`, cut before a word if there is a space near the end; no halves of
    surrogate pairs, which no encoding takes."""
    if len(text) > MAX_CHARACTERS:
        cut = text.rfind(" ", MAX_CHARACTERS - _CUT_WITHIN, MAX_CHARACTERS)
        text = text[: cut if cut > 0 else MAX_CHARACTERS]
    return "".join(" " if "\ud800" <= character <= "\udfff" else character for character in text)
