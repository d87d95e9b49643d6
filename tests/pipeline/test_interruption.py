"""Speech into a reply: what holds it, what ends it, and what is heard again."""

import asyncio
from typing import Any

import numpy as np
import pytest

from pipeline.frames import (
    AvatarState,
    Clear,
    ReplyAudio,
    ReplyDone,
    ReplyPaused,
    ReplyResumed,
    ReplyStarted,
    SpeechStarted,
    Transcript,
)
from pipeline.session import SessionPolicy
from pipeline.turns import TurnPolicy
from stages.fakes import FakeSynthesizer, FakeTranscriber, Script

LINE = ("Well, tell me more about that.",)
MS_PER_WORD = 300


class Measuring(FakeTranscriber):
    """Notes how many milliseconds of speech each recognition got, once it is to finish."""

    def __init__(self, fed: list[int], *scripts: Script, **options: Any) -> None:
        super().__init__(*scripts, **options)
        self._fed = fed

    def open(self, *arguments: Any, **options: Any) -> Any:
        recognition = super().open(*arguments, **options)
        finish = recognition.finish
        spoken = 0

        def feed(pcm: Any) -> None:
            nonlocal spoken
            spoken += int(np.count_nonzero(pcm))

        def measured() -> Any:
            self._fed.append(spoken * 1000 // 16_000)
            return finish()

        recognition.feed, recognition.finish = feed, measured
        return recognition


def test_a_cough_pauses_the_reply_which_then_goes_on_where_it_stopped(room: Any) -> None:
    async def story() -> None:
        await room.until(ReplyStarted, 0)
        await room.pause(500)
        await room.speak(300)
        await room.until(ReplyDone, 0)

    room.hold(story)
    (clear,) = room.all(Clear)
    (paused,) = room.all(ReplyPaused)
    (resumed,) = room.all(ReplyResumed)
    assert paused == ReplyPaused(0, clear.at_ms)
    assert room.at(resumed) - room.at(paused) == pytest.approx(0.1 + 0.5, abs=0.05)
    between = [
        frame
        for at, frame in room.frames
        if isinstance(frame, ReplyAudio) and room.at(paused) < at < room.at(resumed)
    ]
    assert between == []
    assert room.all(ReplyDone) == [ReplyDone(0, interrupted=False, heard=LINE[0])]
    assert room.all(SpeechStarted) == []
    assert room.host.log == [("commit", 0, "", LINE[0])]


def test_what_was_cleared_is_sent_again_sample_by_sample(room: Any) -> None:
    room.synthesizers = [FakeSynthesizer(ms_per_word=MS_PER_WORD)]

    async def story() -> None:
        await room.until(ReplyStarted, 0)
        await room.pause(500)
        await room.speak(300)
        await room.until(ReplyDone, 0)

    room.hold(story)
    (resumed,) = room.all(ReplyResumed)
    index = [frame for _, frame in room.frames].index(resumed)
    after = [frame for _, frame in room.frames[index:] if isinstance(frame, ReplyAudio)]
    assert after[0].at_ms == resumed.at_ms <= room.all(ReplyPaused)[0].at_ms
    assert resumed.at_ms + sum(len(frame.pcm) for frame in after) // 16 == 6 * MS_PER_WORD


def test_the_face_listens_while_the_reply_is_paused(room: Any) -> None:
    async def story() -> None:
        await room.until(ReplyStarted, 0)
        await room.speak(300)
        await room.until(ReplyDone, 0)

    room.hold(story)
    moods = [frame.state for frame in room.all(AvatarState)]
    assert moods == ["thinking", "speaking", "listening", "speaking", "idle"]


def test_a_sign_of_listening_does_not_interrupt_and_is_not_answered(room: Any) -> None:
    room.transcribers = [FakeTranscriber(texts=("mm-hm okay",), partials=True)]

    async def story() -> None:
        await room.until(ReplyStarted, 0)
        await room.speak(700)
        await room.until(ReplyDone, 0)
        await room.pause(1000)

    room.hold(story)
    assert room.all(ReplyDone) == [ReplyDone(0, interrupted=False, heard=LINE[0])]
    assert room.all(Transcript) == []
    assert room.transcribers[0].open_now == 0


def test_the_words_that_interrupt_are_recognised_from_their_first_sample(room: Any) -> None:
    fed: list[int] = []
    room.transcribers = [Measuring(fed, texts=("I like tests",))]

    async def story() -> None:
        await room.until(ReplyStarted, 0)
        await room.pause(600)
        await room.speak(1000)
        await room.until(ReplyDone, 1)

    room.hold(story)
    assert fed == [1000]
    assert ("accept", 1, "I like tests") in room.host.log


def test_synthesis_that_is_still_going_on_waits_while_the_reply_is_paused(room: Any) -> None:
    room.host.say = tuple(f"Sentence number {number} is here to fill time." for number in range(9))
    room.synthesizers = [FakeSynthesizer(Script(gap_s=0.1), ms_per_word=MS_PER_WORD)]

    async def story() -> None:
        await room.until(ReplyStarted, 0)
        for _ in range(4):
            await room.pause(800)
            await room.speak(300)
        await room.until(ReplyDone, 0, within_ms=60_000)

    room.hold(story)
    assert len(room.all(ReplyPaused)) == len(room.all(ReplyResumed)) == 4
    assert room.all(ReplyDone) == [ReplyDone(0, interrupted=False, heard=" ".join(room.host.say))]


def test_a_cough_between_two_sentences_forgets_nothing_of_the_first(room: Any) -> None:
    room.host.say = ("This is the first sentence of two.", "And this is the second one.")
    room.synthesizers = [FakeSynthesizer(Script(), Script(first_s=1.8), ms_per_word=100)]

    async def story() -> None:
        await room.until(ReplyStarted, 0)
        await room.pause(800)
        await room.speak(260)
        await room.until(ReplyResumed, 0)
        room.session.interrupt()

    room.hold(story)
    assert room.all(ReplyResumed) == [ReplyResumed(0, 700)]
    assert room.all(ReplyDone) == [ReplyDone(0, interrupted=True, heard=room.host.say[0])]


def test_a_late_word_of_a_cough_says_nothing_about_what_is_said_next(room: Any) -> None:
    heard: list[Any] = []

    class Late(FakeTranscriber):
        def open(self, turn: int, on_partial: Any = None, hints: Any = ()) -> Any:
            heard.append(on_partial)
            return super().open(turn, on_partial)

    room.transcribers = [Late()]

    async def story() -> None:
        await room.until(ReplyStarted, 0)
        await room.speak(260)
        await room.until(ReplyResumed, 0)
        await room.speak(260)
        heard[0](Transcript(1, "mm-hm", final=False))
        await room.speak(500)
        await room.until(ReplyDone, 1)

    room.hold(story)
    assert room.all(ReplyDone)[0].interrupted
    assert [transcript.final for transcript in room.all(Transcript)] == [True]


def test_leaving_while_the_reply_is_paused_leaves_nothing_behind(room: Any) -> None:
    async def story() -> None:
        await room.until(ReplyStarted, 0)
        await room.speak(300)

    room.hold(story)
    assert len(room.all(ReplyPaused)) == 1
    assert room.transcribers[0].open_now == 0


def test_an_interrupt_while_the_reply_is_paused_ends_it(room: Any) -> None:
    async def story() -> None:
        await room.until(ReplyStarted, 0)
        await room.speak(300)
        room.session.interrupt()
        await room.pause(600)

    room.hold(story)
    assert [frame.interrupted for frame in room.all(ReplyDone)] == [True]
    assert room.transcribers[0].open_now == 0


def test_audio_that_stops_while_the_reply_is_paused_lets_it_go_on(room: Any) -> None:
    async def story() -> None:
        await room.until(ReplyStarted, 0)
        await room.speak(300)
        await asyncio.sleep(5)

    room.hold(story)
    assert [frame.interrupted for frame in room.all(ReplyDone)] == [False]


def test_a_reply_without_sound_has_nothing_to_pause(room: Any) -> None:
    room.synthesizers = [FakeSynthesizer(Script(error=OSError("gone")))]
    room.policy = SessionPolicy(turns=TurnPolicy(prompt_ms=0), speculate=False)

    async def story() -> None:
        await room.speak(300)
        await room.until(ReplyDone, 0)

    room.hold(story)
    assert room.all(ReplyPaused) == []


def test_an_utterance_that_waits_to_be_recognised_is_not_lost_to_a_hold(room: Any) -> None:
    """Interrupted while it was being recognised, then silence, a prompt, and speech into that."""
    fed: list[int] = []
    room.transcribers = [Measuring(fed, Script(first_s=1.5), texts=("I like tests",))]
    room.host.prompts = ("Take your time, there is no hurry, none at all.",)
    room.policy = SessionPolicy(turns=TurnPolicy(resume_ms=1500), speculate=False)

    async def story() -> None:
        await room.until(ReplyDone, 0)
        await room.speak(600)
        await room.pause(1000)
        room.session.interrupt()
        await room.until(ReplyStarted, 2, within_ms=20_000)
        for spoken_ms in (300, 60, 300):
            await room.speak(spoken_ms)
            await room.pause(1400)
        await room.until(ReplyDone, 3)

    room.hold(story)
    assert fed == [600, 600 + 660]
    assert ("accept", 3, "I like tests") in room.host.log


def test_an_utterance_that_waits_to_be_recognised_is_not_taken_for_words_into_a_reply(
    room: Any,
) -> None:
    room.transcribers = [
        FakeTranscriber(Script(first_s=1.5), texts=("I like tests",), partials=True)
    ]
    room.host.prompts = ("Take your time, there is no hurry.",)
    room.policy = SessionPolicy(turns=TurnPolicy(barge_in_words=2), speculate=False)

    async def story() -> None:
        await room.until(ReplyDone, 0)
        await room.speak(600)
        await room.pause(1000)
        room.session.interrupt()
        await room.until(ReplyStarted, 2, within_ms=20_000)
        await room.speak(300)
        await room.until(ReplyDone, 2)

    room.hold(story)
    assert [frame.turn for frame in room.all(ReplyResumed)] == [2]
    assert room.all(ReplyDone)[-1] == ReplyDone(2, interrupted=False, heard=room.host.prompts[0])
    assert ("accept", 3, "I like tests") not in room.host.log


def test_a_cough_while_the_closing_line_is_being_stored_has_nothing_to_pause(room: Any) -> None:
    room.host.closes = True
    room.host.commit_s = 3.0

    async def story() -> None:
        await room.until(ReplyDone, 0)
        await room.speak(600)
        await room.until(ReplyDone, 1)
        await room.speak(300)
        await asyncio.wait([room.running], timeout=10)
        assert room.running.done()

    room.hold(story)
    assert room.all(ReplyPaused) == room.all(ReplyResumed) == []


def test_an_interrupt_while_nobody_speaks_changes_nothing(room: Any) -> None:
    async def story() -> None:
        await room.until(ReplyDone, 0)
        before = len(room.frames)
        room.session.interrupt()
        assert len(room.frames) == before

    room.hold(story)
