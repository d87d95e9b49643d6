import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, cast

import pytest

from pipeline.breaker import Outcome
from pipeline.frames import TextDelta
from pipeline.guard import Limits
from pipeline.stage import Brief, Message, ReplyRequest
from stages.llm.openai import OpenAIResponder

SUCCESS, FAILURE, NEUTRAL = Outcome.SUCCESS, Outcome.FAILURE, Outcome.NEUTRAL

HISTORY = (
    Message("system", "You interview a software engineer."),
    Message("user", "(begin)"),
    Message("assistant", "Question 1: Why?"),
)
REQUEST = ReplyRequest(4, "Because I can.", Brief((), "Ask, word for word: How?", HISTORY))

Ask = Callable[..., Any]


@pytest.fixture
def ask(peer: Any, bench: Any) -> Ask:
    """Asks the model for a reply, through a guard."""

    def ask(model: str, request: ReplyRequest = REQUEST, **options: Any) -> Any:
        names = {"limits", "leave_after", "then"} & options.keys()
        how = {name: options.pop(name) for name in names}
        call = options.pop("call", lambda stage: stage.reply(request))
        responder = OpenAIResponder(peer.url, model, **options)
        result = bench.guarded(
            "llm", responder, call, useful=lambda delta: bool(delta.text.strip()), **how
        )
        result.usage = responder.usage
        return result

    return ask


def said(result: Any) -> str:
    return "".join(delta.text for delta in result.items)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("hello", "Hello there."),
        ("bytes", "Schön, 你好."),
        ("roles", "One two."),
        ("reasoning", "Well, use C#."),
        ("eof-finished", "Hello there."),
        ("reset-finished", "Hello there."),
        ("done-only", "Hello there."),
        ("lingers", "Hello there."),
        ("drip", "Slowly but surely."),
    ],
)
def test_a_reply_is_streamed(ask: Ask, model: str, text: str) -> None:
    result = ask(model)
    assert said(result) == text
    assert result.error is None
    assert result.outcomes == [SUCCESS]
    assert {delta.turn for delta in result.items} == {4}


@pytest.mark.parametrize(
    ("model", "failure", "detail"),
    [
        ("malformed", "protocol", "what should be JSON is not"),
        ("no-object", "protocol", "what should be a JSON object is not"),
        ("no-delta", "protocol", "no chat completion chunk"),
        ("error", "stream", "the server says: out of memory"),
        ("eof", "stream", "it ended without a finish reason"),
        ("reset", "stream", "RemoteProtocolError"),
    ],
)
def test_a_reply_that_breaks_off_fails_after_what_was_said(
    ask: Ask, model: str, failure: str, detail: str
) -> None:
    result = ask(model)
    assert said(result) == "Hello there."
    assert result.failure == ("StageFailed", failure)
    assert detail in result.error.detail
    assert result.error.partial
    assert result.outcomes == [FAILURE]


@pytest.mark.parametrize(
    ("model", "failure", "detail"),
    [
        ("json", ("StageFailed", "protocol"), "streaming is not supported"),
        ("no-text", ("StageFailed", "protocol"), "content is not text"),
        ("nested", ("StageFailed", "protocol"), "what should be JSON is not"),
        ("line", ("StageFailed", "protocol"), "a line of more than 65536 bytes"),
        ("empty", ("StageFailed", "empty"), ""),
        ("tools", ("StageFailed", "empty"), ""),
        ("thought", ("StageFailed", "empty"), ""),
        ("pages", ("StageFailed", "protocol"), "a line of more than 65536 bytes"),
        ("broken", ("StageFailed", "connect"), "HTTP 500"),
        ("busy", ("StageBusy", "connect"), "HTTP 429: slow down"),
    ],
)
def test_a_reply_that_never_begins_fails(
    ask: Ask, model: str, failure: tuple[str, str], detail: str
) -> None:
    result = ask(model)
    assert result.items == []
    assert result.failure == failure
    assert detail in result.error.detail
    assert result.outcomes == [FAILURE]


def test_the_breaker_hears_how_long_the_server_wants_to_be_left_alone(ask: Ask) -> None:
    assert ask("busy").retry_after_s == 7.0


@pytest.mark.parametrize("model", ["bad", "missing", "redirect"])
def test_what_is_our_fault_is_not_held_against_the_server(ask: Ask, model: str) -> None:
    result = ask(model)
    assert result.failure == ("Refused", "connect")
    assert result.outcomes == [NEUTRAL]


@pytest.mark.parametrize(
    ("model", "limits", "text", "phase"),
    [
        ("silent/limit", Limits(first_s=0.5), "", "first"),
        ("keep-alive/limit", Limits(first_s=0.5), "", "first"),
        ("thinks/limit", Limits(first_s=0.5), "", "first"),
        ("bytewise/limit", Limits(first_s=0.5), "", "first"),
        ("stall/limit", Limits(first_s=10, stall_s=0.1), "Hello there.", "stall"),
        ("drip/limit", Limits(first_s=10, stall_s=10, total_s=0.1), None, "total"),
    ],
)
def test_a_server_that_keeps_us_waiting_is_left_and_sees_it(
    ask: Ask, peer: Any, model: str, limits: Limits, text: str | None, phase: str
) -> None:
    result = ask(model, limits=limits, then=lambda: peer.disconnected(model))
    assert result.failure == ("StageTimeout", phase)
    assert result.outcomes == [FAILURE]
    assert text is None or said(result) == text


