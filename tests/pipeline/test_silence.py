"""Silence after a reply: the prompts, and the end of a conversation that lasts too long."""

import asyncio
import math
from dataclasses import replace
from typing import Any

from pipeline.frames import ReplyDone, ReplyStarted, ReplyText
from pipeline.session import SessionPolicy
from pipeline.time_limit import OVERTIME_S
from pipeline.turns import TurnPolicy


def lines(conversation: Any) -> list[tuple[int, str]]:
    return [(frame.turn, frame.text) for frame in conversation.all(ReplyText)]


def test_a_silent_person_is_prompted_and_nothing_of_it_is_remembered(conversation: Any) -> None:
    conversation.host.prompts = ("Take your time.", "Shall we move on?")

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.pause(60_000)

    conversation.run(story)
    assert lines(conversation)[1:] == [(1, "Take your time."), (2, "Shall we move on?")]
    assert [entry for entry in conversation.host.log if entry[1] > 0] == [
        ("commit", 1, "", ""),
        ("commit", 2, "", ""),
    ]


def test_the_answer_to_a_prompt_is_a_turn_like_any_other(conversation: Any) -> None:
    conversation.host.prompts = ("Take your time.",)

    async def story() -> None:
        await conversation.until(ReplyDone, 1)
        await conversation.speak(600)
        await conversation.until(ReplyDone, 2)

    conversation.run(story)
    assert ("accept", 2, "I like tests") in conversation.host.log


def test_a_host_without_a_prompt_lets_the_silence_be(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.pause(40_000)
        await conversation.speak(600)
        await conversation.until(ReplyDone, 3)

    conversation.run(story)
    assert [frame.turn for frame in conversation.all(ReplyStarted)] == [0, 3]


def test_without_audio_nobody_is_prompted(conversation: Any) -> None:
    conversation.host.prompts = ("Take your time.",)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await asyncio.sleep(120)

    conversation.run(story)
    assert len(lines(conversation)) == 1


def test_when_the_time_is_up_the_host_learns_it_and_a_minute_later_the_session_closes(
    conversation: Any,
) -> None:
    conversation.policy = replace(conversation.policy, longest_s=30.0)
    conversation.host.goodbye = "Our time is up. Goodbye."

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await asyncio.sleep(29)
        assert conversation.host.time_is_up_at is not None
        await asyncio.wait([conversation.running], timeout=OVERTIME_S + 10)
        assert conversation.running.done()

    conversation.run(story)
    assert conversation.host.time_is_up_at == 30.0
    assert lines(conversation)[-1] == (1, "Our time is up. Goodbye.")
    assert conversation.all(ReplyDone)[-1] == ReplyDone(
        1, interrupted=False, heard=lines(conversation)[-1][1]
    )


def test_an_answer_in_the_last_minute_closes_by_the_hosts_own_line(conversation: Any) -> None:
    conversation.policy = SessionPolicy(
        turns=TurnPolicy(prompt_ms=0), speculate=False, longest_s=10.0
    )

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await asyncio.sleep(12)
        conversation.host.closes = True
        await conversation.speak(600)
        await asyncio.wait([conversation.running], timeout=20)
        assert conversation.running.done()

    conversation.run(story)
    assert [frame.turn for frame in conversation.all(ReplyStarted)] == [0, 1]


def test_a_host_without_a_farewell_ends_the_session_without_a_word(conversation: Any) -> None:
    conversation.policy = replace(conversation.policy, longest_s=5.0)

    async def story() -> None:
        await asyncio.wait([conversation.running], timeout=5 + OVERTIME_S + 1)
        assert conversation.running.done()

    conversation.run(story)
    assert len(lines(conversation)) == 1


def test_interrupting_the_farewell_ends_the_session(conversation: Any) -> None:
    conversation.policy = replace(conversation.policy, longest_s=5.0)
    conversation.host.goodbye = "Our time is up. Goodbye."

    async def story() -> None:
        await asyncio.sleep(5 + OVERTIME_S + 0.1)
        conversation.session.interrupt()
        await asyncio.wait([conversation.running], timeout=1)
        assert conversation.running.done()

    conversation.run(story)
    assert [text for _, text in lines(conversation)][1:] == ["Our time is up. Goodbye."]


def test_interrupting_the_closing_line_when_the_time_is_up_needs_no_farewell(
    conversation: Any,
) -> None:
    conversation.policy = replace(conversation.policy, longest_s=5.0)
    conversation.host.say = ("Thank you, that brings us to the end of this conversation.",)
    conversation.host.goodbye = "Our time is up. Goodbye."

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.host.closes = True
        await asyncio.sleep(5 + OVERTIME_S - 1 - asyncio.get_running_loop().time())
        conversation.session.typed("my last answer")
        await asyncio.sleep(1.5)
        conversation.session.interrupt()
        await asyncio.wait([conversation.running], timeout=1)
        assert conversation.running.done()

    conversation.run(story)
    assert lines(conversation)[1:] == [(1, conversation.host.say[0])]
    assert ("accept", 1, "my last answer") in conversation.host.log


def test_interrupting_the_last_reply_when_the_time_is_up_brings_the_farewell(
    conversation: Any,
) -> None:
    conversation.policy = replace(conversation.policy, longest_s=5.0)
    conversation.host.goodbye = "Our time is up. Goodbye."

    async def story() -> None:
        await asyncio.sleep(5 + OVERTIME_S - 0.5)
        conversation.session.typed("one more thing")
        await asyncio.sleep(0.8)
        conversation.session.interrupt()
        await asyncio.wait([conversation.running], timeout=10)
        assert conversation.running.done()

    conversation.run(story)
    assert lines(conversation)[1:] == [
        (1, conversation.host.say[0]),
        (2, "Our time is up. Goodbye."),
    ]
    assert [done.interrupted for done in conversation.all(ReplyDone)] == [False, True, False]


def test_what_is_said_into_the_farewell_is_answered_before_the_session_closes(
    conversation: Any,
) -> None:
    conversation.policy = replace(conversation.policy, longest_s=5.0)
    conversation.host.goodbye = "Our time is up. Goodbye."

    async def story() -> None:
        await asyncio.sleep(5 + OVERTIME_S + 0.1)
        await conversation.speak(800)
        await asyncio.wait([conversation.running], timeout=30)
        assert conversation.running.done()

    conversation.run(story)
    assert ("accept", 2, "I like tests") in conversation.host.log
    assert [text for _, text in lines(conversation)][1:] == [
        "Our time is up. Goodbye.",
        *conversation.host.say,
        "Our time is up. Goodbye.",
    ]


def test_a_conversation_may_have_no_time_limit(conversation: Any) -> None:
    conversation.policy = SessionPolicy(
        turns=TurnPolicy(prompt_ms=0), speculate=False, longest_s=math.inf
    )

    async def story() -> None:
        await conversation.pause(5000)

    conversation.run(story)
    assert conversation.host.time_is_up_at is None
