"""The host of a plain conversation: what the chat model is told in a turn."""

import asyncio
import math
from typing import Any

from gateway.live.assistant import AssistantHost, NoAssistant
from gateway.protocols.request import AssistantRequest, SessionRequest
from pipeline.frames import Fault
from pipeline.stage import Message, Tool

HELLO = Message("user", "Hello")
TOOL = Tool("weather", "The weather at a place.", {})


def asked(**fields: Any) -> AssistantRequest:
    return AssistantRequest(lambda turn: (HELLO,) * turn, **fields)


def test_a_brief_holds_all_that_the_client_asked_for() -> None:
    host = AssistantHost(
        asked(
            model="mine",
            instructions="Be brief.",
            tools=(TOOL,),
            tool_choice="weather",
            max_tokens=9,
            voice="anna",
            spoken=False,
        )
    )
    brief = host.brief(2, "")
    assert brief.history == (Message("system", "Be brief."), HELLO, HELLO)
    assert (brief.say, brief.instructions) == ((), "")
    assert (brief.tools, brief.tool_choice) == ((TOOL,), "weather")
    assert (brief.max_tokens, brief.voice, brief.spoken) == (9, "anna", False)
    assert brief.model == "mine"


def test_without_instructions_and_model_the_server_has_its_own() -> None:
    brief = AssistantHost(asked()).brief(1, "")
    assert brief.history == (HELLO,)
    assert brief.model is None


def test_another_request_holds_from_then_on() -> None:
    host = AssistantHost(asked(instructions="Be brief."))
    host.request(SessionRequest(assistant=asked(instructions="Be long.")))
    host.request(SessionRequest())
    assert host.brief(0, "").history == (Message("system", "Be long."),)


def test_what_was_to_hold_for_a_reply_that_is_refused_holds_for_none() -> None:
    host = AssistantHost(asked(model="usual"))
    host.once(asked(model="once"))
    host.observe(Fault(1, "storage_slow", "it takes long"), 0.0)
    host.observe(Fault(1, "reply_under_way", "a reply is under way"), 0.0)
    assert host.brief(2, "").model == "usual"
    host.once(asked(model="once"))
    assert host.brief(3, "").model == "once"
    host.observe(Fault(3, "reply_under_way", "another one was refused"), 0.0)
    assert host.brief(3, "").model == "once", "the reply that has it is under way"


def test_what_holds_once_is_for_the_next_reply_without_words() -> None:
    host = AssistantHost(asked(model="usual"))
    host.once(asked(model="once"))
    assert host.brief(1, "what was said").model == "usual"
    assert host.brief(2, "").model == "once"
    assert host.brief(2, "").model == "once"  # it is asked for again where a model fails
    assert host.brief(3, "").model == "usual"
    host.once(None)
    assert host.brief(4, "").model == "usual"


def test_it_neither_speaks_by_itself_nor_ends() -> None:
    host = AssistantHost(asked())

    async def story() -> None:
        await host.accept(1, "text")
        await host.commit(1, "text", "heard")
        await host.correct(1, "less")
        host.time_is_up()

    asyncio.run(story())
    assert (host.prompt(1, 1), host.farewell()) == ("", "")
    assert host.describe() is None
    assert host.observers() == (host,)
    assert host.seconds_left(60.0, 1e9) == math.inf
    assert "PARLEY_LLM_MODEL" in str(NoAssistant())
