"""The gateway as a process of its own, and its resource use."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

import httpx

from gateway.commands.bench import resources

START_TIMEOUT_S = 120.0
"""On a busy machine its models take a minute to load."""
STOP_TIMEOUT_S = 10.0
SPARE_SESSIONS = 20
"""Sessions beyond those measured: a caller may return before its last call was cleaned up."""

Kind = Literal["fakes", "offline", "endless", "stock"]

PROGRAMS: dict[Kind, tuple[str, ...]] = {
    "fakes": ("benchmarks.scripted",),
    "offline": ("gateway.commands.cli", "serve"),
    "endless": ("benchmarks.webrtc_gateway",),
    "stock": ("benchmarks.webrtc_stock",),
}


class ServerFailed(Exception):
    """The gateway did not start; the text has the last lines that it wrote."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds used so far: by the server, by its worker processes, by all processes of the
    machine."""

    server_s: float
    workers_s: float
    machine_s: float

    def since(self, earlier: "Cpu") -> "Cpu":
        return Cpu(
            self.server_s - earlier.server_s,
            self.workers_s - earlier.workers_s,
            self.machine_s - earlier.machine_s,
        )


class Server:
    """A gateway that serves within a `with` block, on `core` alone if one is given.

    `fakes`: real voice detection, scripted stages behind it (`benchmarks.scripted`); `offline`:
    `parley serve` with what answers on a machine without a network; `endless`: one that never stops
    talking; `stock`: no gateway, but aiortc alone. `arguments` follow on the command line,
    `environment` has further settings. Ended by its process id.

    Raises `ServerFailed` on entering when it does not become ready.
    """

    def __init__(
        self,
        kind: Kind,
        *arguments: str,
        core: int | None = None,
        sessions: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._environment = environment or {}
        self._command = [sys.executable, "-m", *PROGRAMS[kind], *arguments]
        self._core = core
        self._sessions = sessions
        self._port = _free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="parley-bench-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def sessions_url(self) -> str:
        """Where sessions are, without the session's id."""
        return f"ws://127.0.0.1:{self._port}/ws"

    @property
    def url(self) -> str:
        """Of its HTTP."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> "Server":
        environment = {
            **os.environ,
            "PARLEY_HOST": "127.0.0.1",
            "PARLEY_PORT": str(self._port),
            "PARLEY_DATA_DIR": self._folder.name,
            "PARLEY_LOG_LEVEL": "warning",
            "PARLEY_ADMISSION": "places",  # what a machine can do is what is measured
            "PARLEY_MAX_SESSIONS": str(self._sessions + SPARE_SESSIONS),
            **self._environment,
        }
        log = Path(self._folder.name, "server.log")
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        if self._core is not None:
            # Threads that it starts from now on stay on this core; its imports take longer.
            os.sched_setaffinity(self.pid, {self._core})
        try:
            self._wait_until_ready(log)
        except BaseException:
            self._stop()
            raise
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
        deadline = time.monotonic() + START_TIMEOUT_S
        url = f"{self.url}/health/ready"
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                if httpx.get(url, timeout=2.0, trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        raise ServerFailed("\n".join(["the gateway did not become ready:", *lines[-15:]]))

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

    def providers(self) -> dict[str, str]:
        """The provider of each slot, from `/health`."""
        health = httpx.get(f"{self.url}/health", timeout=5.0, trust_env=False)
        return {stage["slot"]: stage["provider"] for stage in health.json()["stages"]}

    def cpu(self) -> Cpu:
        """CPU used so far. A worker process that ended in between is no longer counted."""
        workers = sum(map(resources.cpu_s, resources.descendants(self.pid)))
        return Cpu(resources.cpu_s(self.pid), workers, resources.machine().busy_s)

    def memory_mb(self) -> float:
        """Resident memory of the server process, its workers not included."""
        return resources.memory_mb(self.pid)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
