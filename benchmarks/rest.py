"""REST requests as fast as they are answered: 32 connections, the gateway on one core.

The client is a process of its own on another core and prints one JSON line. It is a closed loop:
each connection sends its next request when it has the answer to the last one, so the rate is what
the server can do, and a latency includes the wait behind the other 31.

    python -m benchmarks.rest --url http://127.0.0.1:8000 --run respond --seconds 5
"""

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import uvloop

from benchmarks.load import CPU_LIMIT
from benchmarks.progress import Progress
from benchmarks.result import Machine, Metric, Result, percentiles
from benchmarks.runs import RunFailed, cores
from benchmarks.server import Server
from benchmarks.timing import Summary
from gateway.commands.bench.load import own_cpu_s, tell

CONNECTIONS = 32
SECONDS = 8.0
WARM_UP_S = 2.0
PATIENCE_S = 30.0

MOST_MS = 1.0
"""Of the server's core for one request: 1,000 requests a second."""

SLOWEST_MS = 50.0

INTERVIEW = {"role": "Software Engineer", "totalQuestions": 5}
ANSWER = (
    "Last month our checkout froze under load, and I had to find out why within one afternoon. I"
    " traced it to a lock in the database, moved the slow query out of the transaction, and wrote a"
    " regression test so that it would not come back. As a result the time of a payment was halved."
)

Requests: TypeAlias = AsyncGenerator[tuple[str, str, Any, bool], "Answered"]
"""Method, path, body (None for none) and whether it counts; is sent the answer to each."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The status of an answer, and its body."""

    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def health() -> Requests:
    """`GET /health`, again and again."""
    while True:
        yield "GET", "/health", None, True


async def respond() -> Requests:
    """Whole interviews by the stateless API; their start is not counted."""
    while True:
        answer = yield "POST", "/api/v1/interviews/start", INTERVIEW, False
        session = answer.json()
        while not session["isComplete"]:
            body = {"session": session, "message": ANSWER}
            answer = yield "POST", "/api/v1/interviews/respond", body, True
            session = answer.json()


async def submit() -> Requests:
    """Whole interviews that the server stores; only their answers are counted."""
    while True:
        answer = yield "POST", "/api/sessions", {**INTERVIEW, "totalQuestions": 15}, False
        base = f"/api/sessions/{answer.json()['session_id']}"
        yield "POST", f"{base}/start", {}, False
        for _ in range(15):
            yield "POST", f"{base}/submit-answer", {"text": ANSWER}, True


async def proxied() -> Requests:
    """`GET` of a little JSON from a service behind the server, again and again."""
    while True:
        yield "GET", "/stub/small", None, True


RUNS: dict[str, Callable[[], Requests]] = {
    "health": health,
    "respond": respond,
    "submit-answer": submit,
}

FURTHER: dict[str, Callable[[], Requests]] = {"proxied": proxied}
"""Those of other benchmarks."""


# --- the client ------------------------------------------------------------------------------


@dataclass(slots=True)
class Seen:
    """The results of all connections in the measured stretch."""

    latencies_ms: list[float] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    """Requests that were answered, those of the warm-up included."""
    measuring: bool = False

    def fault(self, name: str) -> None:
        self.faults[name] = self.faults.get(name, 0) + 1


