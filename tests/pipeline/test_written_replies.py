"""Replies in text only, and the voice that a host asks for."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from pipeline.frames import (
    AvatarState,
    Degraded,
    ReplyAudio,
    ReplyDone,
    ReplyPaused,
    ReplyResumed,
    ReplyStarted,
    ReplyText,
    TextDelta,
    Transcript,
    TurnMetrics,
    Visemes,
)
from pipeline.session import SessionPolicy
from pipeline.stage import Brief, ReplyRequest
from stages.fakes import FakeResponder, FakeSynthesizer, FakeTranscriber, Script

FIRST, SECOND = "This is the first sentence.", "And this is the second."


class Counting(FakeSynthesizer):
    """Records the sentences that it is asked to speak."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str | None]] = []

    def speak(self, sentence: Any) -> Any:
        self.asked.append((sentence.text, sentence.voice))
        return super().speak(sentence)


@pytest.fixture
def written(conversation: Any) -> Any:
    """A conversation whose replies are text only."""
    conversation.host.wishes = Brief((), spoken=False)
    conversation.host.say = (FIRST, SECOND)
    conversation.synthesizers = [Counting()]
    return conversation


@pytest.mark.parametrize("speculate", [False, True])
def test_a_text_reply_is_shown_sentence_by_sentence_and_counts_as_heard(
    written: Any, speculate: bool
) -> None:
    written.policy = SessionPolicy(speculate=speculate)

    async def story() -> None:
        await written.until(ReplyDone, 0)
        await written.speak(600)
        await written.until(ReplyDone, 1)

    written.run(story)
    of_the_reply = [
        frame
        for _, frame in written.frames
        if frame.turn == 1 and type(frame).__name__.startswith("Reply")
    ]
    assert of_the_reply == [
        ReplyStarted(1),
        ReplyText(1, FIRST),
        ReplyText(1, SECOND),
        ReplyDone(1, interrupted=False, heard=f"{FIRST} {SECOND}"),
    ]
    assert written.synthesizers[0].asked == []
    assert (written.all(ReplyAudio), written.all(Visemes), written.spoken) == ([], [], [])
    assert written.host.log[-1] == ("commit", 1, "I like tests", f"{FIRST} {SECOND}")
    moods = [frame.state for frame in written.all(AvatarState) if frame.turn == 1]
    assert moods == ["listening", "thinking", "idle"]


def test_the_metrics_of_a_text_reply_tell_of_all_stages_but_synthesis(written: Any) -> None:
    written.responders = [FakeResponder(Script(), Script(first_s=0.2))]

    async def story() -> None:
        await written.until(ReplyDone, 0)
        await written.speak(600)
        await written.until(TurnMetrics, 1)

    written.run(story)
    metrics = written.all(TurnMetrics)[1]
    assert [span.stage for span in metrics.stages] == ["endpointing", "stt", "llm"]
    assert metrics.stages[2].first - metrics.stages[2].start == pytest.approx(200, abs=1)
    assert metrics.voice_to_voice_ms is None


def test_a_text_reply_is_not_shown_before_the_answer_is_stored(written: Any) -> None:
    written.host.accept_s = 0.5

    async def story() -> None:
        await written.until(ReplyDone, 0)
        written.session.typed("typed")
        await written.pause(400)
        assert written.all(Transcript) == []
        assert [started.turn for started in written.all(ReplyStarted)] == [0]
        await written.until(ReplyDone, 1)

    written.run(story)


def test_a_text_reply_that_is_interrupted_is_remembered_as_far_as_it_was_shown(
    written: Any,
) -> None:
    class Slow(FakeResponder):
        async def reply(self, request: ReplyRequest) -> Any:
            yield TextDelta(request.turn, f"{FIRST} And")
            await asyncio.sleep(0.5)
            yield TextDelta(request.turn, " more.")

    written.responders = [Slow()]

    async def story() -> None:
        await written.until(ReplyText, 0)
        written.session.interrupt()

    written.run(story)
    assert written.all(ReplyDone) == [ReplyDone(0, interrupted=True, heard=FIRST)]
    assert written.host.log == [("commit", 0, "", FIRST)]


def test_a_cough_into_a_text_reply_ends_nothing(written: Any) -> None:
    class Slow(FakeResponder):
        async def reply(self, request: ReplyRequest) -> Any:
            yield TextDelta(request.turn, f"{FIRST} And")
            await asyncio.sleep(0.7)
            yield TextDelta(request.turn, " more.")

    written.responders = [Slow()]

    async def story() -> None:
        await written.until(ReplyText, 0)
        await written.speak(300)
        await written.until(ReplyDone, 0)

    written.run(story)
    assert len(written.all(ReplyPaused)) == len(written.all(ReplyResumed)) == 1
    assert written.all(ReplyDone) == [ReplyDone(0, interrupted=False, heard=f"{FIRST} And more.")]


def test_a_canned_line_is_text_as_well_where_replies_are(written: Any) -> None:
    broken = Script(error=OSError("gone"))
    written.responders = [FakeResponder(Script(), broken)]
    written.transcribers = [FakeTranscriber(Script(), broken)]

    async def story() -> None:
        await written.until(ReplyDone, 0)
        await written.speak(600)
        await written.until(ReplyDone, 1)
        await written.speak(600)
        await written.until(ReplyDone, 2)

    written.run(story)
    heard = [done.heard for done in written.all(ReplyDone)]
    assert heard[1].startswith("Sorry, I lost my thread")
    assert heard[2].startswith("Sorry, I did not catch that")
    assert [(d.stage, d.target) for d in written.all(Degraded)] == [
        ("llm", "canned line"),
        ("stt", "canned line"),
    ]
    assert (written.all(ReplyAudio), written.synthesizers[0].asked) == ([], [])
    assert [entry for entry in written.host.log if entry[0] == "commit"][1:] == [
        ("commit", 1, "hello there", ""),
        ("commit", 2, "", ""),
    ]


def test_every_sentence_carries_the_voice_that_the_host_wishes_for(conversation: Any) -> None:
    conversation.synthesizers = [Counting()]
    conversation.host.wishes = Brief((), voice="alba")
    conversation.host.say = (FIRST, SECOND)
    conversation.host.prompts = ("Take your time.",)
    turns = conversation.policy.turns
    conversation.policy = replace(conversation.policy, turns=replace(turns, prompt_ms=600))

    async def story() -> None:
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert conversation.synthesizers[0].asked == [
        (FIRST, "alba"),
        (SECOND, "alba"),
        ("Take your time.", "alba"),
    ]


def test_words_that_are_spoken_before_their_sentence_ends_carry_the_voice(
    conversation: Any,
) -> None:
    class Endless(FakeResponder):
        async def reply(self, request: ReplyRequest) -> Any:
            yield TextDelta(request.turn, "words without an end ")
            await asyncio.Event().wait()

    conversation.synthesizers = [Counting()]
    conversation.host.wishes = Brief((), voice="alba")
    conversation.responders = [Endless()]
    conversation.policy = SessionPolicy(hard_s=1.5, speculate=False)

    async def story() -> None:
        await conversation.until(ReplyText, 0)

    conversation.run(story)
    assert conversation.synthesizers[0].asked[0] == ("words without an end", "alba")
