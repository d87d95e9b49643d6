"""WebSockets that are passed on to a service, with real servers of `websockets` behind them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response

from tests.support.gateway import Gateway
from tests.support.served import free_port
from tests.support.stub_services import StubService, raw_service, says, services_file

pytestmark = pytest.mark.slow

WITHIN_S = 30.0

Handler = Callable[[ServerConnection], Awaitable[None]]


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


@asynccontextmanager
async def service(handler: Handler = echo, port: int = 0, **options: Any) -> AsyncIterator[Server]:
    async with serve(handler, "127.0.0.1", port, compression=None, **options) as server:
        yield server


def port_of(server: Server) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port


def run(
    gateway: Gateway, story: Callable[[], Coroutine[Any, Any, None]], *services: dict[str, Any]
) -> None:
    gateway.settings["services"] = services_file(gateway.settings["data_dir"], *services)

    async def told() -> None:
        async with asyncio.timeout(WITHIN_S):
            await story()

    gateway.run(told)


def call(gateway: Gateway, path: str = "/s/chat", **options: Any) -> connect:
    url = f"ws://127.0.0.1:{gateway.port}{path}"
    return connect(url, **{"compression": None, "proxy": None, **options})


async def refusal(gateway: Gateway, path: str = "/s/chat", **options: Any) -> tuple[int, str]:
    """The status and the code of the problem with which a handshake is refused."""
    with pytest.raises(InvalidStatus) as refused:
        async with call(gateway, path, **options):
            pass
    response = refused.value.response
    return response.status_code, json.loads(response.body)["code"]


async def ended(socket: ClientConnection) -> tuple[int | None, str | None]:
    """What a WebSocket ends with; whatever comes before is dropped."""
    with suppress(ConnectionClosed):
        while True:
            await socket.recv()
    return socket.close_code, socket.close_reason


# --- what passes ---------------------------------------------------------------------------------


def test_messages_pass_in_both_directions_as_they_are(gateway: Gateway) -> None:
    port, paths = free_port(), []

    async def keeps(socket: ServerConnection) -> None:
        assert socket.request is not None
        paths.append(socket.request.path)
        await echo(socket)

    async def story() -> None:
        path = "/s/chat/7?x=1&y=%2F"
        async with service(keeps, port), call(gateway, path) as socket:
            for message in ("grüße", b"\x00\xff", "", b"", "x" * 70_000, bytes(300_000)):
                await socket.send(message)
                assert await socket.recv() == message
            await socket.send(["in ", "three ", "parts"])
            assert await socket.recv() == "in three parts"
            await (await socket.ping())
            async with call(gateway, "/v1" + path) as versioned:
                await versioned.send("x")
                assert await versioned.recv() == "x"
        assert paths == ["/api/chat/7?x=1&y=%2F"] * 2

    run(gateway, story, {"name": "s", "port": port, "base_path": "/api"})


def test_a_service_is_told_who_asks_and_nothing_of_the_clients_connection(gateway: Gateway) -> None:
    port, seen = free_port(), []
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    sent = {
        "X-Correlation-ID": "trip-1",
        "traceparent": trace,
        "tracestate": "v=1",
        "X-Forwarded-For": "10.0.0.1",
        "X-Real-IP": "10.0.0.1",
        "Authorization": "Bearer of-the-service",
        "Cookie": "parley_pass=ps_secret; theme=dark",
        "X-Mine": "1",
        "TE": "trailers",
    }

    async def keeps(socket: ServerConnection) -> None:
        assert socket.request is not None
        seen.append(socket.request.headers)
        await echo(socket)

    async def story() -> None:
        async with service(keeps, port), call(gateway, additional_headers=sent) as socket:
            await socket.send("x")
            await socket.recv()
        (headers,) = seen
        assert headers.get_all("host") == [f"127.0.0.1:{port}"]
        assert headers.get_all("x-forwarded-for") == ["127.0.0.1"]
        assert headers.get_all("x-forwarded-proto") == ["ws"]
        assert headers.get_all("x-forwarded-host") == [f"127.0.0.1:{gateway.port}"]
        assert headers.get_all("x-forwarded-prefix") == ["/s"]
        assert headers.get_all("x-correlation-id") == ["trip-1"]
        assert headers.get_all("tracestate") == ["v=1"]
        (parent,) = headers.get_all("traceparent")
        assert (parent[:36], parent == trace) == (trace[:36], False)
        assert headers.get_all("authorization") == ["Bearer of-the-service"]
        assert headers.get_all("cookie") == ["theme=dark"]
        assert headers.get_all("x-mine") == ["1"]
        assert headers.get_all("connection") == ["Upgrade"]
        assert headers.get_all("upgrade") == ["websocket"]
        assert headers.get_all("sec-websocket-extensions") == []
        assert {"te", "x-real-ip", "sec-websocket-protocol"} & {*headers} == set()

    run(gateway, story, {"name": "s", "port": port})


def test_the_service_chooses_the_subprotocol_and_its_headers_come_back(gateway: Gateway) -> None:
    port, offered = free_port(), []

    def add(socket: ServerConnection, request: Request, response: Response) -> None:
        offered.append(request.headers["sec-websocket-protocol"])
        response.headers["Set-Cookie"] = "a=1"
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Content-Length"] = "0"

    async def story() -> None:
        async with (
            service(port=port, subprotocols=["v2", "v1"], process_response=add),  # type: ignore[list-item]
            call(gateway, subprotocols=["v1", "v2"]) as socket,
        ):
            assert socket.subprotocol == "v2"
            assert socket.response is not None
            headers: Headers = socket.response.headers
            assert headers.get_all("set-cookie") == ["a=1"]
            assert {"access-control-allow-origin", "content-length"} & {*headers} == set()
            assert headers.get_all("sec-websocket-protocol") == ["v2"]
        assert offered == ["v1, v2"]

    run(gateway, story, {"name": "s", "port": port})


# --- how it ends ---------------------------------------------------------------------------------

ENDS = {
    "finished": (1000, "done"),
    "going away": (1001, ""),
    "policy": (1008, "not you"),
    "again later": (1013, "full"),
    "of the application": (4409, "taken" * 24),
}


def test_a_close_code_passes_in_both_directions(gateway: Gateway) -> None:
    port = free_port()
    closed: asyncio.Queue[tuple[Any, Any]] = asyncio.Queue()

    async def closes(socket: ServerConnection) -> None:
        wanted = await socket.recv()
        if wanted in ENDS:
            await socket.send("last")
            await socket.close(*ENDS[str(wanted)])
        else:
            await socket.wait_closed()
            closed.put_nowait((socket.close_code, socket.close_reason))

    async def story() -> None:
        async with service(closes, port):
            for end, code_and_reason in ENDS.items():
                async with call(gateway) as socket:
                    await socket.send(end)
                    assert await socket.recv() == "last"
                    assert await ended(socket) == code_and_reason
                async with call(gateway) as socket:
                    await socket.send("wait")
                    await socket.close(*code_and_reason)
                assert await closed.get() == code_and_reason

    run(gateway, story, {"name": "s", "port": port})


def test_what_a_client_says_just_before_it_leaves_arrives(gateway: Gateway) -> None:
    port, heard = free_port(), []
    done = asyncio.Event()

    async def listens(socket: ServerConnection) -> None:
        heard.extend([message async for message in socket])
        done.set()

    async def story() -> None:
        async with service(listens, port):
            async with call(gateway) as socket:
                for number in range(200):
                    await socket.send(f"{number}" * 100)
            await done.wait()
        assert heard == [f"{number}" * 100 for number in range(200)]

    run(gateway, story, {"name": "s", "port": port})


def test_a_connection_that_breaks_off_breaks_off_for_the_other_side(gateway: Gateway) -> None:
    port = free_port()
    closed: asyncio.Queue[int | None] = asyncio.Queue()

    async def breaks(socket: ServerConnection) -> None:
        if await socket.recv() == "break":
            socket.transport.abort()
            return
        await socket.wait_closed()
        closed.put_nowait(socket.close_code)

    async def story() -> None:
        async with service(breaks, port):
            async with call(gateway) as socket:
                await socket.send("break")
                assert await ended(socket) == (1014, "the service's connection broke off")
            async with call(gateway) as socket:
                await socket.send("wait")
                await asyncio.sleep(0.05)
                socket.transport.abort()
            assert await closed.get() == 1006
            (found,) = gateway.app.state.services
            (instance,) = found.instances.values()
            while instance.websockets or instance.in_flight:
                await asyncio.sleep(0.01)
            # What the service broke off counts against it, what the client did does not.
            assert (instance.calls, instance.failures) == (2, 1)

    run(gateway, story, {"name": "s", "port": port})


def test_a_client_that_leaves_before_it_is_accepted_is_waited_for_no_longer(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    asked: asyncio.Queue[float] = asyncio.Queue()

    async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.put_nowait(0.0)
        assert await reader.read(-1) == b""
        asked.put_nowait(1.0)

    async def story() -> None:
        async with raw_service(hangs, port):
            calling = asyncio.create_task(call(gateway).__aenter__())
            await asked.get()
            (found,) = gateway.app.state.services
            (instance,) = found.instances.values()
            assert (instance.in_flight, instance.calls) == (1, 1)
            calling.cancel()
            await asyncio.wait((calling,))
            assert await asked.get() == 1.0, "the service's side was closed"
            while instance.in_flight:
                await asyncio.sleep(0.01)
            # Nobody else was asked for it, and it is no fault of the service's.
            assert (instance.calls, instance.failures, found.websockets) == (1, 0, 0)
        assert [one for one in caplog.records if one.levelname == "ERROR"] == []

    run(gateway, story, {"name": "s", "port": port, "timeout": 10 * WITHIN_S})


# --- limits --------------------------------------------------------------------------------------


def test_a_flood_of_pings_is_refused(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.transports.websocket.relay.CONTROLS_A_SECOND", 50)
    port = free_port()
    closed: asyncio.Queue[int | None] = asyncio.Queue()

    async def listens(socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await echo(socket)
        closed.put_nowait(socket.close_code)

    async def story() -> None:
        async with service(listens, port), call(gateway) as socket:
            for _ in range(40):
                await socket.ping()
            await socket.send("x")
            assert await socket.recv() == "x"
            with suppress(ConnectionClosed):
                for _ in range(200):
                    await socket.ping()
            assert await ended(socket) == (1008, "too many frames that are no messages")
            assert await closed.get() == 1008

    run(gateway, story, {"name": "s", "port": port})


def test_a_message_that_is_too_long_ends_it_for_both(gateway: Gateway) -> None:
    port = free_port()
    closed: asyncio.Queue[int | None] = asyncio.Queue()

    async def sends(socket: ServerConnection) -> None:
        message = await socket.recv()
        if message == "send":
            await socket.send(bytes(100_001))
        else:
            await socket.send("got it")
        await socket.wait_closed()
        closed.put_nowait(socket.close_code)

    async def story() -> None:
        async with service(sends, port):
            async with call(gateway) as socket:
                await socket.send(bytes(100_000))
                assert await socket.recv() == "got it"
                await socket.send(bytes(100_001))
                assert (await ended(socket))[0] == 1009
            assert await closed.get() == 1009
            async with call(gateway) as socket:
                await socket.send("send")
                assert (await ended(socket))[0] == 1009
            assert await closed.get() == 1009

    run(gateway, story, {"name": "s", "port": port, "max_message_mb": 0.1})


def test_a_websocket_without_messages_is_ended(gateway: Gateway) -> None:
    port = free_port()

    async def story() -> None:
        async with service(port=port), call(gateway) as socket:
            for _ in range(3):
                await asyncio.sleep(0.5)
                await socket.send("x")
                assert await socket.recv() == "x"
            assert await ended(socket) == (1001, "no message for 1 s")

    run(gateway, story, {"name": "s", "port": port, "websocket_idle_timeout": 1.0})


def test_a_service_has_so_many_websockets_at_once_and_calls_beside_them(gateway: Gateway) -> None:
    port, stub = free_port(), StubService()

    async def story() -> None:
        async with service(port=port), stub.running():
            async with call(gateway) as first, call(gateway):
                assert await refusal(gateway) == (503, "service_busy")
                await first.send("x")
                assert await first.recv() == "x"
            found = gateway.app.state.services.find("s")
            while found.websockets:
                await asyncio.sleep(0.01)
            async with call(gateway):
                assert found.websockets == 1
            assert await refusal(gateway, "/none/a") == (503, "service_busy")

    services = (
        {"name": "s", "port": port, "max_websockets": 2, "max_connections": 1},
        {"name": "none", "port": stub.port, "max_websockets": 0},
    )
    run(gateway, story, *services)


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["forth", "back"])
def test_a_side_that_does_not_read_stops_the_other_one(gateway: Gateway, direction: str) -> None:
    port, go_on, sent = free_port(), asyncio.Event(), [0]
    piece, pieces = bytes(50_000), 400  # 20 MB

    async def send_all(socket: ClientConnection | ServerConnection) -> None:
        for _ in range(pieces):
            await socket.send(piece)
            sent[0] += 1
        await socket.send("all")

    async def take_all(socket: ClientConnection | ServerConnection) -> int:
        count = 0
        while await socket.recv() != "all":
            count += 1
        return count

    async def handler(socket: ServerConnection) -> None:
        if direction == "back":
            await send_all(socket)
        else:
            await go_on.wait()
            assert await take_all(socket) == pieces
            await socket.send("taken")

    async def stands_still() -> int:
        before = -1
        while before != sent[0]:
            before = sent[0]
            await asyncio.sleep(0.3)
        return before

    async def story() -> None:
        async with service(handler, port, max_queue=2), call(gateway, max_queue=2) as socket:
            sending = asyncio.create_task(send_all(socket)) if direction == "forth" else None
            # What the systems hold is a few megabytes; the gateway holds nearly nothing.
            assert await stands_still() < pieces - 50
            go_on.set()
            if sending is None:
                assert await take_all(socket) == pieces
            else:
                assert await socket.recv() == "taken"
                await sending

    run(gateway, story, {"name": "s", "port": port})


# --- when an instance fails ----------------------------------------------------------------------


def test_another_instance_is_asked_and_the_first_is_left_after_three(gateway: Gateway) -> None:
    port, gone = free_port(), free_port()

    async def story() -> None:
        async with service(port=port):
            for _ in range(8):
                async with call(gateway) as socket:
                    await socket.send("x")
                    assert await socket.recv() == "x"
        (found,) = gateway.app.state.services
        down = found.instances[f"127.0.0.1:{gone}"]
        assert (down.calls, down.failures, down.breaker.state.value) == (3, 3, "open")

    run(gateway, story, {"name": "s", "instances": [{"port": gone}, {"port": port}]})


def test_websockets_are_balanced(gateway: Gateway) -> None:
    ports = free_port(), free_port()

    async def story() -> None:
        first, second = (service(port=port) for port in ports)
        async with first, second, call(gateway), call(gateway), call(gateway), call(gateway):
            (found,) = gateway.app.state.services
            assert [one.websockets for one in found.instances.values()] == [2, 2]

    run(
        gateway,
        story,
        {
            "name": "s",
            "instances": [{"port": port} for port in ports],
            "balancing": "least-connections",
        },
    )


def test_without_an_instance_the_handshake_is_refused(gateway: Gateway) -> None:
    silent, nothing = free_port(), free_port()

    async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async def story() -> None:
        async with raw_service(hangs, silent):
            assert await refusal(gateway, "/silent/a") == (504, "service_timeout")
            for _ in range(3):
                assert await refusal(gateway, "/gone/a") == (502, "service_failed")
            assert await refusal(gateway, "/gone/a") == (503, "service_unavailable")

    attempts = {"retry_policy": {"max_attempts": 1}}
    run(
        gateway,
        story,
        {"name": "silent", "port": silent, "timeout": 0.2, **attempts},
        {"name": "gone", "port": nothing, **attempts},
    )


NO_HANDSHAKE = {
    "no HTTP": b"nonsense\r\n\r\n",
    "no upgrade": b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\n\r\n",
    "a wrong key": b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
}


def test_an_answer_that_is_no_handshake_reaches_no_client(gateway: Gateway) -> None:
    port = free_port()

    async def story() -> None:
        for case, answer in NO_HANDSHAKE.items():
            async with raw_service(says(answer), port):
                assert await refusal(gateway) == (502, "service_failed"), case

    run(gateway, story, {"name": "s", "port": port, "retry_policy": {"max_attempts": 1}})


def test_a_services_own_refusal_reaches_the_client(gateway: Gateway) -> None:
    port = free_port()

    def refuse(socket: ServerConnection, request: Request) -> Response:
        response = socket.respond(HTTPStatus(int(request.path[1:])), "not today")
        response.headers["WWW-Authenticate"] = "Basic"
        return response

    async def story() -> None:
        async with service(port=port, process_request=refuse):
            for status in (401, 404, 503):
                with pytest.raises(InvalidStatus) as refused:
                    async with call(gateway, f"/s/{status}"):
                        pass
                response = refused.value.response
                assert (response.status_code, response.body) == (status, b"not today")
                assert response.headers["www-authenticate"] == "Basic"
            (found,) = gateway.app.state.services
            (instance,) = found.instances.values()
            assert instance.failures == 1

    run(gateway, story, {"name": "s", "port": port, "retry_policy": {"max_attempts": 1}})


# --- who may -------------------------------------------------------------------------------------


def test_with_keys_a_websocket_is_for_clients_with_one_and_no_service_sees_it(
    gateway: Gateway,
) -> None:
    port, key, seen = free_port(), "parley-key-1", []
    gateway.settings["api_keys"] = SecretStr(key)

    async def keeps(socket: ServerConnection) -> None:
        assert socket.request is not None
        seen.append(str(socket.request.headers))
        await echo(socket)

    async def story() -> None:
        async with service(keeps, port, select_subprotocol=lambda socket, offered: None):
            for path in ("/s/chat", "/unknown/chat", "/v1/s/chat"):
                assert await refusal(gateway, path) == (401, "access_required")
            wrong = {"X-API-Key": "wrong"}
            assert (await refusal(gateway, additional_headers=wrong))[0] == 401
            own = {"X-API-Key": key, "Authorization": "Bearer of-the-service"}
            assert (await refusal(gateway, "/unknown/a", additional_headers=own))[0] == 404
            for options in (
                {"additional_headers": own},
                {"additional_headers": {"Authorization": f"Bearer {key}"}},
                {"subprotocols": ["chat", f"openai-insecure-api-key.{key}"]},
            ):
                async with call(gateway, **options) as socket:
                    await socket.send("x")
                    assert await socket.recv() == "x"
        assert len(seen) == 3
        assert "Bearer of-the-service" in seen[0]
        assert key not in "".join(seen)

    run(gateway, story, {"name": "s", "port": port})


def test_a_page_of_another_site_may_not_connect(gateway: Gateway) -> None:
    port = free_port()

    async def story() -> None:
        async with service(port=port):
            evil = await refusal(gateway, origin="https://evil.example")
            assert evil == (403, "foreign_page")
            async with call(gateway, origin="http://localhost:3000"):
                pass

    run(gateway, story, {"name": "s", "port": port})


def test_the_gateways_own_paths_and_paths_with_two_meanings_are_never_passed_on(
    gateway: Gateway,
) -> None:
    port, seen = free_port(), []

    async def keeps(socket: ServerConnection) -> None:
        seen.append(socket)

    async def story() -> None:
        async with service(keeps, port):
            for path in ("/v1/realtime/x", "/v1/live/x", "/api/x/y", "/admin/services"):
                assert await refusal(gateway, path) == (404, "not_found")
            for path in ("/s/%2e%2e/admin", "/s/a%2fb", "/%73/a"):
                assert await refusal(gateway, path) == (400, "invalid_request")
        assert seen == []

    run(gateway, story, {"name": "s", "port": port})


def test_a_plain_request_of_the_same_path_stays_a_plain_request(gateway: Gateway) -> None:
    stub = StubService()

    async def story() -> None:
        async with stub.running(), httpx.AsyncClient(trust_env=False, timeout=30) as client:
            answer = await client.get(f"{gateway.url}/s/chat")
            assert answer.json()["target"] == "/chat"
            # A service that knows no WebSockets says so itself.
            assert stub.seen[-1].all("upgrade") == []

    run(gateway, story, {"name": "s", "port": stub.port})
