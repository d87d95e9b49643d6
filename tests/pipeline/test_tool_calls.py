"""Functions of the client that a reply calls: called once, when the answer is stored."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pipeline.frames import (
    Degraded,
    Fault,
    ReplyAudio,
    ReplyDone,
    ReplyStarted,
    ReplyText,
    TextDelta,
    ToolCall,
    TurnMetrics,
)
from pipeline.session import SessionPolicy
from pipeline.stage import ReplyRequest, ToolRequest
from pipeline.testing import play
from pipeline.tool_rounds import MOST_HANDED as MOST_CALLS
from stages.fakes import FakeResponder, FakeSynthesizer, FakeTranscriber, Script

WEATHER = ToolCall(0, "c1", "weather", '{"city":"Oslo"}')
TIME = ToolCall(0, "c2", "time", "{}")
REQUESTS = (ToolRequest("c1", "weather", '{"city":"Oslo"}'), ToolRequest("c2", "time", "{}"))
SPEECHLESS = "Sorry, I lost my thread for a moment. Please go on."


class Caller(FakeResponder):
    """Gives these items in every turn but the opening one, whose text is "Hello."."""

    def __init__(self, *items: TextDelta | ToolCall, scripts: tuple[Script, ...] = ()) -> None:
        super().__init__(*scripts)
        self._items = items
        self._turns = list(scripts)

    def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta | ToolCall]:
        self.requests.append(request)
        if request.turn == 0:
            return play([TextDelta(0, "Hello.")], Script())
        script = self._turns.pop(0) if self._turns else Script()
        return play(self._items, script)


def calls(conversation: Any) -> list[tuple[int, str]]:
    return [(call.turn, call.call_id) for call in conversation.all(ToolCall)]


def answer(conversation: Any) -> None:
    """Say something, and wait until that turn is over."""

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)
        await conversation.until(TurnMetrics, 1)

    conversation.run(story)


@pytest.fixture(params=[False, True], ids=["decided", "ahead"])
def either(conversation: Any, request: Any) -> Any:
    """Once with replies prepared ahead of the decision, once without."""
    conversation.policy = SessionPolicy(speculate=request.param)
    return conversation


def test_a_reply_of_calls_alone_is_a_success_without_a_sound(either: Any) -> None:
    either.responders = [Caller(WEATHER, TIME)]
    answer(either)
    assert calls(either) == [(1, "c1"), (1, "c2")]
    assert either.all(ToolCall)[0].arguments == '{"city":"Oslo"}'
    assert either.all(ReplyDone)[1] == ReplyDone(1, interrupted=False, heard="")
    for kind in (ReplyStarted, ReplyText, ReplyAudio):
        assert [frame for frame in either.all(kind) if frame.turn == 1] == []
    assert either.all(Degraded) == []
    assert either.host.log[1:] == [("accept", 1, "I like tests"), ("commit", 1, "I like tests", "")]
    assert either.host.calls == [(), REQUESTS]
    metrics = either.all(TurnMetrics)[1]
    assert [span.stage for span in metrics.stages] == ["endpointing", "stt", "llm"]


def test_a_reply_of_words_and_calls_is_spoken_and_calls(either: Any) -> None:
    either.responders = [Caller(TextDelta(1, "Let me look. "), WEATHER, TextDelta(1, "So."))]
    answer(either)
    assert calls(either) == [(1, "c1")]
    assert either.all(ReplyDone)[1] == ReplyDone(1, interrupted=False, heard="Let me look. So.")
    assert either.host.log[-1] == ("commit", 1, "I like tests", "Let me look. So.")
    assert either.host.calls == [(), REQUESTS[:1]]


def test_a_call_is_made_when_the_answer_is_stored_and_not_before(either: Any) -> None:
    either.responders = [Caller(WEATHER)]
    either.host.accept_s = 1.0
    answer(either)
    (called,) = either.all(ToolCall)
    stored = [frame for _, frame in either.frames].index(called)
    assert "Transcript" in [type(frame).__name__ for _, frame in either.frames[:stored]]
    assert calls(either) == [(1, "c1")]


def test_an_answer_that_is_not_stored_calls_nothing(either: Any) -> None:
    either.responders = [Caller(WEATHER)]

    async def story() -> None:
        await either.until(ReplyDone, 0)
        await either.pause(100)
        either.host.error = OSError("disk full")
        await either.speak()
        await either.until(ReplyDone, 1)

    either.run(story)
    assert calls(either) == []
    assert "could not save" in either.all(ReplyDone)[1].heard
    assert "not_stored" in [fault.code for fault in either.all(Fault)]


def test_calls_that_were_prepared_and_discarded_are_never_made(conversation: Any) -> None:
    conversation.policy = SessionPolicy()
    conversation.responders = [responder := Caller(WEATHER)]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        await conversation.pause(500)
        assert len(responder.requests) == 2
        responder._items = (TIME,)
        await conversation.speak(600)
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert calls(conversation) == [(1, "c2")]
    assert conversation.host.calls == [(), REQUESTS[1:]]


def test_a_reply_that_breaks_off_calls_nothing(either: Any) -> None:
    broken = Script(after=1, error=OSError("gone"))
    either.responders = [Caller(WEATHER, TIME, scripts=(broken, broken))]
    answer(either)
    assert calls(either) == []
    assert either.all(ReplyDone)[1].heard == SPEECHLESS
    assert either.host.calls == [(), ()]


def test_a_preparation_that_failed_is_made_again_and_calls_once(conversation: Any) -> None:
    conversation.policy = SessionPolicy()
    broken = Script(after=1, error=OSError("gone"))
    conversation.responders = [Caller(WEATHER, TIME, scripts=(broken,))]
    answer(conversation)
    assert calls(conversation) == [(1, "c1"), (1, "c2")]
    assert conversation.all(Degraded) == []


def test_a_call_that_was_made_is_not_made_again_where_synthesis_fails_later(
    conversation: Any,
) -> None:
    """A prepared reply whose synthesis fails is repeated, but not after a call."""

    class Fails(FakeSynthesizer):
        async def speak(self, sentence: Any) -> Any:
            if sentence.turn == 1:
                await asyncio.sleep(1.2)  # the decision comes first
                raise OSError("gone")
            async for speech in super().speak(sentence):
                yield speech

    conversation.policy = SessionPolicy()
    conversation.synthesizers = [Fails()]
    conversation.responders = [Caller(TextDelta(1, "Let me look."), WEATHER)]
    answer(conversation)
    assert calls(conversation) == [(1, "c1")]
    assert [(d.stage, d.target) for d in conversation.all(Degraded)] == [("tts", "text")]
    assert conversation.all(ReplyDone)[1] == ReplyDone(1, interrupted=False, heard="Let me look.")


def test_what_was_called_is_remembered_although_the_reply_was_interrupted(
    conversation: Any,
) -> None:
    conversation.responders = [Caller(TextDelta(1, "Let me look that up for you."), WEATHER)]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.typed("the weather")
        await conversation.until(ReplyStarted, 1)
        await conversation.pause(500)
        conversation.session.interrupt()

    conversation.run(story)
    assert conversation.host.log[-1] == ("commit", 1, "the weather", "Let me")
    assert conversation.host.calls == [(), REQUESTS[:1]]


def test_a_turn_that_is_stopped_before_its_reply_is_complete_has_called_nothing(
    conversation: Any,
) -> None:
    conversation.responders = [Caller(WEATHER, TIME, scripts=(Script(gap_s=0.5),))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.typed("the weather")
        await conversation.pause(200)
        conversation.session.interrupt()
        await conversation.pause(1000)

    conversation.run(story)
    assert calls(conversation) == []
    assert conversation.host.calls == [(), ()]


def test_a_reply_calls_no_more_than_so_many_functions(conversation: Any) -> None:
    many = [ToolCall(1, str(number), "again", "{}") for number in range(MOST_CALLS + 5)]
    conversation.responders = [Caller(*many)]
    answer(conversation)
    assert calls(conversation) == [(1, str(number)) for number in range(MOST_CALLS)]


def test_another_turn_follows_a_reply_of_calls_alone(conversation: Any) -> None:
    conversation.responders = [Caller(WEATHER)]
    conversation.transcribers = [FakeTranscriber(texts=("first", "second"))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)
        conversation.session.respond()
        await conversation.until(ReplyDone, 2)
        await conversation.speak()
        await conversation.until(ReplyDone, 3)

    conversation.run(story)
    assert calls(conversation) == [(1, "c1"), (2, "c1"), (3, "c1")]
    assert [entry[:2] for entry in conversation.host.log if entry[0] == "commit"] == [
        ("commit", turn) for turn in range(4)
    ]


class Calling:
    """Calls a function after 1.5 s and speaks 0.75 s later: too late for its first item."""

    provider = "calling"

    async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta | ToolCall]:
        await asyncio.sleep(1.5)
        yield ToolCall(request.turn, "call_1", "look_up", "{}")
        await asyncio.sleep(0.75)
        yield TextDelta(request.turn, "I have looked it up.")

    async def aclose(self) -> None: ...


def test_a_call_counts_as_the_first_item_and_the_text_after_it_is_spoken(conversation: Any) -> None:
    conversation.responders = [Calling()]

    async def story() -> None:
        done = await conversation.until(ReplyDone, 0)
        assert done.heard == "I have looked it up."
        assert conversation.all(Degraded) == []

    conversation.run(story)
