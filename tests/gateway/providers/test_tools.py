"""The operator's functions: real HTTP endpoints, each behind a guard, and all within bounds."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.providers.tools import ServerTool
from pipeline.breaker import BreakerState
from pipeline.stage import ToolRequest
from pipeline.tool_calls import ToolFailed
from stages.tool.http import MOST_RESULT_BYTES
from stages.tool.tools_file import HttpToolSpec
from tests.support.service_peer import HANG, Raw, ServicePeer, nobody

REQUEST = ToolRequest("call_1", "weather", '{"city":"Oslo"}')


@asynccontextmanager
async def endpoint(answer: Any, **spec: Any) -> AsyncIterator[tuple[ServicePeer, ServerTool]]:
    async with ServicePeer({"/tools/weather?unit=C": answer}).running() as peer:
        url = f"{peer.url}/tools/weather?unit=C"
        tool = ServerTool.of(HttpToolSpec(name="weather", url=url, **spec))
        try:
            yield peer, tool
        finally:
            await tool.stage.aclose()


async def called(tool: ServerTool) -> str:
    return await tool.own("s1").call(3, REQUEST, {"city": "Oslo"})


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await story()

    asyncio.run(bounded())


def test_an_endpoint_gets_the_call_and_its_answer_is_the_result() -> None:
    async def story() -> None:
        async with endpoint({"sky": "grey"}, key="secret-key") as (peer, tool):
            assert await called(tool) == '{"sky": "grey"}'
            (asked,) = peer.asked
            assert (asked.method, asked.path) == ("POST", "/tools/weather?unit=C")
            assert asked.headers["authorization"] == "Bearer secret-key"
            assert asked.body == {
                "name": "weather",
                "call_id": "call_1",
                "arguments": {"city": "Oslo"},
                "session_id": "s1",
                "turn": 3,
            }

    run(story)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Raw((b'{"error": "no such city"}',), 404), "HTTP 404: no such city"),
        (Raw((b"<h1>oops</h1>",), 500), "server error (HTTP 500"),
        (Raw((b"x" * (5 << 20),)), "malformed answer"),
        (Raw((b"x" * (MOST_RESULT_BYTES + 1),)), "malformed answer"),
        (Raw((b"half",), length=9, reset=True), "broke off"),
        (Raw((b"",), 302), "HTTP 302: a redirect to"),
    ],
    ids=["refused", "broken", "5 MB", "64 KiB and a byte", "half", "redirect"],
)
def test_what_is_no_result_is_told_to_the_model(answer: Raw, why: str) -> None:
    async def story() -> None:
        async with endpoint(answer) as (_, tool):
            with pytest.raises(ToolFailed) as failed:
                await called(tool)
            assert str(failed.value).startswith(why)

    run(story)


def test_the_longest_and_the_shortest_results_are_taken() -> None:
    async def story() -> None:
        async with endpoint(Raw((b"x" * MOST_RESULT_BYTES,))) as (_, tool):
            assert len(await called(tool)) == MOST_RESULT_BYTES
        async with endpoint(Raw((b"",))) as (_, tool):
            assert await called(tool) == "done"

    run(story)


def test_an_endpoint_that_never_answers_ends_by_its_limit() -> None:
    async def story() -> None:
        async with endpoint(HANG, limit_s=0.2) as (_, tool):
            with pytest.raises(ToolFailed, match="too slow to begin"):
                await called(tool)
            trouble = tool.guard.candidates[0].trouble
            assert trouble is not None
            assert trouble.times == 1

    run(story)


def test_a_cancelled_call_closes_its_connection() -> None:
    async def story() -> None:
        async with endpoint(HANG) as (peer, tool):
            calling = asyncio.create_task(called(tool))
            while not peer.asked:
                await asyncio.sleep(0.01)
            calling.cancel()
            await asyncio.wait([calling])
            await asyncio.gather(*peer._tasks)  # each ends when its client has gone
            assert calling.cancelled()

    run(story)


def test_an_endpoint_that_is_gone_is_not_asked_each_time() -> None:
    async def story() -> None:
        tool = ServerTool.of(HttpToolSpec(name="weather", url=await nobody()))
        breaker = tool.guard.candidates[0].breaker
        for _ in range(breaker.policy.consecutive_failures):
            with pytest.raises(ToolFailed, match="no connection"):
                await called(tool)
        assert breaker.state is BreakerState.OPEN
        with pytest.raises(ToolFailed, match="it cannot be asked now"):
            await called(tool)
        await tool.stage.aclose()

    run(story)
