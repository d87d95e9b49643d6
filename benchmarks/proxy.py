"""Requests passed on to a service: Parley beside a bare Starlette and httpx proxy, the same run.

Each proxy has one core, the service and the client another one. The two are measured in turns, so
that what else the machine does falls on both.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from sys import executable
from typing import Any, Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from benchmarks.load import CPU_LIMIT
from benchmarks.progress import Progress
from benchmarks.proxy_upstream import BIG_BYTES
from benchmarks.rest import measured
from benchmarks.result import Machine, Metric, Result
from benchmarks.runs import cores
from benchmarks.server import PROGRAMS
from gateway.commands.bench import resources
from gateway.commands.bench.command import places
from gateway.commands.bench.server import PORT, Program, TestedServer

CONNECTIONS: Final = 32
ROUNDS: Final = 3
SECONDS: Final = 5.0
WEBSOCKETS: Final = 1000
OPENING: Final = 50
"""WebSockets that are opened at a time."""

FASTER: Final = 3.0
LESS_LATENCY: Final = 0.4
MOST_MB: Final = 4.0
"""What has to hold: so many times the bare proxy's requests, so much of the latency that it adds,
so much more memory while ten megabytes pass."""

PATIENCE_S: Final = 60.0


@dataclass(slots=True)
class Seen:
    """What one server has done, round by round: `rates` per second, CPU of a request and the p99 of
    one connection's latency in milliseconds."""

    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    faults: int = 0
    client_share: float = 0.0


def proxy(progress: Progress, *, quick: bool = False) -> Result:
    """Requests, latency, memory and WebSockets. Raises `RunFailed` and `ServerFailed`."""
    rounds, seconds, websockets = (1, 2.0, 200) if quick else (ROUNDS, SECONDS, WEBSOCKETS)
    core, other = cores()
    upstream = Program(
        (executable, "-m", "benchmarks.proxy_upstream", PORT), {}, "/small", folder=None
    )
    seen = {name: Seen() for name in ("direct", "bare", "parley")}
    with (
        progress.runs(rounds * 6 + 2),
        TestedServer(upstream, {other}) as service,
        _bare(service, core) as bare,
        _parley(service, core, websockets) as parley,
    ):
        servers = {"direct": service, "bare": bare, "parley": parley}
        for number in range(1, rounds + 1):
            for name, server in servers.items():
                with progress.run(f"{name}, {CONNECTIONS} connections, round {number}"):
                    _requests(server, seen[name], seconds)
                with progress.run(f"{name}, one connection, round {number}"):
                    _latency(server, seen[name], seconds)
        with progress.run("ten megabytes"):
            bare_mb = asyncio.run(passing_mb(bare))
            parley_mb = asyncio.run(passing_mb(parley))
        with progress.run(f"{websockets} WebSockets"):
            sockets = asyncio.run(_websockets(parley, websockets))
    metrics = [
        *compared(seen["direct"], seen["bare"], seen["parley"]),
        Metric("bare: more memory while 10 MB pass", bare_mb, "MB"),
        Metric("more memory while 10 MB pass", parley_mb, "MB", limit=MOST_MB),
        Metric("WebSockets that failed", websockets - sockets.answered, "", limit=0.0),
        Metric("memory of a WebSocket", sockets.kb, "kB", count=websockets),
    ]
    distrust = [f"{name}: {one.faults} requests failed" for name, one in seen.items() if one.faults]
    distrust += [
        f"{name}: the client used {seen[name].client_share:.0%} of a core"
        for name in ("bare", "parley")  # with the service alone it is the slower one
        if seen[name].client_share > CPU_LIMIT
    ]
    settings = {"connections": CONNECTIONS, "seconds": seconds, "rounds": rounds}
    return Result("proxy", settings, tuple(metrics), Machine.here(), distrust=tuple(distrust))


def compared(direct: Seen, bare: Seen, parley: Seen) -> Iterator[Metric]:
    """The two proxies side by side. A ratio is of medians of rounds; that of CPU holds on a busy
    machine, too."""
    for name, one in (("direct", direct), ("bare", bare), ("parley", parley)):
        yield Metric(f"{name}: requests", median(one.rates), "per second", count=len(one.rates))
        yield Metric(f"{name}: CPU of a request", median(one.cpu_ms), "ms")
        yield Metric(f"{name}: latency of one connection", median(one.p99_ms), "ms", "p99")
    slower = _ratio(median(bare.rates), median(parley.rates))
    yield Metric("time of a request, share of bare's", slower, "", limit=1 / FASTER)
    yield Metric(
        "CPU of a request, share of bare's", _ratio(median(parley.cpu_ms), median(bare.cpu_ms)), ""
    )
    added, by_bare = (median(one.p99_ms) - median(direct.p99_ms) for one in (parley, bare))
    yield Metric("added latency, share of bare's", _ratio(added, by_bare), "", "p99", LESS_LATENCY)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("inf")


