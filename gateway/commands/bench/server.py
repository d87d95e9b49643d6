"""A server under test as a process of its own, on cores of its own."""

import os
import resource
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from gateway.commands.bench import resources

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0
POLL_S = 0.02

PORT = "{port}"
"""Replaced by the port in a command or an environment."""


class ServerFailed(Exception):
    """The server did not become ready; the text has the last lines that it wrote."""


@dataclass(frozen=True, slots=True)
class Program:
    """How a server is started. `{port}` in `command` and `environment` is its port.

    It is ready when `ready` answers a GET with status 200.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    ready: str
    folder: Path | None = None
    """The working directory; None: that of this process."""


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds of the server's processes together, of the machine, and what the host took."""

    server_s: float
    machine_s: float
    stolen_s: float

    def since(self, earlier: "Used") -> "Used":
        return Used(
            self.server_s - earlier.server_s,
            self.machine_s - earlier.machine_s,
            self.stolen_s - earlier.stolen_s,
        )


class TestedServer:
    """A server that serves within a `with` block, on `cores` only. It is ended by its process id.

    Entering raises `ServerFailed` if the server does not become ready.
    """

    def __init__(self, program: Program, cores: Collection[int]) -> None:
        self._program = program
        self._cores = frozenset(cores)
        self._folder = tempfile.TemporaryDirectory(prefix="parley-bench-")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.start_s = 0.0
        """Seconds from the process's start to the first answer."""

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> "TestedServer":
        _allow_many_files()
        port = str(self.port)
        given = self._program.environment
        log = Path(self._folder.name, "server.log")
        began = time.monotonic()
        try:
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    [part.replace(PORT, port) for part in self._program.command],
                    env={
                        **os.environ,
                        "PARLEY_DATA_DIR": self._folder.name,
                        **{name: value.replace(PORT, port) for name, value in given.items()},
                    },
                    cwd=self._program.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
            # The threads and processes that it starts from now on stay on these cores.
            os.sched_setaffinity(self.pid, self._cores)
            self._wait_until_ready(log)
        except BaseException:
            self._stop()
            raise
        self.start_s = time.monotonic() - began
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _wait_until_ready(self, log: Path) -> None:
        assert self._process is not None
        opener = build_opener(ProxyHandler({}))
        url = f"http://127.0.0.1:{self.port}{self._program.ready}"
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                with opener.open(url, timeout=2.0) as answer:
                    if answer.status == 200:
                        return
            except (URLError, OSError):
                pass
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(POLL_S)  # ask again soon; one that has ended answers no more
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        raise ServerFailed("\n".join(["the server did not become ready:", *lines[-15:]]))

    def _stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()

    # --- resource use ------------------------------------------------------------------------

    def processes(self) -> list[int]:
        """The server's process and every one below it."""
        return [self.pid, *resources.descendants(self.pid)]

    def used(self) -> Used:
        """The use so far. A process that ended in between is no longer counted."""
        whole = resources.machine()
        own = sum(map(resources.cpu_s, self.processes()))
        return Used(own, whole.busy_s, whole.stolen_s)

    def memory_mb(self) -> float:
        """Resident memory of all processes of the server."""
        return sum(map(resources.memory_mb, self.processes()))


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Make SIGTERM do what Ctrl-C does: no server outlives the measurement."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _allow_many_files() -> None:
    """Let this process and its children have as many open files as it may: a socket is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def free_port() -> int:
    """A port of 127.0.0.1 that is free at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
