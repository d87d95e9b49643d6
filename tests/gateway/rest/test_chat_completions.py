"""`/v1/chat/completions` over real sockets, in front of chat servers of these tests."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pydantic import SecretStr
from starlette.types import Receive, Send

from gateway.store import StoreUnavailable
from tests.support.gateway import Gateway
from tests.support.rest import refused
from tests.support.served import free_port
from tests.support.stub_services import Seen, StubService, reply

pytestmark = pytest.mark.slow

KEY, OTHER, ADMIN = "a-key-of-ours", "another-key", "operators-key-0001"
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello there."}]
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
WITHIN_S = 30.0

Say = Callable[[dict[str, Any], Send], Awaitable[None]]
Story = Callable[[httpx.AsyncClient], Awaitable[None]]


class ChatStub(StubService):
    """A chat server that answers as it is told; `asked` are the bodies that it got."""

    def __init__(self, say: Say) -> None:
        super().__init__()
        self.asked: list[dict[str, Any]] = []
        self.say = say
        self.answers = {"/v1/chat/completions": self._chat}

    async def _chat(self, seen: Seen, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.asked.append(json.loads(body))
        await self.say(self.asked[-1], send)


JSON = ("content-type", "application/json")


def completion(content: str, *logprobs: float, **more: Any) -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content},
        "finish_reason": "stop",
        "logprobs": {"content": [{"logprob": one} for one in logprobs]} if logprobs else None,
    }
    return json.dumps({"object": "chat.completion", "choices": [choice], **more}).encode()


def says(content: str, *logprobs: float, usage: Any = USAGE, status: int = 200) -> Say:
    async def say(asked: dict[str, Any], send: Send) -> None:
        if not asked.get("stream"):
            await reply(send, status, completion(content, *logprobs, usage=usage), JSON)
            return
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        tokens = {"content": [{"logprob": one} for one in logprobs]}
        choice = {
            "index": 0,
            "delta": {"content": content},
            "logprobs": tokens if logprobs else None,
        }
        chunks: list[dict[str, Any]] = [{"choices": [choice]}]
        if usage and (asked.get("stream_options") or {}).get("include_usage"):
            chunks.append({"choices": [], "usage": usage})
        data = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        await send({"type": "http.response.body", "body": data.encode()})

    return say


HANGS_S = 5.0


async def hangs(asked: dict[str, Any], send: Send) -> None:
    await asyncio.sleep(HANGS_S)


def behind(
    gateway: Gateway,
    models: list[dict[str, Any]],
    more: dict[str, Any] | None = None,
    **ports: int,
) -> None:
    """Have services at these ports behind the gateway, with `more` fields, and these models."""
    services = [
        {"name": name, "host": "127.0.0.1", "port": port, "health_endpoint": None}
        | {"retry_policy": {"max_attempts": 1}}
        | (more or {})
        for name, port in ports.items()
    ]
    path = Path(gateway.settings["data_dir"]) / "services.yaml"
    path.write_text(yaml.safe_dump({"services": services, "models": models}))
    gateway.settings["services"] = path


CHEAP_FIRST = [
    {"name": "interviewer", "service": "small", "model": "qwen:3b", "escalate_to": "large"},
    {"name": "large", "service": "large", "model": "qwen:72b"},
]


def told(gateway: Gateway, story: Story, *stubs: StubService) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(WITHIN_S),
            httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=WITHIN_S) as client,
        ):
            await inside(client, *stubs)

    async def inside(client: httpx.AsyncClient, *rest: StubService) -> None:
        if not rest:
            await story(client)
            return
        async with rest[0].running():
            await inside(client, *rest[1:])

    gateway.run(main)


def bearer(key: str, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}", **more}


async def chat(
    client: httpx.AsyncClient, model: str = "interviewer", **body: Any
) -> httpx.Response:
    headers = body.pop("headers", {})
    wanted = {"model": model, "messages": HELLO, **body}
    return await client.post("/v1/chat/completions", json=wanted, headers=headers)


async def usage_of(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/admin/usage", headers=bearer(ADMIN))
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def figures(entry: dict[str, Any]) -> tuple[int, ...]:
    names = ("requests", "prompt_tokens", "completion_tokens", "estimated_tokens", "escalated")
    return tuple(entry[name] for name in names)


def test_the_chat_server_of_the_settings_answers_with_its_own_key(gateway: Gateway) -> None:
    stub = ChatStub(says("What was hard?"))
    gateway.settings |= {
        "llm_url": f"http://127.0.0.1:{stub.port}/v1",
        "llm_model": "qwen:3b",
        "llm_key": SecretStr("servers-key"),
        "api_keys": KEY,
        "admin_key": SecretStr(ADMIN),
    }

    async def story(client: httpx.AsyncClient) -> None:
        assert refused(await chat(client, "qwen:3b"))[:2] == (401, "access_required")
        headers = bearer(KEY, **{"x-session-id": "s-1", "cookie": "a=1"})
        answer = await chat(client, "qwen:3b", headers=headers, temperature=0.5)
        assert (answer.status_code, answer.content) == (
            200,
            completion("What was hard?", usage=USAGE),
        )
        assert answer.headers["x-parley-model"] == "qwen:3b"
        assert answer.headers["cache-control"] == "no-store"
        assert stub.asked == [{"model": "qwen:3b", "messages": HELLO, "temperature": 0.5}]
        (seen,) = stub.seen
        assert seen.all("authorization") == ["Bearer servers-key"]
        assert (seen.all("cookie"), seen.all("x-session-id")) == ([], [])
        assert seen.all("x-correlation-id") == [answer.headers["x-correlation-id"]]
        models = await client.get("/v1/models", headers=bearer(KEY))
        assert [model["id"] for model in models.json()["data"]] == ["qwen:3b"]
        assert refused(await chat(client, "gpt-5", headers=headers))[:2] == (404, "model_not_found")
        used = await usage_of(client)
        assert [figures(entry) for entry in used["keys"]] == [(1, 9, 3, 0, 0)]
        assert [(one["name"], figures(one)) for one in used["sessions"]] == [
            ("s-1", (1, 9, 3, 0, 0))
        ]
        assert used["sessions"][0]["key"] == used["keys"][0]["name"]
        # The server is behind no path of its own.
        assert (await client.get("/chat/x", headers=bearer(KEY))).status_code == 404

    told(gateway, story, stub)


def test_a_stream_passes_and_its_usage_is_asked_for_and_counted(gateway: Gateway) -> None:
    stub = ChatStub(says("What was hard?"))
    gateway.settings["admin_key"] = SecretStr(ADMIN)
    behind(gateway, [{"name": "m", "service": "s", "model": "x"}], s=stub.port)

    async def story(client: httpx.AsyncClient) -> None:
        plain = await chat(client, "m", stream=True)
        assert plain.headers["content-type"] == "text/event-stream"
        assert (plain.text.count("data: "), "usage" in plain.text) == (2, False)
        assert stub.asked[0]["stream_options"] == {"include_usage": True}
        wanted = await chat(client, "m", stream=True, stream_options={"include_usage": True})
        assert (wanted.text.count("data: "), '"prompt_tokens": 9' in wanted.text) == (3, True)
        stub.say = says("x" * 40, usage=None)
        assert (await chat(client, "m", stream=True)).status_code == 200
        (used,) = (await usage_of(client))["keys"]
        assert used["name"] == "anybody"
        # Twelve characters of a request are three tokens, forty of a reply are ten.
        assert figures(used) == (3, 9 + 9 + 3, 3 + 3 + 10, 13, 0)

    told(gateway, story, stub)


def test_the_large_model_is_asked_where_the_cheap_one_is_unsure_and_a_session_stays(
    gateway: Gateway,
) -> None:
    small, large = ChatStub(says("Perhaps?", -1.0)), ChatStub(says("What was hard?"))
    gateway.settings |= {"admin_key": SecretStr(ADMIN), "model_keys": SecretStr("large=k-l")}
    behind(gateway, CHEAP_FIRST, small=small.port, large=large.port)

    async def story(client: httpx.AsyncClient) -> None:
        for stream in (False, True):
            answer = await chat(client, stream=stream)
            assert ("What was hard?" in answer.text, "Perhaps" in answer.text) == (True, False)
            assert answer.headers["x-parley-model"] == "large"
            assert answer.headers["x-parley-escalated"] == "confidence"
        assert [(one["model"], one.get("logprobs")) for one in small.asked] == [
            ("qwen:3b", True)
        ] * 2
        assert [(one["model"], one.get("logprobs")) for one in large.asked] == [
            ("qwen:72b", None)
        ] * 2
        assert [seen.all("authorization") for seen in large.seen] == [["Bearer k-l"]] * 2
        assert [seen.all("authorization") for seen in small.seen] == [[]] * 2
        used = await usage_of(client)
        assert figures(used["keys"][0]) == (2, 36, 12, 0, 2)
        by_model = {entry["name"]: figures(entry) for entry in used["models"]}
        assert by_model == {"interviewer": (2, 18, 6, 0, 2), "large": (2, 18, 6, 0, 0)}

        small.say = says("What now?", -0.1)
        for stream in (False, True):
            sure = await chat(client, stream=stream)
            assert "What now?" in sure.text
            assert '"logprob"' not in sure.text  # the client has not asked for it
            assert sure.headers["x-parley-model"] == "interviewer"
            assert "x-parley-escalated" not in sure.headers
        asked = await chat(client, logprobs=True)
        assert '"logprob": -0.1' in asked.text

        small.say = says("I'm sorry, but I can't assist with that.")
        first = await chat(client, headers={"x-session-id": "s-1"})
        assert first.headers["x-parley-escalated"] == "refusal"
        count = len(small.asked)
        again = await chat(client, headers={"x-session-id": "s-1"})
        assert again.headers["x-parley-model"] == "large"
        assert "x-parley-escalated" not in again.headers
        assert len(small.asked) == count
        other = await chat(client, headers={"x-session-id": "s-2"})
        assert other.headers["x-parley-escalated"] == "refusal"

    told(gateway, story, small, large)


@pytest.mark.parametrize("way", ["away", "down", "crowded", "late"])
def test_an_unsure_reply_is_better_than_none(gateway: Gateway, way: str) -> None:
    ways = {"down": says("no", status=503), "crowded": says("no", status=429)}
    small, large = ChatStub(says("Perhaps?", -1.0)), ChatStub(ways.get(way, hangs))
    gateway.settings["admin_key"] = SecretStr(ADMIN)
    port = free_port() if way == "away" else large.port
    behind(gateway, CHEAP_FIRST, {"timeout": 0.5}, small=small.port, large=port)

    async def story(client: httpx.AsyncClient) -> None:
        headers = {"x-session-id": "s-1"}
        answer = await chat(client, headers=headers)
        assert (answer.status_code, "Perhaps?" in answer.text) == (200, True)
        assert answer.headers["x-parley-model"] == "interviewer"
        assert "x-parley-escalated" not in answer.headers
        by_model = {one["name"]: figures(one) for one in (await usage_of(client))["models"]}
        late = {"large": (1, 3, 0, 3, 0)} if way == "late" else {}
        assert by_model == {"interviewer": (1, 9, 3, 0, 1), **late}
        if way == "crowded":
            large.say = says("What was hard?")
            again = await chat(client, headers=headers)
            assert again.headers["x-parley-model"] == "large"

    told(gateway, story, small, large)


def test_a_model_that_fails_in_any_way_is_followed_by_the_next(gateway: Gateway) -> None:
    async def breaks_off(asked: dict[str, Any], send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"choices"', "more_body": True})
        raise OSError("the model has crashed")

    async def too_long(asked: dict[str, Any], send: Send) -> None:
        await reply(send, 200, completion("x" * 1_100_000), JSON)

    ways = [says("no", status=500), says("no", status=404), says(""), breaks_off, too_long]
    small, large = ChatStub(ways[0]), ChatStub(says("What was hard?"))
    behind(gateway, CHEAP_FIRST, small=small.port, large=large.port)

    async def story(client: httpx.AsyncClient) -> None:
        for small.say in ways:
            answer = await chat(client)
            assert (answer.status_code, "What was hard?" in answer.text) == (200, True)
            assert answer.headers["x-parley-escalated"] == "error"
        large.say = says("theirs", status=418)
        refusal = await chat(client)
        assert (refusal.status_code, "theirs" in refusal.text) == (418, True)

    told(gateway, story, small, large)


def test_without_an_answer_of_any_service_it_is_unavailable(gateway: Gateway) -> None:
    locked = ChatStub(says("", status=401))
    models = [{"name": "away", "service": "away"}, {"name": "locked", "service": "locked"}]
    gateway.settings["model_keys"] = SecretStr("locked=wrong")
    behind(gateway, models, away=free_port(), locked=locked.port)

    async def story(client: httpx.AsyncClient) -> None:
        away = await chat(client, "away")
        assert refused(away)[:2] == (503, "model_unavailable")
        assert int(away.headers["retry-after"]) >= 1
        # A key that does not hold is the gateway's, not the client's.
        assert refused(await chat(client, "locked"))[:2] == (503, "model_unavailable")

    told(gateway, story, locked)


def test_a_server_that_refuses_what_the_gateway_adds_is_asked_without(gateway: Gateway) -> None:
    async def old(asked: dict[str, Any], send: Send) -> None:
        if "stream_options" in asked:
            await reply(send, 400, b'{"error": "stream_options: unknown"}', JSON)
        else:
            await says("What was hard?", usage=None)(asked, send)

    stub = ChatStub(old)
    behind(gateway, [{"name": "m", "service": "s"}], s=stub.port)

    async def story(client: httpx.AsyncClient) -> None:
        for _ in range(2):
            assert "What was hard?" in (await chat(client, "m", stream=True)).text
        assert ["stream_options" in one for one in stub.asked] == [True, False, False]
        own = await chat(client, "m", stream=True, stream_options={"include_usage": True})
        assert own.status_code == 400

    told(gateway, story, stub)


def test_tokens_of_a_key_and_a_session_are_limited(gateway: Gateway) -> None:
    stub = ChatStub(says("What was hard?"))
    gateway.settings |= {"api_keys": f"{KEY},{OTHER}", "tokens_day": 24, "tokens_session": 12}
    behind(gateway, [{"name": "m", "service": "s"}], s=stub.port)

    async def story(client: httpx.AsyncClient) -> None:
        async def ask(key: str, session: str = "") -> httpx.Response:
            named = {"x-session-id": session} if session else {}
            return await chat(client, "m", headers=bearer(key, **named))

        first = await ask(KEY, "s-1")
        policies = '"tokens-day";q=24;w=86400, "tokens-session";q=12;w=86400'
        assert first.headers["ratelimit-policy"] == policies
        assert first.headers["ratelimit"].startswith('"tokens-day";r=21;t=')
        over = await ask(KEY, "s-1")
        assert refused(over) == (429, "quota_used", "12 tokens of one session in a day (UTC)")
        assert 0 < int(over.headers["retry-after"]) <= 86_400
        assert (await ask(KEY, "s-2")).status_code == 200
        over = await ask(KEY)
        assert refused(over) == (429, "quota_used", "24 tokens in a day (UTC)")
        assert (await ask(OTHER, "s-1")).status_code == 200
        assert len(stub.asked) == 3

    told(gateway, story, stub)


def test_many_calls_at_once_do_not_take_a_quota_many_times(gateway: Gateway) -> None:
    go_on = asyncio.Event()

    async def works(asked: dict[str, Any], send: Send) -> None:
        await go_on.wait()
        await says("What was hard?")(asked, send)

    stub = ChatStub(works)
    gateway.settings |= {"api_keys": KEY, "tokens_day": 100}
    behind(gateway, [{"name": "m", "service": "s"}], s=stub.port)

    async def story(client: httpx.AsyncClient) -> None:
        async def ask(**more: Any) -> httpx.Response:
            return await chat(client, "m", headers=bearer(KEY), **more)

        asked = [asyncio.create_task(ask(max_tokens=20, n=5)) for _ in range(10)]
        while sum(one.done() for one in asked) < 9:
            await asyncio.sleep(0.01)
        go_on.set()
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status_code for answer in answers) == [200] + [429] * 9
        over = next(answer for answer in answers if answer.status_code == 429)
        words = "other calls may take what is left of 100 tokens in a day"
        assert refused(over) == (429, "too_many_requests", words)
        assert over.headers["retry-after"] == "5"
        found = [await ask() for _ in range(3)]
        assert [answer.status_code for answer in found] == [200] * 3
        assert len(stub.asked) == 4

    told(gateway, story, stub)


def test_no_call_begins_while_tokens_cannot_be_counted(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = ChatStub(says("What was hard?"))
    gateway.settings["tokens_month"] = 100
    behind(gateway, [{"name": "m", "service": "s"}], s=stub.port)

    async def away(*_: object) -> None:
        raise StoreUnavailable("Redis cannot be reached")

    monkeypatch.setattr("gateway.limits.token_counting.MemoryTokens.begin", away)

    async def story(client: httpx.AsyncClient) -> None:
        answer = await chat(client, "m")
        assert refused(answer)[:2] == (503, "limits_unavailable")
        assert (answer.headers["retry-after"], stub.asked) == ("5", [])

    told(gateway, story, stub)


@pytest.mark.parametrize("judged", [False, True])
def test_a_client_that_leaves_ends_the_call_and_what_came_is_counted(
    gateway: Gateway, judged: bool
) -> None:
    gone = asyncio.Event()

    async def endless(asked: dict[str, Any], send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "x" * 40}}]})
        await send(
            {"type": "http.response.body", "body": f"data: {chunk}\n\n".encode(), "more_body": True}
        )
        begun.set()
        await gone.wait()

    begun = asyncio.Event()
    stub = ChatStub(endless)
    gateway.settings["admin_key"] = SecretStr(ADMIN)
    models = [{"name": "interviewer", "service": "s"} | ({"escalate_to": "l"} if judged else {})]
    behind(gateway, [*models, {"name": "l", "service": "s"}], s=stub.port)

    async def story(client: httpx.AsyncClient) -> None:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(leave(client))
            await begun.wait()
            if judged:
                await asyncio.sleep(0.2)  # nothing of it comes to the client that it could wait for
                asking.cancel()
        for _ in range(200):
            if keys := (await usage_of(client))["keys"]:
                break
            await asyncio.sleep(0.02)
        assert [figures(one) for one in keys] == [(1, 3, 10, 13, 0)]
        gone.set()

    async def leave(client: httpx.AsyncClient) -> None:
        wanted = {"model": "interviewer", "messages": HELLO, "stream": True}
        async with client.stream("POST", "/v1/chat/completions", json=wanted) as answer:
            async for _ in answer.aiter_bytes():
                return

    told(gateway, story, stub)


def test_a_service_never_gets_one_key_for_two_requests(gateway: Gateway) -> None:
    small, large = ChatStub(says("Perhaps?", -1.0)), ChatStub(says("What was hard?"))
    gateway.settings["api_keys"] = f"{KEY},{OTHER}"
    behind(gateway, CHEAP_FIRST, small=small.port, large=large.port)

    async def story(client: httpx.AsyncClient) -> None:
        for key in (KEY, KEY, OTHER):
            answer = await chat(client, headers=bearer(key, **{"idempotency-key": "1"}))
            assert answer.status_code == 200
        assert (await chat(client, headers=bearer(KEY))).status_code == 200
        sent = [[seen.all("idempotency-key") for seen in stub.seen] for stub in (small, large)]
        for first, again, others, none in sent:
            assert (len(first), first, none) == (1, again, [])
            assert others not in ([], first)
        assert sent[0][0] != sent[1][0]

    told(gateway, story, small, large)


def test_requests_to_a_service_are_limited_whichever_way_they_come(gateway: Gateway) -> None:
    small, large = ChatStub(says("Perhaps?", -1.0)), ChatStub(says("What was hard?"))
    gateway.settings["limit_service"] = "2/h"
    behind(gateway, CHEAP_FIRST, small=small.port, large=large.port)

    async def story(client: httpx.AsyncClient) -> None:
        found = [await chat(client, "large") for _ in range(3)]
        assert [answer.status_code for answer in found] == [200, 200, 429]
        assert found[0].headers["ratelimit-policy"] == '"service";q=2;w=3600'
        assert refused(found[2])[1] == "too_many_requests"
        # The cheap one may be asked, and the large one after it may not.
        assert refused(await chat(client))[1] == "too_many_requests"
        assert (len(small.asked), len(large.asked)) == (1, 2)

    told(gateway, story, small, large)


def test_a_service_that_is_late_has_cost_the_request(gateway: Gateway) -> None:
    small, large = ChatStub(hangs), ChatStub(says("What was hard?"))
    gateway.settings["admin_key"] = SecretStr(ADMIN)
    behind(gateway, CHEAP_FIRST, {"timeout": 0.5}, small=small.port, large=large.port)

    async def story(client: httpx.AsyncClient) -> None:
        assert (await chat(client)).headers["x-parley-escalated"] == "error"
        large.say = hangs
        assert refused(await chat(client, "large"))[1] == "model_unavailable"
        by_model = {one["name"]: figures(one) for one in (await usage_of(client))["models"]}
        assert by_model == {"interviewer": (1, 3, 0, 3, 1), "large": (2, 9 + 3, 3, 3, 0)}
        # A client's time is that of all models together, and it is over with the first.
        count = len(large.asked)
        answer = await chat(client, headers={"x-budget-ms": "300"})
        assert refused(answer)[1] == "model_unavailable"
        assert (len(small.asked), len(large.asked)) == (2, count)

    told(gateway, story, small, large)


def test_a_client_that_leaves_while_the_large_model_works_has_asked_both(gateway: Gateway) -> None:
    small, large = ChatStub(says("Perhaps?", -1.0)), ChatStub(hangs)
    gateway.settings["admin_key"] = SecretStr(ADMIN)
    behind(gateway, CHEAP_FIRST, small=small.port, large=large.port)

    async def story(client: httpx.AsyncClient) -> None:
        asking = asyncio.create_task(chat(client))
        while not large.asked:
            await asyncio.sleep(0.01)
        asking.cancel()
        used: dict[str, tuple[int, ...]] = {}
        while len(used) < 2:
            await asyncio.sleep(0.02)
            used = {one["name"]: figures(one) for one in (await usage_of(client))["models"]}
        assert used == {"interviewer": (1, 9, 3, 0, 1), "large": (1, 3, 0, 3, 0)}

    told(gateway, story, small, large)


def test_a_reply_that_is_held_has_its_service_s_time_as_a_whole(gateway: Gateway) -> None:
    async def drips(asked: dict[str, Any], send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(100):
            chunk = {"choices": [{"index": 0, "delta": {"content": "x"}}]}
            data = f"data: {json.dumps(chunk)}\n\n".encode()
            await send({"type": "http.response.body", "body": data, "more_body": True})
            await asyncio.sleep(0.05)

    small, large = ChatStub(drips), ChatStub(says("What was hard?"))
    behind(gateway, CHEAP_FIRST, {"timeout": 0.5}, small=small.port, large=large.port)

    async def story(client: httpx.AsyncClient) -> None:
        async with asyncio.timeout(4):
            answer = await chat(client, stream=True)
        assert answer.headers["x-parley-escalated"] == "error"
        assert "What was hard?" in answer.text

    told(gateway, story, small, large)


def test_an_answer_that_is_too_long_or_leads_elsewhere_goes_to_nobody(gateway: Gateway) -> None:
    async def elsewhere(asked: dict[str, Any], send: Send) -> None:
        await reply(send, 307, b"", ("location", "http://192.0.2.1/"))

    stub = ChatStub(elsewhere)
    behind(gateway, [{"name": "m", "service": "s"}], {"max_response_mb": 1}, s=stub.port)

    async def story(client: httpx.AsyncClient) -> None:
        assert refused(await chat(client, "m"))[1] == "model_unavailable"
        stub.say = says("x" * 1_100_000)
        with pytest.raises(httpx.RemoteProtocolError):
            await chat(client, "m", stream=True)

    told(gateway, story, stub)


def test_the_chat_server_of_the_settings_learns_nothing_of_clients_and_its_breaker_is_told(
    gateway: Gateway,
) -> None:
    stub = ChatStub(says("What was hard?"))
    url = f"http://127.0.0.1:{stub.port}/v1"
    gateway.settings |= {"llm_url": url, "llm_model": "m", "admin_key": SecretStr(ADMIN)}

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            assert (await chat(client, "m")).status_code == 200
        (seen,) = stub.seen
        assert (seen.all("x-forwarded-for"), seen.all("x-forwarded-host")) == ([], [])
        for _ in range(8):
            assert refused(await chat(client, "m"))[1] == "model_unavailable"
        metrics = (await client.get("/admin/metrics", headers=bearer(ADMIN))).json()
        assert metrics["circuit_breakers_open"] == 1
        breakers = dict(gateway.app.state.runtime._open_breakers())
        assert breakers[f"the chat server 127.0.0.1:{stub.port}"]

    told(gateway, story)


def test_a_request_that_is_none_is_refused(gateway: Gateway) -> None:
    gateway.settings |= {"llm_url": "http://127.0.0.1:1", "llm_model": "m"}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"messages": HELLO}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": ["x"]}, "messages"),
        ({"model": "m", "messages": HELLO, "stream": "yes"}, "stream"),
        ({"model": "m", "messages": HELLO, "stream_options": []}, "stream_options"),
    ]

    async def story(client: httpx.AsyncClient) -> None:
        for body, field in wrong:
            answer = await client.post("/v1/chat/completions", json=body)
            assert refused(answer)[:2] == (400, "invalid_field")
            assert answer.json()["errors"][0]["pointer"].startswith(f"/{field}")
        for name in ("a b", "a/b", "x" * 129):
            answer = await chat(client, "m", headers={"x-session-id": name})
            assert refused(answer)[1] == "invalid_parameter"

    told(gateway, story)
