import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

import pytest

from pipeline.breaker import Outcome
from pipeline.frames import TextDelta, ToolCall
from pipeline.guard import Limits
from pipeline.stage import Brief, Message, ReplyRequest, Tool, ToolRequest
from pipeline.token_usage import TokenUsage, estimated_tokens
from stages.llm._usage import prompt_tokens, told_usage
from stages.llm.openai import MARKLESS, OpenAIResponder

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
            "llm",
            responder,
            call,
            useful=lambda item: isinstance(item, ToolCall) or bool(item.text.strip()),
            **how,
        )
        result.usage = responder.usage
        return result

    return ask


def said(result: Any) -> str:
    return "".join(item.text for item in result.items if isinstance(item, TextDelta))


def called(result: Any) -> list[ToolCall]:
    return [item for item in result.items if isinstance(item, ToolCall)]


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("hello", "Hello there."),
        ("bytes", "Schön, 你好."),
        ("roles", "One two."),
        ("reasoning", "Well, use C#."),
        ("eof", "Hello there."),
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
    "model",
    [
        *("finish-empty", "finish-null", "finish-early", "finish-each"),
        *("parts", "strings", "strings-and-parts", "messages", "texts", "whole"),
    ],
)
def test_all_of_a_reply_is_said_whatever_its_pieces_look_like(ask: Ask, model: str) -> None:
    result = ask(model)
    assert said(result) == "Thank you. What did you measure?"
    assert result.error is None
    assert result.outcomes == [SUCCESS]


@pytest.mark.parametrize(
    "model", ["tool-text", "tool-tags", "tool-fence", "tool-typed", "finish-early-only"]
)
def test_a_reply_without_words_leaves_the_turn_to_the_next_candidate(ask: Ask, model: str) -> None:
    result = ask(model)
    assert result.items == []
    assert result.failure == ("StageFailed", "empty")


DUE = ReplyRequest(4, "So.", Brief(("Good.", "Why?"), "", HISTORY, due="Why?"))


@pytest.mark.parametrize(
    ("model", "text", "reason"),
    [
        ("refusal", "", "refused to answer"),
        ("refusal-stop", "", "refused to answer"),
        ("refusal-field", "", "refused to answer"),
        ("filtered", "Thank you for that. ", "its content is filtered"),
        ("cut", "Thank you for that. Before we", "cut at its token limit"),
        ("cut-vendor", "Thank you for that. Before we", "cut at its token limit"),
        ("whole-cut", "Thank you for that. Before we", "cut at its token limit"),
        ("whole-filtered", "Thank you for that. ", "its content is filtered"),
    ],
)
def test_a_reply_that_cannot_have_asked_the_question_says_so_and_blames_nobody(
    ask: Ask, model: str, text: str, reason: str
) -> None:
    result = ask(model, DUE)
    assert said(result) == text
    assert result.error.reason == reason
    assert result.outcomes == [NEUTRAL]


@pytest.mark.parametrize("model", ["book", "calls-after-a-book", "endless/due"])
def test_a_reply_that_is_cut_for_its_length_has_not_asked_the_question(
    ask: Ask, model: str
) -> None:
    for tools in ((), (LOOK_UP,)):
        result = ask(model, replace(DUE, brief=replace(DUE.brief, tools=tools)))
        assert 1500 <= len(said(result)) < 1530
        assert result.error.reason == "cut at the longest that a reply may be"
        assert (called(result), result.outcomes) == ([], [NEUTRAL])


@pytest.mark.parametrize(
    ("model", "request_", "text"),
    [
        ("eof-cut", REQUEST, "Hello there. How"),
        ("eof", DUE, "Hello there."),
        ("eof-thought", REQUEST, ""),
    ],
)
def test_a_reply_that_just_ends_without_its_last_sentence_or_its_question_is_cut(
    ask: Ask, model: str, request_: ReplyRequest, text: str
) -> None:
    result = ask(model, request_)
    assert said(result) == text
    assert result.error.detail == "it ended without a finish reason"
    assert result.outcomes == [FAILURE]


def test_a_reply_that_just_ends_and_has_asked_its_question_is_whole(ask: Ask) -> None:
    result = ask("eof-due", DUE)
    assert (said(result), result.error) == ("Good. Why", None)
    assert result.outcomes == [SUCCESS]


def test_a_reply_that_just_ends_within_its_question_is_cut(ask: Ask) -> None:
    brief = Brief(("Good.",), "", HISTORY, due="How did you measure the effect?")
    result = ask("eof-due-cut", ReplyRequest(4, "So.", brief))
    assert result.error.detail == "it ended without a finish reason"
    assert result.outcomes == [FAILURE]


