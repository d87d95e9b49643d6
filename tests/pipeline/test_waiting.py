"""A session's journal records how long work waited for recognition and synthesis."""

from typing import Any

from pipeline.frames import ReplyDone
from pipeline.replay import QueueAge, replay
from pipeline.testing import Script
from stages.fakes import FakeSynthesizer, FakeTranscriber


def ages(conversation: Any, queue: str) -> list[QueueAge]:
    return [age for age in replay(conversation.lines).queue_ages if age.queue == queue]


def test_a_sentence_waits_while_the_one_before_is_synthesised(conversation: Any) -> None:
    conversation.synthesizers = [FakeSynthesizer(Script(first_s=0.25))]
    conversation.host.say = ("This is the first sentence.", "This is the second sentence.")

    async def story() -> None:
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    first, second = ages(conversation, "synthesis")
    assert (first.at_ms, first.age_ms) == (0.0, 0.0)
    assert second.at_ms == second.age_ms == 250.0


def test_an_utterance_waits_from_its_end_until_the_recogniser_answers(conversation: Any) -> None:
    conversation.transcribers = [FakeTranscriber(Script(first_s=0.125), texts=("I like tests",))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(1000)
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert [age.age_ms for age in ages(conversation, "recognition")] == [125.0]


def test_typed_words_wait_for_no_recogniser(conversation: Any) -> None:
    async def story() -> None:
        conversation.session.typed("hello")
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert ages(conversation, "recognition") == []
