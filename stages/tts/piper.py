"""Speech by Piper from a local voice file, in a worker process.

piper-tts (GPL-3.0-or-later: an optional package, not one of ours) runs VITS voices with ONNX. The
voice must be on the machine already: an `.onnx` file and its `.onnx.json`. A part of a sentence is
synthesised as a whole before its first sample is sent. There are no visemes: Piper gives phoneme
times only for voices that were patched for it.
"""

import json
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pipeline.errors import CallerError, PipelineError, StageBusy
from pipeline.frames import Sentence, Speech
from stages._worker import Header, Worker, WorkerStats

MAX_CHARACTERS = 600
"""Longer sentences are cut: 600 characters are about 40 s of audio."""

MAX_WAITING = 32
"""Sentences in the process; more are refused with `StageBusy`."""

_RATES_HZ = range(8_000, 48_001)


def check(voice: str | Path) -> str | None:
    """None if this voice can speak here, otherwise a sentence that says what to do."""
    if find_spec("piper") is None:
        return "Piper is not installed: pip install 'parley-gateway[piper]'"
    if not Path(voice).is_file():
        return f"there is no Piper voice at {voice}: name a local .onnx file"
    try:
        _rate_hz(voice)
    except FileNotFoundError:
        return f"the Piper voice {voice} lacks its description: put {voice}.json beside it"
    except (OSError, KeyError, TypeError, ValueError, RecursionError):
        return f"{voice}.json is no description of a Piper voice"
    return None


class PiperSynthesizer:
    """A `pipeline.stage.Synthesizer` with its voice in one worker process.

    `voice` is the path of an `.onnx` file with its `.onnx.json` beside it. `speaker` is a number,
    for voices of several speakers; `length_scale` above 1 speaks slower. Sentences are synthesised
    one after the other. The process starts on first use, or with `start`. Raises `PipelineError`
    if `check` returns a reason.
    """

    provider = "piper"

    def __init__(
        self,
        voice: str | Path,
        *,
        speaker: int | None = None,
        length_scale: float | None = None,
        start_timeout_s: float = 60.0,
    ) -> None:
        if problem := check(voice):
            raise PipelineError(problem)
        self.rate_hz = _rate_hz(voice)
        self.languages = _languages(voice)
        """The code of the voice's language, None if its description does not say."""
        self._worker = Worker(
            "stages.tts._piper:handler",
            {"voice": str(voice), "speaker": speaker, "length_scale": length_scale},
            stage="tts",
            provider=self.provider,
            start_timeout_s=start_timeout_s,
        )

    async def start(self) -> Header:
        """Load the voice now; returns what was loaded. Raises StageFailed ("connect")."""
        return await self._worker.start()

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        """Yield the sentence in the parts that Piper cuts.

        Raises `CallerError` ("empty") when there is nothing that the voice can say; `StageFailed`:
        "connect" when the voice cannot be loaded, "stream" when the process died or the voice
        failed; `StageBusy` when 32 sentences are waiting. Cancelling, or closing the iterator,
        forgets the sentence; the part under way is finished and dropped.
        """
        text = sentence.text[:MAX_CHARACTERS]
        if not any(map(str.isalnum, text)):
            raise CallerError("tts", self.provider, "empty", "nothing to say")
        if self._worker.stats().jobs >= MAX_WAITING:
            raise StageBusy("tts", self.provider, f"{MAX_WAITING} sentences are waiting")
        job = self._worker.open_job()
        spoken = False
        try:
            job.send("speak", {"text": text})
            async for packet in job:
                if packet.payload:
                    spoken = True
                    yield Speech(sentence.turn, np.frombuffer(packet.payload, np.int16))
        finally:
            job.cancel()
        if not spoken:
            raise CallerError("tts", self.provider, "empty", "the voice knows none of the words")

    def stats(self) -> WorkerStats:
        """The worker process's present state."""
        return self._worker.stats()

    async def aclose(self) -> None:
        """End the worker process. Sentences under way fail."""
        await self._worker.aclose()


def _rate_hz(voice: str | Path) -> int:
    description = json.loads(Path(f"{voice}.json").read_bytes())
    rate_hz = description["audio"]["sample_rate"]
    if not isinstance(rate_hz, int) or rate_hz not in _RATES_HZ:
        raise ValueError(f"no sample rate: {rate_hz!r}")
    return rate_hz


def _languages(voice: str | Path) -> tuple[str] | None:
    language = json.loads(Path(f"{voice}.json").read_bytes()).get("language")
    code = language.get("family") if isinstance(language, dict) else None
    return (code,) if isinstance(code, str) and code else None