def test_a_refusal_that_just_ends_is_a_refusal(ask: Ask) -> None:
    result = ask("eof-refusal", DUE)
    assert (said(result), result.error.reason) == ("", "refused to answer")
    assert result.outcomes == [NEUTRAL]


def test_what_a_server_leaves_out_at_the_end_is_told(peer: Any, bench: Any) -> None:
    responder = OpenAIResponder(peer.url, "eof")
    bench.guarded("llm", responder, lambda stage: stage.reply(REQUEST))
    assert responder.learned() == ("its replies end without a finish reason",)


def test_a_whole_reply_without_a_reason_is_complete(ask: Ask) -> None:
    result = ask("whole-endless", DUE)
    assert (said(result), result.error) == ("Thank you for that. ", None)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("refusal", "I'm sorry, but I can't assist with that."),
        ("refusal-field", "I'm sorry. No."),
        ("cut", "Thank you for that. Before we"),
    ],
)
def test_where_no_question_is_due_the_model_has_the_last_word(
    ask: Ask, model: str, text: str
) -> None:
    result = ask(model)
    assert (said(result), result.error) == (text, None)


@pytest.mark.parametrize(
    ("model", "failure", "detail"),
    [
        ("gave-up", "stream", "the server gave up the reply"),
        ("error-object", "stream", "the server says: out of memory"),
        ("malformed", "protocol", "what should be JSON is not"),
        ("no-object", "protocol", "what should be a JSON object is not"),
        ("no-delta", "protocol", "no chat completion chunk"),
        ("error", "stream", "the server says: out of memory"),
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
    assert result.failure == ("HttpRefused", "connect")
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
    async def twice(stage: OpenAIResponder) -> AsyncIterator[TextDelta | ToolCall]:
        for _ in range(2):
            async with aclosing(cast("AsyncGenerator[TextDelta, None]", stage.reply(REQUEST))) as r:
                yield await anext(r)
                yield await anext(r)

    assert said(ask("late/next", call=twice)) == "Hello there.Hello there."


@pytest.mark.parametrize(("model", "connections"), [("hello/again", 1), ("lingers/again", 2)])
def test_the_next_reply_uses_the_same_connection_if_the_last_was_read_to_its_end(
    ask: Ask, peer: Any, model: str, connections: int
) -> None:
    async def twice(stage: OpenAIResponder) -> AsyncIterator[TextDelta | ToolCall]:
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


# --- reasoning without its opening mark ------------------------------------------------------


def unmarked(peer: Any, *asked: tuple[str, str]) -> tuple[list[str], tuple[str, ...]]:
    """Asks one responder for a reply of each model; what was said, and what it learned."""

    async def main() -> tuple[list[str], tuple[str, ...]]:
        responder = OpenAIResponder(peer.url, "unmarked", models=("unmarked/two",))
        replies = []
        for model, text in asked:
            request = ReplyRequest(1, text, Brief((), model=model))
            items = [item async for item in responder.reply(request)]
            replies.append("".join(item.text for item in items if isinstance(item, TextDelta)))
        await responder.aclose()
        return replies, responder.learned()

    return asyncio.run(main())


LEARNED = ("unmarked: its reasoning has no opening mark",)


@pytest.mark.parametrize("length", [160, 1600, 16_000])
def test_reasoning_is_said_once_however_long_it_is(peer: Any, length: int) -> None:
    replies, learned = unmarked(peer, ("unmarked", f"{length}"), ("unmarked", f"{length}"))
    assert replies[0].startswith("Hm, a hard one.")
    assert (replies[1], learned) == ("Why not?", LEARNED)


def test_a_reply_without_reasoning_does_not_bring_it_back(peer: Any) -> None:
    replies, learned = unmarked(peer, *(("unmarked", length) for length in ("16", "0", "16")))
    assert (replies[1:], learned) == (["Why not?"] * 2, LEARNED)


def test_reasoning_is_expected_of_the_model_that_had_it(peer: Any) -> None:
    replies, learned = unmarked(peer, ("unmarked", "16"), ("unmarked/two", "16"))
    assert replies == ["Hm, a hard one. Why not?"] * 2
    assert learned == (*LEARNED, "unmarked/two: its reasoning has no opening mark")


def test_a_mark_that_does_not_come_again_is_forgotten(peer: Any) -> None:
    replies, learned = unmarked(peer, ("unmarked", "16"), *[("unmarked", "0")] * MARKLESS)
    assert replies[1:] == ["Why not?"] * MARKLESS
    assert learned == ()


# --- tools -----------------------------------------------------------------------------------

LOOK_UP = Tool("look_up", "Look a word up.", {"type": "object", "properties": {}})
WITH_TOOLS = ReplyRequest(4, "Because I can.", Brief((), "", HISTORY, tools=(LOOK_UP,)))


def test_a_call_that_just_ends_counts_if_its_arguments_are_whole(ask: Ask) -> None:
    [call] = called(ask("eof-call", WITH_TOOLS))
    assert (call.name, call.arguments) == ("end", '{"now": true}')
    for model in ("eof-call-cut", "eof-call-begun"):
        result = ask(model, WITH_TOOLS)
        assert (called(result), result.outcomes) == ([], [FAILURE])


def test_calls_follow_the_text_each_of_them_whole(ask: Ask) -> None:
    result = ask("calls", WITH_TOOLS)
    assert said(result) == "Hello there."
    assert result.items[-2:] == [
        ToolCall(4, "call_a", "look_up", '{"word": "parley"}'),
        ToolCall(4, "call_b", "end", "{}"),
    ]
    assert result.outcomes == [SUCCESS]
    assert result.usage.prompt == 9


@pytest.mark.parametrize(
    ("model", "calls"),
    [
        ("tools", [ToolCall(4, "call_4_0", "end", "{}")]),
        ("function", [ToolCall(4, "call_4_0", "end", "{}")]),
        (
            "calls-loose",
            [
                ToolCall(4, "call_4_0", "look_up", '{"word": 1}'),
                ToolCall(4, "call_4_1", "end", "{}"),
            ],
        ),
        (
            "calls-same-index",
            [ToolCall(4, "call_a", "end", '{"now": true}'), ToolCall(4, "b", "end", "{}")],
        ),
        ("calls-cut", [ToolCall(4, "call_a", "end", "{}")]),
    ],
)
def test_calls_alone_are_a_reply_however_the_server_numbers_them(
    ask: Ask, model: str, calls: list[ToolCall]
) -> None:
    result = ask(model, WITH_TOOLS)
    assert result.items == calls
    assert result.error is None
    assert result.outcomes == [SUCCESS]


@pytest.mark.parametrize(
    ("model", "detail"),
    [
        ("calls-nameless", "a call of a function without a name"),
        ("calls-no-text", "a part of a call is not text"),
        ("calls-no-index", "the index of a call is no number"),
        ("calls-no-list", "no chat completion chunk"),
        ("calls-many", "more calls of functions than a reply may have"),
        ("calls-long", "more calls of functions than a reply may have"),
    ],
)
def test_calls_that_make_no_sense_are_a_failure(ask: Ask, model: str, detail: str) -> None:
    result = ask(model, WITH_TOOLS)
    assert result.items == []
    assert result.failure == ("StageFailed", "protocol")
    assert detail in result.error.detail


def test_a_text_that_is_long_enough_hides_no_call(ask: Ask) -> None:
    result = ask("calls-after-a-book", WITH_TOOLS)
    assert 1500 <= len(said(result)) < 1530
    assert called(result) == [ToolCall(4, "call_a", "end", "{}")]


def test_calls_after_a_long_text_are_not_waited_for_without_end(ask: Ask, peer: Any) -> None:
    result = ask("calls-never/x", WITH_TOOLS, then=lambda: peer.disconnected("calls-never/x"))
    assert 1500 <= len(said(result)) < 1530
    assert (called(result), result.error) == ([], None)


@pytest.mark.parametrize(
    "brief", [Brief((), "", HISTORY), Brief((), "", HISTORY, tools=(LOOK_UP,), tool_choice="none")]
)
def test_calls_that_nobody_wants_are_left_out(ask: Ask, brief: Brief) -> None:
    result = ask("calls", ReplyRequest(4, "So.", brief))
    assert (said(result), called(result)) == ("Hello there.", [])


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        *[(choice, choice) for choice in ("auto", "none", "required")],
        ("look_up", {"type": "function", "function": {"name": "look_up"}}),
    ],
)
def test_the_model_is_told_the_tools_and_whether_to_use_them(
    ask: Ask, peer: Any, wanted: str, sent: Any
) -> None:
    brief = Brief((), "", HISTORY, tools=(LOOK_UP,), tool_choice=wanted)
    ask(f"hello/{wanted}", ReplyRequest(4, "So.", brief))
    [asked] = peer.requests(f"hello/{wanted}")
    assert asked["tool_choice"] == sent
    function = {
        "name": "look_up",
        "description": "Look a word up.",
        "parameters": {"type": "object", "properties": {}},
    }
    assert asked["tools"] == [{"type": "function", "function": function}]


