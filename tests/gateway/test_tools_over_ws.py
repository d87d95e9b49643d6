"""Functions end to end: a chat server calls, an operator's endpoint or the client runs them."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from stages.llm.openai import OpenAIResponder
from tests.support.gateway import Gateway
from tests.support.peers import Peer
from tests.support.rtvi import rtvi_client
from tests.support.service_peer import HANG, Raw, ServicePeer

pytestmark = pytest.mark.slow

WEATHER = {
    "name": "weather",
    "description": "The weather in a place.",
    "parameters": {
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
    },
}


@pytest.fixture
def gateway(tmp_path: Path, peer: Peer, request: pytest.FixtureRequest) -> Gateway:
    """Its chat server asks for the weather in Leeds in each turn, and tells the result."""
    made = Gateway(tmp_path)
    made.model = f"weather/{request.node.name}"  # type: ignore[attr-defined]
    made.responder = OpenAIResponder(peer.url, made.model)  # type: ignore[attr-defined]
    return made


def served(
    gateway: Gateway,
    story: Callable[[], Coroutine[Any, Any, None]],
    folder: Path | None = None,
    endpoint: ServicePeer | None = None,
    more: str = "",
) -> None:
    """Serve while the story lasts; the operator's file in the folder names the endpoint."""

    async def whole() -> None:
        try:
            if folder is None or endpoint is None:
                await gateway._run(story)
                return
            async with endpoint.running():
                file = gateway.settings["tools"] = folder / "tools.yaml"
                fields = f"name: weather, url: '{endpoint.url}/weather'{more}"
                file.write_text(f"tools: [{{{fields}}}]")
                await gateway._run(story)
        finally:
            await gateway.responder.aclose()

    asyncio.run(whole())


def hello(*tools: dict[str, Any]) -> dict[str, Any]:
    return {"type": "hello", "version": 1, "tools": [*tools]}


def results(peer: Peer, gateway: Any) -> list[str]:
    """What the chat server was told of calls, each once."""
    told = [
        message["content"]
        for asked in peer.requests(gateway.model)
        for message in asked["messages"]
        if message["role"] == "tool"
    ]
    return [*dict.fromkeys(told)]


def test_an_operators_endpoint_is_called_for_a_spoken_turn(
    gateway: Gateway, peer: Peer, tmp_path: Path
) -> None:
    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(**hello({"name": "weather"}))
            first = await caller.until("reply.text", turn=0)
            await caller.until("reply.done", turn=0)
            await caller.speak()
            done = await caller.until("reply.done", turn=1)
            assert first["text"] == "It is rainy there."
            assert done["heard"] == "It is rainy there."
            assert "tool.call" not in caller.types()
        asked = endpoint.at("/weather")
        assert [call.body["arguments"] for call in asked] == [{"place": "Leeds"}] * 2
        assert {call.body["session_id"] for call in asked} == {"test"}

    endpoint = ServicePeer({"/weather": Raw((b"rainy",), kind="text/plain")})

    served(gateway, story, tmp_path, endpoint)
    assert results(peer, gateway) == ["rainy"]


def test_a_result_of_5_mb_is_refused_and_the_model_is_told(
    gateway: Gateway, peer: Peer, tmp_path: Path
) -> None:
    endpoint = ServicePeer({"/weather": Raw((b"x" * (5 << 20),), kind="text/plain")})

    async def story() -> None:
        async with gateway.call() as caller:
            await caller.until("reply.done", turn=0)

    served(gateway, story, tmp_path, endpoint, ", always: true")
    assert results(peer, gateway) == ['{"error": "malformed answer"}']


def test_an_endpoint_that_never_answers_is_left_at_its_limit(
    gateway: Gateway, peer: Peer, tmp_path: Path
) -> None:
    endpoint = ServicePeer({"/weather": HANG})

    async def story() -> None:
        async with gateway.call() as caller:
            await caller.until("reply.done", turn=0)

    served(gateway, story, tmp_path, endpoint, ", always: true, limit_s: 0.3")
    assert results(peer, gateway) == ['{"error": "too slow to begin"}']


