"""The outputs of a session for its observers: the client, and a face that speaks."""

import asyncio
from typing import Any

import numpy as np

from pipeline.frames import ReplyAudio, ReplyDone, ReplyStarted, Spoken, Visemes
from pipeline.stage import Observed
from stages.fakes import FakeSynthesizer, Script


def test_all_speech_is_observed_before_it_is_sent(conversation: Any) -> None:
    conversation.host.say = ("Well, tell me more.", "And why?")

    async def story() -> None:
        await asyncio.sleep(5)

    conversation.run(story)
    pieces = [spoken for _, spoken in conversation.spoken]
    # 200 ms a word; a sentence ends with a piece of its own.
    assert [(piece.at_ms, piece.last) for piece in pieces] == [
        (0, False),
        (200, False),
        (400, False),
        (600, False),
        (800, True),
        (800, False),
        (1000, False),
        (1200, True),
    ]
    assert {(piece.turn, piece.rate_hz) for piece in pieces} == {(0, 16_000)}
    heard = [(at, frame) for at, frame in conversation.frames if isinstance(frame, ReplyAudio)]
    audio = np.concatenate([frame.pcm for _, frame in heard])
    assert np.array_equal(np.concatenate([piece.pcm for piece in pieces]), audio)
    cues = [
        cue for _, frame in conversation.frames if isinstance(frame, Visemes) for cue in frame.cues
    ]
    assert [cue for piece in pieces for cue in piece.cues] == cues
    for told_at, piece in conversation.spoken:
        assert told_at <= min((at for at, f in heard if f.at_ms >= piece.at_ms), default=told_at)


def test_a_sentence_that_breaks_off_has_no_last_piece(conversation: Any) -> None:
    conversation.synthesizers = [FakeSynthesizer(Script(error=OSError("gone"), after=2))]

    async def story() -> None:
        await asyncio.sleep(5)

    conversation.run(story)
    pieces = [(piece.at_ms, piece.last) for _, piece in conversation.spoken]
    assert pieces == [(0, False), (200, False)]


def test_every_observer_sees_every_output_at_the_same_time_and_in_order(conversation: Any) -> None:
    seen: list[tuple[str, float, Observed]] = []

    class Observes:
        def __init__(self, name: str) -> None:
            self.name = name

        def observe(self, output: Observed, now: float) -> None:
            seen.append((self.name, now, output))

    conversation.observers = (Observes("first"), Observes("second"))

    async def story() -> None:
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    assert [name for name, _, _ in seen] == ["first", "second"] * (len(seen) // 2)
    first, second = [(at, output) for _, at, output in seen[::2]], seen[1::2]
    assert first == [(at, output) for _, at, output in second]
    assert [pair for pair in first if not isinstance(pair[1], Spoken)] == conversation.frames


def test_the_journal_has_an_output_before_the_observers_see_it(conversation: Any) -> None:
    noted: list[bool] = []

    class Reader:
        def observe(self, output: Observed, now: float) -> None:
            if isinstance(output, ReplyStarted):
                noted.append("ReplyStarted" in conversation.lines[-1])

    conversation.observers = (Reader(),)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    assert noted == [True]


def test_a_session_that_nothing_observes_is_held_all_the_same(conversation: Any) -> None:
    conversation.journalled = False
    conversation.observed = False

    async def story() -> None:
        await asyncio.sleep(2)
        conversation.session.typed("to no observer")
        await asyncio.sleep(3)

    conversation.run(story)
    assert conversation.frames == []
    assert conversation.host.log == [
        ("commit", 0, "", "Well, tell me more about that."),
        ("accept", 1, "to no observer"),
        ("commit", 1, "to no observer", "Well, tell me more about that."),
    ]
