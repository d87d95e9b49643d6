import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, cast

import pytest

from gateway.status import StoreReport
from gateway.store import StoreUnavailable
from gateway.store.probe import PROBE_S, StoreProbe
from pipeline.testing import run_virtual


class Storage:
    """A store that answers pings as the test says."""

    kind = "redis"

    def __init__(self) -> None:
        self.problem: str | None = None
        self.hangs = False
        self.asked = 0

    async def ping(self) -> None:
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(3600)
        if self.problem is not None:
            raise StoreUnavailable(self.problem)


def play(story: Coroutine[Any, Any, None]) -> None:
    run_virtual(story)


ONLINE, OFFLINE = StoreReport("redis", "online"), StoreReport("redis", "offline")


def test_the_store_is_asked_in_the_background_and_not_too_often() -> None:
    async def story() -> None:
        storage = Storage()
        probe = StoreProbe(cast("Any", storage))
        assert await probe.ask() == ONLINE
        storage.problem = "it is away"
        assert probe.latest() == ONLINE
        assert storage.asked == 1
        await asyncio.sleep(5)
        assert [probe.latest() for _ in range(10)] == [ONLINE] * 10  # as it was last found
        await asyncio.sleep(0.1)
        assert probe.latest() == OFFLINE
        assert storage.asked == 2
        await probe.aclose()

    play(story())


def test_a_store_that_hangs_is_offline_and_delays_no_request() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        storage = Storage()
        storage.hangs = True
        probe = StoreProbe(cast("Any", storage))
        assert await probe.ask() == OFFLINE
        assert loop.time() == PROBE_S
        await asyncio.sleep(5)
        probe.latest()
        await asyncio.sleep(0.1)
        before = loop.time()
        await probe.aclose()
        assert loop.time() == before

    play(story())


def test_the_log_says_once_why_a_store_is_away_and_that_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        storage = Storage()
        probe = StoreProbe(cast("Any", storage))
        for problem in (None, "it is away", "it is away", None, None):
            storage.problem = problem
            await probe.ask()
        await probe.aclose()

    with caplog.at_level(logging.INFO, "parley.store"):
        play(story())
    assert [record.getMessage() for record in caplog.records] == [
        "store: it is away",
        "store: redis answers again",
    ]
