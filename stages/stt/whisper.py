"""Recognition with Whisper through faster-whisper (CTranslate2), on this machine's CPU.

The weights must be on the machine already: a package brings those of "tiny.en", `parley fetch`
others. A session never waits for a download. Only the speech is encoded, not all of Whisper's 30 s,
so a decode takes longer the longer the utterance is; of a long one, pieces are decoded while the
person speaks. The final decode starts at the end of the utterance. Partial transcripts are separate
decodes, which use only spare time (`stages.stt._whisper`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.frames import INPUT_RATE_HZ, Transcript
from stages._worker import Header, Worker, WorkerStats
from stages.stt._hints import bounded
from stages.stt._recognition import WorkerRecognition
from stages.stt.recogniser_load import RecogniserLoad
from stages.stt.whisper_facts import expected
from stages.stt.whisper_languages import languages_of
from stages.stt.whisper_sources import AUTO
from stages.stt.whisper_speeds import ANSWER_S, IN_TIME_S

_MESSAGE_SAMPLES = INPUT_RATE_HZ // 2
_PARTIAL_MESSAGE_SAMPLES = INPUT_RATE_HZ // 10
"""Small with partials: the worker must know soon that the person has stopped."""


class WhisperTranscriber:
    """A `pipeline.stage.Transcriber` with its model in one worker process.

    `model` is a name (tiny … large-v3-turbo; `.en` ones are English only), a folder, or "auto": the
    best weights of this machine (`stages.stt.whisper_sources`). `data_dir` is the folder in which
    `parley fetch` puts weights, and which keeps how long a decode takes here. With `stand_in`,
    other weights of this machine stand in for a `model` that cannot be used.
    `language` is one that the weights must know; `open` takes the language of an utterance.
    `cpu_threads` 0 leaves the number to CTranslate2. `without_timestamps` leaves the times out of
    short phrases, which Whisper then recognises better. `word_timestamps` costs another alignment
    pass. Utterances are decoded one after the other, those first whose text is due first
    (`stages.stt._decode_queue`). The process starts on first use, or with `start`.
    """

    provider = "whisper"

    def __init__(
        self,
        model: str = AUTO,
        *,
        data_dir: Path | None = None,
        stand_in: bool = False,
        compute_type: str = "int8",
        cpu_threads: int = 0,
        beam_size: int = 1,
        language: str | None = None,
        without_timestamps: bool = True,
        word_timestamps: bool = False,
        start_timeout_s: float = 60.0,
    ) -> None:
        weights = expected(model, data_dir, language, stand_in=stand_in)
        self._expected = "" if weights is None else weights.name
        self._languages = None if weights is None else languages_of(weights.name, weights.folder)
        self._loaded: Header | None = None
        self.load = RecogniserLoad()
        """How busy the model is."""
        self._worker = Worker(
            "stages.stt._whisper:handler",
            {
                "model": model,
                "data_dir": None if data_dir is None else str(data_dir.absolute()),
                "stand_in": stand_in,
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

    @property
    def languages(self) -> tuple[str, ...] | None:
        """The codes of the languages that the weights understand; None for all of Whisper's.

        Before the weights are loaded, the files that will probably be loaded give the answer.
        """
        if self._loaded is None:
            return self._languages
        return None if self._loaded["multilingual"] else ("en",)

    async def start(self) -> Header:
        """Load the model now; returns what was loaded: see `stages.stt.whisper_loading.load`.

        Raises StageFailed ("connect") with a sentence that says what is missing.
        """
        self._loaded = await self._worker.start()
        return self._loaded

    def detail(self) -> str:
        """The loaded weights, for people: "tiny.en, 0.55 s for a 10 s answer"; before `start`, the
        name of the weights that it will probably load."""
        return self._expected if self._loaded is None else described(self._loaded)

    def open(
        self,
        turn: int,
        on_partial: Callable[[Transcript], None] | None = None,
        hints: Sequence[str] = (),
        language: str | None = None,
    ) -> WorkerRecognition:
        """Begin an utterance.

        A partial's text is the words on which two successive decodes agreed, which no later partial
        changes while the piece lasts that they are in (20 s at most), and the latest decode's words
        after them, which may change. The final is decoded independently. Partials come during
        speech, as often as a third of the clock allows, and not while the encoder would take longer
        than the silence before a final.

        `language` None lets a multilingual model find it. Weights for English write English.

        `hints` become a sentence before the speech: as many as fit `stages.stt._hints`.

        The final's text is "" if it is no speech by `stages.stt.speech_check`. Its confidence is
        the mean probability of its tokens. An utterance cancelled before its decode is skipped; a
        running decode stops after the encoder.
        """
        samples = _MESSAGE_SAMPLES if on_partial is None else _PARTIAL_MESSAGE_SAMPLES
        return WorkerRecognition(
            self._worker, turn, samples, on_partial, bounded(hints), language, self.load
        )

    def stats(self) -> WorkerStats:
        """The worker process's present state."""
        return self._worker.stats()

    async def aclose(self) -> None:
        """End the worker process. Utterances under way fail."""
        await self._worker.aclose()


def described(loaded: Header) -> str:
    """The loaded weights in one line for people, with the weights that were not used and why."""
    words = [str(loaded["model"])]
    if (took_s := loaded.get("answer_s")) is not None:
        words.append(f"{took_s:.2f} s for a {ANSWER_S:g} s answer")
        if took_s > IN_TIME_S:
            words.append("slow here")
    passed = "".join(f"; {reason}" for reason in loaded.get("passed", ()))
    return ", ".join(words) + passed
