"""`/admin/services/{service}/instances/{id}`: instances that come, stay and go by themselves."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from gateway.services.registration import POLL_S
from tests.support.gateway import Gateway
from tests.support.paths import ROOT
from tests.support.served import free_port
from tests.support.stores import RedisServer
from tests.support.stub_services import StubService, services_file

pytestmark = pytest.mark.slow

KEY = "operators-key-0001"
HEADERS = {"Authorization": f"Bearer {KEY}"}
ITS = "/admin/services/plans/instances/one"

Story = Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    program = shutil.which("redis-server")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("redis-server is not installed: apt-get install redis-server")
        pytest.skip("redis-server is not installed (Debian: apt install redis-server)")
    (tmp_path / "redis").mkdir()
    server = RedisServer(program, tmp_path / "redis")
    server.start()
    try:
        yield server
    finally:
        server.kill()


def run(gateway: Gateway, story: Story, networks: str = "127.0.0.0/8") -> None:
    gateway.settings |= {"admin_key": SecretStr(KEY), "service_networks": networks}

    async def told() -> None:
        async with (
            asyncio.timeout(30),
            httpx.AsyncClient(
                base_url=gateway.url, trust_env=False, timeout=30, headers=HEADERS
            ) as client,
        ):
            await story(client)

    gateway.run(told)


async def until(client: httpx.AsyncClient, path: str, status: int) -> httpx.Response:
    """The first answer with a status."""
    while (answer := await client.get(path)).status_code != status:
        await asyncio.sleep(0.02)
    return answer


def instance(port: int, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, **more}


def test_an_instance_registers_renews_moves_and_leaves(gateway: Gateway) -> None:
    first, second = StubService("first"), StubService("second")

    async def story(client: httpx.AsyncClient) -> None:
        async with first.running(), second.running():
            assert (await client.get("/plans/a")).status_code == 404
            new = await client.put(ITS, json=instance(first.port))
            assert (new.status_code, new.json()) == (
                201,
                {"service": "plans", "id": "one", "ttl_s": 30},
            )
            assert (await client.get("/plans/a")).json()["from"] == "first"
            assert (await client.get("/v1/plans/a")).json()["from"] == "first"
            renewed = await client.put(ITS, json=instance(first.port, ttl_s=60))
            assert (renewed.status_code, renewed.json()["ttl_s"]) == (200, 60)
            (shown,) = (await client.get("/admin/services")).json()["services"]
            assert [(one["port"], one["calls"]) for one in shown["instances"]] == [(first.port, 2)]
            await client.put(ITS, json=instance(second.port))
            assert (await client.get("/plans/a")).json()["from"] == "second"
            assert (await client.delete(ITS)).status_code == 204
            assert (await client.get("/plans/a")).status_code == 404
            gone = await client.delete(ITS)
            assert (gone.status_code, gone.json()["code"]) == (404, "no_such_instance")

    run(gateway, story)


def test_instances_join_a_service_of_the_file_and_a_reload_keeps_them(gateway: Gateway) -> None:
    own, more = StubService("own"), StubService("more")
    folder: Path = gateway.settings["data_dir"]
    plans = {"name": "plans", "port": own.port, "base_path": "/api"}
    alone = {"name": "alone", "instances": []}
    gateway.settings["services"] = services_file(folder, plans, alone)

    async def story(client: httpx.AsyncClient) -> None:
        async with own.running(), more.running():
            empty = await client.get("/alone/a")
            assert (empty.status_code, empty.json()["code"]) == (503, "service_unavailable")
            await client.put(ITS, json=instance(more.port))
            services_file(folder, {**plans, "base_path": "/v2"}, alone)
            assert (await client.post("/admin/services/reload")).status_code == 200
            told = [(await client.get("/plans/a")).json() for _ in range(4)]
            assert {one["from"] for one in told} == {"own", "more"}
            assert {one["target"] for one in told} == {"/v2/a"}
            shown = {one["name"]: one["status"] for one in await listed(client)}
            assert shown == {"plans": "online", "alone": "offline"}

    async def listed(client: httpx.AsyncClient) -> list[dict[str, Any]]:
        services: list[dict[str, Any]] = (await client.get("/admin/services")).json()["services"]
        return services

    run(gateway, story)


@pytest.mark.slow
def test_an_instance_that_renews_nothing_is_forgotten(gateway: Gateway) -> None:
    stub = StubService()

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            began = asyncio.get_running_loop().time()
            await client.put(ITS, json=instance(stub.port, ttl_s=5))
            assert (await client.get("/plans/a")).status_code == 200
            await until(client, "/plans/a", 404)
            assert asyncio.get_running_loop().time() - began >= 4.9

    run(gateway, story)


REFUSED: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "a private address": (ITS, {"host": "10.0.0.1"}, 422, "address_not_allowed"),
    "a cloud's metadata": (ITS, {"host": "169.254.169.254"}, 422, "address_not_allowed"),
    "a mapped address": (ITS, {"host": "::ffff:10.0.0.1"}, 422, "address_not_allowed"),
    "a name": (ITS, {"host": "localhost"}, 422, "address_not_allowed"),
    "a number": (ITS, {"host": "2130706433"}, 422, "address_not_allowed"),
    "a public address": (ITS, {"host": "8.8.8.8"}, 422, "address_not_allowed"),
    "Parley's own name": ("/admin/services/admin/instances/one", {}, 422, "invalid_name"),
    "a name of /v1": ("/admin/services/realtime/instances/one", {}, 422, "invalid_name"),
    "no name": ("/admin/services/a.b/instances/one", {}, 422, "invalid_name"),
    "no id": ("/admin/services/plans/instances/a:b", {}, 422, "invalid_name"),
    "too long": (ITS, {"ttl_s": 3601}, 400, "invalid_field"),
    "no port": (ITS, {"port": 0}, 400, "invalid_field"),
    "a scheme": (ITS, {"protocol": "file"}, 400, "invalid_field"),
}


def test_whatever_may_not_register_is_refused_and_changes_nothing(gateway: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        for case, (path, fields, status, code) in REFUSED.items():
            answer = await client.put(path, json={**instance(80), **fields})
            assert (answer.status_code, answer.json()["code"]) == (status, code), case
        strange = await client.put(ITS, json=instance(80), headers={"Authorization": "Bearer x"})
        assert strange.status_code == 401
        assert (await client.get("/admin/services")).json() == {"services": []}

    run(gateway, story)


def test_without_networks_nobody_registers(gateway: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.put(ITS, json=instance(80))
        assert (answer.status_code, answer.json()["code"]) == (409, "registration_off")

    run(gateway, story, "")


@asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[None]:
    """Another gateway in the same loop."""
    ready, over = asyncio.Event(), asyncio.Event()

    async def story() -> None:
        ready.set()
        await over.wait()

    serving = asyncio.create_task(gateway._run(story))
    await ready.wait()
    try:
        yield
    finally:
        over.set()
        await serving


@pytest.mark.slow
def test_gateways_with_one_redis_have_the_instances_of_all(
    gateway: Gateway, redis: RedisServer, tmp_path: Path
) -> None:
    stub, other = StubService(), Gateway(tmp_path / "other")
    for one in (gateway, other):
        one.settings |= {
            "redis_url": redis.url,
            "admin_key": SecretStr(KEY),
            "service_networks": "127.0.0.0/8",
        }

    async def story(client: httpx.AsyncClient) -> None:
        async with (
            stub.running(),
            running(other),
            httpx.AsyncClient(
                base_url=other.url, trust_env=False, timeout=30, headers=HEADERS
            ) as there,
        ):
            assert (await client.put(ITS, json=instance(stub.port))).status_code == 201
            assert (await client.get("/plans/a")).status_code == 200
            await until(there, "/plans/a", 200)
            # It may be renewed, and ended, at either of them.
            assert (await there.put(ITS, json=instance(stub.port))).status_code == 200
            redis.kill()
            refused = await client.put(ITS, json=instance(stub.port))
            assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
            await asyncio.sleep(2 * POLL_S)  # what is known stays in use
            assert (await there.get("/plans/a")).status_code == 200
            redis.start()
            while (await there.delete(ITS)).status_code != 204:
                await asyncio.sleep(0.1)
            await until(client, "/plans/a", 404)
            short = instance(stub.port, ttl_s=5)
            assert (await client.put(ITS, json=short)).status_code == 201
            await until(there, "/plans/a", 200)
            await until(there, "/plans/a", 404)  # nobody renews it
            await until(client, "/plans/a", 404)

    run(gateway, story)


def test_an_instance_that_is_not_there_gets_no_calls_for_long(gateway: Gateway) -> None:
    stub = StubService()

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            await client.put(ITS, json=instance(stub.port))
            await client.put(ITS[:-3] + "two", json=instance(free_port()))
            answers = [(await client.get("/plans/a")).status_code for _ in range(6)]
            assert answers == [200] * 6

    run(gateway, story)


@pytest.mark.slow
def test_the_stub_of_the_compose_file_registers_itself(gateway: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STUB_")}
        stub = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "deploy/services/stub.py"),
            env={
                **kept,
                "STUB_NAME": "plan-service",
                "STUB_PORT": str(free_port()),
                "STUB_HOST": "127.0.0.1",
                "STUB_REGISTERS_AT": gateway.url,
                "STUB_ADMIN_KEY": KEY,
            },
        )
        try:
            await until(client, "/plan-service/plans/7", 200)
            sent = {"X-Correlation-ID": "trip-1"}
            told = (await client.post("/v1/plan-service/plans", json={}, headers=sent)).json()
            assert (told["service"], told["path"], told["body"]) == ("plan-service", "/plans", "{}")
            assert told["correlation_id"] == "trip-1"
        finally:
            stub.kill()
            await stub.wait()

    run(gateway, story)
