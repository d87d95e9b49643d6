"""Recognition with Whisper through faster-whisper (CTranslate2), on this machine's CPU.

The weights must be on the machine already (`parley fetch base`): a session never waits for a
download. Whisper always processes 30 s, so a decode takes about the same time however short the
utterance is. The final decode starts at the end of the utterance. Partial transcripts are separate
decodes, which use only spare time (`stages.stt._whisper`).
"""

from collections.abc import Callable, Sequence

from pipeline.frames import INPUT_RATE_HZ, Transcript
from stages._worker import Header, Worker, WorkerStats
from stages.stt._hints import bounded
from stages.stt._recognition import WorkerRecognition
from stages.stt.whisper_models import FetchFailed, check, fetch, locate, missing_files

__all__ = ["FetchFailed", "WhisperTranscriber", "check", "fetch", "locate", "missing_files"]

_MESSAGE_SAMPLES = INPUT_RATE_HZ // 2
_PARTIAL_MESSAGE_SAMPLES = INPUT_RATE_HZ // 10
"""Small with partials: the worker must know soon that the person has stopped."""


class WhisperTranscriber:
    """A `pipeline.stage.Transcriber` with its model in one worker process.

    `model` is a name (tiny … large-v3-turbo; `.en` ones are English only) or a directory.
    `language` None lets a multilingual model detect it. `cpu_threads` 0 leaves the number to
    CTranslate2. `without_timestamps` saves some tokens of every decode; it holds for utterances
    that fit Whisper's 30 s. `word_timestamps` costs another alignment pass. Utterances are decoded
    one after the other. The process starts on first use, or with
    `start`.
    """

    provider = "whisper"

    def __init__(
        self,
        model: str = "base",
        *,
        compute_type: str = "int8",
        cpu_threads: int = 0,
        beam_size: int = 1,
        language: str | None = None,
        without_timestamps: bool = True,
        word_timestamps: bool = False,
        start_timeout_s: float = 60.0,
    ) -> None:
        self._worker = Worker(
            "stages.stt._whisper:handler",
            {
                "model": model,
                "compute_type": compute_type,
                "cpu_threads": cpu_threads,
                "beam_size": beam_size,
                "language": language,
                "without_timestamps": without_timestamps,
                "word_timestamps": word_timestamps,
            },
            stage="stt",
            provider=self.provider,
            start_timeout_s=start_timeout_s,
        )

    async def start(self) -> Header:
        """Load the model now; returns what was loaded.

        Raises StageFailed ("connect") with a sentence that says what is missing.
        """
        return await self._worker.start()

    def open(
        self,
        turn: int,
        on_partial: Callable[[Transcript], None] | None = None,
        hints: Sequence[str] = (),
    ) -> WorkerRecognition:
        """Begin an utterance.

        A partial's text is the words on which two successive decodes agreed, which no later partial
        changes, and the latest decode's words after them, which may change. The final is decoded
        independently. Partials come during speech, as often as a third of the clock allows, and not
        at all if the encoder takes longer than the silence before a final; they end after 30 s of
        audio.

        `hints` become the decoder's prompt (`hotwords`): as many as fit `stages.stt._hints`.

        The transcript's confidence is the mean probability of its tokens. An utterance cancelled
        before its decode is skipped; a running decode stops after the encoder, or at the end of its
        present segment (30 s of audio at most).
        """
        samples = _MESSAGE_SAMPLES if on_partial is None else _PARTIAL_MESSAGE_SAMPLES
        return WorkerRecognition(self._worker, turn, samples, on_partial, bounded(hints))

    def stats(self) -> WorkerStats:
        """The worker process's present state."""
        return self._worker.stats()

    async def aclose(self) -> None:
        """End the worker process. Utterances under way fail."""
        await self._worker.aclose()
