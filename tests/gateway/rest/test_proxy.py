"""`/{service}/{path}` over real sockets: what passes, how it streams, and what is refused."""

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import Receive, Send

from gateway.app import create_app
from gateway.settings import Settings, SettingsError
from pipeline.breaker import BreakerState
from tests.support.gateway import Gateway
from tests.support.raw_client import raw_client
from tests.support.served import free_port
from tests.support.stub_services import (
    Seen,
    StubService,
    always,
    hangs,
    raw_service,
    reply,
    says,
    services_file,
)

pytestmark = pytest.mark.slow

Story = Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]]

WITHIN_S = 30.0
"""Bound of every wait; none comes near it."""


def run(gateway: Gateway, story: Story, *services: dict[str, Any], **headers: str) -> None:
    """Tell a story with a client of the gateway, which has these services behind it."""
    if services:
        gateway.settings["services"] = services_file(gateway.settings["data_dir"], *services)

    async def told() -> None:
        async with (
            asyncio.timeout(WITHIN_S),
            httpx.AsyncClient(
                base_url=gateway.url, trust_env=False, timeout=WITHIN_S, headers=headers
            ) as client,
        ):
            await story(client)

    gateway.run(told)


# --- what passes ---------------------------------------------------------------------------------


def test_a_request_of_any_method_reaches_the_service_and_its_answer_comes_back(
    gateway: Gateway,
) -> None:
    stub = StubService()

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
                await once(client, method)

    async def once(client: httpx.AsyncClient, method: str) -> None:
        body = b"" if method in ("GET", "OPTIONS") else b'{"a": 1}'
        answer = await client.request(
            method,
            "/conversation-service/threads/7?x=1&x=2",
            content=body,
            headers=[(b"X-Correlation-ID", b"trip-1"), (b"X-Mine", b"\xe4")],
        )
        assert (answer.status_code, answer.headers["x-correlation-id"]) == (200, "trip-1")
        told = answer.json()
        assert (told["method"], told["target"]) == (method, "/api/v1/threads/7?x=1&x=2")
        assert told["body"] == body.decode()
        seen = stub.seen.pop()
        assert seen.all("host") == [f"127.0.0.1:{stub.port}"]
        assert seen.all("x-correlation-id") == ["trip-1"]
        assert seen.all("x-mine") == ["ä"]
        assert seen.all("x-forwarded-for") == ["127.0.0.1"]
        assert seen.all("x-forwarded-proto") == ["http"]
        assert seen.all("x-forwarded-host") == [f"127.0.0.1:{gateway.port}"]
        assert seen.all("x-forwarded-prefix") == ["/conversation-service"]
        assert [len(name) for name in seen.all("traceparent")] == [55]

    run(gateway, story, {"name": "conversation-service", "port": stub.port, "base_path": "/api/v1"})


def test_a_service_is_reached_by_its_version_too(gateway: Gateway) -> None:
    stub = StubService()
    stub.answers = {"/api/moved": always(307, b"", ("location", "/api/there"))}

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            plain = (await client.get("/s/a/b?x=1")).json()["target"]
            versioned = (await client.get("/v1/s/a/b?x=1")).json()["target"]
            assert (plain, versioned) == ("/api/a/b?x=1", "/api/a/b?x=1")
            assert stub.seen[-1].all("x-forwarded-prefix") == ["/v1/s"]
            moved = await client.get("/v1/s/moved", follow_redirects=False)
            assert moved.headers["location"] == "/v1/s/api/there"
            assert (await client.post("/v1/s/a", content=b"x")).json()["body"] == "x"
            missing = await client.get("/v1/unknown/a")
            assert (missing.status_code, missing.json()["code"]) == (404, "not_found")

    run(gateway, story, {"name": "s", "port": stub.port, "base_path": "/api"})


def test_another_service_stands_in_behind_a_version(gateway: Gateway) -> None:
    stub = StubService("other")

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            answer = await client.get("/v1/s/x?y=1")
        assert answer.headers["x-parley-fallback"] == "other"
        assert answer.json()["target"] == "/x?y=1"
        assert stub.seen[0].all("x-forwarded-prefix") == ["/v1/other"]

    attempts = {"retry_policy": {"max_attempts": 1}}
    run(
        gateway,
        story,
        {"name": "s", "port": free_port(), "fallback": {"service": "other"}, **attempts},
        {"name": "other", "port": stub.port},
    )


OWN_PATHS = ("/v1/realtime/x", "/v1/realtime/calls/x", "/v1/live/x", "/api/x/y", "/admin/x")