def test_a_client_runs_its_own_function(gateway: Gateway, peer: Peer) -> None:
    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(**hello(WEATHER))
            call = await caller.until("tool.call", turn=0)
            assert call["name"] == "weather"
            assert call["arguments"] == {"place": "Leeds"}
            await caller.say(type="tool.result", call_id=call["call_id"], result={"sky": "grau"})
            done = await caller.until("reply.done", turn=0)
            assert done["heard"] == 'It is {"sky":"grau"} there.'
            await caller.say(type="tool.result", call_id=call["call_id"], result="again")
            await caller.say(type="tool.result", call_id="never", result="x")
            error = await caller.until("error", code="no_such_call")
            assert not error["fatal"]
            codes = [message["code"] for message in caller.messages if message["type"] == "error"]
            assert codes == ["no_such_call"]

    served(gateway, story)
    assert results(peer, gateway) == ['{"sky":"grau"}']
    (tool,) = peer.requests(gateway.model)[0]["tools"]  # type: ignore[attr-defined]
    assert tool["function"] == WEATHER


def test_a_barge_in_ends_the_call_and_a_late_result_changes_nothing(gateway: Gateway) -> None:
    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(**hello(WEATHER))
            call = await caller.until("tool.call", turn=0)
            await caller.speak()
            second = await caller.until("tool.call", turn=1)
            await caller.say(type="tool.result", call_id=call["call_id"], result="old")
            await caller.say(type="tool.result", call_id=second["call_id"], result="new")
            done = await caller.until("reply.done", turn=1)
            assert done["heard"] == "It is new there."
            assert "error" not in caller.types()

    served(gateway, story)


def test_a_barge_in_closes_the_endpoints_connection(gateway: Gateway, tmp_path: Path) -> None:
    endpoint = ServicePeer({"/weather": HANG})

    async def story() -> None:
        async with gateway.call() as caller:
            while not endpoint.asked:
                await asyncio.sleep(0.01)
            (first,) = endpoint._tasks
            await caller.speak()
            await asyncio.wait([first])  # it ends when its client has gone

    served(gateway, story, tmp_path, endpoint, ", always: true, limit_s: 60, filler: ''")


def test_functions_are_declared_over_rest(gateway: Gateway) -> None:
    async def story() -> None:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30) as client:
            answer = await client.post(
                "/api/sessions",
                json={"role": "Data Analyst", "tools": [WEATHER, {"name": "moon"}]},
            )
            assert answer.status_code == 201
            wrong = await client.post(
                "/api/sessions", json={"role": "Data Analyst", "tools": [{"name": "a b"}]}
            )
            assert wrong.status_code == 400
        async with gateway.call(answer.json()["session_id"]) as caller:
            call = await caller.until("tool.call", turn=0)
            await caller.say(type="tool.result", call_id=call["call_id"], error="no station")
            done = await caller.until("reply.done", turn=0)
            assert done["heard"] == 'It is {"error": "no station"} there.'
            error = await caller.until("error", code="unknown_tool")
            assert "'moon'" in error["message"]

    served(gateway, story)


def test_a_client_of_rtvi_runs_its_own_function(gateway: Gateway, peer: Peer) -> None:
    async def story() -> None:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30) as http:
            body = {"role": "Data Analyst", "tools": [WEATHER]}
            answer = await http.post("/start", json={"transport": "websocket", "body": body})
            assert answer.status_code == 200, answer.text
        path = httpx.URL(answer.json()["wsUrl"]).path
        async with rtvi_client(gateway.port, path) as client:
            await client.ready()
            asked = await client.until("llm-function-call-in-progress", function_name="weather")
            call = client.messages[asked]["data"]
            assert call["arguments"] == {"place": "Leeds"}
            await client.send("llm-function-call-result", {**call, "result": {"sky": "grau"}})
            stopped = await client.until("llm-function-call-stopped", cancelled=False)
            said = await client.until("bot-tts-text", stopped)
            assert client.messages[said]["data"]["text"] == 'It is {"sky":"grau"} there.'
            done = await client.until("bot-stopped-speaking", said)
            # The next call is left without a result: speech ends it.
            await client.send("send-text", {"content": "And tomorrow?"})
            second = await client.until("llm-function-call-in-progress", done)
            await client.send("client-message", {"t": "interrupt"})
            late = client.messages[second]["data"]
            await client.until(
                "llm-function-call-stopped",
                second,
                tool_call_id=late["tool_call_id"],
                cancelled=True,
            )
            await client.send("llm-function-call-result", {**late, "result": "late"})
            await client.send("llm-function-call-result", {**late, "tool_call_id": "never"})
            await client.send("llm-function-call-result", {"tool_call_id": "never", "result": 1})
            error = await client.until("error-response", second)
            assert "data.result" in client.messages[error]["data"]["error"]
            unknown = await client.until("error", second)
            assert "no call 'never'" in client.messages[unknown]["data"]["error"]

    served(gateway, story)
    assert results(peer, gateway) == ['{"sky":"grau"}']
