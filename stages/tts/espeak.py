"""Speech by espeak-ng: no download, no network, exact phoneme times.

A thin ctypes binding over the library that the `espeakng-loader` package carries (espeak-ng 1.52,
GPL-3.0-or-later: an optional extra). The library has global state and crashes when two threads
enter it, so one lock per process guards it; it releases the GIL while it works. Constants and the
event's layout are those of espeak-ng's `speak_lib.h`.
"""

import asyncio
import ctypes
import importlib.util
import math
import os
import re
import threading
import unicodedata
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from pipeline.errors import PipelineError, StageBusy, StageFailed
from pipeline.frames import Sentence, Speech, SpokenWord
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
"""Sentences waiting for the one thread (3 ms each); more are refused with `StageBusy`."""

_SYNCHRONOUS = 2  # `espeak_Synth` returns when all is done. RETRIEVAL (1) loses events.
_PHONEME_EVENTS, _DONT_EXIT = 0x0001, 0x8000
_UTF8, _END_PAUSE = 0x0001, 0x1000
_POSITION_CHARACTER = 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_WORD, _PHONEME = 1, 7

_BUFFER_MS = 2000
"""Audio per callback. Each callback needs the GIL, which a busy event loop releases slowly; but a
cancelled sentence stops only at the next callback (2 s of audio take about 1.5 ms)."""

_LEVEL = VoiceLevel.toward_target(loudness_lufs=-21.1)
"""Of the voice "en-us", measured over the question banks; "de" is as loud within 1 LU."""

_SPOKEN_SYMBOLS = frozenset("+=°−±×÷<>≤≥≠≈√∞")
"""Besides currency signs: "C++", "20 °C", "−5"."""

_SILENT_PUNCTUATION = frozenset("*_{}[]\\")
"""Markup characters that would be read aloud."""

