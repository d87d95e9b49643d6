"""The two places where sessions can be stored: a SQLite file and a real redis-server.

Where that program is missing its tests are skipped, but not in continuous integration.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.store import Store
from tests.support.memory_store import MemoryPlace
from tests.support.stores import RedisPlace, RedisServer, SqlitePlace


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    program = shutil.which("redis-server")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("redis-server is not installed: apt-get install redis-server")
        pytest.skip("redis-server is not installed (Debian: apt install redis-server)")
    server = RedisServer(program, tmp_path_factory.mktemp("redis"))
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    """A running server that holds nothing."""
    shared_redis.ask("FLUSHALL")
    return shared_redis


@pytest.fixture(params=["sqlite", "redis", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> SqlitePlace | RedisPlace | MemoryPlace:
    """Somewhere to store, empty. In memory is where tests in virtual time do."""
    if request.param == "memory":
        return MemoryPlace()
    if request.param == "sqlite":
        return SqlitePlace(tmp_path)
    return RedisPlace(request.getfixturevalue("redis_server"))


@asynccontextmanager
async def _opened(place: Any) -> AsyncIterator[Store]:
    store = place.store()
    try:
        yield store
    finally:
        await store.aclose()


Scenario = Callable[[Store], Awaitable[None]]


@pytest.fixture
def run(place: Any) -> Callable[[Scenario], None]:
    """Plays a scenario on a store of the place, opened for it and closed after it."""

    def run(scenario: Scenario) -> None:
        async def main() -> None:
            async with asyncio.timeout(30), _opened(place) as store:
                await scenario(store)

        asyncio.run(main())

    return run
