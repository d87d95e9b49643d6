"""Probes in virtual time: how often, how long, and what they make of an instance."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from gateway.services.answer_reader import MalformedAnswer
from gateway.services.definition import Endpoint, ServiceSpec
from gateway.services.forwarding import Headers
from gateway.services.health import HealthState
from gateway.services.http_connection import ConnectFailed, ConnectionBroken
from gateway.services.instances import BREAKER
from gateway.services.probing import Prober
from gateway.services.registry import Registry
from gateway.services.upstreams import Upstreams
from pipeline.breaker import Breaker
from pipeline.testing import run_virtual

A, B = Endpoint("10.0.0.1", 80), Endpoint("10.0.0.2", 80)
Answers = Callable[[Endpoint, bytes], Awaitable[int]]


class Network(Upstreams):
    """Connections that lead to a function."""

    def __init__(self, answer: Answers) -> None:
        super().__init__()
        self._answer = answer

    async def status(self, endpoint: Endpoint, target: bytes, headers: Headers) -> int:
        assert headers[0] == (b"host", endpoint.authority.encode())
        return await self._answer(endpoint, target)


def probing(answer: Answers, **fields: Any) -> tuple[Registry, Prober]:
    spec = ServiceSpec(name="s", instances=fields.pop("instances", (A, B)), **fields)
    registry = Registry({"s": spec}, chance=lambda: 0.5, made=lambda: Breaker(BREAKER))
    return registry, Prober(registry, Network(answer), chance=lambda: 0.5)


def tell(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run_virtual(story())


def states(registry: Registry) -> list[HealthState]:
    return [one.health.state for service in registry for one in service.instances.values()]


def test_every_instance_is_asked_every_thirty_seconds_and_oftener_while_it_is_down() -> None:
    asked: list[tuple[float, str]] = []

    async def answer(endpoint: Endpoint, target: bytes) -> int:
        asked.append((asyncio.get_running_loop().time(), endpoint.host))
        return 200 if endpoint.host == A.host else 500

    async def story() -> None:
        registry, prober = probing(answer)
        async with prober.running():
            await asyncio.sleep(61)
        assert Counter(host for _, host in asked) == {A.host: 3, B.host: 13}
        assert [at for at, host in asked if host == A.host] == [0.5, 30.5, 60.5]
        assert states(registry) == [HealthState.UP, HealthState.DOWN]

    tell(story)


def test_a_probe_that_hangs_ends_after_three_seconds_and_keeps_no_other_waiting() -> None:
    async def answer(endpoint: Endpoint, target: bytes) -> int:
        if endpoint.host == A.host:
            await asyncio.sleep(3600)
        return 200

    async def story() -> None:
        registry, prober = probing(answer)
        service = registry.find("s")
        assert service is not None
        begun = asyncio.get_running_loop().time()
        await prober.ask(service)
        assert asyncio.get_running_loop().time() - begun == 3.0
        hung, well = service.instances.values()
        assert hung.health.last is not None
        assert hung.health.last.problem == "no answer within 3 s"
        assert well.health.answered is not None
        assert well.health.answered.latency_s == 0.0

    tell(story)


def refused() -> ConnectFailed:
    failed = ConnectFailed()
    failed.__cause__ = ConnectionRefusedError()
    return failed


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (ConnectFailed("http://secret.example"), "Connection failed"),
        (refused(), "Connection refused"),
        (MalformedAnswer("x"), "Answer is not HTTP"),
        (ConnectionBroken("x"), "Connection broke off"),
        (None, "HTTP 404"),
    ],
)
def test_why_a_probe_failed_is_told_without_a_url(error: Exception | None, problem: str) -> None:
    async def answer(endpoint: Endpoint, target: bytes) -> int:
        if error is not None:
            raise error
        return 404

    async def story() -> None:
        registry, prober = probing(answer, instances=(A,))
        service = registry.find("s")
        assert service is not None
        await prober.ask(service)
        assert [
            one.health.last.problem for one in service.instances.values() if one.health.last
        ] == [problem]

    tell(story)


def test_the_second_path_is_asked_where_the_first_is_not_there() -> None:
    asked: list[Any] = []

    async def answer(endpoint: Endpoint, target: bytes) -> int:
        asked.append(target)
        return 200 if target == b"/api/tags" else 404

    async def story() -> None:
        registry, prober = probing(
            answer, instances=(A,), health_endpoints=("/api/health", "/api/tags")
        )
        async with prober.running():
            await asyncio.sleep(1)
        assert asked == [b"/api/health", b"/api/tags"]
        assert states(registry) == [HealthState.UP]

    tell(story)


def test_what_has_no_health_endpoint_is_never_asked() -> None:
    async def answer(endpoint: Endpoint, target: bytes) -> int:
        raise AssertionError("asked")

    async def story() -> None:
        registry, prober = probing(answer, health_endpoints=())
        async with prober.running():
            await asyncio.sleep(100)
        assert states(registry) == [HealthState.UNKNOWN] * 2

    tell(story)


def test_a_new_instance_is_asked_soon() -> None:
    asked: list[str] = []

    async def answer(endpoint: Endpoint, target: bytes) -> int:
        asked.append(endpoint.host)
        return 200

    async def story() -> None:
        registry, prober = probing(answer, instances=(A,))
        async with prober.running():
            await asyncio.sleep(2)
            before = next(iter(registry)).spec
            registry.replace({"s": replace(before, instances=(A, B))}, 2.0)
            prober.changed()
            await asyncio.sleep(1)
        assert asked == [A.host, B.host]

    tell(story)