_REST_OF_WORD = re.compile(r"[\w'’]*")


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_id", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # characters, from 1
        ("length", ctypes.c_int),
        ("audio_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),  # a union; of phoneme events: up to 8 bytes of mnemonic
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(slots=True, eq=False)
class _Job:
    """One sentence in the engine. `cancelled` is set by another thread."""

    pcm: list[bytes] = field(default_factory=list)
    phonemes: list[tuple[str, int]] = field(default_factory=list)
    words: list[tuple[int, int, int]] = field(default_factory=list)
    cancelled: bool = False
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Voice:
    name: str
    words_per_minute: int
    pitch: int
    pitch_range: int


class _Engine:
    """The library, of which a process has one."""

    def __init__(self) -> None:
        import espeakng_loader

        self._lock = threading.Lock()
        self._job: _Job | None = None
        self._voice: _Voice | None = None
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_Synth.argtypes = (
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        )
        # The library keeps the pointer only: the callback object must live as long as it does.
        self._callback = _Callback(self._on_audio)
        self.rate_hz: int = self._library.espeak_Initialize(
            _SYNCHRONOUS,
            _BUFFER_MS,
            os.fsencode(espeakng_loader.get_data_path()),
            _PHONEME_EVENTS | _DONT_EXIT,
        )
        if self.rate_hz <= 0:
            raise OSError("espeak-ng cannot read its data")
        self._library.espeak_SetSynthCallback(self._callback)

    def select(self, voice: _Voice) -> None:
        """Set the voice. Raises `PipelineError` if there is no such voice. Blocks for a few ms."""
        with self._lock:
            self._select(voice)

    def run(self, text: str, voice: _Voice, job: _Job) -> None:
        """Speak `text` into `job`. Blocks while another thread is speaking.

        Raises `OSError` when the engine or its callback failed.
        """
        data = text.encode()
        with self._lock:
            if job.cancelled:
                return
            self._select(voice)
            self._job = job
            try:
                code = self._library.espeak_Synth(
                    data, len(data) + 1, 0, _POSITION_CHARACTER, 0, _UTF8 | _END_PAUSE, None, None
                )
            finally:
                self._job = None
        if job.error is not None:
            raise OSError("the engine's audio could not be taken") from job.error
        if code != 0:
            raise OSError(f"espeak_Synth returned {code}")

    def _select(self, voice: _Voice) -> None:
        if voice == self._voice:
            return
        self._voice = None
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise PipelineError(f"espeak-ng has no voice {voice.name!r}")
        self._library.espeak_SetParameter(_RATE, voice.words_per_minute, 0)
        self._library.espeak_SetParameter(_PITCH, voice.pitch, 0)
        self._library.espeak_SetParameter(_RANGE, voice.pitch_range, 0)
        self._voice = voice

    def _on_audio(self, samples: Any, count: int, events: Any) -> int:
        """Called by the library, in the thread that runs the job; 1 stops it."""
        job = self._job
        if job is None or job.cancelled:
            return 1
        # An exception must not pass through C.
        try:
            index = 0
            while (event := events[index]).type:
                index += 1
                if event.type == _PHONEME:
                    job.phonemes.append((event.id.decode("utf-8", "replace"), event.sample))
                elif event.type == _WORD:
                    job.words.append((event.text_position - 1, event.length, event.sample))
            if samples and count > 0:
                job.pcm.append(ctypes.string_at(samples, count * 2))
        except Exception as error:
            job.error = error
            return 1
        return 0


@cache
def _engine() -> _Engine:
    return _Engine()


def check() -> str | None:
    """None if espeak-ng can speak here, otherwise what is missing and how to get it."""
    if importlib.util.find_spec("espeakng_loader") is None:
        return "espeak-ng speech needs espeakng-loader: pip install 'parley-gateway[offline]'"
    try:
        _engine()
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
    Blocks for about 10 ms. Raises `PipelineError` where `check` has something to say, and for a
    voice that does not exist.
    """

    provider = "espeak-ng"

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
        self._voice = _Voice(voice, words_per_minute, pitch, pitch_range)
        self._english = voice.startswith("en")
        self._pronunciation = Pronunciation(lexicon)
        self._engine = _engine()
        self._engine.select(self._voice)
        self.rate_hz = self._engine.rate_hz
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="espeak")
        self._jobs: set[_Job] = set()
        self._closed = False

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        """Yield the sentence in pieces of at most 1 s, with cues and words that begin in them.

        A sentence takes about 3 ms in the engine and is synthesised as a whole before the first
        piece. Characters that cannot be said (control characters, emoji, most symbols) are left
        out; word offsets count in the sentence's own text. Cancelling stops the engine within about
        2 ms.

        Raises `StageFailed` (`empty`) when nothing can be said, `StageFailed` (`stream`) when the
        engine fails, `StageFailed` (`connect`) after `aclose`, and `StageBusy` when 128 sentences
        are waiting.
        """
        if self._closed:
            raise StageFailed("tts", self.provider, "connect", "closed")
        voice, reading = self._choose(sentence)
        text = speakable(reading.text if reading else sentence.text)
        if not any(map(str.isalnum, text)):
            raise StageFailed("tts", self.provider, "empty", "nothing to say")
        if len(self._jobs) >= MAX_WAITING:
            raise StageBusy("tts", self.provider, f"{MAX_WAITING} sentences are waiting")
        job = _Job()
        self._jobs.add(job)
        try:
            await asyncio.get_running_loop().run_in_executor(
                self._executor, self._engine.run, text, voice, job
            )
        except (OSError, PipelineError) as error:
            raise StageFailed("tts", self.provider, "stream", str(error)) from error
        finally:
            job.cancelled = True
            self._jobs.discard(job)
        if self._closed:
            raise StageFailed("tts", self.provider, "stream", "closed")
        if all(mnemonic.startswith("_") for mnemonic, _ in job.phonemes):
            raise StageFailed("tts", self.provider, "empty", "the voice knows none of the words")
        for piece in _pieces(job, sentence.turn, text, reading, self.rate_hz):
            yield piece

    def _choose(self, sentence: Sentence) -> tuple[_Voice, EnglishReading | None]:
        """The voice for a sentence, and how it reads it where that is not the text itself."""
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
    job: _Job, turn: int, text: str, reading: EnglishReading | None, rate_hz: int
) -> Iterator[Speech]:
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


def _words(job: _Job, text: str, reading: EnglishReading | None, rate_hz: int) -> list[SpokenWord]:
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
