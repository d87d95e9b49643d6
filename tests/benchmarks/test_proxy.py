"""The comparison of proxies: its service, the bare proxy, and its arithmetic."""

import asyncio

import httpx
import pytest
from starlette.testclient import TestClient
from websockets.asyncio.client import connect

from benchmarks.bare_proxy import bare_app
from benchmarks.proxy import LESS_LATENCY, Seen, compared
from benchmarks.proxy_upstream import BIG_BYTES, SMALL, Upstream


def test_the_service_answers_requests_streams_and_websockets() -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with asyncio.timeout(20), server:
            async with httpx.AsyncClient(trust_env=False) as client:
                for _ in range(2):
                    answer = await client.get(f"http://127.0.0.1:{port}/small")
                    assert (answer.status_code, answer.content) == (200, SMALL)
                big = await client.get(f"http://127.0.0.1:{port}/big")
                assert len(big.json()) == BIG_BYTES
            url = f"ws://127.0.0.1:{port}/x"
            async with connect(url, compression=None, proxy=None) as socket:
                for number in range(3):
                    await socket.send(f"message {number}")
                    assert await socket.recv() == f"message {number}"

    asyncio.run(main())


def test_the_bare_proxy_is_ready_and_says_so() -> None:
    with TestClient(bare_app("http://127.0.0.1:1")) as client:
        assert client.get("/health/ready").status_code == 200


def test_what_must_hold_is_judged_by_medians_beside_the_bare_proxy() -> None:
    direct = Seen([9.0] * 3, [0.1] * 3, [1.0, 1.0, 1.0])
    bare = Seen([100.0, 90.0, 500.0], [3.0] * 3, [11.0, 10.0, 99.0])
    parley = Seen([300.0, 400.0, 10.0], [1.5] * 3, [5.0, 4.9, 9.0])
    found = {metric.name: metric for metric in compared(direct, bare, parley)}
    assert found["time of a request, share of bare's"].value == pytest.approx(1 / 3)
    assert found["time of a request, share of bare's"].holds
    assert found["CPU of a request, share of bare's"].value == 0.5
    added = found["added latency, share of bare's"]
    assert (added.value, added.limit, added.holds) == (0.4, LESS_LATENCY, True)


def test_what_was_not_answered_is_not_passed() -> None:
    none = Seen([0.0], [0.0], [float("inf")])
    found = {one.name: one for one in compared(none, Seen([1.0], [1.0], [1.0]), none)}
    assert not found["time of a request, share of bare's"].holds
    assert not found["added latency, share of bare's"].holds
