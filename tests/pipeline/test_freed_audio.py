"""Audio is let go as soon as nobody needs it: half a minute of it is a megabyte, in every call."""

import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from pipeline.frames import (
    ReplyDone,
    ReplyStarted,
    Samples,
    Sentence,
    Speech,
    SpeechStopped,
    Transcript,
)
from pipeline.stage import RecognizedSpeech
from stages.fakes import FakeSynthesizer, FakeTranscriber, Script
from tests.support.session import Host

Audio = weakref.ref[Samples]


@pytest.fixture(autouse=True)
def _without_collections() -> Iterator[None]:
    """A full collection would hide that something holds on; there is none while people talk."""
    gc.disable()
    yield
    gc.enable()


class Forgetful(Host):
    """Keeps no answer's audio, but knows whether it is still there."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[Audio] = []

    async def accept(self, turn: int, text: str, heard: RecognizedSpeech | None = None) -> None:
        if heard is not None:
            assert heard.audio is not None
            self.answers.append(weakref.ref(heard.audio))
        await super().accept(turn, text)


class Traced(FakeSynthesizer):
    """Knows which of its audio is still there."""

    def __init__(self) -> None:
        super().__init__()
        self.spoken: list[Audio] = []

    def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        return self._traced(super().speak(sentence))

    async def _traced(self, pieces: AsyncIterator[Speech]) -> AsyncIterator[Speech]:
        async for piece in pieces:
            self.spoken.append(weakref.ref(piece.pcm))
            yield piece


def kept(audio: list[Audio]) -> int:
    return sum(one() is not None for one in audio)


@pytest.mark.parametrize("ahead", [False, True], ids=["decided", "ahead of the decision"])
def test_an_answers_audio_is_let_go_when_it_is_stored(conversation: Any, ahead: bool) -> None:
    host = conversation.host = Forgetful()
    conversation.policy = replace(conversation.policy, speculate=ahead)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(800)
        await conversation.until(ReplyStarted, 1)
        await conversation.pause(100)  # the reply goes on
        assert conversation.all(ReplyDone)[-1].turn == 0
        assert (len(host.answers), kept(host.answers)) == (1, 0)
        await conversation.until(ReplyDone, 1)

    conversation.run(story)


def test_the_audio_of_an_answer_to_which_the_first_recogniser_failed_is_let_go(
    conversation: Any,
) -> None:
    host = conversation.host = Forgetful()
    conversation.transcribers.insert(0, FakeTranscriber(Script(stall=True), provider="a"))

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(800)
        await conversation.until(ReplyStarted, 1)
        await conversation.pause(100)
        assert [one.text for one in conversation.all(Transcript)] == ["I like tests"]
        assert (len(host.answers), kept(host.answers)) == (1, 0)

    conversation.run(story)


def test_the_audio_of_an_answer_is_let_go_though_its_reply_was_stopped_while_it_was_stored(
    conversation: Any,
) -> None:
    host = conversation.host = Forgetful()
    host.accept_s = 1.0

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(800)
        await conversation.until(SpeechStopped, 1)
        await conversation.pause(200)
        assert kept(host.answers) == 1
        conversation.session.interrupt()
        await conversation.pause(1500)
        assert (len(host.answers), kept(host.answers)) == (1, 0)
        assert ("accept", 1, "I like tests") in host.log

    conversation.run(story)


def test_a_replys_audio_is_let_go_when_it_has_been_heard(conversation: Any) -> None:
    voice = Traced()
    conversation.synthesizers = [voice]

    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        conversation.frames.clear()
        conversation.spoken.clear()
        assert kept(voice.spoken) > 0
        await conversation.until(ReplyDone, 0)
        conversation.frames.clear()
        conversation.spoken.clear()
        assert (len(voice.spoken), kept(voice.spoken)) == (6, 0)

    conversation.run(story)