@contextmanager
def _bare(service: TestedServer, core: int) -> Iterator[TestedServer]:
    environment = {"BARE_UPSTREAM": f"http://127.0.0.1:{service.port}"}
    command = (executable, "-m", "benchmarks.bare_proxy", PORT)
    with TestedServer(Program(command, environment, "/health/ready"), {core}) as server:
        yield server


@contextmanager
def _parley(service: TestedServer, core: int, websockets: int) -> Iterator[TestedServer]:
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        path = Path(folder, "services.yaml")
        path.write_text(
            f"services:\n  - {{name: stub, host: 127.0.0.1, port: {service.port}, "
            f"health_endpoint: null, max_websockets: {websockets}}}\n",
            encoding="utf-8",
        )
        environment = {**places(websockets), "PARLEY_SERVICES": str(path)}
        command = (executable, "-m", *PROGRAMS["fakes"])
        with TestedServer(Program(command, environment, "/health/ready"), {core}) as server:
            yield server


def _requests(server: TestedServer, seen: Seen, seconds: float) -> None:
    told = _measured(server, seconds, CONNECTIONS)
    seen.rates.append(told["rate"])
    # The warm-up is a part of what the client asks: its CPU counts by all requests that there were.
    seen.cpu_ms.append(_ratio(told["cpu_s"] * 1000, told["asked"]))
    seen.faults += sum(told["faults"].values())
    seen.client_share = max(seen.client_share, told["client_cpu_share"])


def _latency(server: TestedServer, seen: Seen, seconds: float) -> None:
    told = _measured(server, seconds, 1)
    latency = told["latency"]
    seen.p99_ms.append(float("inf") if latency is None else latency["p99"])
    seen.faults += sum(told["faults"].values())


def _measured(server: TestedServer, seconds: float, connections: int) -> dict[str, Any]:
    before = resources.cpu_s(server.pid)
    url = f"http://127.0.0.1:{server.port}"
    told = measured(url, "proxied", seconds=seconds, connections=connections)
    return {**told, "cpu_s": resources.cpu_s(server.pid) - before}


async def passing_mb(server: TestedServer) -> float:
    """How much more memory a proxy has at most while a client reads ten megabytes from it.

    They have passed once before, so that what it has loaded and kept is not counted.
    """
    most = 0.0
    for counts in (False, True):
        before = resources.memory_mb(server.pid)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 16)
        writer.write(b"GET /stub/big HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        got = 0
        async with asyncio.timeout(PATIENCE_S):
            while piece := await reader.read(1 << 16):
                got += len(piece)
                if counts:
                    most = max(most, resources.memory_mb(server.pid) - before)
                await asyncio.sleep(0.001)
        writer.close()
        if got < BIG_BYTES:
            return float("inf")
    return most


@dataclass(frozen=True, slots=True)
class Sockets:
    """How many WebSockets got their message back, and what one of them took of the proxy."""

    answered: int
    kb: float


async def _websockets(server: TestedServer, count: int) -> Sockets:
    parts = urlsplit(server.url)
    url = f"ws://{parts.hostname}:{parts.port}/stub/echo"
    before, gate = resources.memory_mb(server.pid), asyncio.Semaphore(OPENING)
    opened: list[ClientConnection] = []

    async def open_one(number: int) -> None:
        async with gate:
            client = await connect(
                url, compression=None, proxy=None, ping_interval=None, open_timeout=PATIENCE_S
            )
            opened.append(client)

    async def echoed(number: int, client: ClientConnection) -> bool:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await client.send(f"message {number}")
                return await client.recv() == f"message {number}"
        except (OSError, TimeoutError, WebSocketException):
            return False

    await asyncio.gather(*map(open_one, range(count)), return_exceptions=True)
    answers = await asyncio.gather(*(echoed(*one) for one in enumerate(opened)))
    kb = (resources.memory_mb(server.pid) - before) * 1024 / max(1, len(opened))
    began = time.monotonic()
    await asyncio.gather(*(one.close() for one in opened), return_exceptions=True)
    assert time.monotonic() - began < PATIENCE_S
    return Sockets(sum(answers), kb)
