"""Nobody says anything: who is prompted when, and how a conversation ends that lasts too long."""

import asyncio
from dataclasses import replace
from typing import Any

from pipeline.frames import ReplyDone, ReplyStarted, ReplyText
from pipeline.session import OVERTIME_S, SessionPolicy
from pipeline.turns import TurnPolicy


def lines(room: Any) -> list[tuple[int, str]]:
    return [(frame.turn, frame.text) for frame in room.all(ReplyText)]


def test_a_silent_person_is_prompted_and_nothing_of_it_is_remembered(room: Any) -> None:
    room.host.prompts = ("Take your time.", "Shall we move on?")

    async def story() -> None:
        await room.until(ReplyDone, 0)
        await room.pause(60_000)

    room.hold(story)
    assert lines(room)[1:] == [(1, "Take your time."), (2, "Shall we move on?")]
    assert [entry for entry in room.host.log if entry[1] > 0] == [
        ("commit", 1, "", ""),
        ("commit", 2, "", ""),
    ]


def test_the_answer_to_a_prompt_is_a_turn_like_any_other(room: Any) -> None:
    room.host.prompts = ("Take your time.",)

    async def story() -> None:
        await room.until(ReplyDone, 1)
        await room.speak(600)
        await room.until(ReplyDone, 2)

    room.hold(story)
    assert ("accept", 2, "I like tests") in room.host.log


def test_a_host_without_a_prompt_lets_the_silence_be(room: Any) -> None:
    async def story() -> None:
        await room.until(ReplyDone, 0)
        await room.pause(40_000)
        await room.speak(600)
        await room.until(ReplyDone, 3)

    room.hold(story)
    assert [frame.turn for frame in room.all(ReplyStarted)] == [0, 3]


def test_without_audio_nobody_is_prompted(room: Any) -> None:
    room.host.prompts = ("Take your time.",)

    async def story() -> None:
        await room.until(ReplyDone, 0)
        await asyncio.sleep(120)

    room.hold(story)
    assert len(lines(room)) == 1


def test_when_the_time_is_up_the_host_is_told_and_a_minute_later_the_session_closes(
    room: Any,
) -> None:
    room.policy = replace(room.policy, longest_s=30.0)
    room.host.goodbye = "Our time is up. Goodbye."

    async def story() -> None:
        await room.until(ReplyDone, 0)
        await asyncio.sleep(29)
        assert room.host.time_is_up_at is not None
        await asyncio.wait([room.running], timeout=OVERTIME_S + 10)
        assert room.running.done()

    room.hold(story)
    assert room.host.time_is_up_at == 30.0
    assert lines(room)[-1] == (1, "Our time is up. Goodbye.")
    assert room.all(ReplyDone)[-1] == ReplyDone(1, interrupted=False, heard=lines(room)[-1][1])


def test_an_answer_in_the_last_minute_closes_by_the_hosts_own_line(room: Any) -> None:
    room.policy = SessionPolicy(turns=TurnPolicy(prompt_ms=0), speculate=False, longest_s=10.0)

    async def story() -> None:
        await room.until(ReplyDone, 0)
        await asyncio.sleep(12)
        room.host.closes = True
        await room.speak(600)
        await asyncio.wait([room.running], timeout=20)
        assert room.running.done()

    room.hold(story)
    assert [frame.turn for frame in room.all(ReplyStarted)] == [0, 1]


def test_a_host_without_a_farewell_ends_the_session_without_a_word(room: Any) -> None:
    room.policy = replace(room.policy, longest_s=5.0)

    async def story() -> None:
        await asyncio.wait([room.running], timeout=5 + OVERTIME_S + 1)
        assert room.running.done()

    room.hold(story)
    assert len(lines(room)) == 1


def test_interrupting_the_farewell_ends_the_session(room: Any) -> None:
    room.policy = replace(room.policy, longest_s=5.0)
    room.host.goodbye = "Our time is up. Goodbye."

    async def story() -> None:
        await asyncio.sleep(5 + OVERTIME_S + 0.1)
        room.session.interrupt()
        await asyncio.wait([room.running], timeout=1)
        assert room.running.done()

    room.hold(story)
    assert [text for _, text in lines(room)][1:] == ["Our time is up. Goodbye."]


def test_interrupting_the_closing_line_when_the_time_is_up_needs_no_farewell(room: Any) -> None:
    room.policy = replace(room.policy, longest_s=5.0)
    room.host.say = ("Thank you, that brings us to the end of this conversation.",)
    room.host.goodbye = "Our time is up. Goodbye."

    async def story() -> None:
        await room.until(ReplyDone, 0)
        room.host.closes = True
        await asyncio.sleep(5 + OVERTIME_S - 1 - asyncio.get_running_loop().time())
        room.session.typed("my last answer")
        await asyncio.sleep(1.5)
        room.session.interrupt()
        await asyncio.wait([room.running], timeout=1)
        assert room.running.done()

    room.hold(story)
    assert lines(room)[1:] == [(1, room.host.say[0])]
    assert ("accept", 1, "my last answer") in room.host.log


def test_interrupting_the_last_reply_when_the_time_is_up_brings_the_farewell(room: Any) -> None:
    room.policy = replace(room.policy, longest_s=5.0)
    room.host.goodbye = "Our time is up. Goodbye."

    async def story() -> None:
        await asyncio.sleep(5 + OVERTIME_S - 0.5)
        room.session.typed("one more thing")
        await asyncio.sleep(0.8)
        room.session.interrupt()
        await asyncio.wait([room.running], timeout=10)
        assert room.running.done()

    room.hold(story)
    assert lines(room)[1:] == [(1, room.host.say[0]), (2, "Our time is up. Goodbye.")]
    assert [done.interrupted for done in room.all(ReplyDone)] == [False, True, False]


def test_what_is_said_into_the_farewell_is_answered_before_the_session_closes(room: Any) -> None:
    room.policy = replace(room.policy, longest_s=5.0)
    room.host.goodbye = "Our time is up. Goodbye."

    async def story() -> None:
        await asyncio.sleep(5 + OVERTIME_S + 0.1)
        await room.speak(800)
        await asyncio.wait([room.running], timeout=30)
        assert room.running.done()

    room.hold(story)
    assert ("accept", 2, "I like tests") in room.host.log
    assert [text for _, text in lines(room)][1:] == [
        "Our time is up. Goodbye.",
        *room.host.say,
        "Our time is up. Goodbye.",
    ]
