"""Functions that the session runs: within the turn, after the answer is stored, with an end."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from pipeline.canned import CannedLines
from pipeline.frames import (
    Degraded,
    Fault,
    ReplyDone,
    ReplyStarted,
    ReplyText,
    TextDelta,
    ToolCall,
    TurnMetrics,
)
from pipeline.reply_draft import LONGEST_REPLY
from pipeline.session import SessionPolicy
from pipeline.stage import ReplyRequest, Tool, ToolRequest
from pipeline.tool_calls import OwnTool, ToolFailed
from pipeline.tool_rounds import MOST_ROUNDS

LOOKING = CannedLines().looking
SPEECHLESS = CannedLines().speechless
CALL = ToolCall(0, "c1", "weather", '{"city":"Oslo"}')
WEATHER = Tool("weather", "The weather in a city.", {"type": "object", "required": ["city"]})


class Asking:
    """Gives the items of one list for each request of a turn; the opening turn has "Hello."."""

    def __init__(self, *replies: Sequence[str | ToolCall], provider: str = "asking") -> None:
        self.provider = provider
        self.requests: list[ReplyRequest] = []
        self._replies = list(replies)

    async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta | ToolCall]:
        if request.turn == 0:
            yield TextDelta(0, "Hello.")
            return
        self.requests.append(request)
        items = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        for item in items:
            await asyncio.sleep(0.05)
            if item == "!":
                raise OSError("gone")
            yield TextDelta(request.turn, item) if isinstance(item, str) else item

    async def aclose(self) -> None: ...


class Weather:
    """A function that takes `takes_s` and then gives `result`, or raises it."""

    def __init__(self, result: str | Exception = "rain", takes_s: float = 0.1) -> None:
        self.calls: list[tuple[int, str, dict[str, Any]]] = []
        self.stopped = 0
        self._result = result
        self._takes_s = takes_s

    async def __call__(self, turn: int, call: ToolRequest, arguments: Mapping[str, Any]) -> str:
        self.calls.append((turn, call.call_id, dict(arguments)))
        try:
            await asyncio.sleep(self._takes_s)
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


def tools(conversation: Any, call: Weather, **changes: Any) -> None:
    """Have the session run it, with or without preparing replies ahead of their decision."""
    own = replace(OwnTool(WEATHER, call), **changes)
    conversation.policy = replace(conversation.policy, tools=(own,))


def said(conversation: Any, turn: int = 1) -> list[str]:
    return [text.text for text in conversation.all(ReplyText) if text.turn == turn]


def results(request: ReplyRequest) -> list[str]:
    return [message.content for message in request.brief.history if message.role == "tool"]


def typed(conversation: Any) -> ReplyDone:
    """Type an answer; the reply to it when it is over."""

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.typed("the weather")
        await conversation.until(ReplyDone, 1, within_ms=120_000)
        await conversation.until(TurnMetrics, 1)

    conversation.run(story)
    done: ReplyDone = conversation.all(ReplyDone)[1]
    return done


@pytest.mark.parametrize("ahead", [False, True], ids=["decided", "ahead"])
def test_a_function_is_run_once_and_its_result_is_told_in_the_same_turn(
    conversation: Any, ahead: bool
) -> None:
    conversation.policy = SessionPolicy(speculate=ahead)
    conversation.responders = [responder := Asking(["Let me look. ", CALL], ["It rains."])]
    tools(conversation, weather := Weather())

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert weather.calls == [(1, "c1", {"city": "Oslo"})]
    first, second = responder.requests
    assert first.brief.tools == (WEATHER,)
    assert first.text == "I like tests"
    assert second.text == ""
    assert results(second) == ["rain"]
    assert said(conversation) == ["Let me look.", "It rains."]
    assert conversation.all(ReplyDone)[1].heard == "Let me look. It rains."
    assert conversation.host.log[-1] == ("commit", 1, "I like tests", "Let me look. It rains.")
    assert conversation.all(ToolCall) == []
    assert conversation.all(Degraded) == []


def test_a_function_is_not_run_before_the_answer_is_stored(conversation: Any) -> None:
    conversation.policy = SessionPolicy()
    conversation.responders = [Asking([CALL], ["It rains."])]
    conversation.host.accept_s = 2.0
    tools(conversation, weather := Weather())

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.pause(2000)
        assert weather.calls == []
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert len(weather.calls) == 1
    assert said(conversation) == ["It rains."]


def test_an_answer_that_is_not_stored_runs_nothing(conversation: Any) -> None:
    conversation.responders = [Asking([CALL], ["It rains."])]
    tools(conversation, weather := Weather())

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.pause(100)
        conversation.host.error = OSError("disk full")
        conversation.session.typed("the weather")
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert weather.calls == []
    assert "not_stored" in [fault.code for fault in conversation.all(Fault)]


def test_a_slow_function_is_bridged_by_one_line_that_is_not_remembered(conversation: Any) -> None:
    conversation.responders = [Asking([CALL, CALL], [CALL], ["It rains."])]
    tools(conversation, Weather(takes_s=8.0))
    done = typed(conversation)
    assert said(conversation) == [LOOKING, "It rains."]
    assert done.heard == f"{LOOKING} It rains."
    assert conversation.host.log[-1] == ("commit", 1, "the weather", "It rains.")
    assert conversation.all(Degraded) == []


def test_words_before_the_call_come_first_and_then_the_line(conversation: Any) -> None:
    conversation.responders = [Asking(["Let me look that up for you. ", CALL], ["It rains."])]
    tools(conversation, Weather(takes_s=8.0), filler="The forecast is slow today.")
    typed(conversation)
    assert said(conversation) == [
        "Let me look that up for you.",
        "The forecast is slow today.",
        "It rains.",
    ]
    assert [text.filler for text in conversation.all(ReplyText)][-3:] == [False, True, False]
    texts = [(at, f.text) for at, f in conversation.frames if isinstance(f, ReplyText)]
    first, line = (at for at, text in texts if text.startswith(("Let me", "The forecast")))
    assert line - first > 1.0


@pytest.mark.parametrize("filler", [None, ""], ids=["an assistant's", "a silent one"])
def test_a_session_may_say_nothing_meanwhile(conversation: Any, filler: str | None) -> None:
    conversation.policy = replace(conversation.policy, fills=filler is not None)
    conversation.responders = [Asking([CALL], ["It rains."])]
    tools(conversation, Weather(takes_s=5.0), filler=filler)
    typed(conversation)
    assert said(conversation) == ["It rains."]


def test_a_function_that_never_answers_ends_by_its_limit_and_the_model_is_told(
    conversation: Any,
) -> None:
    conversation.responders = [responder := Asking([CALL], ["I cannot tell."])]
    tools(conversation, weather := Weather(takes_s=1e6), limit_s=20.0)
    typed(conversation)
    assert results(responder.requests[1]) == ['{"error": "no answer within 20 s"}']
    assert weather.stopped == 1
    assert said(conversation) == [LOOKING, "I cannot tell."]
    assert conversation.all(Degraded) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [(ToolFailed("no such city"), "no such city"), (OSError("secret"), "it failed")],
    ids=["failed", "a defect"],
)
def test_a_function_that_fails_is_told_to_the_model(
    conversation: Any, error: Exception, told: str
) -> None:
    conversation.responders = [responder := Asking([CALL], ["I cannot tell."])]
    tools(conversation, Weather(error))
    typed(conversation)
    assert [json.loads(text) for text in results(responder.requests[1])] == [{"error": told}]
    assert said(conversation) == ["I cannot tell."]


def test_functions_of_one_round_run_at_the_same_time(conversation: Any) -> None:
    conversation.responders = [Asking([CALL, replace(CALL, call_id="c2")], ["It rains."])]
    tools(conversation, weather := Weather(takes_s=0.8))
    typed(conversation)
    assert [call_id for _, call_id, _ in weather.calls] == ["c1", "c2"]
    assert said(conversation) == ["It rains."]  # 1.6 s would have been bridged


def test_garbage_runs_nothing_and_the_model_may_try_again(conversation: Any) -> None:
    garbage = replace(CALL, arguments="{city: Oslo")
    conversation.responders = [responder := Asking([garbage], [CALL], ["It rains."])]
    tools(conversation, weather := Weather())
    typed(conversation)
    assert weather.calls == [(1, "c1_2", {"city": "Oslo"})]
    assert "no JSON object" in results(responder.requests[1])[0]
    assert said(conversation) == ["It rains."]


def test_a_model_that_only_calls_ends_in_the_canned_line(conversation: Any) -> None:
    conversation.responders = [responder := Asking([CALL])]
    tools(conversation, weather := Weather())
    typed(conversation)
    assert len(weather.calls) == MOST_ROUNDS
    assert [request.brief.tool_choice for request in responder.requests][-2:] == ["auto", "none"]
    assert said(conversation) == [SPEECHLESS]
    assert [degraded.stage for degraded in conversation.all(Degraded)] == ["llm"]


def test_a_barge_in_stops_the_function_and_the_turn(conversation: Any) -> None:
    conversation.responders = [responder := Asking([CALL], ["It rains."])]
    tools(conversation, weather := Weather(takes_s=30.0))

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.typed("the weather")
        await conversation.until(ReplyStarted, 1)  # the line that bridges
        await conversation.speak(1000)
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert weather.stopped >= 1
    assert "It rains." not in said(conversation)
    assert conversation.all(ReplyDone)[1].interrupted
    assert responder.requests[0].turn == 1


def test_another_model_takes_over_with_the_results(conversation: Any) -> None:
    broken = Asking([CALL], ["It", "!"], provider="broken")
    conversation.responders = [broken, other := Asking(["It rains."], provider="other")]
    tools(conversation, weather := Weather())
    typed(conversation)
    assert len(weather.calls) == 1
    assert results(other.requests[0]) == ["rain"]
    assert said(conversation) == ["It rains."]
    assert [(d.source, d.target) for d in conversation.all(Degraded)] == [("broken", "other")]


def test_a_model_that_breaks_off_after_its_words_keeps_them(conversation: Any) -> None:
    """What was said before the call cannot be taken back; what follows can be replaced."""
    broken = Asking(["Let me look. ", CALL], ["It", "!"], provider="broken")
    conversation.responders = [broken, Asking(["It rains."], provider="other")]
    tools(conversation, Weather())
    typed(conversation)
    assert said(conversation) == ["Let me look.", "It rains."]


def test_the_line_that_is_due_follows_calls_without_words(conversation: Any) -> None:
    conversation.host.wishes = replace(conversation.host.wishes, due="How old are you?")
    conversation.responders = [Asking(["Let me look. ", CALL], ["!"])]
    tools(conversation, Weather())
    typed(conversation)
    assert said(conversation) == ["Let me look.", "How old are you?"]


def test_a_reply_that_is_full_calls_nothing_more(conversation: Any) -> None:
    long = "It rains all day. " * (LONGEST_REPLY // 18 + 1)
    conversation.responders = [Asking([CALL, long])]
    tools(conversation, weather := Weather())

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.typed("the weather")
        await conversation.until(ReplyStarted, 1)
        await conversation.pause(500)
        conversation.session.interrupt()

    conversation.run(story)
    assert weather.calls == []


def test_the_clients_own_functions_are_handed_over_at_the_end(conversation: Any) -> None:
    theirs = Tool("open", "", {})
    conversation.host.wishes = replace(conversation.host.wishes, tools=(theirs,))
    opening = ToolCall(0, "o1", "open", "{}")
    conversation.responders = [responder := Asking([CALL, opening], ["It rains."])]
    tools(conversation, weather := Weather())
    typed(conversation)
    assert [tool.name for tool in responder.requests[0].brief.tools] == ["open", "weather"]
    assert len(weather.calls) == 1
    assert conversation.all(ToolCall) == [replace(opening, turn=1)]
    assert conversation.host.calls[-1] == (ToolRequest("o1", "open", "{}"),)


def test_a_round_in_which_nothing_can_be_run_takes_no_time(conversation: Any) -> None:
    conversation.responders = [Asking([replace(CALL, name="other")], ["It rains."])]
    tools(conversation, weather := Weather(), filler="Wait.")
    typed(conversation)
    assert weather.calls == []
    assert said(conversation) == ["It rains."]
