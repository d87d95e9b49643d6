"""The end of a session: with audio that was not fed yet, and by a bug in a plain call."""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pipeline.decisions import Chunk, Event
from pipeline.frames import ReplyDone, Samples
from pipeline.last_words import SLICE
from stages.vad.energy import EnergyDetector

FRAME_MS = 20


class Rest:
    """Frames that wait; counts the ones that were taken."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self.taken = 0

    def __iter__(self) -> Iterator[Samples]:
        for _ in range(self._frames):
            self.taken += 1
            yield np.full(16 * FRAME_MS, 4000, np.int16)


async def most_at_once(conversation: Any, rest: Rest) -> int:
    """End the session; returns how much of the rest was taken in one turn of the event loop."""
    conversation.session.end(rest)
    most = before = 0
    while not conversation.running.done():
        await asyncio.sleep(0)
        most, before = max(most, rest.taken - before), rest.taken
    return most


def test_waiting_audio_belongs_to_the_last_words_and_is_taken_in_small_portions(
    conversation: Any,
) -> None:
    rest = Rest(3000)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        assert await most_at_once(conversation, rest) == SLICE
        conversation.session.end(Rest(5))

    conversation.run(story)
    assert rest.taken == 3000
    (heard,) = conversation.host.heard
    prefix_ms = conversation.policy.turns.prefix_ms
    assert heard.duration_ms == pytest.approx(prefix_ms + 600 + 60_000, abs=32)


def test_waiting_audio_is_not_even_decoded_without_an_utterance(conversation: Any) -> None:
    rest = Rest(3000)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.pause(200)
        assert await most_at_once(conversation, rest) == 0

    conversation.run(story)
    assert rest.taken == 0


def broken(*_: Any) -> Any:
    raise RuntimeError("a bug")


def test_a_bug_in_what_the_detector_calls_ends_the_session(conversation: Any) -> None:
    conversation.detector = EnergyDetector()

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        decide = conversation.session._turns.handle

        def handle(event: Event, now: float) -> Any:
            return broken() if isinstance(event, Chunk) else decide(event, now)

        conversation.session._turns.handle = handle
        await conversation.speak(100)
        assert conversation.running.done()

    with pytest.raises(ExceptionGroup) as caught:
        conversation.run(story)
    assert caught.group_contains(RuntimeError, match="a bug")


def test_a_bug_in_what_a_timer_calls_ends_the_session(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        conversation.session._turns.expire = broken
        await asyncio.sleep(5)  # the audio stops, and only the timer knows
        assert conversation.running.done()

    with pytest.raises(ExceptionGroup) as caught:
        conversation.run(story)
    assert caught.group_contains(RuntimeError, match="a bug")
