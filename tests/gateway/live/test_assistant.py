"""Plain conversations with a chat server, and replies beside a conversation. In virtual time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.live.out_of_band import LONGEST_CHARS, MOST_OUT_OF_BAND
from gateway.protocols.dialect import (
    AudioMessage,
    InterruptReply,
    PressKey,
    Reconfigure,
    Respond,
    RespondOutOfBand,
    Start,
    StopOutOfBand,
    Truncate,
    TypedText,
)
from gateway.protocols.request import AssistantRequest, SessionRequest
from pipeline.errors import StageFailed
from pipeline.frames import TextDelta, ToolCall
from pipeline.stage import Message, ReplyRequest, Tool
from pipeline.testing import Script
from stages.fakes import FakeResponder
from stages.registry import Choice, find
from tests.support.calls import LocalCalls
from tests.support.client import SILENCE
from tests.support.commands import CommandDialect

WEATHER = Tool("weather", "What the weather is like.", {"type": "object"})
HISTORY = (Message("user", "Good morning."), Message("assistant", "Good morning!"))

ASKED = AssistantRequest(
    history=lambda turn: HISTORY[: turn + 1],
    model="small",
    instructions="Be kind.",
    tools=(WEATHER,),
    tool_choice="required",
    max_tokens=200,
    voice="alto",
)


def session(asked: AssistantRequest = ASKED) -> SessionRequest:
    return SessionRequest(assistant=asked)


def asked_of(responder: FakeResponder) -> list[tuple[str, str]]:
    """What the chat model was told first, and what the person said, by request."""
    return [(request.brief.history[0].content, request.text) for request in responder.requests]


@pytest.fixture
def assistant(local: LocalCalls) -> FakeResponder:
    """The chat model of the calls."""
    local.responder = responder = FakeResponder(text="Nice to meet you.")
    return responder


def test_an_assistant_waits_for_words_and_answers_as_the_client_asked(
    local: LocalCalls, assistant: FakeResponder
) -> None:
    dialect = CommandDialect(Start(session()))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            ready = await client.until("SessionReady")
            assert ready["interview"] is None
            await asyncio.sleep(60)  # it neither opens the conversation nor fills silences
            assert client.found("ReplyStarted") == []
            await client.send(dialect.message(TypedText("Hello.")))
            done = await client.until("ReplyDone", turn=1)
            assert done["heard"] == "Nice to meet you."
            [request] = assistant.requests
            brief = request.brief
            told = (Message("system", "Be kind."), *HISTORY)
            assert (request.text, brief.history) == ("Hello.", told)
            assert (brief.model, brief.max_tokens, brief.voice) == ("small", 200, "alto")
            assert (brief.tools, brief.tool_choice) == ((WEATHER,), "required")
            assert await local.store.read("transcript:test") == []
            assert await local.store.get("session:test") is None

    local.run(story)


def test_what_is_asked_for_once_holds_for_that_reply_only(
    local: LocalCalls, assistant: FakeResponder
) -> None:
    dialect = CommandDialect(Start(session()))
    once = replace(ASKED, instructions="Only now.", spoken=False)

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.send(dialect.message(Respond(once)))
            await client.until("ReplyDone", turn=1)
            assert client.packets == []  # in text only
            await client.send(dialect.message(TypedText("And you?")))
            await client.until("ReplyDone", turn=2)
            await client.send(dialect.message(Respond()))
            await client.until("ReplyDone", turn=3)
            assert client.packets != []
            asked = [("Only now.", ""), ("Be kind.", "And you?"), ("Be kind.", "")]
            assert asked_of(assistant) == asked

    local.run(story)


def test_other_instructions_in_mid_call_hold_for_the_replies_after_them(
    local: LocalCalls, assistant: FakeResponder
) -> None:
    dialect = CommandDialect(Start(session()))
    briefer = session(replace(ASKED, instructions="Be brief."))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.send(dialect.message(TypedText("Hello.")))
            await client.until("ReplyDone", turn=1)
            await client.send(dialect.message(Reconfigure(briefer), TypedText("And you?")))
            await client.until("ReplyDone", turn=2)
            asked = [("Be kind.", "Hello."), ("Be brief.", "And you?")]
            assert asked_of(assistant) == asked

    local.run(story)


def test_a_key_of_a_telephone_says_nothing_to_an_assistant(
    local: LocalCalls, assistant: FakeResponder
) -> None:
    dialect = CommandDialect(Start(session()))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.send(dialect.message(PressKey("1"), TypedText("Hello.")))
            await client.until("ReplyDone", turn=1)
            assert asked_of(assistant) == [("Be kind.", "Hello.")]

    local.run(story)


def test_a_reply_is_not_made_twice_at_a_time(local: LocalCalls, assistant: FakeResponder) -> None:
    dialect = CommandDialect(Start(session()))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.send(dialect.message(Respond(), Respond()))
            assert (await client.until("Fault"))["code"] == "reply_under_way"
            await client.until("ReplyDone", turn=1)
            await client.send(dialect.message(Truncate(1, 20)))
            await asyncio.sleep(0.1)  # the dialect remembers what was heard, and nothing is stored
            assert await local.store.get("session:test") is None

    local.run(story)


def test_an_interruption_means_the_reply_that_waits_behind_audio(
    local: LocalCalls, assistant: FakeResponder
) -> None:
    dialect = CommandDialect(Start(session()))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until("SessionReady")
            audio = [AudioMessage(SILENCE)] * 100
            await client.send(dialect.message(*audio, Respond(), InterruptReply()))
            await asyncio.sleep(3)
            assert client.found("ReplyStarted") == client.found("ReplyDone") == []
            await client.send(dialect.message(Respond()))
            await client.until("ReplyDone", turn=2, heard="Nice to meet you.")

    local.run(story)


def test_an_assistant_stops_when_its_time_is_up(
    local: LocalCalls, assistant: FakeResponder
) -> None:
    local.settings |= {"longest_interview_min": 1, "longest_session_min": 3}
    dialect = CommandDialect(Start(session()))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await asyncio.sleep(150)
            assert await client.closed() == (1008, "the session's time is over")
            assert asyncio.get_running_loop().time() == pytest.approx(180, abs=1)
            assert client.found("Fault")[-1]["code"] == "session_expired"

    local.run(story)


def test_without_a_chat_server_there_is_no_assistant(local: LocalCalls) -> None:
    dialect = CommandDialect(Start(session()))

    async def story() -> None:
        scripted = Choice("llm", (find("llm", "scripted"),), "nothing else is configured")
        lineup = replace(local.calls.lineup, choices={"llm": scripted})
        local.calls = replace(local.calls, lineup=lineup)
        async with local.call(dialect=dialect) as client:
            fault = await client.until("Fault", fatal=True)
            assert fault["code"] == "model_not_found"
            assert await client.closed() == (
                1008,
                "no chat server is configured: set PARLEY_LLM_MODEL (and PARLEY_LLM_URL)",
            )

    local.run(story)


# --- beside the conversation -----------------------------------------------------------------


def test_a_reply_beside_the_conversation_is_text_and_is_not_remembered(
    local: LocalCalls, assistant: FakeResponder
) -> None:
    dialect = CommandDialect(Start(session()))
    aside = replace(ASKED, instructions="Sum up.")

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until("SessionReady")
            await client.send(dialect.message(RespondOutOfBand("a", aside)))
            await client.until("OutOfBand", done=True)
            pieces = client.found("OutOfBand", key="a")
            assert "".join(piece["text"] for piece in pieces) == "Nice to meet you. "
            assert [piece["done"] for piece in pieces] == [False] * 4 + [True]
            assert pieces[-1]["failed"] is None
            assert client.found("ReplyStarted") == client.packets == []
            [request] = assistant.requests
            assert request.brief.history == (Message("system", "Sum up."), *HISTORY)

    local.run(story)


def test_four_replies_beside_the_conversation_are_made_at_once_and_no_more(
    local: LocalCalls,
) -> None:
    local.responder = FakeResponder(Script(first_s=0.5, gap_s=0.2), text="one two three")
    dialect = CommandDialect(Start(session()))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until("SessionReady")
            keys = [str(number) for number in range(MOST_OUT_OF_BAND + 1)]
            await client.send(dialect.message(*(RespondOutOfBand(key, ASKED) for key in keys)))
            refused = await client.until("OutOfBand", done=True)
            assert (refused["key"], refused["failed"]) == (
                "4",
                "4 responses beside the conversation are under way",
            )
            await client.send(dialect.message(StopOutOfBand("0"), StopOutOfBand("unknown")))
            await asyncio.sleep(0.1)
            await client.send(dialect.message(RespondOutOfBand("5", ASKED)))
            await client.until("OutOfBand", key="5", done=True)
            told = client.found("OutOfBand", done=True, failed=None)
            assert sorted(piece["key"] for piece in told) == ["1", "2", "3", "5"]
            assert client.found("OutOfBand", key="0") == []

    local.run(story)


def test_a_client_that_leaves_stops_what_is_made_beside_the_conversation(
    local: LocalCalls,
) -> None:
    local.responder = FakeResponder(Script(first_s=5), text="too late")
    dialect = CommandDialect(Start(session()), RespondOutOfBand("a", ASKED))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until("SessionReady")
            await asyncio.sleep(1)
        await client.closed()
        assert asyncio.get_running_loop().time() == pytest.approx(1, abs=0.1)
        assert client.found("OutOfBand") == []

    local.run(story)


class Endless(FakeResponder):
    """Says more than anybody wants, and calls a function between."""

    async def _says(self, request: ReplyRequest) -> AsyncIterator[Any]:
        yield ToolCall(request.turn, "call", "weather", "{}")
        for _ in range(3):
            yield TextDelta(request.turn, "x" * (LONGEST_CHARS // 2 + 1))

    def reply(self, request: ReplyRequest) -> AsyncIterator[Any]:
        return self._says(request)


def test_a_reply_beside_the_conversation_is_bounded(local: LocalCalls) -> None:
    local.responder = Endless()
    dialect = CommandDialect(Start(session()), RespondOutOfBand("a", ASKED))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until("OutOfBand", done=True)
            lengths = [len(piece["text"]) for piece in client.found("OutOfBand")]
            assert lengths == [LONGEST_CHARS // 2 + 1, LONGEST_CHARS // 2 - 1, 0]

    local.run(story)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (Script(error=StageFailed("llm", "fake-llm", "connect")), "no connection"),
        (Script(stall=True), "too slow to begin"),
    ],
)
def test_a_failure_beside_the_conversation_is_told_and_costs_nothing_else(
    local: LocalCalls, script: Script, reason: str
) -> None:
    local.responder = FakeResponder(script, Script(), text="Nice to meet you.")
    dialect = CommandDialect(Start(session()), RespondOutOfBand("a", ASKED))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            told = await client.until("OutOfBand", done=True)
            assert told["failed"] == f"llm provider 'fake-llm': {reason}"
            await client.send(dialect.message(TypedText("Hello.")))
            await client.until("ReplyDone", turn=1, heard="Nice to meet you.")

    local.run(story)
