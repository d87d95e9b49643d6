"""Recognition with pocketsphinx: English, no download, no network, good enough for a demo.

The bundled model gets about every fourth word of free speech wrong, so its transcripts must not be
scored; `note` says so wherever the provider is shown.
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec

from pipeline.frames import INPUT_RATE_HZ, Transcript
from stages._worker import Header, Worker, WorkerStats
from stages.stt._recognition import WorkerRecognition
from stages.stt.recogniser_load import RecogniserLoad

_MESSAGE_SAMPLES = INPUT_RATE_HZ // 10
"""Audio goes to the worker process in pieces of about 100 ms."""


def check() -> str | None:
    """None if this provider can work here, otherwise a sentence that says what to do."""
    if find_spec("pocketsphinx") is None:
        return "pocketsphinx is not installed: pip install 'parley-gateway[offline]'"
    return None


class PocketsphinxTranscriber:
    """A `pipeline.stage.Transcriber` with all its decoders in one worker process.

    `decoders` utterances are decoded at a time (about 95 MB each, made when first needed); the
    audio of further ones waits in the worker. The process starts on first use, or with `start`.
    """

    provider = "pocketsphinx"
    note = "demo quality"
    languages = ("en",)

    def __init__(self, decoders: int = 4) -> None:
        self.load = RecogniserLoad()
        """How busy the decoders are, which share one process."""
        self._worker = Worker(
            "stages.stt._sphinx:handler",
            {"decoders": decoders},
            stage="stt",
            provider=self.provider,
        )

    async def start(self) -> Header:
        """Load the model now; returns what was loaded. Raises StageFailed ("connect")."""
        return await self._worker.start()

    def open(
        self,
        turn: int,
        on_partial: Callable[[Transcript], None] | None = None,
        hints: Sequence[str] = (),
        language: str | None = None,
    ) -> WorkerRecognition:
        """Begin an utterance. Partials come at most every 300 ms of audio, when they changed.

        A text is "" if it is no speech by `stages.stt.speech_check`: of silence, or in a loop.
        `hints` are ignored, because the bundled language model has no place for them, and so is
        `language`, because the model is English.
        """
        return WorkerRecognition(self._worker, turn, _MESSAGE_SAMPLES, on_partial, load=self.load)

    def stats(self) -> WorkerStats:
        """The worker process's present state."""
        return self._worker.stats()

    async def aclose(self) -> None:
        """End the worker process. Utterances under way fail."""
        await self._worker.aclose()