def test_without_tools_none_are_told(ask: Ask, peer: Any) -> None:
    ask("hello/none-told")
    [asked] = peer.requests("hello/none-told")
    assert not {"tools", "tool_choice"} & asked.keys()


CALLED = Message("assistant", "", (ToolRequest("call_1", "look_up", '{"word":"x"}'),))
FOUND = Message("tool", "A letter.", call_id="call_1")


def test_calls_and_their_results_are_told(ask: Ask, peer: Any) -> None:
    ask("hello/results", ReplyRequest(4, "", Brief((), "", (*HISTORY[:2], CALLED, FOUND))))
    [asked] = peer.requests("hello/results")
    function = {"name": "look_up", "arguments": '{"word":"x"}'}
    assert asked["messages"][2:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "A letter.", "tool_call_id": "call_1"},
    ]


def test_a_result_without_its_call_is_left_out(ask: Ask, peer: Any) -> None:
    lines = [Message("user", "x" * 15_000) for _ in range(3)]
    costly = Message("assistant", "y" * 5_000, CALLED.calls)
    ask("hello/orphan", ReplyRequest(4, "", Brief((), "", (HISTORY[0], costly, FOUND, *lines))))
    roles = [role for role, _ in conversation(peer, "hello/orphan")]
    assert roles == ["system", "user", "user", "user"]


