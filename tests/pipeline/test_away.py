"""A reply to a client that is away waits for it."""

import asyncio
from typing import Any

import pytest

from pipeline.frames import ReplyAudio, ReplyDone, ReplyPaused, ReplyResumed, ReplyStarted
from stages.fakes import FakeResponder, Script


def of(conversation: Any, kind: type) -> list[Any]:
    return [frame for _, frame in conversation.frames if isinstance(frame, kind)]


def test_a_reply_under_way_is_paused_and_goes_on(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await asyncio.sleep(0.5)
        conversation.session.suspend()
        sent = len(of(conversation, ReplyAudio))
        await asyncio.sleep(20)
        assert len(of(conversation, ReplyAudio)) == sent
        assert of(conversation, ReplyDone) == []
        conversation.session.proceed()
        done = await conversation.until(ReplyDone, 0)
        assert done.heard == " ".join(conversation.host.say)

    conversation.run(story)
    assert [frame.at_ms for frame in of(conversation, ReplyPaused)] == pytest.approx([500], abs=20)


def test_a_reply_that_begins_meanwhile_is_heard_from_its_beginning(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.suspend()
        conversation.session.typed("hello")
        await conversation.until(ReplyStarted, 1)
        await asyncio.sleep(20)
        assert {frame.turn for frame in of(conversation, ReplyAudio)} == {0}
        conversation.session.proceed()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert of(conversation, ReplyPaused) == [ReplyPaused(1, 0)]
    assert of(conversation, ReplyResumed) == [ReplyResumed(1, 0)]


def test_a_client_that_is_back_before_the_reply_begins_notices_nothing(conversation: Any) -> None:
    conversation.responders = [FakeResponder(Script(), Script(first_s=0.5))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.suspend()
        conversation.session.proceed()
        conversation.session.suspend()
        conversation.session.typed("hello")
        await asyncio.sleep(0.2)
        conversation.session.proceed()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert of(conversation, ReplyPaused) == []


def test_the_end_of_speech_into_the_reply_does_not_make_it_go_on(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await asyncio.sleep(0.3)
        await conversation.speak(300)
        await conversation.until(ReplyPaused, 0)
        conversation.session.suspend()
        await asyncio.sleep(20)
        assert of(conversation, ReplyResumed) == []
        conversation.session.proceed()
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    assert len(of(conversation, ReplyPaused)) == 1
