"""Servers that refuse what others need: asked once, then in the form that they take."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.errors import StageError
from pipeline.frames import TextDelta
from pipeline.stage import Brief, Message, ReplyRequest, Tool
from stages.llm._dialect import Form
from stages.llm.chat import ChatModel
from stages.llm.openai import OpenAIResponder

HISTORY = (
    Message("system", "You interview a software engineer."),
    Message("user", "(begin)"),
    Message("assistant", "Question 1: Why?"),
)
BRIEF = Brief(("Good.", "How?"), "Ask, word for word: How?", HISTORY)
ANSWER = ReplyRequest(4, "Because I can.", BRIEF)
SILENT = ReplyRequest(5, "", BRIEF)

Replies = Callable[..., tuple[list[str], tuple[str, ...]]]


@pytest.fixture
def replies(peer: Any) -> Replies:
    """Asks one responder for replies, one after the other: what was said, and what it learned."""

    def replies(
        model: str, *requests: ReplyRequest, **options: Any
    ) -> tuple[list[str], tuple[str, ...]]:
        async def main() -> tuple[list[str], tuple[str, ...]]:
            responder = OpenAIResponder(peer.url, model, **options)
            said = []
            try:
                for request in requests:
                    deltas = [delta async for delta in responder.reply(request)]
                    said.append("".join(d.text for d in deltas if isinstance(d, TextDelta)))
                return said, responder.learned()
            finally:
                await responder.aclose()

        return asyncio.run(main())

    return replies


STRICT = "one system message, the first; then user and assistant in turn"


@pytest.mark.parametrize(
    ("model", "tries", "learned"),
    [
        ("system-first", 2, [STRICT]),
        ("template", 2, [STRICT]),
        ("user-last", 2, [STRICT]),
        ("no-system", 2, ["no system message; user and assistant in turn"]),
        ("mute", 2, ["no stream_options", "no temperature", "no response_format", STRICT]),
        ("reasoner", 3, ["max_completion_tokens in place of max_tokens", "no temperature"]),
        ("strict", 2, ["no stream_options"]),
    ],
)
def test_a_refusal_teaches_once_and_is_remembered(
    replies: Replies, peer: Any, model: str, tries: int, learned: list[str]
) -> None:
    said, told = replies(model, ANSWER, ANSWER, SILENT, temperature=0.2)
    assert said == ["Hello there."] * 3
    assert list(told) == learned
    assert len(peer.requests(model)) == tries + 2


def test_a_server_that_takes_everything_is_asked_in_the_usual_form(
    replies: Replies, peer: Any
) -> None:
    assert replies("hello/usual", ANSWER)[1] == ()
    [asked] = peer.requests("hello/usual")
    assert asked["max_tokens"] == 400
    assert [message["role"] for message in asked["messages"]] == [
        *("system", "user", "assistant", "user", "system")
    ]


@pytest.mark.parametrize(
    ("model", "request_", "messages"),
    [
        (
            "system-first/roles",
            ANSWER,
            [
                ("system", "You interview a software engineer.\n\nAsk, word for word: How?"),
                ("user", "(begin)"),
                ("assistant", "Question 1: Why?"),
                ("user", "Because I can."),
            ],
        ),
        (
            "user-last/roles",
            SILENT,
            [
                ("system", "You interview a software engineer.\n\nAsk, word for word: How?"),
                ("user", "(begin)"),
                ("assistant", "Question 1: Why?"),
                ("user", "Please go on."),
            ],
        ),
        (
            "no-system/roles",
            ANSWER,
            [
                ("user", "(begin)"),
                ("assistant", "Question 1: Why?"),
                (
                    "user",
                    "You interview a software engineer.\n\nAsk, word for word: How?\n\n"
                    "Because I can.",
                ),
            ],
        ),
    ],
)
def test_the_conversation_keeps_all_its_words_in_the_form_that_is_taken(
    replies: Replies, peer: Any, model: str, request_: ReplyRequest, messages: Any
) -> None:
    replies(model, request_)
    asked = peer.requests(model)[-1]["messages"]
    assert [(message["role"], message["content"]) for message in asked] == messages


def test_a_model_without_tools_replies_without_them(replies: Replies, peer: Any) -> None:
    tool = Tool("look_up", "Look a word up.", {"type": "object"})
    brief = Brief((), "", HISTORY, tools=(tool,), tool_choice="required")
    assert replies("no-tools", ReplyRequest(4, "So.", brief)) == (
        ["Hello there."],
        ("no tool_choice", "no tools"),
    )
    assert not {"tools", "tool_choice"} & peer.requests("no-tools")[-1].keys()


def test_one_clients_bad_tool_takes_the_tools_from_nobody_else(replies: Replies, peer: Any) -> None:
    good, bad = (Tool(name, "", {"type": "object"}) for name in ("good", "bad"))
    requests = [
        ReplyRequest(4, "So.", Brief((), "", HISTORY, tools=(tool,))) for tool in (bad, good)
    ]
    assert replies("bad-tool", *requests) == (["Hello there."] * 2, ())
    named = [
        [tool["function"]["name"] for tool in asked.get("tools", ())]
        for asked in peer.requests("bad-tool")
    ]
    assert named == [["bad"], [], ["good"]]


@pytest.mark.parametrize("model", ["low-limit", "short"])
def test_one_clients_limit_that_is_too_high_is_dropped_for_its_request_only(
    replies: Replies, peer: Any, model: str
) -> None:
    requests = [
        ReplyRequest(4, "So.", Brief((), "", HISTORY, max_tokens=limit)) for limit in (4096, 50)
    ]
    assert replies(f"{model}/limit", *requests) == (["Hello there."] * 2, ())
    asked = peer.requests(f"{model}/limit")
    assert [request.get("max_tokens") for request in asked] == [4096, None, 50]
    assert not any("max_completion_tokens" in request for request in asked)


def test_a_conversation_that_is_too_long_for_the_model_loses_its_oldest_lines(
    replies: Replies, peer: Any
) -> None:
    lines = [Message("user", f"{number} " + "x" * 900) for number in range(30)]
    request = ReplyRequest(4, "So.", Brief((), "Go on.", (HISTORY[0], *lines)))
    said, [learned] = replies("narrow", request, request)
    assert said == ["Hello there."] * 2
    assert learned.endswith("characters of conversation")
    asked = peer.requests("narrow")
    assert len(asked) == 4  # half, a quarter, and at once the next time
    contents = [message["content"] for message in asked[-1]["messages"]]
    assert (contents[0], contents[-2:]) == (HISTORY[0].content, ["So.", "Go on."])


def test_a_server_that_refuses_everything_is_asked_twice_and_once_from_then_on(
    peer: Any,
) -> None:
    async def main() -> list[str]:
        responder = OpenAIResponder(peer.url, "mute-always")
        details = []
        for _ in range(2):
            with pytest.raises(StageError) as caught:
                async for _ in responder.reply(ANSWER):
                    pass
            details.append(caught.value.detail)
        assert responder.learned() == ()
        await responder.aclose()
        return details

    assert asyncio.run(main()) == ["HTTP 400: Bad Request"] * 2
    assert len(peer.requests("mute-always")) == 3


def test_a_connection_that_is_lost_in_the_plain_try_is_told_and_teaches_nothing(peer: Any) -> None:
    async def main() -> list[str]:
        responder = OpenAIResponder(peer.url, "mute-dies")
        details = []
        for _ in range(2):
            with pytest.raises(StageError) as caught:
                async for _ in responder.reply(ANSWER):
                    pass
            details.append(caught.value.detail)
        await responder.aclose()
        return details

    assert asyncio.run(main()) == ["HTTP 500: gone"] * 2
    assert len(peer.requests("mute-dies")) == 4  # the plain form is tried the next time, too


def test_what_was_learned_about_several_models_names_them(peer: Any) -> None:
    async def main() -> tuple[str, ...]:
        responder = OpenAIResponder(peer.url, "strict/many", models=("no-system/many",))
        for model in (None, "no-system/many"):
            brief = Brief((), "", HISTORY, model=model)
            async for _ in responder.reply(ReplyRequest(1, "So.", brief)):
                pass
        await responder.aclose()
        return responder.learned()

    assert asyncio.run(main()) == (
        "strict/many: no stream_options",
        "no-system/many: no system message; user and assistant in turn",
    )


def test_reports_are_written_by_such_servers_too(peer: Any) -> None:
    async def main() -> str:
        chat = ChatModel(peer.url, "reasoner/chat")
        try:
            return await chat.complete(HISTORY[:2], {"type": "object"})
        finally:
            await chat.aclose()

    assert asyncio.run(main()) == '{"hello": "there"}'
    asked = peer.requests("reasoner/chat")
    assert asked[-1]["max_completion_tokens"] == 2000
    assert "response_format" in asked[-1]


# --- the words of refusals -------------------------------------------------------------------

BODY: dict[str, Any] = {
    "model": "m",
    "max_tokens": 400,
    "stream_options": {},
    "messages": [{"role": "system", "content": "Rules."}, {"role": "user", "content": "So."}],
}


@pytest.mark.parametrize(
    "refusal",
    [
        "Incorrect API key provided",
        '{"error": {"message": "You exceeded your current quota"}}',
        '{"error": {"message": "The prompt triggered our content management policy"}}',
        '{"error": {"message": "The model `m` does not exist"}}',
        '{"error": {"message": "maximum context length is 8 tokens"}}',
        "",
        "[" * 9000,
    ],
)
def test_a_refusal_that_no_form_would_change_teaches_nothing(refusal: str) -> None:
    assert Form().after(refusal, BODY) is None


@pytest.mark.parametrize(
    ("refusal", "form"),
    [
        ("Unknown field: max_tokens", Form(limit="")),
        ("max_tokens is deprecated", Form(limit="max_completion_tokens")),
        (
            "Unrecognized request arguments: stream_options, max_tokens",
            Form(limit="", without=frozenset({"stream_options"})),
        ),
        ("'system' role is unknown here", Form(roles="strict")),
        ("this model does not support 'system' messages", Form(roles="no system")),
        ("jinja: Only user and assistant roles are allowed", Form(roles="no system")),
        ("Developer instruction is not enabled for this model", Form(roles="no system")),
        ("successive user messages must be interleaved", Form(roles="strict")),
        ("no prefill: the conversation must end with a user message", Form(roles="strict")),
    ],
)
def test_the_words_of_a_refusal_say_what_to_change(refusal: str, form: Form) -> None:
    assert Form().after(refusal, BODY) == form


TOOLS = {**BODY, "tools": [{}], "tool_choice": "auto"}
NO_TOOLS = frozenset({"tools", "tool_choice"})


@pytest.mark.parametrize(
    ("refusal", "lasting"),
    [
        ("tools are not supported", Form(without=NO_TOOLS)),
        ("Unrecognized request arguments: tools, tool_choice", Form(without=NO_TOOLS)),
        (
            '{"loc": ["body", "tools"], "msg": "Extra inputs are not permitted"}',
            Form(without=NO_TOOLS),
        ),
        (
            '{"loc": ["body", "tools", 0, "function"], "msg": "Extra inputs are not permitted"}',
            Form(),
        ),
        ("Unknown parameter: 'tools[0].function.strict'", Form()),
        ("Invalid schema for function 'f' in tools: 'oneOf' is not permitted", Form()),
        ("tool_choice: no such function", Form()),
        ("Unsupported value: tool_choice does not support 'required'", Form()),
        ("max_tokens: max_completion_tokens is too large: supports at most 2048", Form()),
        ("max_tokens must not exceed 10", Form()),
    ],
)
def test_only_a_refusal_of_the_option_itself_lasts(refusal: str, lasting: Form) -> None:
    form = Form().after(refusal, TOOLS)
    assert form is not None
    assert form.lasting() == lasting


def test_a_second_refusal_goes_one_step_further() -> None:
    assert Form(roles="strict").after("bad roles", BODY) == Form(roles="no system")
    assert Form(roles="no system").after("bad roles", BODY) is None
    renamed = Form(limit="max_completion_tokens")
    assert renamed.after("max_completion_tokens is not supported", BODY) == Form(limit="")


def test_calls_and_their_results_keep_their_places() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    result = {"role": "tool", "content": "A letter.", "tool_call_id": "1"}
    messages = [{"role": "assistant", "content": "Hi."}, call, result]
    shaped = Form(roles="strict").shape({**BODY, "messages": messages})
    assert shaped["messages"] == [{"role": "user", "content": "Hello."}, *messages]


def test_two_lines_of_one_side_become_one() -> None:
    lines = [{"role": "user", "content": word} for word in ("One.", "Two.")]
    shaped = Form(roles="strict").shape({**BODY, "messages": lines})
    assert shaped["messages"] == [{"role": "user", "content": "One.\n\nTwo."}]


def test_a_result_goes_with_its_call_when_room_is_short() -> None:
    rules = {"role": "system", "content": "Rules."}
    call = {"role": "assistant", "content": "x" * 5000, "tool_calls": [{"id": "1"}]}
    result = {"role": "tool", "content": "A letter.", "tool_call_id": "1"}
    last = [{"role": "user", "content": "So."}, {"role": "assistant", "content": "Hm."}]
    shaped = Form(room=2000).shape({**BODY, "messages": [rules, call, result, *last]})
    assert shaped["messages"] == [rules, *last]
