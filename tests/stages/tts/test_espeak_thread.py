"""Which thread works for a sentence of espeak-ng, and what a cancelled one costs."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.frames import Sentence, Speech
from stages.tts import espeak
from stages.tts.espeak import EspeakSynthesizer
from stages.tts.loudness import VoiceLevel
from stages.tts.pronunciation import Pronunciation

QUESTION = "Tell me about a project that you are proud of."

STEPS: list[tuple[Any, str]] = [
    (Pronunciation, "read"),
    (espeak, "assumed_language"),
    (espeak, "speakable"),
    (espeak, "timeline"),
    (espeak, "_words"),
    (VoiceLevel, "apply"),
]
"""What takes milliseconds: 70 of them for 600 characters."""


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The steps that were made, each with the name of its thread without the thread's number."""
    made: list[tuple[str, str]] = []

    def noting(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def note(*args: Any) -> Any:
            made.append((name, threading.current_thread().name.partition("_")[0]))
            return step(*args)

        return note

    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, noting(name, getattr(owner, name)))
    return made


async def say(tts: EspeakSynthesizer, text: str) -> list[Speech]:
    return [piece async for piece in tts.speak(Sentence(3, text))]


def test_the_event_loop_does_nothing_of_the_work(worked: list[tuple[str, str]]) -> None:
    async def main() -> list[Speech]:
        tts = EspeakSynthesizer()
        pieces = await say(tts, QUESTION)
        await tts.aclose()
        return pieces

    assert asyncio.run(main())
    assert {name for name, _ in worked} == {name for _, name in STEPS}
    assert {thread for _, thread in worked} == {"espeak"}


def test_a_sentence_cancelled_while_it_waits_is_not_even_read(
    worked: list[tuple[str, str]],
) -> None:
    async def main() -> None:
        tts = EspeakSynthesizer()
        first = asyncio.create_task(say(tts, QUESTION * 12))
        second = asyncio.create_task(say(tts, QUESTION))
        await asyncio.sleep(0)
        second.cancel()
        await first
        await tts.aclose()

    asyncio.run(main())
    assert [name for name, _ in worked].count("read") == 1