@pytest.mark.parametrize("model", ["stall/left", "endless/left", "late/left"])
def test_a_consumer_that_leaves_stops_the_server(ask: Ask, peer: Any, model: str) -> None:
    result = ask(model, leave_after=2, then=lambda: peer.disconnected(model))
    assert len(result.items) == 2
    assert result.outcomes == [SUCCESS]


def test_nothing_of_a_reply_that_was_left_reaches_the_next(ask: Ask) -> None:
    async def twice(stage: OpenAIResponder) -> AsyncIterator[TextDelta]:
        for _ in range(2):
            async with aclosing(cast("AsyncGenerator[TextDelta, None]", stage.reply(REQUEST))) as r:
                yield await anext(r)
                yield await anext(r)

    assert said(ask("late/next", call=twice)) == "Hello there.Hello there."


@pytest.mark.parametrize(("model", "connections"), [("hello/again", 1), ("lingers/again", 2)])
def test_the_next_reply_uses_the_same_connection_if_the_last_was_read_to_its_end(
    ask: Ask, peer: Any, model: str, connections: int
) -> None:
    async def twice(stage: OpenAIResponder) -> AsyncIterator[TextDelta]:
        for _ in range(2):
            async for delta in stage.reply(REQUEST):
                yield delta

    assert said(ask(model, call=twice)) == "Hello there.Hello there."
    assert len({asked["client"] for asked in peer.requests(model)}) == connections


def test_a_model_that_never_stops_is_stopped_at_a_sentences_end(ask: Ask, peer: Any) -> None:
    result = ask("endless/stop", then=lambda: peer.disconnected("endless/stop"))
    assert 1500 <= len(said(result)) < 1530
    assert said(result).endswith(".")
    assert result.error is None
    assert result.outcomes == [SUCCESS]


def test_a_book_is_stopped_at_a_sentences_end(ask: Ask) -> None:
    result = ask("book")
    assert 1500 <= len(said(result)) < 1530
    assert result.error is None


def test_the_server_gets_the_deadline(ask: Ask, peer: Any) -> None:
    ask("hello/budget", limits=Limits(first_s=30))
    [asked] = peer.requests("hello/budget")
    assert 20_000 <= int(asked["headers"]["x-budget-ms"]) <= 30_000


def test_the_model_gets_the_conversation_and_then_the_instructions(ask: Ask, peer: Any) -> None:
    ask("hello/told", max_tokens=50, temperature=0.2, api_key="sk-1")
    [asked] = peer.requests("hello/told")
    assert asked["headers"]["authorization"] == "Bearer sk-1"
    assert asked["stream"] is True
    assert asked["stream_options"] == {"include_usage": True}
    assert (asked["max_tokens"], asked["temperature"]) == (50, 0.2)
    assert asked["messages"] == [
        {"role": "system", "content": "You interview a software engineer."},
        {"role": "user", "content": "(begin)"},
        {"role": "assistant", "content": "Question 1: Why?"},
        {"role": "user", "content": "Because I can."},
        {"role": "system", "content": "Ask, word for word: How?"},
    ]


def conversation(peer: Any, model: str) -> list[tuple[str, str]]:
    [asked] = peer.requests(model)
    return [(message["role"], message["content"]) for message in asked["messages"]]


def test_words_that_the_history_already_has_are_said_once(ask: Ask, peer: Any) -> None:
    said = Message("user", "Because I can.")
    ask("hello/once", ReplyRequest(4, "Because  I can. ", Brief((), "", (*HISTORY, said))))
    roles = [role for role, _ in conversation(peer, "hello/once")]
    assert roles == ["system", "user", "assistant", "user"]


def test_the_opening_turn_has_no_words_of_the_person(ask: Ask, peer: Any) -> None:
    ask("hello/opening", ReplyRequest(0, "", Brief((), "Open.", HISTORY[:1])))
    assert conversation(peer, "hello/opening") == [
        ("system", "You interview a software engineer."),
        ("system", "Open."),
    ]


def test_of_an_endless_conversation_the_oldest_lines_are_left_out(ask: Ask, peer: Any) -> None:
    lines = [Message("user", f"{number} " + "x" * 20_000) for number in range(500)]
    ask("hello/long", ReplyRequest(4, "So.", Brief((), "Go on.", (HISTORY[0], *lines))))
    told = conversation(peer, "hello/long")
    heads = [content.split()[0] for _, content in told]
    assert heads == ["You", "498", "499", "So.", "Go"]
    assert {len(content) for _, content in told[1:3]} == {16_000}


def test_reported_tokens_are_counted(ask: Ask) -> None:
    usage = ask("hello").usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (9, 2)


def test_a_probe_asks_the_server(peer: Any) -> None:
    async def main(url: str) -> str | None:
        responder = OpenAIResponder(url, "hello")
        try:
            return await responder.probe()
        finally:
            await responder.aclose()

    assert asyncio.run(main(peer.url)) is None
    assert "cannot be used" in str(asyncio.run(main(f"{peer.url}/broken")))
