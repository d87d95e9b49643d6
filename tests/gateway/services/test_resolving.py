"""Names of hosts: looked up once, kept for a while, in threads of their own."""

import asyncio
import socket
import threading

import httpcore
import pytest

from gateway.services.resolving import THREADS, ResolvedNetwork, Resolver
from tests.support.served import free_port


class Names:
    """A name server in a thread, which answers when it is let."""

    def __init__(self, **known: list[str]) -> None:
        self.known = known
        self.asked: list[str] = []
        self.threads: set[str] = set()
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        self.threads.add(threading.current_thread().name)
        assert self.answers.wait(10)
        if host not in self.known:
            raise socket.gaierror(-2, "Name or service not known")
        return self.known[host]


def test_an_address_is_looked_up_by_nobody() -> None:
    names = Names()

    async def story() -> None:
        resolver = Resolver(names)
        assert [*await resolver.addresses("192.0.2.1")] == ["192.0.2.1"]
        assert [*await resolver.addresses("2001:db8::1")] == ["2001:db8::1"]

    asyncio.run(story())
    assert names.asked == []


def test_a_name_is_looked_up_once_for_all_who_wait_and_kept_for_a_while() -> None:
    names = Names(plans=["192.0.2.1", "192.0.2.2"])

    async def story() -> None:
        resolver, forgetful = Resolver(names), Resolver(names, kept_s=0)
        names.answers.clear()
        waiting = [asyncio.create_task(resolver.addresses("plans")) for _ in range(20)]
        await asyncio.sleep(0)
        names.answers.set()
        assert [[*await one] for one in waiting] == [["192.0.2.1", "192.0.2.2"]] * 20
        await resolver.addresses("plans")
        assert names.asked == ["plans"]
        for _ in range(2):
            await forgetful.addresses("plans")
        assert names.asked == ["plans"] * 3
        resolver.close()
        forgetful.close()

    asyncio.run(story())


def test_names_that_are_not_found_hold_up_no_other_work() -> None:
    names = Names()

    async def story() -> None:
        resolver = Resolver(names)
        names.answers.clear()
        waiting = [asyncio.create_task(resolver.addresses(f"n{n}")) for n in range(3 * THREADS)]
        async with asyncio.timeout(10):
            assert await asyncio.to_thread(lambda: "done") == "done"
        waiting[0].cancel()  # the others still get their answer
        names.answers.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        for one in waiting[1:]:
            with pytest.raises(socket.gaierror):
                await one
        resolver.close()

    asyncio.run(story())
    assert len(names.threads) <= THREADS
    assert all(name.startswith("names") for name in names.threads)


def test_an_address_that_takes_nothing_is_left_for_the_next() -> None:
    async def story() -> None:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        names = Names(both=["127.0.0.2", "127.0.0.1"], none=["127.0.0.2", "127.0.0.3"])
        network = ResolvedNetwork(Resolver(names))
        stream = await network.connect_tcp("both", port, 5)
        assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
        await stream.aclose()
        server.close()
        with pytest.raises(httpcore.ConnectError):
            await network.connect_tcp("none", free_port(), 5)
        with pytest.raises(httpcore.ConnectError):
            await network.connect_tcp("unknown", port, 5)

    asyncio.run(story())
