import asyncio
import errno
import json
import os
import socket
import tempfile
import time
from collections.abc import Coroutine, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from gateway.workers import handover as module
from gateway.workers.handover import LONGEST_BYTES, Arrivals, Told, give

Arrived = tuple[socket.socket, Told, bytes]


async def until_taken(taken: list[Arrived], count: int) -> None:
    async with asyncio.timeout(30):
        while len(taken) < count:
            await asyncio.sleep(0)


def missed(told: Told) -> None:
    """Nothing that was handed over is missing."""
    raise AssertionError(told)


def story(run: Coroutine[Any, Any, None]) -> None:
    asyncio.run(run)


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:  # a short name: a socket's path has 107 bytes
        yield Path(folder) / "take"


def test_a_client_goes_on_with_the_process_that_took_its_connection(path: Path) -> None:
    async def run() -> None:
        taken: list[Arrived] = []
        arrivals = Arrivals(path, lambda *arrived: taken.append(arrived), missed)
        client, server = socket.socketpair()
        told = Told(3, "https", ("192.0.2.7", 4000), 2)
        with client:
            with server:
                assert give(path, server.fileno(), told, b"GET / HTTP/1.1\r\n")
            client.sendall(b"more")
            await until_taken(taken, 1)
            connection, known, data = taken[0]
            assert (known, data) == (told, b"GET / HTTP/1.1\r\n")
            with connection:
                assert not connection.get_inheritable()
                assert await asyncio.get_running_loop().sock_recv(connection, 100) == b"more"
                connection.send(b"answer")
                assert client.recv(100) == b"answer"
        arrivals.close()

    story(run())


def test_many_connections_arrive_in_one_go(path: Path) -> None:
    async def run() -> None:
        taken: list[Arrived] = []
        arrivals = Arrivals(path, lambda *arrived: taken.append(arrived), missed)
        for number in range(200):
            client, server = socket.socketpair()
            with client, server:
                assert give(path, server.fileno(), Told(0, "http"), b"%d" % number)
        await until_taken(taken, 200)
        assert sorted(int(data) for _, _, data in taken) == [*range(200)]
        for connection, _, _ in taken:
            connection.close()
        arrivals.close()

    story(run())


def test_a_process_with_too_many_open_files_takes_a_connection_later(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accept = socket.socket.accept
    asked = 0

    def full(listener: socket.socket) -> tuple[socket.socket, Any]:
        nonlocal asked
        asked += 1
        if asked <= 2:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return accept(listener)

    async def run() -> None:
        taken: list[Arrived] = []
        arrivals = Arrivals(path, lambda *arrived: taken.append(arrived), missed)
        client, server = socket.socketpair()
        with client, server:
            assert give(path, server.fileno(), Told(0, "http"), b"late")
        await until_taken(taken, 1)
        assert [data for _, _, data in taken] == [b"late"]
        taken[0][0].close()
        arrivals.close()

    monkeypatch.setattr(module, "PAUSE_S", 0.01)
    monkeypatch.setattr(socket.socket, "accept", full)
    story(run())
    assert asked == 4  # the last one finds nothing more
    assert [record.getMessage() for record in caplog.records] == [
        "no connection can be taken from another process: [Errno 24] Too many open files"
    ] * 2


def test_a_connection_stays_where_nobody_takes_it(path: Path) -> None:
    client, server = socket.socketpair()
    with client, server:
        assert not give(path, server.fileno(), Told(0, "http"), b"")
        client.sendall(b"still here")
        assert server.recv(100) == b"still here"


def test_a_connection_with_too_much_before_it_stays(path: Path) -> None:
    async def run() -> None:
        arrivals = Arrivals(path, lambda *arrived: None, missed)
        client, server = socket.socketpair()
        with client, server:
            assert not give(path, server.fileno(), Told(0, "http"), bytes(LONGEST_BYTES + 1))
        arrivals.close()

    story(run())


def test_a_process_that_takes_none_at_once_is_not_waited_for(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stands:
        stands.bind(str(path))
        stands.listen(1)
        client, server = socket.socketpair()
        with client, server:
            began = time.monotonic()
            given = [give(path, server.fileno(), Told(0, "http"), b"x") for _ in range(20)]
            took_s = time.monotonic() - began
            assert given[0]
            assert not given[-1]  # its backlog is full
            assert took_s < 20 * 0.1 / 2  # it was waited for 0.1 s each time once
            client.sendall(b"still here")
            assert server.recv(100) == b"still here"


def test_the_longest_head_fits_into_the_line_at_once(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stands:
        stands.bind(str(path))
        stands.listen(1)
        client, server = socket.socketpair()
        with client, server:
            assert give(path, server.fileno(), Told(0, "http"), bytes(LONGEST_BYTES))


def test_a_connection_that_comes_without_its_descriptor_is_reported_missed(path: Path) -> None:
    head = json.dumps(asdict(Told(3, "http"))).encode()
    lost: list[Told] = []

    async def run() -> None:
        arrivals = Arrivals(path, lambda *arrived: missed(arrived[1]), lost.append)
        for body, length in ((b"GET", 3), (b"GE", 3)):  # the other's giver has not finished
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
                line.connect(str(path))
                line.sendall(b"%d %d\n" % (len(head), length) + head + body)
        async with asyncio.timeout(30):
            while not lost or arrivals._coming:
                await asyncio.sleep(0)
        arrivals.close()

    story(run())
    assert lost == [Told(3, "http")]


@pytest.mark.parametrize(
    "sent", [b"", b"nonsense", b"2 5\n{}only", b"2 0\n{}"], ids=["none", "odd", "short", "empty"]
)
def test_what_is_not_whole_is_dropped(path: Path, sent: bytes) -> None:
    async def run() -> None:
        taken: list[Arrived] = []
        arrivals = Arrivals(path, lambda *arrived: taken.append(arrived), missed)
        client, server = socket.socketpair()
        with client:
            with server, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
                line.connect(str(path))
                if sent:
                    socket.send_fds(line, [sent], [server.fileno()])
            async with asyncio.timeout(30):  # its descriptor is closed as well
                client.setblocking(False)
                assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
        assert taken == []
        arrivals.close()

    story(run())
