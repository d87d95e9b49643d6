"""Speech by espeak-ng: no download, no network, exact phoneme times.

The library comes with the `espeakng-loader` package (GPL-3.0-or-later: an optional extra) and runs
in this process, in a thread of its own.
"""

import asyncio
import importlib.util
import math
import re
import unicodedata
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from pipeline.errors import CallerError, PipelineError, StageBusy, StageFailed
from pipeline.frames import Sentence, Speech, SpokenWord
from stages.tts._espeak import EspeakJob, EspeakVoice, engine
from stages.tts.loudness import VoiceLevel
from stages.tts.pronunciation import EnglishReading, Pronunciation
from stages.tts.scripts import LATIN, assumed_language, is_english
from stages.tts.visemes import timeline

MAX_CHARACTERS = 600
"""Longer sentences are cut before the next word: 600 characters are about 36 s of audio."""

PIECE_MS = 1000
"""The longest piece of a sentence handed on at once."""

LANGUAGES = {
    "de": "de",
    "fr": "fr",
    "es": "es",
    "it": "it",
    "pt": "pt",
    "nl": "nl",
    "pl": "pl",
    "cs": "cs",
    "sk": "sk",
    "da": "da",
    "sv": "sv",
    "nb": "nb",
    "no": "nb",
    "fi": "fi",
    "hu": "hu",
    "ro": "ro",
    "tr": "tr",
    "uk": "uk",
    "vi": "vi",
    "id": "id",
    "zh": "cmn",
    "ru": "ru",
    "el": "el",
    "ar": "ar",
    "he": "he",
    "hi": "hi",
    "bn": "bn",
    "ta": "ta",
    "te": "te",
    "ka": "ka",
    "hy": "hy",
    "th": "th",
    "ja": "ja",
    "ko": "ko",
    "cmn": "cmn",
}
"""The voice for a language, by its code. A language that is not here is spoken by the voice that
the constructor names."""

MAX_WAITING = 128
"""Sentences waiting for the one thread (10 ms each); more are refused with `StageBusy`."""

_LEVEL = VoiceLevel.toward_target(loudness_lufs=-21.1)
"""Of the voice "en-us", measured over the question banks; "de" is as loud within 1 LU."""

_SPOKEN_SYMBOLS = frozenset("+=°−±×÷<>≤≥≠≈√∞")
"""Besides currency signs: "C++", "20 °C", "−5"."""

_SILENT_PUNCTUATION = frozenset("*_{}[]\\")
"""Markup characters that would be read aloud."""

_REST_OF_WORD = re.compile(r"[\w'’]*")


def check() -> str | None:
    """None if espeak-ng can speak here, otherwise what is missing and how to get it."""
    if importlib.util.find_spec("espeakng_loader") is None:
        return "espeak-ng speech needs espeakng-loader: pip install 'parley-gateway[offline]'"
    try:
        engine()
    except (OSError, RuntimeError) as error:
        return (
            f"the espeak-ng library does not load ({error}): "
            "pip install --force-reinstall 'parley-gateway[offline]'"
        )
    return None


