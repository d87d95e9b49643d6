"""A server under test, as small as it can be, from its start to its end."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.commands.bench import server as servers
from gateway.commands.bench.server import PORT, Program, ServerFailed, ended_by_sigterm

SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Ready(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/ready" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""
FAILS = "import sys; print('no model here'); sys.exit(3)"


def program(source: str, *arguments: str) -> Program:
    command: Sequence[str] = (sys.executable, "-S", "-c", source, *arguments)
    return Program(command, {}, "/ready")


def cores() -> set[int]:
    return set(os.sched_getaffinity(0))


def test_it_serves_within_the_block_and_is_gone_after_it() -> None:
    with servers.TestedServer(program(SERVER, PORT), cores()) as server:
        pid = server.pid
        assert server.processes() == [pid]
        assert server.memory_mb() > 0
        assert server.start_s > 0
    assert not Path(f"/proc/{pid}").exists()


def test_an_interruption_ends_it() -> None:
    tested = servers.TestedServer(program(SERVER, PORT), cores())
    with pytest.raises(KeyboardInterrupt), ended_by_sigterm(), tested as server:
        signal.raise_signal(signal.SIGTERM)
    assert not Path(f"/proc/{server.pid}").exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_one_that_ends_before_it_is_ready_is_told_with_its_last_lines() -> None:
    server = servers.TestedServer(program(FAILS), cores())
    with pytest.raises(ServerFailed, match="no model here"), server:
        pass
    assert not Path(f"/proc/{server.pid}").exists()


def test_cores_that_are_not_there_leave_no_process() -> None:
    server = servers.TestedServer(program(SERVER, PORT), {max(cores()) + 4000})
    with pytest.raises(OSError, match="Invalid argument"), server:
        pass
    assert not Path(f"/proc/{server.pid}").exists()