def test_a_reply_may_be_bounded_and_come_from_another_model(ask: Ask, peer: Any) -> None:
    brief = Brief((), "", HISTORY, max_tokens=7, model="hello/wished")
    ask("hello/own", ReplyRequest(4, "So.", brief), models=("hello/wished",), max_tokens=50)
    [asked] = peer.requests("hello/wished")
    assert asked["max_tokens"] == 7
    assert peer.requests("hello/own") == []


def test_a_model_that_is_not_offered_is_not_asked(ask: Ask, peer: Any) -> None:
    brief = Brief((), "", HISTORY, model="hello/costly")
    ask("hello/kept", ReplyRequest(4, "So.", brief), models=("hello/wished",))
    assert len(peer.requests("hello/kept")) == 1
    assert peer.requests("hello/costly") == []


def test_reported_tokens_are_counted(ask: Ask) -> None:
    usage = ask("hello").usage
    assert usage == TokenUsage(9, 2)


def test_what_a_reply_takes_is_told_as_far_as_it_is_known(ask: Ask, peer: Any) -> None:
    for model, told in (
        ("hello/counted", TokenUsage(9, 2)),
        ("eof/uncounted", None),
    ):
        taken: list[TokenUsage] = []
        ask(model, replace(REQUEST, spend=taken.append))
        [body] = peer.requests(model)
        asked = TokenUsage(prompt_tokens(body), estimated=True)
        assert asked.prompt > 10
        about = replace(asked, completion=estimated_tokens(len("Hello there.")))
        assert taken == [asked, told or about]


@pytest.mark.parametrize(
    ("value", "usage"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 2}, TokenUsage(9, 2)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 0,
                "prompt_tokens_details": {"cached_tokens": 4},
            },
            TokenUsage(9, 0, cached=4),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 40},
            },
            TokenUsage(9, 2, cached=9),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": None},
            TokenUsage(9, 2),
        ),
        ({"prompt_tokens": True, "completion_tokens": 2}, None),
        ({"prompt_tokens": 9}, None),
        ({"prompt_tokens": 9, "completion_tokens": -1}, None),
        ({"prompt_tokens": 9, "completion_tokens": 10**9}, None),
        ([9, 2], None),
        (None, None),
    ],
    ids=[
        "plain",
        "cached",
        "more cached than asked",
        "no details",
        "no number",
        "half",
        "negative",
        "absurd",
        "a list",
        "nothing",
    ],
)
def test_only_what_can_be_tokens_is_taken_for_them(value: Any, usage: TokenUsage | None) -> None:
    assert told_usage(value) == usage


def test_a_probe_asks_the_server(peer: Any) -> None:
    async def main(url: str) -> str | None:
        responder = OpenAIResponder(url, "hello")
        try:
            return await responder.probe()
        finally:
            await responder.aclose()

    assert asyncio.run(main(peer.url)) is None
    assert "cannot be used" in str(asyncio.run(main(f"{peer.url}/broken")))


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("hello/trial", None),
        ("stall/trial", None),  # it may be loading its model
        ("strict/trial", None),
        ("bad/trial", "it gives no reply: HTTP 400: invalid key "),
        ("error/trial", "it gives no reply: the server says: out of memory"),
    ],
)
def test_a_trial_holds_a_short_conversation(
    peer: Any, monkeypatch: pytest.MonkeyPatch, model: str, problem: str | None
) -> None:
    monkeypatch.setattr("stages.llm.openai.TRIAL_S", 0.5)

    async def main() -> tuple[str | None, tuple[str, ...]]:
        responder = OpenAIResponder(peer.url, model)
        try:
            return await responder.trial(), responder.learned()
        finally:
            await responder.aclose()

    found, learned = asyncio.run(main())
    assert (found or "").startswith(problem or "")
    assert (found is None) is (problem is None)
    assert learned == (("no stream_options",) if model == "strict/trial" else ())
