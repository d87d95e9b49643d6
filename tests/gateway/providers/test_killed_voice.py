"""A voice whose process is killed in the middle of a sentence: the next one says the rest."""

import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from pipeline.breaker import Breaker
from pipeline.errors import StageFailed
from pipeline.frames import Sentence, Speech
from pipeline.guard import Candidate, Guard
from pipeline.speakable import speakable
from stages.tts import espeak, hibari
from tests.support.gateway import Gateway

pytestmark = [
    pytest.mark.slow,
    pytest.mark.realtime,
    pytest.mark.skipif(
        bool(espeak.check() or hibari.check()), reason="needs hibari-tts and espeak-ng"
    ),
]


SPOKEN_S = 0.8
"""How much of a sentence, which takes some five seconds, was said before."""


class Killed:
    """A voice whose process is killed in a sentence, once."""

    provider = "hibari"
    rate_hz = hibari.HibariSynthesizer.rate_hz
    languages = hibari.HibariSynthesizer.languages

    def __init__(self) -> None:
        self.voice = hibari.HibariSynthesizer()
        self.broken_off: list[str] = []

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        samples = 0
        try:
            async for speech in self.voice.speak(sentence):
                yield speech
                samples += len(speech.pcm)
                pid = self.voice.stats().pid
                if pid is not None and not self.broken_off and samples > SPOKEN_S * self.rate_hz:
                    os.kill(pid, signal.SIGKILL)
        except StageFailed:
            self.broken_off.append(sentence.text)
            raise

    async def aclose(self) -> None:
        await self.voice.aclose()


class Listens(espeak.EspeakSynthesizer):
    """Keeps what it was asked to say."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        self.said.append(sentence.text)
        return super().speak(sentence)


def test_the_next_voice_goes_on_with_the_word_that_was_cut_off(gateway: Gateway) -> None:
    first, second = Killed(), Listens()
    scripted = gateway.scripted

    def voices() -> Any:
        guard: Guard[Any] = Guard(
            "tts", [Candidate(one.provider, one, Breaker()) for one in (first, second)]
        )
        return replace(scripted(), synthesizers=guard)

    gateway.scripted = voices  # type: ignore[method-assign]

    async def story() -> None:
        try:
            await first.voice.start()
            async with gateway.call("killed") as caller:
                done = await caller.until("reply.done", turn=0)
                told = await caller.until("degraded", stage="tts")
        finally:
            await first.aclose()
            await second.aclose()
        sentences = [m["text"] for m in caller.messages if m["type"] == "reply.text"]
        assert done["heard"] == " ".join(sentences)
        assert (told["from"], told["to"]) == ("hibari", "espeak-ng")
        assert told["reason"] == "tts provider 'hibari': broke off"

    gateway.run(story)
    whole, rest = first.broken_off[0], second.said[0]
    assert whole == speakable(whole).text
    assert whole.endswith(rest)
    assert whole.removesuffix(rest).endswith(" ")
