"""A session's journal tells how long work waited for recognition and for synthesis."""

from typing import Any

from pipeline.frames import ReplyDone
from pipeline.replay import QueueAge, replay
from pipeline.testing import Script
from stages.fakes import FakeSynthesizer, FakeTranscriber


def ages(room: Any, queue: str) -> list[QueueAge]:
    return [age for age in replay(room.lines).queue_ages if age.queue == queue]


def test_a_sentence_waits_while_the_one_before_is_synthesised(room: Any) -> None:
    room.synthesizers = [FakeSynthesizer(Script(first_s=0.25))]
    room.host.say = ("This is the first sentence.", "This is the second sentence.")

    async def story() -> None:
        await room.until(ReplyDone, 0)

    room.hold(story)
    first, second = ages(room, "synthesis")
    assert (first.at_ms, first.age_ms) == (0.0, 0.0)
    assert second.at_ms == second.age_ms == 250.0


def test_an_utterance_waits_from_its_end_until_the_recogniser_answers(room: Any) -> None:
    room.transcribers = [FakeTranscriber(Script(first_s=0.125), texts=("I like tests",))]

    async def story() -> None:
        await room.until(ReplyDone, 0)
        await room.speak(1000)
        await room.until(ReplyDone, 1)

    room.hold(story)
    assert [age.age_ms for age in ages(room, "recognition")] == [125.0]


def test_typed_words_wait_for_no_recogniser(room: Any) -> None:
    async def story() -> None:
        room.session.typed("hello")
        await room.until(ReplyDone, 1)

    room.hold(story)
    assert ages(room, "recognition") == []
