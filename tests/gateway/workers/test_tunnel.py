"""Bytes that pass between a client's transport and another process."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.workers.tunnel import Tunnels

LIMIT_S = 30.0

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    if request.param == "asyncio":
        return asyncio.run
    uvloop = pytest.importorskip("uvloop")
    return lambda story: uvloop.run(story)


class Client:
    """A client, and the transport that this process has of it."""

    def __init__(self, end: socket.socket, transport: asyncio.Transport) -> None:
        self.end = end
        self.transport = transport

    @classmethod
    async def made(cls) -> "Client":
        end, served = socket.socketpair()
        for each in (end, served):
            each.setblocking(False)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, served)
        return cls(end, transport)


async def heard(end: socket.socket) -> bytes:
    end.setblocking(False)
    async with asyncio.timeout(LIMIT_S):
        return await asyncio.get_running_loop().sock_recv(end, 100)


def test_bytes_pass_both_ways_until_one_end_closes(run: Run) -> None:
    async def story() -> None:
        connections: set[Any] = set()
        tunnels = Tunnels(connections)
        client = await Client.made()
        near, far = tunnels.open(client.transport)
        tunnels.join(client.transport, near)
        client.end.send(b"asked")
        assert await heard(far) == b"asked"
        far.send(b"answered")
        assert await heard(client.end) == b"answered"
        assert len(tunnels) == 1
        far.close()
        assert await heard(client.end) == b""
        assert connections == set()
        client.end.close()

    run(story())


def test_an_answer_that_comes_before_the_tunnel_is_there_reaches_the_client(run: Run) -> None:
    async def story() -> None:
        tunnels = Tunnels(set())
        client = await Client.made()
        near, far = tunnels.open(client.transport)
        with client.end, far:
            far.send(b"answered")
            tunnels.join(client.transport, near)
            assert await heard(client.end) == b"answered"
            client.transport.abort()
            assert await heard(far) == b""

    run(story())


def test_a_client_that_has_gone_before_the_tunnel_is_there_leaves_none(run: Run) -> None:
    async def story() -> None:
        connections: set[Any] = set()
        tunnels = Tunnels(connections)
        client = await Client.made()
        near, far = tunnels.open(client.transport)
        with client.end, far:
            client.transport.abort()
            await asyncio.sleep(0)  # its protocol has been told
            tunnels.join(client.transport, near)
            assert await heard(far) == b""
            assert len(tunnels) == 0

    run(story())