def test_the_gateways_own_paths_are_never_passed_on(gateway: Gateway) -> None:
    stub = StubService()
    gateway.settings["api_keys"] = SecretStr("parley-key-1")

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            for path in OWN_PATHS:
                for method in ("GET", "POST", "PUT", "DELETE"):
                    answer = await client.request(method, path)
                    assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
            assert (await client.get("/v1/realtime/client_secrets")).status_code == 405
        assert stub.seen == []

    run(gateway, story, {"name": "s", "port": stub.port})


def test_the_clients_trace_goes_on(gateway: Gateway) -> None:
    stub = StubService()
    given = "00-" + "a" * 32 + "-" + "b" * 16 + "-00"

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            await client.get("/s/", headers={"traceparent": given, "tracestate": "v=1"})
            await client.get("/s/", headers={"traceparent": "nonsense", "tracestate": "v=1"})
        first, second = stub.seen
        (passed,), (made,) = first.all("traceparent"), second.all("traceparent")
        assert passed[:36] == given[:36]
        assert passed[36:52] != "b" * 16
        assert passed[52:] == "-00"
        assert (first.all("tracestate"), second.all("tracestate")) == (["v=1"], [])
        assert made[3:35] != "a" * 32
        assert made[52:] == "-01"

    run(gateway, story, {"name": "s", "port": stub.port})


def test_an_encoded_body_a_redirect_and_cookies_come_back_as_they_are(gateway: Gateway) -> None:
    packed = gzip.compress(b"hello " * 100)
    stub = StubService()
    stub.answers = {
        "/packed": always(200, packed, ("content-encoding", "gzip"), ("etag", '"x"')),
        "/old": always(307, b"", ("location", f"http://127.0.0.1:{stub.port}/new?a=1")),
        "/cookies": always(200, b"", ("set-cookie", "a=1"), ("set-cookie", "b=2")),
        "/unchanged": always(304, b"", ("etag", '"x"')),
        "/nothing": always(204),
        "/fault": always(500, b"theirs"),
        "/limit": always(429, b"", ("retry-after", "7")),
    }

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            async with client.stream("GET", "/s/packed") as answer:
                raw = b"".join([piece async for piece in answer.aiter_raw()])
            assert (raw, answer.headers["etag"]) == (packed, '"x"')
            assert answer.headers["content-length"] == str(len(packed))
            moved = await client.get("/s/old")
            assert (moved.status_code, moved.headers["location"]) == (307, "/s/new?a=1")
            cookies = await client.get("/s/cookies")
            assert cookies.headers.get_list("set-cookie") == ["a=1", "b=2"]
            assert cookies.headers.get_list("date") != []
            assert len(cookies.headers.get_list("date")) == 1
            assert "server" not in cookies.headers
            statuses = ("unchanged", "nothing", "fault", "limit")
            answers = [await client.get(f"/s/{path}") for path in statuses]
            assert [one.status_code for one in answers] == [304, 204, 500, 429]
            assert (answers[2].content, answers[3].headers["retry-after"]) == (b"theirs", "7")
            head = await client.head("/s/packed")
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(packed))
        assert Counter(seen.target for seen in stub.seen)["/fault"] == 1  # a 500 is not repeated

    run(gateway, story, {"name": "s", "port": stub.port})


def test_only_configured_services_are_passed_on_to(gateway: Gateway) -> None:
    stub = StubService()

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            for path in ("/other/a", "/S/a", "/s", "/admin/a", "/api/unknown", "/health/a"):
                answer = await client.get(path)
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
            assert (await client.get("/health/live")).json() == {"status": "alive"}
            refused = await client.request("TRACE", "/s/a")
            assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")
        assert stub.seen == []

    run(gateway, story, {"name": "s", "port": stub.port})


