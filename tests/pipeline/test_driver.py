"""Turn-taking in time: the timer of its deadline."""

import asyncio
from typing import Any

import pytest

from pipeline.decisions import Chunk
from pipeline.driver import TurnDriver

uvloop = pytest.importorskip("uvloop", reason="parley serve runs on uvloop where it is installed")


class OverdueTurns:
    """Turn-taking whose deadline is past from the beginning, as on a machine that is late."""

    def __init__(self, deadline: float) -> None:
        self.deadline: float | None = deadline
        self.seen: list[str] = []

    def open(self, now: float) -> list[Any]:
        return []

    def handle(self, event: Chunk, now: float) -> list[Any]:
        self.seen.append(f"chunk at {event.at_ms:.0f} ms")
        return []

    def expire(self, now: float) -> list[Any]:
        self.seen.append("expired")
        self.deadline = None
        return []


def test_events_before_an_overdue_timer_fires_are_decided_on_uvloop() -> None:
    failures: list[Exception] = []

    async def story() -> list[str]:
        turns = OverdueTurns(asyncio.get_running_loop().time() - 1)
        given: Any = turns
        driver = TurnDriver(given, perform=lambda actions: None, failed=failures.append)
        driver.open()
        driver.on_chunk(512, 0.5)
        driver.on_chunk(1024, 0.5)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        driver.close()
        return turns.seen

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(story())
    assert failures == []
    assert seen == ["chunk at 32 ms", "chunk at 64 ms", "expired"]
