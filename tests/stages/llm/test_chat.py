import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pipeline.errors import StageError
from pipeline.stage import Message
from stages.llm.chat import ChatModel

SCHEMA = {"type": "object", "properties": {"hello": {"type": "string"}}}
MESSAGES = (Message("system", "Be brief."), Message("user", "Say hello."))

Work = Callable[[ChatModel], Awaitable[Any]]


async def once(model: ChatModel) -> str:
    return await model.complete(MESSAGES, SCHEMA)


@pytest.fixture
def run(peer: Any) -> Callable[..., Any]:
    def run(model: str, work: Work = once, **options: Any) -> Any:
        async def main() -> Any:
            chat = ChatModel(peer.url, model, **options)
            try:
                async with asyncio.timeout(30):
                    return await work(chat)
            finally:
                await chat.aclose()

        return asyncio.run(main())

    return run


def test_one_answer_by_a_schema(run: Callable[..., Any], peer: Any) -> None:
    assert run("hello/chat", api_key="sk-1", max_tokens=99) == '{"hello": "there"}'
    [asked] = peer.requests("hello/chat")
    assert asked["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Say hello."},
    ]
    assert asked["response_format"]["json_schema"]["schema"] == SCHEMA
    assert (asked["stream"], asked["max_tokens"], asked["temperature"]) == (False, 99, 0.2)
    assert asked["headers"]["authorization"] == "Bearer sk-1"


def test_a_server_that_knows_no_schemas_is_asked_without(
    run: Callable[..., Any], peer: Any
) -> None:
    async def twice(model: ChatModel) -> list[str]:
        return [await once(model), await once(model)]

    assert run("plain/twice", twice, temperature=None) == ['{"hello": "there"}'] * 2
    asked = peer.requests("plain/twice")
    assert ["response_format" in request for request in asked] == [True, False, False]
    assert "temperature" not in asked[0]


@pytest.mark.parametrize(
    ("model", "kind", "phase", "detail"),
    [
        ("cut", "StageFailed", "protocol", "cut at the token limit"),
        ("empty", "StageFailed", "empty", "without text"),
        ("no-text", "StageFailed", "protocol", "content is not text"),
        ("no-choices", "StageFailed", "protocol", "no chat completion"),
        ("no-object", "StageFailed", "protocol", "should be a JSON object"),
        ("error", "StageFailed", "stream", "the server says: out of memory"),
        ("long", "StageFailed", "protocol", "more than 64000 characters"),
        ("huge", "StageFailed", "protocol", "a body of more than 524288 bytes"),
        ("html", "StageFailed", "protocol", "text/html where JSON was asked for"),
        ("broken", "StageFailed", "connect", "HTTP 500"),
        ("busy", "StageBusy", "connect", "HTTP 429"),
        ("missing", "HttpRefused", "connect", "HTTP 404"),
        ("unauthorized", "HttpRefused", "connect", "HTTP 401"),
        ("bad", "HttpRefused", "connect", "HTTP 400: invalid key"),
    ],
)
def test_what_is_no_answer_is_an_error(
    run: Callable[..., Any], model: str, kind: str, phase: str, detail: str
) -> None:
    with pytest.raises(StageError) as caught:
        run(model)
    assert (type(caught.value).__name__, caught.value.phase) == (kind, phase)
    assert detail in caught.value.detail


@pytest.mark.parametrize("model", ["silent/chat", "stall/chat"])
def test_a_server_that_keeps_us_waiting_is_left_and_sees_it(
    run: Callable[..., Any], peer: Any, model: str
) -> None:
    async def late(chat: ChatModel) -> str:
        with pytest.raises(StageError) as caught:
            await once(chat)
        await peer.disconnected(model)
        return f"{type(caught.value).__name__} {caught.value.phase}: {caught.value.detail}"

    assert run(model, late, timeout_s=0.3) == "StageTimeout total: no answer within 0.3 s"


def test_a_refusal_for_another_reason_is_not_tried_again(
    run: Callable[..., Any], peer: Any
) -> None:
    with pytest.raises(StageError):
        run("bad/again")
    assert len(peer.requests("bad/again")) == 2


def test_a_probe_asks_the_server(run: Callable[..., Any]) -> None:
    assert run("hello", lambda model: model.probe()) is None
