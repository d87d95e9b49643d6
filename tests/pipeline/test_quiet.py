"""When a session can end without cutting anything off."""

import asyncio
from typing import Any

from pipeline.frames import ReplyDone, ReplyStarted, SpeechStarted, SpeechStopped, Transcript
from stages.fakes import FakeTranscriber, Script


def quiet_in(conversation: Any) -> float | None:
    """Seconds from now, None where it is not known."""
    at: float | None = conversation.session.quiet_at()
    return None if at is None else round(at - asyncio.get_running_loop().time(), 3)


def test_a_session_is_quiet_between_the_turns_and_not_in_an_answer(conversation: Any) -> None:
    conversation.transcribers = [FakeTranscriber(Script(first_s=0.4), texts=("hello",))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        assert quiet_in(conversation) == 0
        speaking = asyncio.create_task(conversation.speak(600))
        await conversation.until(SpeechStarted, 1)
        assert quiet_in(conversation) is None
        await speaking
        await conversation.until(SpeechStopped, 1)
        assert quiet_in(conversation) is None
        await conversation.until(Transcript, 1)
        assert quiet_in(conversation) == 0
        conversation.session.end()

    conversation.run(story)


def test_a_session_is_quiet_after_the_sentence_that_it_speaks(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await asyncio.sleep(0.2)
        left_s = quiet_in(conversation)
        assert left_s is not None
        assert left_s > 0
        await asyncio.sleep(left_s)
        assert quiet_in(conversation) == 0
        conversation.session.end()

    conversation.run(story)


def test_a_typed_answer_is_stored_first(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.typed("hello")
        assert quiet_in(conversation) is None
        await conversation.until(Transcript, 1)
        assert quiet_in(conversation) == 0
        conversation.session.end()

    conversation.run(story)
