"""German speech of espeak-ng, heard by Whisper base's real weights.

`PARLEY_TEST_WHISPER_BASE` names the folder of the multilingual weights.
"""

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest

from gateway.media.resampling import converter
from pipeline.frames import INPUT_RATE_HZ, Samples, Sentence, Transcript
from pipeline.languages import AUTO, LanguageLock
from stages.interview.hearing import spoken, wants_skip
from stages.stt.whisper import WhisperTranscriber
from stages.tts import espeak

WEIGHTS = os.environ.get("PARLEY_TEST_WHISPER_BASE", "")
DECODED_S = 60.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (Path(WEIGHTS) / "model.bin").is_file(),
        reason="PARLEY_TEST_WHISPER_BASE names no folder with Whisper base",
    ),
    pytest.mark.skipif(espeak.check() is not None, reason="espeak-ng is not installed"),
]

ANSWER = "Am Ende war die Seite um neunzig Prozent schneller, und die Kunden waren zufrieden."
SKIP = "Das weiß ich leider nicht."


async def say(text: str) -> Samples:
    voice = espeak.EspeakSynthesizer("de")
    try:
        parts = [speech.pcm async for speech in voice.speak(Sentence(1, text, language="de"))]
    finally:
        await voice.aclose()
    resample = converter(voice.rate_hz, INPUT_RATE_HZ)
    return np.concatenate((resample.push(np.concatenate(parts)), resample.flush()))


async def hear(stage: WhisperTranscriber, text: str, language: str | None) -> Transcript:
    recognition = stage.open(1, None, (), language)
    recognition.feed(await say(text))
    async with asyncio.timeout(DECODED_S):
        [final] = [transcript async for transcript in recognition.finish()]
    return final


def test_german_is_found_understood_and_then_told() -> None:
    async def scene() -> None:
        stage = WhisperTranscriber(WEIGHTS)
        assert stage.languages is None
        lock = LanguageLock(AUTO)
        told = []
        try:
            for text in (ANSWER, SKIP, ANSWER):
                told.append(lock.told)
                final = await hear(stage, text, lock.told)
                lock.heard(final)
                assert final.language == "de"
                if text == SKIP:
                    assert wants_skip(spoken(final.text), "de")
                else:
                    assert {"ende", "schneller", "zufrieden"} <= set(spoken(final.text).split())
        finally:
            await stage.aclose()
        assert told == [None, None, "de"]

    asyncio.run(scene())