class EspeakSynthesizer:
    """espeak-ng (implements `pipeline.stage.Synthesizer`).

    `voice` is an espeak-ng name (`en-us`, `en`, `de`, `fr`, `en-us+f3`). It speaks English, text
    whose language is not known, and languages that are not in `LANGUAGES`; the others have voices
    of their own, and so has text in a script that shows its language. `pitch` and `pitch_range` are
    0..100, 50 being normal. `lexicon` has entries for `stages.tts.pronunciation`, for English.
    Blocks for about 10 ms. Raises `PipelineError` if `check` returns a reason, and for a voice that
    does not exist.
    """

    provider = "espeak-ng"
    stands_by = True

    def __init__(
        self,
        voice: str = "en-us",
        *,
        words_per_minute: int = 165,
        pitch: int = 50,
        pitch_range: int = 50,
        lexicon: Mapping[str, str] | None = None,
    ) -> None:
        if problem := check():
            raise PipelineError(problem)
        self._voice = EspeakVoice(voice, words_per_minute, pitch, pitch_range)
        self._english = voice.startswith("en")
        self._pronunciation = Pronunciation(lexicon)
        self._engine = engine()
        self._engine.select(self._voice)
        self.rate_hz = self._engine.rate_hz
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="espeak")
        self._jobs: set[EspeakJob] = set()
        self._closed = False

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        """Yield the sentence in pieces of at most 1 s, with cues and words that begin in them.

        A sentence takes about 10 ms in the thread and is synthesised as a whole before the first
        piece. Characters that cannot be said (control characters, emoji, most symbols) are left
        out; word offsets count in the sentence's own text. Cancelling stops the engine within about
        2 ms.

        Raises `CallerError` (`empty`) when nothing can be said, `StageFailed` (`stream`) when the
        engine fails, `StageFailed` (`connect`) after `aclose`, and `StageBusy` when 128 sentences
        are waiting.
        """
        if self._closed:
            raise StageFailed("tts", self.provider, "connect", "closed")
        if len(self._jobs) >= MAX_WAITING:
            raise StageBusy("tts", self.provider, f"{MAX_WAITING} sentences are waiting")
        job = EspeakJob()
        self._jobs.add(job)
        try:
            pieces = await asyncio.get_running_loop().run_in_executor(
                self._executor, self._say, sentence, job
            )
        except CallerError:
            raise
        except (OSError, PipelineError) as error:
            raise StageFailed("tts", self.provider, "stream", str(error)) from error
        finally:
            job.cancelled = True
            self._jobs.discard(job)
        if self._closed:
            raise StageFailed("tts", self.provider, "stream", "closed")
        for piece in pieces:
            yield piece

    def _say(self, sentence: Sentence, job: EspeakJob) -> list[Speech]:
        """Read and speak a sentence, in the thread. Beside the engine's 3 ms, the reading, the
        loudness and the mouth take 10 ms for 100 characters and 70 ms for 600."""
        if job.cancelled:
            return []
        voice, reading = self._choose(sentence)
        text = speakable(reading.text if reading else sentence.text)
        if not any(map(str.isalnum, text)):
            raise self._refused("nothing to say")
        self._engine.run(text, voice, job)
        silent = all(mnemonic.startswith("_") for mnemonic, _ in job.phonemes)
        if silent and not job.cancelled:
            raise self._refused("the voice knows none of the words")
        return list(_pieces(job, sentence.turn, text, reading, self.rate_hz))

    def _refused(self, reason: str) -> CallerError:
        return CallerError("tts", self.provider, "empty", reason)

    def _choose(self, sentence: Sentence) -> tuple[EspeakVoice, EnglishReading | None]:
        """The voice for a sentence, and the text to read if that differs from the sentence."""
        script = assumed_language(sentence.text)
        language = script if script not in (LATIN, None) else sentence.language
        if not is_english(language) and language is not None:
            name = LANGUAGES.get(language.lower().replace("_", "-").split("-")[0])
            if name is not None:
                return replace(self._voice, name=name), None
        if self._english and is_english(sentence.language):
            return self._voice, self._pronunciation.read(sentence.text[: 2 * MAX_CHARACTERS])
        return self._voice, None

    async def aclose(self) -> None:
        """Stop the sentences under way (they raise `StageFailed`) and the thread. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for job in self._jobs:
            job.cancelled = True
        # Wait for the thread on the event loop, so that `shutdown` does not block it.
        try:
            await asyncio.wrap_future(self._executor.submit(_nothing))
        finally:
            self._executor.shutdown()


def speakable(text: str) -> str:
    """`text` with a space for each character that cannot be said: positions stay the same.

    At most 600 characters, cut before a word if there is a space in the last 100. `#` is kept
    after a letter only ("C#", but not headings), marks after a letter only (no emoji variants).
    """
    kept: list[str] = []
    for character in text[: MAX_CHARACTERS + 1]:
        kind = unicodedata.category(character)
        after_word = bool(kept) and kept[-1].isalnum()
        match kind[0]:
            case "L" | "N":
                keep = True
            case "M":
                keep = after_word or (bool(kept) and unicodedata.category(kept[-1])[0] == "M")
            case "P":
                keep = character not in _SILENT_PUNCTUATION and (character != "#" or after_word)
            case _:
                keep = kind == "Sc" or character in _SPOKEN_SYMBOLS
        kept.append(character if keep else " ")
    if len(kept) > MAX_CHARACTERS:
        cut = "".join(kept).rfind(" ", MAX_CHARACTERS - 100)
        del kept[cut if cut > 0 else MAX_CHARACTERS :]
    return "".join(kept)


def _pieces(
    job: EspeakJob, turn: int, text: str, reading: EnglishReading | None, rate_hz: int
) -> Iterator[Speech]:
    """The pieces of a sentence; none of one that was cancelled, since nobody waits for them."""
    if job.cancelled:
        return
    pcm = _LEVEL.apply_to_pcm(np.frombuffer(b"".join(job.pcm), np.int16), rate_hz)
    cues = timeline(
        [(mnemonic, sample * 1000 / rate_hz) for mnemonic, sample in job.phonemes],
        len(pcm) * 1000 / rate_hz,
    )
    words = _words(job, text, reading, rate_hz)
    size = rate_hz * PIECE_MS // 1000
    for start in range(0, len(pcm), size):
        since_ms = start // size * PIECE_MS
        until_ms = since_ms + PIECE_MS if start + size < len(pcm) else math.inf
        yield Speech(
            turn,
            pcm[start : start + size],
            tuple(cue for cue in cues if since_ms <= cue.at_ms < until_ms),
            tuple(word for word in words if since_ms <= word.at_ms < until_ms),
        )


def _words(
    job: EspeakJob, text: str, reading: EnglishReading | None, rate_hz: int
) -> list[SpokenWord]:
    """The words in the sentence's own text, from the engine's events. The engine ends "it's" before
    the apostrophe and reports each word of "1234" at nearly the same place: here a word extends to
    the end of its letters, and an event inside it begins no new word."""
    words: list[SpokenWord] = []
    free = 0
    last = -1
    for offset, length, sample in job.words:
        if free <= offset < len(text):
            end = min(offset + length, len(text))
            rest = _REST_OF_WORD.match(text, end)
            free = rest.end() if rest else end
            place = offset, free - offset
            if reading is not None:
                place = reading.source(*place)
            if place[0] > last:  # a word that is said in several words is one
                last = place[0]
                words.append(SpokenWord(*place, round(sample * 1000 / rate_hz)))
    return words


def _nothing() -> None:
    """Does nothing; it runs when the thread has finished all other jobs."""
