import asyncio
from collections.abc import AsyncIterator

import numpy as np

from pipeline.errors import CallerError
from pipeline.frames import Sentence, Speech, SpokenWord, Viseme
from stages.provider import Provider

WORD_MS = 200
RATE_HZ = 16_000
TIMES = np.arange(RATE_HZ * WORD_MS // 1000) / RATE_HZ
BEEP = (6000 * np.sin(2 * np.pi * 440 * TIMES) * np.hanning(len(TIMES))).astype(np.int16)


class Beeper:
    provider = "beep"
    rate_hz = RATE_HZ

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        if not sentence.text.strip():
            raise CallerError("tts", self.provider, "empty", "nothing to say")
        end = 0
        for count, word in enumerate(sentence.text.split()):
            at_ms = count * WORD_MS
            offset = sentence.text.index(word, end)
            end = offset + len(word)
            mouth = (Viseme(at_ms, WORD_MS // 2, "aa"), Viseme(at_ms + WORD_MS // 2, 100, "sil"))
            yield Speech(sentence.turn, BEEP, mouth, (SpokenWord(offset, len(word), at_ms),))
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        pass


PROVIDER = Provider("tts", "beep", "a beep for every word", lambda _: None, lambda _: Beeper())
