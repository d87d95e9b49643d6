"""The functions of one session: which it has, and results of those that its client runs."""

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest

from gateway.live.client_input import MOST_EARLY_RESULTS, ClientInput
from gateway.live.tools import MOST_ENDED, ClientTools, session_tools
from gateway.protocols.dialect import AnswerToolCall, ProtocolError, ToolCallEnded, TypedText
from gateway.protocols.tool_wish import ToolWish
from gateway.providers.tools import ServerTool, ServerTools
from pipeline.frames import ToolCall
from pipeline.stage import ToolRequest
from pipeline.testing import run_virtual
from pipeline.tool_calls import ToolFailed
from stages.tool.tools_file import HttpToolSpec

OPEN = ToolWish(name="open", description="Opens a page", timeout_ms=2000, filler="Look here.")
REQUEST = ToolRequest("c", "open", '{"page":3}')


def server(**always: bool) -> ServerTools:
    """The operator's functions by name, and whether each is always there."""
    specs = [HttpToolSpec(name=n, url="http://127.0.0.1:9/", always=a) for n, a in always.items()]
    return ServerTools({spec.name: ServerTool.of(spec) for spec in specs})


def test_a_session_has_what_it_names_and_what_is_always_there() -> None:
    client = ClientTools(lambda call: None)
    wishes = [ToolWish(name="weather"), OPEN, ToolWish(name="moon")]
    own, unknown = session_tools(wishes, server(weather=False, clock=True, car=False), client, "s")
    assert [tool.tool.name for tool in own] == ["clock", "weather", "open"]
    assert (own[2].limit_s, own[2].filler) == (2.0, "Look here.")
    assert [(error.code, error.fatal) for error in unknown] == [("unknown_tool", False)]
    assert "weather, clock, car" in unknown[0].message


def test_a_clients_function_takes_the_place_of_one_that_is_always_there() -> None:
    client = ClientTools(lambda call: None)
    (own,), _ = session_tools([OPEN], server(open=True), client, "s")
    assert own.tool.description == "Opens a page"


def test_the_client_is_called_and_its_result_is_the_functions() -> None:
    async def story() -> None:
        told: list[ToolCall | ToolCallEnded] = []
        client = ClientTools(told.append)
        own = client.own(OPEN)
        running = [
            asyncio.ensure_future(own.call(3, REQUEST, {"page": 3})),
            asyncio.ensure_future(own.call(3, REQUEST, {"page": 3})),
        ]
        await asyncio.sleep(0)
        calls = calls_of(told)
        first, second = (call.call_id for call in calls)
        assert first != second
        assert calls == [
            ToolCall(3, first, "open", '{"page":3}'),
            ToolCall(3, second, "open", '{"page":3}'),
        ]
        client.answer(second, "no such page", failed=True)
        client.answer(first, "opened")
        client.answer(first, "opened again")
        assert await running[0] == "opened"
        with pytest.raises(ToolFailed, match="no such page"):
            await running[1]

    run_virtual(story())


def test_the_client_is_told_that_its_result_is_waited_for_no_longer() -> None:
    async def story() -> None:
        told: list[ToolCall | ToolCallEnded] = []
        own = ClientTools(told.append).own(OPEN)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await own.call(1, REQUEST, {})
        called, ended = told
        assert isinstance(called, ToolCall)
        assert ended == ToolCallEnded(called.call_id)

    run_virtual(story())


def calls_of(told: list[ToolCall | ToolCallEnded]) -> list[ToolCall]:
    return [output for output in told if isinstance(output, ToolCall)]


def test_results_before_the_session_are_as_many_as_a_reply_can_wait_for() -> None:
    async def story() -> None:
        nothing: Any = Mock()
        early = ClientInput[bytes](
            nothing,
            nothing,
            asyncio.Event(),
            asyncio.Event(),
            obey=nothing,
            complain=nothing,
            flooded=nothing,
        )
        results = [AnswerToolCall(f"call_{n}", "x") for n in range(MOST_EARLY_RESULTS)]
        for result in results:
            early.keep(result)
        with pytest.raises(ProtocolError) as refused:
            early.keep(AnswerToolCall("call_more", "x"))
        assert (refused.value.code, refused.value.fatal) == ("no_such_call", False)
        early.keep(TypedText("Hello"))
        assert early.handed_over() == (*results, TypedText("Hello"))

    run_virtual(story())


def test_a_result_that_comes_too_late_is_ignored_and_one_of_no_call_is_refused() -> None:
    async def story() -> None:
        told: list[ToolCall | ToolCallEnded] = []
        client = ClientTools(told.append)
        own = client.own(OPEN)
        for _ in range(MOST_ENDED + 1):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await own.call(1, REQUEST, {})
        calls = calls_of(told)
        client.answer(calls[-1].call_id, "late")
        for never in ("call_9_9", calls[0].call_id):
            with pytest.raises(ProtocolError) as refused:
                client.answer(never, "x")
            assert refused.value.code == "no_such_call"

    run_virtual(story())


def test_a_result_for_a_call_from_before_a_restart_is_not_taken_for_the_next_one() -> None:
    async def story() -> None:
        told: list[ToolCall | ToolCallEnded] = []
        before, after = ClientTools(told.append), ClientTools(told.append)
        running = [
            asyncio.ensure_future(client.own(OPEN).call(1, REQUEST, {}))
            for client in (before, after)
        ]
        await asyncio.sleep(0)
        old, new = (call.call_id for call in calls_of(told))
        with pytest.raises(ProtocolError, match=old):
            after.answer(old, "of another page")
        after.answer(new, "of this page")
        assert await running[1] == "of this page"
        running[0].cancel()

    run_virtual(story())
