"""Speech into a reply: when it holds the reply, when it ends it, and where the reply goes on."""

import asyncio
from collections.abc import AsyncIterator
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
    Sentence,
    Speech,
    SpeechStarted,
    Transcript,
)
from pipeline.session import SessionPolicy
from pipeline.turn_policy import MOST_HOLDS
from pipeline.turns import TurnPolicy
from stages.fakes import FakeSynthesizer, FakeTranscriber, Script

LINE = ("Well, tell me more about that.",)
MS_PER_WORD = 300


class Measuring(FakeTranscriber):
    """Records how many milliseconds of speech each recognition got until `finish`."""

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


class Trailing(FakeSynthesizer):
    """Ends every sentence with silence of `trailing_ms`, as real voices do."""

    trailing_ms = 800

    async def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        async for speech in super().speak(sentence):
            yield speech
        silence = np.zeros(self.trailing_ms * self.rate_hz // 1000, np.int16)
        yield Speech(sentence.turn, silence)


def test_a_quick_answer_into_the_voices_last_silence_interrupts_nothing(conversation: Any) -> None:
    conversation.synthesizers = [Trailing(ms_per_word=MS_PER_WORD)]

    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.pause(6 * MS_PER_WORD)
        await conversation.speak(1000)
        await conversation.until(SpeechStarted, 1)

    conversation.run(story)
    done = conversation.all(ReplyDone)[0]
    assert done == ReplyDone(0, interrupted=False, heard=LINE[0])
    assert conversation.host.log[0] == ("commit", 0, "", LINE[0])
    paused = conversation.all(ReplyPaused)[0]
    assert paused.at_ms < 6 * MS_PER_WORD + Trailing.trailing_ms, "it was stopped before its end"


def test_a_cough_pauses_the_reply_which_then_goes_on_where_it_stopped(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.pause(500)
        await conversation.speak(300)
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    (clear,) = conversation.all(Clear)
    (paused,) = conversation.all(ReplyPaused)
    (resumed,) = conversation.all(ReplyResumed)
    assert paused == ReplyPaused(0, clear.at_ms)
    assert conversation.at(resumed) - conversation.at(paused) == pytest.approx(0.1 + 0.5, abs=0.05)
    between = [
        frame
        for at, frame in conversation.frames
        if isinstance(frame, ReplyAudio) and conversation.at(paused) < at < conversation.at(resumed)
    ]
    assert between == []
    assert conversation.all(ReplyDone) == [ReplyDone(0, interrupted=False, heard=LINE[0])]
    assert conversation.all(SpeechStarted) == []
    assert conversation.host.log == [("commit", 0, "", LINE[0])]


def test_a_reply_that_the_microphone_hears_is_spoken_to_its_end(conversation: Any) -> None:
    conversation.host.say = ("This sentence is so long that it would never come to its end.",) * 3
    conversation.synthesizers = [FakeSynthesizer(ms_per_word=MS_PER_WORD)]

    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        while not conversation.all(ReplyDone):
            if len(conversation.all(ReplyPaused)) > len(conversation.all(ReplyResumed)):
                await conversation.pause(20)
            else:
                await conversation.speak(20)
        await conversation.pause(2000)

    conversation.run(story)
    (done,) = conversation.all(ReplyDone)
    assert (done.interrupted, done.heard) == (False, " ".join(conversation.host.say))
    assert len(conversation.all(ReplyResumed)) == MOST_HOLDS
    assert conversation.all(SpeechStarted) == []
    spoken_s = 3 * 13 * MS_PER_WORD / 1000
    began = conversation.at(conversation.all(ReplyStarted)[0])
    assert conversation.at(done) - began < spoken_s + MOST_HOLDS * 2.0


def test_what_was_cleared_is_sent_again_sample_by_sample(conversation: Any) -> None:
    conversation.synthesizers = [FakeSynthesizer(ms_per_word=MS_PER_WORD)]

    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.pause(500)
        await conversation.speak(300)
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    (resumed,) = conversation.all(ReplyResumed)
    index = [frame for _, frame in conversation.frames].index(resumed)
    after = [frame for _, frame in conversation.frames[index:] if isinstance(frame, ReplyAudio)]
    assert after[0].at_ms == resumed.at_ms <= conversation.all(ReplyPaused)[0].at_ms
    assert resumed.at_ms + sum(len(frame.pcm) for frame in after) // 16 == 6 * MS_PER_WORD


def test_the_face_listens_while_the_reply_is_paused(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.speak(300)
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    moods = [frame.state for frame in conversation.all(AvatarState)]
    assert moods == ["thinking", "speaking", "listening", "speaking", "idle"]


def test_a_sign_of_listening_does_not_interrupt_and_is_not_answered(conversation: Any) -> None:
    conversation.transcribers = [FakeTranscriber(texts=("mm-hm okay",), partials=True)]

    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.speak(700)
        await conversation.until(ReplyDone, 0)
        await conversation.pause(1000)

    conversation.run(story)
    assert conversation.all(ReplyDone) == [ReplyDone(0, interrupted=False, heard=LINE[0])]
    assert conversation.all(Transcript) == []
    assert conversation.transcribers[0].open_now == 0


def test_the_words_that_interrupt_are_recognised_from_their_first_sample(conversation: Any) -> None:
    fed: list[int] = []
    conversation.transcribers = [Measuring(fed, texts=("I like tests",))]

    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.pause(600)
        await conversation.speak(1000)
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert fed == [1000]
    assert ("accept", 1, "I like tests") in conversation.host.log


def test_synthesis_that_is_still_going_on_waits_while_the_reply_is_paused(
    conversation: Any,
) -> None:
    conversation.host.say = tuple(
        f"Sentence number {number} is here to fill time." for number in range(9)
    )
    conversation.synthesizers = [FakeSynthesizer(Script(gap_s=0.1), ms_per_word=MS_PER_WORD)]

    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        for _ in range(4):
            await conversation.pause(800)
            await conversation.speak(300)
        await conversation.until(ReplyDone, 0, within_ms=60_000)

    conversation.run(story)
    assert len(conversation.all(ReplyPaused)) == len(conversation.all(ReplyResumed)) == 4
    assert conversation.all(ReplyDone) == [
        ReplyDone(0, interrupted=False, heard=" ".join(conversation.host.say))
    ]


def test_a_cough_between_two_sentences_forgets_nothing_of_the_first(conversation: Any) -> None:
    conversation.host.say = ("This is the first sentence of two.", "And this is the second one.")
    conversation.synthesizers = [FakeSynthesizer(Script(), Script(first_s=1.8), ms_per_word=100)]

    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.pause(800)
        await conversation.speak(260)
        await conversation.until(ReplyResumed, 0)
        conversation.session.interrupt()

    conversation.run(story)
    assert conversation.all(ReplyResumed) == [ReplyResumed(0, 700)]
    assert conversation.all(ReplyDone) == [
        ReplyDone(0, interrupted=True, heard=conversation.host.say[0])
    ]


def test_a_late_word_of_a_cough_says_nothing_about_what_is_said_next(conversation: Any) -> None:
    heard: list[Any] = []

    class Late(FakeTranscriber):
        def open(
            self, turn: int, on_partial: Any = None, hints: Any = (), language: Any = None
        ) -> Any:
            heard.append(on_partial)
            return super().open(turn, on_partial)

    conversation.transcribers = [Late()]

    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.speak(260)
        await conversation.until(ReplyResumed, 0)
        await conversation.speak(260)
        heard[0](Transcript(1, "mm-hm", final=False))
        await conversation.speak(500)
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert conversation.all(ReplyDone)[0].interrupted
    assert [transcript.final for transcript in conversation.all(Transcript)] == [True]


def test_leaving_while_the_reply_is_paused_leaves_nothing_behind(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.speak(300)

    conversation.run(story)
    assert len(conversation.all(ReplyPaused)) == 1
    assert conversation.transcribers[0].open_now == 0


def test_an_interrupt_while_the_reply_is_paused_ends_it(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.speak(300)
        conversation.session.interrupt()
        await conversation.pause(600)

    conversation.run(story)
    assert [frame.interrupted for frame in conversation.all(ReplyDone)] == [True]
    assert conversation.transcribers[0].open_now == 0


def test_audio_that_stops_while_the_reply_is_paused_lets_it_go_on(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.speak(300)
        await asyncio.sleep(5)

    conversation.run(story)
    assert [frame.interrupted for frame in conversation.all(ReplyDone)] == [False]


def test_a_reply_without_sound_has_nothing_to_pause(conversation: Any) -> None:
    conversation.synthesizers = [FakeSynthesizer(Script(error=OSError("gone")))]
    conversation.policy = SessionPolicy(turns=TurnPolicy(prompt_ms=0), speculate=False)

    async def story() -> None:
        await conversation.speak(300)
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    assert conversation.all(ReplyPaused) == []


def test_an_utterance_that_waits_to_be_recognised_is_not_lost_to_a_hold(conversation: Any) -> None:
    """An interruption during recognition, then silence, a prompt, and speech into the prompt."""
    fed: list[int] = []
    conversation.transcribers = [Measuring(fed, Script(first_s=1.5), texts=("I like tests",))]
    conversation.host.prompts = ("Take your time, there is no hurry, none at all.",)
    conversation.policy = SessionPolicy(turns=TurnPolicy(resume_ms=1500), speculate=False)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        await conversation.pause(1000)
        conversation.session.interrupt()
        await conversation.until(ReplyStarted, 2, within_ms=20_000)
        for spoken_ms in (300, 60, 300):
            await conversation.speak(spoken_ms)
            await conversation.pause(1400)
        await conversation.until(ReplyDone, 3)

    conversation.run(story)
    assert fed == [600, 600 + 660]
    assert ("accept", 3, "I like tests") in conversation.host.log


def test_an_utterance_that_waits_to_be_recognised_is_not_taken_for_words_into_a_reply(
    conversation: Any,
) -> None:
    conversation.transcribers = [
        FakeTranscriber(Script(first_s=1.5), texts=("I like tests",), partials=True)
    ]
    conversation.host.prompts = ("Take your time, there is no hurry.",)
    conversation.policy = SessionPolicy(turns=TurnPolicy(barge_in_words=2), speculate=False)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        await conversation.pause(1000)
        conversation.session.interrupt()
        await conversation.until(ReplyStarted, 2, within_ms=20_000)
        await conversation.speak(300)
        await conversation.until(ReplyDone, 2)

    conversation.run(story)
    assert [frame.turn for frame in conversation.all(ReplyResumed)] == [2]
    assert conversation.all(ReplyDone)[-1] == ReplyDone(
        2, interrupted=False, heard=conversation.host.prompts[0]
    )
    assert ("accept", 3, "I like tests") not in conversation.host.log


def test_a_cough_while_the_closing_line_is_being_stored_has_nothing_to_pause(
    conversation: Any,
) -> None:
    conversation.host.closes = True
    conversation.host.commit_s = 3.0

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        await conversation.until(ReplyDone, 1)
        await conversation.speak(300)
        await asyncio.wait([conversation.running], timeout=10)
        assert conversation.running.done()

    conversation.run(story)
    assert conversation.all(ReplyPaused) == conversation.all(ReplyResumed) == []


def test_an_interrupt_while_nobody_speaks_changes_nothing(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        before = len(conversation.frames)
        conversation.session.interrupt()
        assert len(conversation.frames) == before

    conversation.run(story)
