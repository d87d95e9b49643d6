"""Recognition on Ray Serve with 20 live calls: scaled up and down, and redeployed, none is cut.

Needs the extra `ray`, and three minutes: `python -m pytest -s tests/scale/ray_serve.py`.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

from stages._remote_line import RemoteLine
from stages.stt.remote import RemoteRecognition, RemoteTranscriber
from tests.support.ray_cluster import KEY, RayCluster, ray_cluster
from tests.support.remote_worker import SECOND
from tests.support.served import free_port

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: extra 'ray'"),
    pytest.mark.timeout(600),
    pytest.mark.realtime,
    pytest.mark.slow,
]

CALLS = 20
LATER = 6
"""Those of the calls that go on after the others have ended."""

CUT_BY_DEFAULT_S = 30.0
"""After which a replica that ends would close its WebSockets, by Ray's defaults."""

LIMIT_S = 60.0
PIECE = SECOND[:1600]


@dataclass
class Call:
    """Somebody who speaks until told to stop."""

    recognition: RemoteRecognition
    pieces: int = 0
    replica: str = ""
    """The worker's description of itself, which names its process."""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def speak(self) -> tuple[bool, str, str]:
        """Whether it was begun again after a loss, what was heard, and what was said."""
        while not self.over.is_set():
            self.recognition.feed(PIECE)
            self.pieces += 1
            await asyncio.sleep(0.1)
            holder = self.recognition._call.holder
            if isinstance(holder, RemoteLine) and holder.ready is not None:
                self.replica = str(holder.ready["detail"])
        async with asyncio.timeout(LIMIT_S):
            (final,) = [each async for each in self.recognition.finish()]
        return self.recognition._again, final.text, str(self.pieces * len(PIECE))


@asynccontextmanager
async def speaking(stage: RemoteTranscriber, count: int) -> AsyncIterator[list[Call]]:
    """This many calls; they end with the block, and all of them were heard without a loss."""
    calls = [Call(stage.open(turn)) for turn in range(count)]
    tasks = [asyncio.create_task(call.speak()) for call in calls]
    try:
        yield calls
        for call in calls:
            call.over.set()
        told = await asyncio.gather(*tasks)
        assert [(again, heard) for again, heard, _ in told] == [(False, said) for *_, said in told]
    finally:
        for task in tasks:
            task.cancel()


async def until(cluster: RayCluster, replicas: dict[str, int]) -> float:
    """How long it takes until there are these replicas."""
    began = time.perf_counter()
    async with asyncio.timeout(LIMIT_S):
        while (found := await cluster.ask("replicas")) != replicas:
            assert found
            await asyncio.sleep(0.25)
    return time.perf_counter() - began


async def reached(url: str) -> str:
    """The replica that a connection made now goes to."""
    stage = RemoteTranscriber([url], key=KEY)
    assert await stage.probe() is None
    await stage.aclose()
    return stage.detail().removeprefix("counting, ")


async def connected_ms(url: str) -> list[float]:
    """How long each of 20 connections takes until the worker is ready."""
    took = []
    for _ in range(20):
        stage = RemoteTranscriber([url], key=KEY)
        began = time.perf_counter()
        assert await stage.probe() is None
        took.append((time.perf_counter() - began) * 1000)
        await stage.aclose()
    return sorted(took)


async def story(cluster: RayCluster) -> None:
    took = await connected_ms(cluster.url)
    tell(f"a connection is ready after {took[9]:.1f} ms, {took[-1]:.1f} ms at most")
    stage = RemoteTranscriber([cluster.url], key=KEY)
    try:
        async with speaking(stage, LATER) as first:
            async with speaking(stage, CALLS - LATER):
                up_s = await until(cluster, {"RUNNING": 2})
                tell(f"{CALLS} calls: a second replica after {up_s:.1f} s")
                while await reached(cluster.url) in replicas(first):  # HAProxy learns of it later
                    await asyncio.sleep(0.25)
            async with speaking(stage, LATER) as second:
                down_s = await until(cluster, {"RUNNING": 1, "STOPPING": 1})
                tell(f"{2 * LATER} calls: a replica began to end after {down_s:.1f} s")
                await asyncio.sleep(CUT_BY_DEFAULT_S + 5)
                assert len(replicas(first) | replicas(second)) == 2  # so the one that ends has some
        await until(cluster, {"RUNNING": 1})
        async with speaking(stage, CALLS // 2) as old:
            await asyncio.sleep(1)
            await cluster.ask("deploy")
            began = time.perf_counter()
            while "STOPPING" not in (found := await cluster.ask("replicas")):
                await asyncio.sleep(0.25)
            await asyncio.sleep(CUT_BY_DEFAULT_S + 5)
            async with speaking(stage, LATER) as new:
                await asyncio.sleep(1)
            took_s = time.perf_counter() - began
            tell(f"{CALLS // 2} calls, redeployed {took_s:.0f} s ago ({found}): they go on")
            assert not replicas(old) & replicas(new)
    finally:
        await stage.aclose()


def replicas(calls: list[Call]) -> set[str]:
    return {call.replica for call in calls}


def tell(text: str) -> None:
    print(text)  # noqa: T201


def test_no_call_is_cut_when_replicas_come_and_go_and_a_version_follows(tmp_path: Path) -> None:
    began = time.perf_counter()
    with ray_cluster(free_port(), tmp_path / "ray.log") as cluster:
        tell(f"Ray and a replica took {time.perf_counter() - began:.0f} s to start")
        asyncio.run(story(cluster))
