"""`/admin/services`, the services of `/health`, and other services while the gateway runs."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from tests.support.gateway import Gateway
from tests.support.served import free_port
from tests.support.stub_services import StubService, always, services_file

pytestmark = pytest.mark.slow

KEY = "operators-key-0001"

SEVEN = [
    "conversation-service",
    "voice-service",
    "avatar-service",
    "interview-service",
    "analytics-service",
    "granite-interview-service",
    "ollama",
]
NOT_THERE = ("voice", "avatar", "interview", "analytics", "granite_interview")


def run(gateway: Gateway, story: Any, *services: dict[str, Any]) -> None:
    gateway.settings["admin_key"] = SecretStr(KEY)
    if services:
        gateway.settings["services"] = services_file(gateway.settings["data_dir"], *services)

    async def told() -> None:
        async with (
            asyncio.timeout(30),
            httpx.AsyncClient(
                base_url=gateway.url,
                trust_env=False,
                timeout=30,
                headers={"Authorization": f"Bearer {KEY}"},
            ) as client,
        ):
            await story(client)

    gateway.run(told)


def shown(instance: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(instance[name] for name in ("port", "health", "circuit", "calls", "failures"))


def test_the_services_are_shown_and_asked(gateway: Gateway) -> None:
    stub, gone = StubService(), free_port()
    stub.answers = {"/health": always(200, b"{}")}

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            # A probe may have come before the service; two good ones bring it back.
            await client.get("/admin/services/s/health")
            asked = (await client.get("/admin/services/s/health")).json()
            assert (asked["name"], asked["status"]) == ("s", "degraded")
            well, down = asked["instances"]
            assert (well["health"], well["error"]) == ("up", None)
            assert well["latencyMs"] >= 0
            assert well["lastChecked"].endswith("Z")
            assert (down["health"], down["error"]) == ("down", "Connection refused")
            for _ in range(4):
                assert (await client.get("/s/a")).status_code == 200
            (service,) = (await client.get("/admin/services")).json()["services"]
            assert [shown(one) for one in service["instances"]] == [
                (stub.port, "up", "closed", 4, 0),
                (gone, "down", "closed", 0, 0),
            ]
            unknown = await client.get("/admin/services/t/health")
            assert (unknown.status_code, unknown.json()["code"]) == (404, "no_such_service")
            assert unknown.json()["detail"] == "There are s"

    service = {
        "name": "s",
        "instances": [{"port": stub.port}, {"port": gone}],
        "health_endpoint": "/health",
    }
    run(gateway, story, service)


def test_health_shows_the_services_of_the_file(gateway: Gateway) -> None:
    stub = StubService()

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            for name in ("well", "well", "gone"):
                await client.get(f"/admin/services/{name}/health")
            health = (await client.get("/health")).json()
        assert health["status"] == "degraded"
        well, gone = health["services"]
        assert (well["name"], well["status"]) == ("well", "online")
        assert well["latencyMs"] >= 0
        assert well["lastChecked"].endswith("Z")
        assert gone == {"name": "gone", "status": "offline", "error": "Connection refused"}

    run(
        gateway,
        story,
        {"name": "well", "port": stub.port, "health_endpoint": "/health"},
        {"name": "gone", "port": free_port(), "health_endpoint": "/health"},
        {"name": "unasked", "port": stub.port},
    )


def test_a_breaker_is_reset_by_the_operator(gateway: Gateway) -> None:
    stub = StubService()

    async def story(client: httpx.AsyncClient) -> None:
        for _ in range(3):
            assert (await client.get("/s/a")).status_code == 502
        assert (await client.get("/s/a")).status_code == 503
        page = (await client.get("/metrics")).text
        assert 'parley_service_breakers{service="s",state="open"} 1.0' in page
        assert 'parley_service_breaker_transitions_total{service="s"} 1.0' in page
        async with stub.running():
            assert (await client.get("/s/a")).status_code == 503
            answer = await client.post("/admin/services/s/circuit-reset")
            assert answer.json() == {"message": "Circuit breaker reset for s"}
            assert (await client.get("/s/a")).status_code == 200

    run(gateway, story, {"name": "s", "port": stub.port, "retry_policy": {"max_attempts": 1}})


def test_other_services_are_there_after_a_reload_and_a_mistake_changes_nothing(
    gateway: Gateway,
) -> None:
    first, second = StubService("first"), StubService("second")
    folder: Path = gateway.settings["data_dir"]
    slow, go_on = [], asyncio.Event()

    async def waits(seen: Any, receive: Any, send: Any) -> None:
        slow.append(seen)
        await go_on.wait()
        await always(200, b"done")(seen, receive, send)

    first.answers = {"/slow": waits}

    async def story(client: httpx.AsyncClient) -> None:
        async with first.running(), second.running():
            under_way = asyncio.create_task(client.get("/a/slow"))
            while not slow:
                await asyncio.sleep(0.01)
            path = services_file(folder, {"name": "a", "port": 1}, {"name": "b", "port": "x"})
            refused = await client.post("/admin/services/reload")
            line = path.read_text().split("port: x")[0].count("\n") + 1
            assert (refused.status_code, refused.json()["code"]) == (422, "services_invalid")
            assert refused.json()["detail"] == (
                f"{path}:{line}: port must be a whole number from 1 to 65535"
            )
            assert (await client.get("/a/x")).json()["from"] == "first"
            services_file(folder, {"name": "b", "port": second.port})
            answer = await client.post("/admin/services/reload")
            assert [one["name"] for one in answer.json()["services"]] == ["b"]
            assert (await client.get("/b/x")).json()["from"] == "second"
            assert (await client.get("/a/x")).status_code == 404
            go_on.set()
            assert (await under_way).content == b"done"

    run(gateway, story, {"name": "a", "port": first.port})


def test_without_a_file_there_is_nothing_to_read_again(gateway: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        assert (await client.get("/admin/services")).json() == {"services": []}
        answer = await client.post("/admin/services/reload")
        assert (answer.status_code, answer.json()["code"]) == (409, "services_off")
        names = [one["name"] for one in (await client.get("/health")).json()["services"]]
        assert names == SEVEN

    run(gateway, story)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/services"),
        ("GET", "/admin/services/s/health"),
        ("POST", "/admin/services/s/circuit-reset"),
        ("POST", "/admin/services/reload"),
        ("PUT", "/admin/services/s/instances/i"),
        ("DELETE", "/admin/services/s/instances/i"),
        ("GET", "/admin/metrics"),
    ],
)
def test_services_are_for_the_operator_alone(gateway: Gateway, method: str, path: str) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.request(method, path, headers={"Authorization": "Bearer wrong"})
        assert (answer.status_code, answer.json()["code"]) == (401, "admin_key_required")

    run(gateway, story)


def test_the_requests_to_services_are_counted_in_the_seeds_shape(gateway: Gateway) -> None:
    stub = StubService()
    stub.answers = {"/bad": always(500), "/missing": always(404)}

    async def story(client: httpx.AsyncClient) -> None:
        none = await client.get("/admin/metrics")
        assert none.json() == {
            "total_requests": 0,
            "failed_requests": 0,
            "avg_response_time": 0.0,
            "circuit_breakers_open": 0,
        }
        async with stub.running():
            for path in ("/s/a", "/s/bad", "/s/missing", "/v1/s/a", "/none/a"):
                await client.get(path)
        for _ in range(3):
            assert (await client.get("/gone/a")).status_code == 502
        assert (await client.get("/gone/a")).status_code == 503
        found = (await client.get("/admin/metrics")).json()
        # 404 of a name that there is not is no request to a service.
        assert (found["total_requests"], found["failed_requests"]) == (8, 5)
        assert found["circuit_breakers_open"] == 1
        assert 0 < found["avg_response_time"] < 10

    run(
        gateway,
        story,
        {"name": "s", "port": stub.port},
        {"name": "gone", "port": free_port(), "retry_policy": {"max_attempts": 1}},
    )


def test_the_services_that_parley_knows_are_the_built_in_default(gateway: Gateway) -> None:
    conversation, ollama = StubService("conversation"), StubService("ollama")
    conversation.answers = {"/base/health": always(200, b"{}")}
    ollama.answers = {"/api/health": always(404), "/api/tags": always(200, b"{}")}
    gateway.settings |= {
        "services": Path("default"),
        "conversation_url": f"http://127.0.0.1:{conversation.port}/base",
        "ollama_url": f"http://127.0.0.1:{ollama.port}",
        **{f"{name}_url": f"http://127.0.0.1:{free_port()}" for name in NOT_THERE},
    }

    async def story(client: httpx.AsyncClient) -> None:
        async with conversation.running(), ollama.running():
            for name in ("conversation-service", "ollama"):
                for _ in range(2):  # a probe may have come before the service
                    await client.get(f"/admin/services/{name}/health")
            shown = (await client.get("/health")).json()["services"]
            assert [one["name"] for one in shown] == SEVEN
            online = {one["name"] for one in shown if one["status"] == "online"}
            assert online == {"conversation-service", "ollama"}
            told = (await client.get("/conversation-service/threads/7")).json()
            assert (told["from"], told["target"]) == ("conversation", "/base/threads/7")
            assert (await client.get("/v1/ollama/api/tags")).status_code == 200
            answer = await client.post("/admin/services/reload")
            assert (answer.status_code, answer.json()["code"]) == (409, "services_off")

    run(gateway, story)
