import os
import socket
import time

from gateway.commands.bench import resources


def test_this_process_uses_cpu_and_memory() -> None:
    before = resources.cpu_s(os.getpid())
    machine = resources.machine()
    deadline = time.process_time() + 0.1
    while time.process_time() < deadline:
        pass
    assert resources.cpu_s(os.getpid()) > before
    assert resources.machine().busy_s > machine.busy_s
    assert resources.memory_mb(os.getpid()) > 5


def test_a_process_that_is_gone_uses_nothing() -> None:
    gone = 2**22 + 1  # beyond the largest process id of Linux
    assert resources.cpu_s(gone) == 0.0
    assert resources.memory_mb(gone) == 0.0
    assert resources.held(gone, frozenset({"socket:[1]"})) == 0
    assert resources.descendants(gone) == []


def test_the_connections_of_a_port_are_counted_where_they_are_held() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert resources.connections(port) == frozenset()
        with socket.create_connection(("127.0.0.1", port)), listener.accept()[0]:
            sockets = resources.connections(port)
            assert len(sockets) == 1
            assert resources.held(os.getpid(), sockets) == 1
            assert resources.held(os.getppid(), sockets) == 0
