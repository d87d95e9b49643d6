"""The gateway as a process of its own, and its resource use."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

import httpx

from gateway.commands.bench import resources
from gateway.commands.bench.command import places
from gateway.commands.bench.server import Program, TestedServer

Kind = Literal["fakes", "offline", "endless", "stock"]

PROGRAMS: dict[Kind, tuple[str, ...]] = {
    "fakes": ("benchmarks.scripted",),
    "offline": ("gateway.commands.cli", "serve"),
    "endless": ("benchmarks.webrtc_gateway",),
    "stock": ("benchmarks.webrtc_stock",),
}


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

    Raises `gateway.commands.bench.server.ServerFailed` on entering when it does not become ready.
    """

    def __init__(
        self,
        kind: Kind,
        *arguments: str,
        core: int | None = None,
        sessions: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        program = Program(
            (sys.executable, "-m", *PROGRAMS[kind], *arguments),
            {**places(sessions), **(environment or {})},
            "/health/ready",
        )
        usable = os.sched_getaffinity(0) if core is None else {core}
        self._tested = TestedServer(program, usable)

    @property
    def sessions_url(self) -> str:
        """Where sessions are, without the session's id."""
        return f"{self._tested.url}/ws"

    @property
    def url(self) -> str:
        """Of its HTTP."""
        return f"http://127.0.0.1:{self._tested.port}"

    @property
    def pid(self) -> int:
        return self._tested.pid

    def __enter__(self) -> "Server":
        self._tested.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tested.__exit__(kind, error, trace)

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
