"""The gateway and its services as processes: memory, and instances that are killed or stopped."""

import asyncio
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.support.served import free_port, gateway
from tests.support.socket_service import socket_process
from tests.support.stub_services import PIECE, services_file, stub_process

pytestmark = pytest.mark.slow

MEGABYTE = 1_000_000


def memory(pid: int, name: str) -> int:
    """A line of the process's status, in bytes: VmRSS, or VmHWM, which is its peak."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def pieces(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield PIECE


def test_ten_megabytes_pass_in_both_directions_and_are_never_held(tmp_path: Path) -> None:
    port, stub_port = free_port(), free_port()
    path = services_file(tmp_path, {"name": "s", "port": stub_port})
    with (
        stub_process(stub_port),
        gateway(tmp_path, port, PARLEY_SERVICES=str(path)) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client,
    ):

        def down(megabytes: int) -> int:
            with client.stream("GET", f"/s/big?{megabytes}") as answer:
                return sum(len(piece) for piece in answer.iter_raw())

        def up(count: int) -> int:
            return int(client.post("/s/counted", content=pieces(count)).text)

        more = []
        for _ in range(4):
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak begins anew
            before = memory(process.pid, "VmRSS")
            assert (down(10), up(160)) == (152 * len(PIECE), 160 * len(PIECE))
            more.append(memory(process.pid, "VmHWM") - before)
        # The process has other work, too, above all when it has just begun.
        assert min(more) < 4 * MEGABYTE


def test_an_instance_that_is_stopped_or_killed_is_left_and_comes_back(tmp_path: Path) -> None:
    port, ports = free_port(), (free_port(), free_port())
    path = services_file(
        tmp_path,
        {"name": "s", "instances": [{"port": one} for one in ports], "timeout": 1.5},
        {"name": "other", "port": ports[1]},
    )
    with (
        stub_process(ports[0]) as first,
        stub_process(ports[1]),
        gateway(tmp_path, port, PARLEY_SERVICES=str(path)),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client,
    ):

        def asked(calls: int) -> list[str]:
            answers = [client.get("/s/a") for _ in range(calls)]
            assert [one.status_code for one in answers] == [200] * calls
            return [one.json()["from"] for one in answers]

        names = [str(one) for one in ports]
        assert sorted(asked(10)) == sorted(names * 5)
        first.send_signal(signal.SIGSTOP)
        assert asked(10) == [names[1]] * 10
        first.send_signal(signal.SIGCONT)
        first.kill()
        first.wait()
        assert asked(10) == [names[1]] * 10
        assert client.get("/other/a").json()["from"] == names[1]
        with stub_process(ports[0]):
            # The breaker opened for 5 s, and for 10 s where a probe failed meanwhile.
            seen: set[str] = set()
            until = time.monotonic() + 30
            while names[0] not in seen and time.monotonic() < until:
                seen |= {*asked(5)}
                time.sleep(0.05)
            assert seen == {*names}


def test_a_hangup_reads_the_file_again_and_a_mistake_changes_nothing(tmp_path: Path) -> None:
    port, stub_port = free_port(), free_port()
    path = services_file(tmp_path, {"name": "a", "port": stub_port})
    with (
        stub_process(stub_port),
        gateway(tmp_path, port, PARLEY_SERVICES=str(path)) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client,
    ):
        assert client.get("/a/x").status_code == 200
        for text, told in (
            (
                "services:\n  - name: a\n",
                f"the services stay as they are: {path}:2: a service needs",
            ),
            (path.read_text().replace("name: a", "name: b"), f"services from {path}: b"),
        ):
            path.write_text(text)
            process.send_signal(signal.SIGHUP)
            for _ in range(300):
                if told in (tmp_path / "log").read_text():
                    break
                time.sleep(0.1)
            assert told in (tmp_path / "log").read_text()
        assert [client.get(f"/{name}/x").status_code for name in "ab"] == [404, 200]


WEBSOCKETS = 1000
FILES = 3 * WEBSOCKETS


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as that takes, for the processes begun meanwhile, too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        pytest.skip(f"needs {FILES} open files, and {hard} are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_a_thousand_websockets_pass_at_a_time(tmp_path: Path) -> None:
    port, service_port = free_port(), free_port()
    path = services_file(tmp_path, {"name": "s", "port": service_port})
    url = f"ws://127.0.0.1:{port}/s/echo"

    def opened() -> connect:
        return connect(url, compression=None, proxy=None, open_timeout=60, ping_interval=None)

    async def told(socket: ClientConnection, number: int) -> None:
        for text in (f"first of {number}", f"second of {number}"):
            await socket.send(text)
            assert await socket.recv() == text

    async def story(pid: int) -> int:
        before, sockets = memory(pid, "VmRSS"), list[ClientConnection]()
        for _ in range(WEBSOCKETS // 50):
            sockets += await asyncio.gather(*(opened() for _ in range(50)))
        with pytest.raises(InvalidStatus, match="503"):
            await opened()  # one more than the service may have
        await asyncio.gather(*(told(one, number) for number, one in enumerate(sockets)))
        grown = memory(pid, "VmRSS") - before
        await asyncio.gather(*(one.close(4000, "done") for one in sockets))
        assert {(one.close_code, one.close_reason) for one in sockets} == {(4000, "done")}
        for _ in range(300):  # the places are free again
            try:
                async with opened() as one:
                    await told(one, 0)
                break
            except InvalidStatus:
                await asyncio.sleep(0.1)
        else:
            raise AssertionError("no place")
        return grown

    with (
        socket_process(service_port),
        gateway(tmp_path, port, PARLEY_SERVICES=str(path)) as process,
    ):
        grown = asyncio.run(story(process.pid))
        assert process.poll() is None
    assert "Traceback" not in (tmp_path / "log").read_text()
    # 100 KB each, with what the systems of both sides hold.
    assert grown < WEBSOCKETS * 100_000