class Connection:
    """One HTTP/1.1 connection that is kept open. Understands what the gateway sends, no more."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, method: str, path: str, body: Any) -> Answered:
        """Send a request and read its answer."""
        content = b"" if body is None else json.dumps(body).encode()
        self._writer.write(
            f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\n\r\n".encode()
            + content
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((line[15:] for line in lines if line.startswith(b"content-length:")), b"0")
        return Answered(int(head[9:12]), await self._reader.readexactly(int(length)))


async def one(host: str, port: int, requests: Requests, seen: Seen) -> None:
    """Use one connection until cancelled."""
    reader, writer = await asyncio.open_connection(host, port)
    connection = Connection(reader, writer)
    try:
        method, path, body, counts = await anext(requests)
        while True:
            began = time.perf_counter()
            answer = await connection.ask(method, path, body)
            took_ms = (time.perf_counter() - began) * 1000
            seen.asked += 1
            if seen.measuring:
                if answer.status >= 300:
                    seen.fault(f"{method} {path.rpartition('/')[2]}: HTTP {answer.status}")
                elif counts:
                    seen.latencies_ms.append(took_ms)
            method, path, body, counts = await requests.asend(answer)
    except (OSError, EOFError, KeyError, ValueError) as error:
        seen.fault(f"connection: {error!r:.80}")
    finally:
        writer.close()
        await requests.aclose()


async def measure(
    url: str, run: str, seconds: float, connections: int, *, warm_up_s: float = WARM_UP_S
) -> dict[str, Any]:
    """Let all connections send; returns the report."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    seen = Seen()
    tasks = [
        asyncio.create_task(one(parts.hostname, parts.port, (RUNS | FURTHER)[run](), seen))
        for _ in range(connections)
    ]
    await asyncio.sleep(warm_up_s)
    began, cpu_s = time.monotonic(), own_cpu_s()
    seen.measuring = True
    await asyncio.sleep(seconds)
    seen.measuring = False
    wall_s, used_s = time.monotonic() - began, own_cpu_s() - cpu_s
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    summary = Summary.of(seen.latencies_ms)
    return {
        "latency": None if summary is None else summary.as_dict(),
        "rate": len(seen.latencies_ms) / wall_s,
        "asked": seen.asked,
        "faults": seen.faults,
        "client_cpu_share": used_s / wall_s,
    }


# --- the run ---------------------------------------------------------------------------------


def rest(progress: Progress) -> Result:
    """Each kind of request for some seconds. Raises `RunFailed`."""
    with progress.runs(len(RUNS)), Server("fakes", core=cores()[0]) as server:
        metrics: list[Metric] = []
        notes: list[str] = []
        distrust: list[str] = []
        for name in RUNS:
            before, began = server.cpu(), time.monotonic()
            with progress.run(f"{name}, {CONNECTIONS} connections, {SECONDS:.0f} s"):
                told = measured(server.url, name)
            used, wall_s = server.cpu().since(before), time.monotonic() - began
            latency = told["latency"]
            rate = told["rate"]
            cost_ms = 1000 / rate if rate else float("inf")
            client_s = told["client_cpu_share"] * wall_s
            others_s = max(0.0, used.machine_s - used.server_s - used.workers_s - client_s)
            metrics += [
                Metric(f"{name}: time for one", cost_ms, "ms", limit=MOST_MS),
                Metric(f"{name}: requests", rate, "per second"),
                *percentiles(
                    f"{name}: latency",
                    "ms",
                    None if latency is None else Summary(**latency),
                    {"p99": SLOWEST_MS},
                ),
                Metric(f"{name}: failed", sum(told["faults"].values()), "", limit=0.0),
                Metric(f"{name}: server CPU, share of a core", used.server_s / wall_s, ""),
                Metric(f"{name}: CPU of other processes, cores", others_s / wall_s, ""),
            ]
            notes += [f"{name}: {fault}: {n} times" for fault, n in told["faults"].items()]
            if told["client_cpu_share"] > CPU_LIMIT:
                distrust.append(f"{name}: the client used {told['client_cpu_share']:.0%} of a core")
    settings = {"connections": CONNECTIONS, "seconds": SECONDS}
    return Result(
        "rest",
        settings,
        tuple(metrics),
        Machine.here(),
        distrust=tuple(distrust),
        notes=tuple(notes),
    )


def measured(
    url: str, run: str, *, seconds: float = SECONDS, connections: int = CONNECTIONS
) -> dict[str, Any]:
    """What the client reports, which is a process of its own. Raises `RunFailed`."""
    command = [sys.executable, "-m", "benchmarks.rest", "--url", url, "--run", run]
    command += ["--seconds", f"{seconds}", "--connections", f"{connections}"]
    command += ["--core", str(cores()[1])]
    limit_s = WARM_UP_S + seconds + PATIENCE_S
    try:
        finished = subprocess.run(command, capture_output=True, timeout=limit_s, check=True)
        report: dict[str, Any] = json.loads(finished.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        raise RunFailed(f"the client broke off: {error}") from None
    return report


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, help="of the gateway")
    parser.add_argument("--run", choices=(*RUNS, *FURTHER), required=True)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--core", type=int, help="stay on this core")
    arguments = parser.parse_args()
    if arguments.core is not None:
        os.sched_setaffinity(0, {arguments.core})
    gc.collect()
    gc.freeze()
    work = measure(arguments.url, arguments.run, arguments.seconds, arguments.connections)
    tell("report", **uvloop.run(work))
    return 0


if __name__ == "__main__":
    sys.exit(main())