def test_without_a_file_there_are_no_services(gateway: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        for path in ("/conversation-service/health", "/ollama/api/tags"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    run(gateway, story)


def test_a_file_with_a_mistake_is_named_at_the_start(gateway: Gateway) -> None:
    path = services_file(gateway.settings["data_dir"], {"name": "s", "port": 0})
    line = path.read_text().split("port:")[0].count("\n") + 1
    with pytest.raises(SettingsError) as refused:
        create_app(Settings(data_dir=gateway.settings["data_dir"], services=path))
    assert str(refused.value) == (
        f"PARLEY_SERVICES: {path}:{line}: port must be a whole number from 1 to 65535"
    )


# --- streaming -----------------------------------------------------------------------------------


def test_an_event_is_there_before_the_next_one_is_sent(gateway: Gateway) -> None:
    stub, go_on = StubService(), asyncio.Event()

    async def events(seen: Seen, receive: Receive, send: Send) -> None:
        lines = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": lines})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"data: 2\n\n"})

    stub.answers = {"/events": events}

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running(), client.stream("GET", "/s/events") as answer:
            pieces = answer.aiter_raw()
            assert await anext(pieces) == b"data: 1\n\n"
            go_on.set()
            assert [piece async for piece in pieces] == [b"data: 2\n\n"]

    run(gateway, story, {"name": "s", "port": stub.port})


def test_a_piece_of_an_upload_is_there_before_the_next_one_is_sent(gateway: Gateway) -> None:
    stub, arrived = StubService(), asyncio.Event()
    pieces: list[bytes] = []

    async def upload(seen: Seen, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            pieces.append(message["body"])
            arrived.set()
        await reply(send, 201)

    stub.answers = {"/upload": upload}

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await arrived.wait()
        yield b"second"

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            answer = await client.post("/s/upload", content=body())
        assert answer.status_code == 201
        assert pieces[0] == b"first"
        assert b"".join(pieces) == b"firstsecond"
        assert stub.seen[0].all("transfer-encoding") == ["chunked"]

    run(gateway, story, {"name": "s", "port": stub.port})


def test_a_client_that_does_not_read_stops_the_service(gateway: Gateway) -> None:
    sent = 0

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
        while sent < 200_000_000:
            writer.write(bytes(65_536))
            await writer.drain()
            sent += 65_536

    async def story(client: httpx.AsyncClient) -> None:
        async with raw_service(floods, port), raw_client(gateway.port, receive_buffer=4096) as raw:
            await raw.send(b"GET /s/flood HTTP/1.1\r\nHost: a\r\n\r\n")
            await raw.read_until(lambda received: len(received) > 0)
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(0.1)
            # What the sockets of both connections hold, beside 64 KiB here and there.
            assert 0 < sent < 20_000_000

    port = free_port()
    run(gateway, story, {"name": "s", "port": port})


def test_a_service_that_does_not_read_stops_the_client(gateway: Gateway) -> None:
    sent, done = 0, asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await done.wait()

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(3000):
            yield bytes(65_536)
            sent += 65_536

    async def story(client: httpx.AsyncClient) -> None:
        async with raw_service(deaf, port):
            uploading = asyncio.create_task(client.post("/s/upload", content=body()))
            before = -1
            while sent != before or sent == 0:
                before = sent
                await asyncio.sleep(0.1)
            assert sent < 20_000_000
            uploading.cancel()
            done.set()
            await asyncio.wait([uploading])

    port = free_port()
    run(gateway, story, {"name": "s", "port": port, "max_request_mb": 1000})


@pytest.mark.parametrize("begun", [False, True], ids=["waiting", "reading"])
def test_the_service_hears_that_the_client_has_left(gateway: Gateway, begun: bool) -> None:
    stub = StubService()

    async def endless(seen: Seen, receive: Receive, send: Send) -> None:
        await receive()
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        stub.disconnected.set()

    stub.answers = {"/endless": endless}

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            async with raw_client(gateway.port) as raw:
                await raw.send(b"GET /s/endless HTTP/1.1\r\nHost: a\r\n\r\n")
                if begun:
                    await raw.read_until(lambda received: received.endswith(b"x\r\n"))
                while not stub.seen:
                    await asyncio.sleep(0.01)
            await stub.disconnected.wait()

    run(gateway, story, {"name": "s", "port": stub.port})


def test_a_client_that_leaves_within_its_request_leaves_no_whole_one(gateway: Gateway) -> None:
    stub, left = StubService(), asyncio.Event()
    messages: list[Any] = []

    async def upload(seen: Seen, receive: Receive, send: Send) -> None:
        while True:
            messages.append(await receive())
            if not messages[-1].get("more_body", False):
                left.set()
                return

    stub.answers = {"/upload": upload}

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            async with raw_client(gateway.port) as raw:
                await raw.send(
                    b"POST /s/upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"5\r\nhello\r\n"
                )
                while not messages:
                    await asyncio.sleep(0.01)
            await left.wait()
        assert [message["type"] for message in messages][-1] == "http.disconnect"

    run(gateway, story, {"name": "s", "port": stub.port})


# --- faults --------------------------------------------------------------------------------------


def two(first: int, second: int, **fields: Any) -> dict[str, Any]:
    return {"name": "s", "instances": [{"port": first}, {"port": second}], **fields}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_instance_that_is_gone_costs_no_call(gateway: Gateway, method: str) -> None:
    stub = StubService()

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            answers = [await client.request(method, "/s/a", content=b"") for _ in range(20)]
        assert [one.status_code for one in answers] == [200] * 20
        assert len(stub.seen) == 20

    run(gateway, story, two(free_port(), stub.port))


def test_a_hung_instance_is_left_after_three_calls(gateway: Gateway) -> None:
    stub, hung = StubService(), 0

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hung
        hung += 1
        await hangs(reader, writer)

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running(), raw_service(hang, port):
            answers = [await client.get("/s/a") for _ in range(20)]
        assert [one.status_code for one in answers] == [200] * 20
        assert hung == 3

    port = free_port()
    run(gateway, story, two(port, stub.port, timeout=1.0))  # the stub may be slow, too


def test_what_may_have_been_done_is_not_sent_to_another_instance(gateway: Gateway) -> None:
    stub = StubService()

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running(), raw_service(hangs, port):
            answer = await client.post("/s/pay", content=b"1")
            assert (answer.status_code, answer.json()["code"]) == (504, "service_timeout")
            assert answer.json()["detail"] == "s: no answer within 1 s"
            assert stub.seen == []
            keyed = await client.post("/s/pay", content=b"1", headers={"Idempotency-Key": "k"})
            assert (keyed.status_code, keyed.json()["from"]) == (200, "stub")
            again = await client.post("/s/pay", content=b"1", headers={"Idempotency-Key": "k"})
            assert (again.status_code, again.json()["body"]) == (200, "1")

    port = free_port()
    run(gateway, story, two(port, stub.port, timeout=1.0))  # the stub may be slow, too


CUT = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it"
CUT_CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"


def test_an_answer_that_breaks_off_is_not_made_whole(gateway: Gateway) -> None:
    ports = [free_port(), free_port()]

    async def story(client: httpx.AsyncClient) -> None:
        for port, name, data in zip(ports, "ab", (CUT, CUT_CHUNKED), strict=True):
            for reset in (False, True):
                async with raw_service(says(data, reset=reset), port):
                    with pytest.raises(httpx.TransportError):
                        await client.get(f"/{name}/a")

    once = {"retry_policy": {"max_attempts": 1}}
    run(gateway, story, *({"name": n, "port": p, **once} for n, p in zip("ab", ports, strict=True)))


def test_an_answer_that_stalls_is_broken_off(gateway: Gateway) -> None:
    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CUT_CHUNKED)
        await hangs(reader, writer)

    async def story(client: httpx.AsyncClient) -> None:
        async with raw_service(stalls, port):
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/s/a")

    port = free_port()
    run(gateway, story, {"name": "s", "port": port, "idle_timeout": 0.2})


NO_ANSWERS = {
    "no HTTP": b"220 smtp.example ESMTP\r\n",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "odd length": b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
    "other protocol": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
    "NUL in a header": b"HTTP/1.1 200 OK\r\nx-a: 1\x002\r\ncontent-length: 0\r\n\r\n",
    "huge head": b"HTTP/1.1 200 OK\r\n" + b"x-a: " + b"a" * 200_000 + b"\r\n\r\n",
    "too long": b"HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n",
}


def test_what_is_no_answer_is_502(gateway: Gateway) -> None:
    ports = {name: free_port() for name in NO_ANSWERS}

    async def story(client: httpx.AsyncClient) -> None:
        for number, (case, data) in enumerate(NO_ANSWERS.items()):
            async with raw_service(says(data), ports[case]):
                answer = await client.get(f"/s{number}/a")
            assert (answer.status_code, answer.json()["code"]) == (502, "service_failed"), case
            assert str(ports[case]) not in answer.text

    once = {"retry_policy": {"max_attempts": 1}, "max_response_mb": 1}
    services = [
        {"name": f"s{number}", "port": port, **once} for number, port in enumerate(ports.values())
    ]
    run(gateway, story, *services)


def test_without_any_instance_it_is_503_and_says_when_to_come_back(gateway: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answers = [await client.get("/s/a") for _ in range(4)]
        assert [one.status_code for one in answers] == [502, 502, 502, 503]
        assert answers[0].json()["detail"] == "s: Connection refused"
        told = answers[3]
        assert told.json()["code"] == "service_unavailable"
        assert 1 <= int(told.headers["retry-after"]) <= 6
        assert told.headers["content-type"] == "application/problem+json"

    run(gateway, story, {"name": "s", "port": free_port(), "retry_policy": {"max_attempts": 1}})


def test_an_instance_that_cannot_serve_is_passed_over_and_its_own_words_come_last(
    gateway: Gateway,
) -> None:
    full, well = StubService("full"), StubService("well")
    full.answers = {
        "/a": always(503, b"full", ("retry-after", "1")),
        "/b": always(503, b"full"),
    }
    well.answers = {"/b": always(502, b"bad")}

    async def story(client: httpx.AsyncClient) -> None:
        async with full.running(), well.running():
            assert (await client.get("/s/a")).json()["from"] == "well"
            last = await client.get("/s/b")
            assert (last.status_code, last.content) == (502, b"bad")
            alone = await client.get("/alone/b")
            assert (alone.status_code, alone.content) == (503, b"full")

    run(
        gateway,
        story,
        two(full.port, well.port, retry_policy={"max_attempts": 2}),
        {"name": "alone", "port": full.port, "retry_policy": {"max_attempts": 1}},
    )


def test_the_same_instance_is_asked_again_when_it_says(gateway: Gateway) -> None:
    stub, times = StubService(), []

    async def once_full(seen: Seen, receive: Receive, send: Send) -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            await reply(send, 503, b"", ("retry-after", "1"))
        else:
            await reply(send, 200, b"now")

    stub.answers = {"/a": once_full}

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            answer = await client.get("/s/a")
            assert (answer.status_code, answer.content) == (200, b"now")
            first, second = times
            assert second - first >= 1.0
            times.clear()
            hurried = await client.get("/s/a", headers={"X-Budget-Ms": "500"})
            assert (hurried.status_code, hurried.headers["retry-after"]) == (503, "1")

    run(gateway, story, {"name": "s", "port": stub.port})


def test_the_clients_own_limit_holds_and_is_passed_on(gateway: Gateway) -> None:
    stub = StubService()

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running(), raw_service(hangs, port):
            answer = await client.get("/hung/a", headers={"X-Budget-Ms": "150"})
            assert (answer.status_code, answer.json()["code"]) == (504, "service_timeout")
            await client.get("/s/a", headers={"X-Budget-Ms": "5000"})
            await client.get("/s/a", headers={"X-Budget-Ms": "never"})
        told = [int(seen.all("x-budget-ms")[0]) for seen in stub.seen]
        assert 4000 < told[0] <= 5000
        assert told[1] == 20_000

    port = free_port()
    run(
        gateway,
        story,
        {"name": "hung", "port": port},
        {"name": "s", "port": stub.port},
    )


def test_answers_that_a_client_can_cause_take_nobody_out_of_use(gateway: Gateway) -> None:
    stub = StubService()
    stub.answers = {"/500": always(500), "/400": always(400), "/429": always(429)}

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            for path in ("/500", "/400", "/429"):
                for _ in range(12):
                    await client.get(f"/s{path}")
            assert (await client.get("/s/a")).status_code == 200

    run(gateway, story, {"name": "s", "port": stub.port})


def test_a_client_without_patience_takes_nobody_out_of_use(gateway: Gateway) -> None:
    async def slow(seen: Seen, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.3)
        await always(200)(seen, receive, send)

    stub = StubService()
    stub.answers = {"/slow": slow}

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            for _ in range(4):
                answer = await client.get("/s/slow", headers={"X-Budget-Ms": "20"})
                assert answer.status_code == 504
            assert (await client.get("/s/a")).status_code == 200

    run(gateway, story, {"name": "s", "port": stub.port})


def test_a_blank_behind_a_headers_value_is_nothing(gateway: Gateway) -> None:
    stub = StubService()

    async def story(_: httpx.AsyncClient) -> None:
        async with stub.running(), raw_client(gateway.port) as client:
            for _ in range(4):
                await client.send(b"GET /s/a HTTP/1.1\r\nHost: localhost\r\nX-Mine: a \t\r\n\r\n")
                await client.read_until(lambda received: b"200 OK" in received)
                client.received.clear()
        assert [seen.all("x-mine") for seen in stub.seen] == [["a"]] * 4

    run(gateway, story, {"name": "s", "port": stub.port})


def test_an_answer_that_is_too_long_takes_nobody_out_of_use(gateway: Gateway) -> None:
    stub = StubService()
    stub.answers = {"/long": always(200, b"x" * 200_000)}

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            for _ in range(4):
                assert (await client.get("/s/long")).status_code == 502
            assert (await client.get("/s/a")).status_code == 200
        assert len(stub.seen) == 5

    run(gateway, story, {"name": "s", "port": stub.port, "max_response_mb": 0.1})


def test_retries_are_few_where_everything_fails(gateway: Gateway) -> None:
    stub = StubService()
    stub.answers = {"/a": always(502)}

    async def story(client: httpx.AsyncClient) -> None:
        registry = next(iter(gateway.app.state.services))
        async with stub.running():
            for _ in range(30):
                await client.get("/s/a")
                registry.instances[f"127.0.0.1:{stub.port}"].reset(0.0)
        assert len(stub.seen) <= 30 + 10 + 3

    policy = {"max_attempts": 2, "base": 0.001}
    run(gateway, story, {"name": "s", "port": stub.port, "retry_policy": policy})


def test_a_service_has_so_many_calls_at_once(gateway: Gateway) -> None:
    stub, release = StubService(), asyncio.Event()

    async def slow(seen: Seen, receive: Receive, send: Send) -> None:
        await release.wait()
        await reply(send, 200, b"done")

    stub.answers = {"/slow": slow}

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            first = asyncio.create_task(client.get("/s/slow"))
            while not stub.seen:
                await asyncio.sleep(0.01)
            refused = await client.get("/s/a")
            assert (refused.status_code, refused.json()["code"]) == (503, "service_busy")
            assert refused.headers["retry-after"] == "1"
            release.set()
            assert (await first).content == b"done"
            assert (await client.get("/s/a")).status_code == 200

    run(gateway, story, {"name": "s", "port": stub.port, "max_connections": 1})


# --- what stands in ------------------------------------------------------------------------------


def test_the_configured_answer_stands_in(gateway: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.get("/s/plans")
        assert (answer.status_code, answer.json()) == (203, {"plans": []})
        assert answer.headers["x-parley-fallback"] == "json"
        head = await client.head("/s/plans")
        assert (head.status_code, head.content) == (203, b"")

    fallback = {"json": {"plans": []}, "status": 203}
    run(gateway, story, {"name": "s", "port": free_port(), "fallback": fallback})


def test_another_service_stands_in_with_the_same_request(gateway: Gateway) -> None:
    stub = StubService("other")

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            answer = await client.post("/s/x?y=1", content=b"body")
        assert answer.headers["x-parley-fallback"] == "other"
        told = answer.json()
        assert (told["from"], told["target"], told["body"]) == ("other", "/base/x?y=1", "body")
        missing = await client.get("/s/x")
        assert (missing.status_code, missing.json()["detail"]) == (502, "s: Connection refused")

    run(
        gateway,
        story,
        {
            "name": "s",
            "port": free_port(),
            "fallback": {"service": "other"},
            "retry_policy": {"max_attempts": 1},
        },
        {
            "name": "other",
            "port": stub.port,
            "base_path": "/base",
            "fallback": {"service": "s"},
            "retry_policy": {"max_attempts": 1},
        },
    )


# --- limits --------------------------------------------------------------------------------------


def test_a_request_that_is_too_large_goes_nowhere_as_a_whole(gateway: Gateway) -> None:
    stub, ended = StubService(), asyncio.Event()
    messages: list[str] = []

    async def upload(seen: Seen, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            messages.append(message["type"])
            more = message.get("more_body", False)
        ended.set()

    stub.answers = {"/upload": upload}

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(100_000)

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            told = await client.post("/s/upload", content=bytes(1_000_001))
            assert (told.status_code, told.json()["code"]) == (413, "body_too_large")
            assert told.json()["detail"] == "s takes 1 MB"
            assert stub.seen == []
            chunked = await client.post("/s/upload", content=chunks())
            assert (chunked.status_code, chunked.json()["code"]) == (413, "body_too_large")
            await ended.wait()
        assert messages[-1] == "http.disconnect"

    run(gateway, story, {"name": "s", "port": stub.port, "max_request_mb": 1})


def test_an_answer_that_gets_too_long_is_broken_off(gateway: Gateway) -> None:
    stub = StubService()

    async def long(seen: Seen, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(20):
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    stub.answers = {"/long": long}

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/s/long")

    run(gateway, story, {"name": "s", "port": stub.port, "max_response_mb": 1})


# --- tricks --------------------------------------------------------------------------------------


TRICKS = (
    "/s/../admin/breakers",
    "/s/%2e%2e/admin",
    "/s/..%2fadmin",
    "/s/a%5c..",
    "/s//evil.example/",
    "/s/a%00",
    "/%73/a",
    "/s/%zz",
)


def test_a_path_with_two_meanings_is_refused(gateway: Gateway) -> None:
    stub = StubService()

    async def asked(path: str) -> bytes:
        async with raw_client(gateway.port) as raw:
            await raw.send(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            return bytes(await raw.read_until())

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            for path in TRICKS:
                answer = await asked(path)
                assert answer.startswith(b"HTTP/1.1 400 "), path
                assert b'"code":"invalid_request"' in answer
            assert (await asked("/s/a%0d%0aX-Admin:%201")).startswith(b"HTTP/1.1 404 ")
        assert stub.seen == []

    run(gateway, story, {"name": "s", "port": stub.port})


def request(*lines: str, body: str = "") -> bytes:
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")


INSIDE = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
SMUGGLED = {
    "both lengths": request(
        "POST /s/a HTTP/1.1",
        "Host: a",
        "Content-Length: 4",
        "Transfer-Encoding: chunked",
        body="0\r\n\r\n" + INSIDE,
    ),
    "two lengths": request(
        "POST /s/a HTTP/1.1", "Host: a", "Content-Length: 0", "Content-Length: 40", body=INSIDE
    ),
    "obscured coding": request(
        "POST /s/a HTTP/1.1", "Host: a", "Transfer-Encoding: xchunked", body=INSIDE
    ),
    "coding with a space": request(
        "POST /s/a HTTP/1.1",
        "Host: a",
        "Transfer-Encoding : chunked",
        "Content-Length: 40",
        body="0\r\n\r\n" + INSIDE,
    ),
    "bare line feed": b"GET /s/a HTTP/1.1\nHost: a\nX: 1\n\n" + INSIDE.encode(),
    "line in a header": request("GET /s/a HTTP/1.1", "Host: a", "X-A: 1\r GET /smuggled"),
}


def test_no_request_is_smuggled(gateway: Gateway) -> None:
    stub = StubService()

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            for case, data in SMUGGLED.items():
                async with raw_client(gateway.port) as raw:
                    await raw.send(data)
                    answer = bytes(await raw.read_until())
                assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 501"), case
        assert stub.seen == []

    run(gateway, story, {"name": "s", "port": stub.port})


def test_a_body_that_looks_like_a_request_stays_a_body(gateway: Gateway) -> None:
    stub = StubService()
    bodies = {
        "length": (f"Content-Length: {len(INSIDE)}", INSIDE),
        "chunks": ("Transfer-Encoding: chunked", f"{len(INSIDE):x}\r\n{INSIDE}\r\n0\r\n\r\n"),
    }

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            for framing, body in bodies.values():
                async with raw_client(gateway.port) as raw:
                    await raw.send(
                        request("GET /s/a HTTP/1.1", "Host: a", framing, body=body)
                        + request("GET /s/b HTTP/1.1", "Host: a", "Connection: close")
                    )
                    answers = bytes(await raw.read_until())
                assert answers.count(b"HTTP/1.1 200 OK") == 2
        assert [seen.target for seen in stub.seen] == ["/a", "/b"] * 2

    run(gateway, story, {"name": "s", "port": stub.port})


@pytest.mark.parametrize("length", [4, 65_494], ids=["short", "64 KiB"])
def test_a_smuggling_answer_is_not_the_answer_of_the_next_request(
    gateway: Gateway, length: int
) -> None:
    """Bytes behind an answer never belong to another client's request.

    64 KiB are read at a time: behind a head of 42 bytes and so long a body they wait to be read.
    """
    extra, connections = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await reader.readuntil(b"\r\n\r\n")
            head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % length
            writer.write(head + b"g" * length + extra)

    async def story(client: httpx.AsyncClient) -> None:
        async with raw_service(serve, port):
            answers = [await client.get("/s/a") for _ in range(5)]
        assert {one.content for one in answers} == {b"g" * length}
        assert connections == 5

    port = free_port()
    run(gateway, story, {"name": "s", "port": port})


def test_a_connection_to_a_service_is_used_again(gateway: Gateway) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood")

    async def story(client: httpx.AsyncClient) -> None:
        async with raw_service(serve, port):
            for _ in range(5):
                assert (await client.get("/s/a")).content == b"good"
            (service,) = gateway.app.state.services
            (instance,) = service.instances.values()
            while instance.in_flight:  # the answer was there before its end was
                await asyncio.sleep(0.01)
            assert instance.breaker.state is BreakerState.CLOSED
        assert connections == 1

    port = free_port()
    run(gateway, story, {"name": "s", "port": port})


def test_headers_that_the_gateway_says_cannot_be_said_by_a_client(gateway: Gateway) -> None:
    stub = StubService()
    evil = {
        "X-Forwarded-For": "10.0.0.1",
        "X_Forwarded_For": "10.0.0.1",
        "X-Forwarded-Host": "evil.example",
        "X-Real-IP": "10.0.0.1",
        "Forwarded": "for=10.0.0.1",
        "X-Original-URL": "/admin",
        "Connection": "X-Correlation-ID, X-Forwarded-For, keep-alive",
        "X-Correlation-ID": "a b",
    }

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            answer = await client.get("/s/a", headers=evil)
        told = json.dumps(stub.seen[0].headers)
        assert not {word for word in ("10.0.0.1", "evil", "/admin", "a b") if word in told}
        (made,) = stub.seen[0].all("x-correlation-id")
        assert answer.headers.get_list("x-correlation-id") == [made]

    run(gateway, story, {"name": "s", "port": stub.port})


# --- who may -------------------------------------------------------------------------------------


def test_with_keys_a_service_is_for_clients_with_one_and_never_sees_it(gateway: Gateway) -> None:
    stub, key = StubService(), "parley-key-1"
    gateway.settings["api_keys"] = SecretStr(key)

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            for headers in ({}, {"X-API-Key": "wrong-key-1"}):
                refused = await client.get("/s/a", headers=headers)
                assert (refused.status_code, refused.json()["code"]) == (401, "access_required")
            # Nobody without a key learns which services there are.
            for path in ("/unknown/a", "/v1/unknown/a", "/v1/s/a"):
                answer = await client.get(path)
                assert (answer.status_code, answer.json()["code"]) == (401, "access_required")
            answer = await client.get("/unknown/a", headers={"X-API-Key": key})
            assert answer.status_code == 404
            assert stub.seen == []
            first = await client.get(
                "/s/a", headers={"X-API-Key": key, "Authorization": "Basic eDp5"}
            )
            second = await client.get("/s/a", headers={"Authorization": f"Bearer {key}"})
        assert (first.status_code, second.status_code) == (200, 200)
        assert [seen.all("authorization") for seen in stub.seen] == [["Basic eDp5"], []]
        assert key not in json.dumps([seen.headers for seen in stub.seen])

    run(gateway, story, {"name": "s", "port": stub.port})


@pytest.mark.parametrize("ours", ["x-api-key", "authorization"])
def test_a_services_own_credentials_stand_beside_the_gateways_key(
    gateway: Gateway, ours: str
) -> None:
    stub, key = StubService(), "parley-key-1"
    gateway.settings["api_keys"] = SecretStr(f"{key},parley-key-2")

    async def story(client: httpx.AsyncClient) -> None:
        own = {"x-api-key": "of-the-service", "authorization": "Bearer of-the-service"}
        shown = {**own, ours: f"Bearer {key}" if ours == "authorization" else key}
        both = {"x-api-key": key, "authorization": "Bearer parley-key-2"}
        async with stub.running():
            for headers in (shown, both):
                assert (await client.get("/s/a", headers=headers)).status_code == 200
            refused = await client.get("/s/a", headers=own)
            assert (refused.status_code, refused.json()["code"]) == (401, "access_required")
        first, second = stub.seen
        passed = {name: first.all(name) for name in own}
        assert passed == {**{name: [value] for name, value in own.items()}, ours: []}
        assert [second.all(name) for name in own] == [[], []]

    run(gateway, story, {"name": "s", "port": stub.port})


def test_a_page_of_another_site_changes_nothing_and_reads_nothing(gateway: Gateway) -> None:
    stub = StubService()
    stub.answers = {"/a": always(200, b"{}", ("access-control-allow-origin", "*"))}

    async def story(client: httpx.AsyncClient) -> None:
        evil, good = {"Origin": "https://evil.example"}, {"Origin": "http://localhost:3000"}
        async with stub.running():
            refused = await client.post("/s/a", headers=evil)
            assert (refused.status_code, refused.json()["code"]) == (403, "foreign_page")
            assert stub.seen == []
            read = await client.get("/s/a", headers=evil)
            assert "access-control-allow-origin" not in read.headers
            allowed = await client.get("/s/a", headers=good)
            assert allowed.headers.get_list("access-control-allow-origin") == [good["Origin"]]
            asked = {**good, "Access-Control-Request-Method": "PUT"}
            assert (await client.options("/s/a", headers=asked)).status_code == 200

    run(gateway, story, {"name": "s", "port": stub.port})
