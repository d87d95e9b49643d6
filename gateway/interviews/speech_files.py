"""Text as a sound file: questions and summaries for clients without a live conversation."""

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
from cachetools import LRUCache

from gateway.media.resampling import converter
from pipeline.frames import Samples, Sentence, Speech
from pipeline.guard import Guard
from pipeline.languages import check_language
from pipeline.sentences import SentenceSplitter
from pipeline.speakable import speakable
from pipeline.stage import Synthesizer

FIRST_S = 4.0
"""How long the first audio of a sentence may take, over all candidates."""

LONGEST_TEXT = 4_000
"""The most characters of a text that are synthesised: four minutes of speech."""

AT_ONCE = 2
"""The most texts that are synthesised at a time; live voice has precedence at the synthesizer."""

KEPT_BYTES = 16 << 20
"""Size of the cache of files; the same questions are requested again and again."""


@dataclass(frozen=True, slots=True)
class SoundFile:
    """A WAV file, 16-bit mono, and the provider that synthesised it."""

    wav: bytes
    rate_hz: int
    duration_ms: int
    provider: str


class SpeechFiles:
    """Synthesises texts through a guard. Callers may share one object."""

    def __init__(self, synthesizers: Guard[Synthesizer]) -> None:
        self._synthesizers = synthesizers
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._kept: LRUCache[tuple[str, str], SoundFile] = LRUCache(
            KEPT_BYTES, getsizeof=lambda spoken: len(spoken.wav)
        )

    async def speak(self, text: str, language: str) -> SoundFile:
        """The text, in the language of that code, as a file.

        Raises `PipelineError` if every synthesizer fails. Cancelling stops the synthesis.
        """
        text = text[:LONGEST_TEXT]
        key = (text, language)
        if (kept := self._kept.get(key)) is not None:
            return kept
        async with self._at_once:
            spoken = await self._speak(text, language)
        if len(spoken.wav) <= self._kept.maxsize:
            self._kept[key] = spoken
        return spoken

    async def _speak(self, text: str, language: str) -> SoundFile:
        splitter = SentenceSplitter()
        parts: list[Samples] = []
        rate_hz, provider = 0, ""
        sentences = (*splitter.push(text), *splitter.finish())
        # A text of which nothing can be said goes to the synthesizers, which refuse it.
        said = [words for sentence in sentences if (words := speakable(sentence, language).text)]
        for sentence in said or sentences:
            pcm, spoken_hz, provider = await self._sentence(sentence, language)
            rate_hz = rate_hz or spoken_hz
            if spoken_hz != rate_hz:  # another candidate synthesised this sentence
                resample = converter(spoken_hz, rate_hz)
                pcm = np.concatenate((resample.push(pcm), resample.flush()))
            parts.append(pcm)
        rate_hz = rate_hz or 16_000
        pcm = np.concatenate((np.zeros(0, np.int16), *parts))
        return SoundFile(_wav(pcm, rate_hz), rate_hz, len(pcm) * 1000 // rate_hz, provider)

    async def _sentence(self, text: str, language: str) -> tuple[Samples, int, str]:
        rate_hz = 0

        def synthesise(stage: Synthesizer) -> AsyncIterator[Speech]:
            nonlocal rate_hz
            check_language("tts", stage, language)
            rate_hz = stage.rate_hz
            return stage.speak(Sentence(0, text, language=language))

        stream = self._synthesizers.stream(
            synthesise, useful=lambda speech: len(speech.pcm) > 0, budget_s=FIRST_S
        )
        async with stream as pieces:
            parts = [speech.pcm async for speech in pieces]
        return np.concatenate(parts), rate_hz, stream.provider


def _wav(pcm: Samples, rate_hz: int) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm.astype("<i2").tobytes())
    return buffer.getvalue()
