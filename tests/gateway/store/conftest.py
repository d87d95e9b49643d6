"""The two places where sessions can be stored: a SQLite file and a real redis-server.

Where that program is missing its tests are skipped, but not in continuous integration.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.store import SqliteStore, Store

START_S = 20.0

TRAVEL = """
local time = redis.call('TIME')
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left_ms = redis.call('PTTL', key)
  if left_ms >= 0 and left_ms <= ARGV[1] + 0 then redis.call('DEL', key)
  elseif left_ms >= 0 then redis.call('PEXPIRE', key, left_ms - ARGV[1]) end
end
local due = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for at = 1, #due, 2 do redis.call('ZADD', KEYS[1], due[at + 1] - ARGV[1], due[at]) end
"""
"""As if so many milliseconds had passed for all that will expire."""


class RedisServer:
    """The process, on a free port of 127.0.0.1, with an append-only file in a folder of its own."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it answers."""
        from redis.exceptions import RedisError

        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self._folder,
            "appendonly": "yes",
            "appendfsync": "everysec",
        }
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self._program, *words], stdout=log, stderr=log)
        give_up_at = time.monotonic() + START_S
        while True:
            try:
                self.ask("PING")
            except RedisError:
                if time.monotonic() > give_up_at or self._process.poll() is not None:
                    self.kill()
                    pytest.fail((self._folder / "log").read_text()[-2000:])
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def ask(self, *command: Any) -> Any:
        """Its answer to a command of a plain client."""
        from redis import Redis

        with Redis.from_url(self.url, socket_timeout=10) as redis:
            return redis.execute_command(*command)

    def setting(self, name: str) -> str:
        """The value of one of its settings."""
        from redis import Redis

        with Redis.from_url(self.url, decode_responses=True) as redis:
            value: str = redis.config_get(name)[name]
        return value


class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class SqlitePlace:
    """Where a store can be opened, with a clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "var" / "parley.sqlite3"
        self.words = ["sqlite", str(self.path)]
        self._clock = Clock()

    def store(self) -> Store:
        return SqliteStore(self.path, clock=self._clock)

    async def pass_time(self, seconds: float) -> None:
        self._clock.now += seconds

    def clear(self) -> None:
        for file in self.path.parent.glob("*"):
            file.unlink()

    def content(self) -> bytes:
        """Everything that is there, byte by byte."""
        return b"".join(file.read_bytes() for file in sorted(self.path.parent.iterdir()))


class RedisPlace:
    """The same in a running Redis."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.words = ["redis", server.url]

    def store(self) -> Store:
        from gateway.store.redis import RedisStore

        return RedisStore(self._server.url)

    async def pass_time(self, seconds: float) -> None:
        milliseconds = round(seconds * 1000)
        ask = ("EVAL", TRAVEL, 1, "{parley}:expiring", milliseconds)
        await asyncio.to_thread(self._server.ask, *ask)

    def clear(self) -> None:
        self._server.ask("FLUSHALL")

    def content(self) -> bytes:
        """All names and all that they hold."""
        names = sorted(self._server.ask("KEYS", "*"))
        return b"\n".join(
            part for name in names for part in (name, repr(self._held(name)).encode())
        )

    def _held(self, name: bytes) -> Any:
        match self._server.ask("TYPE", name):
            case b"hash":
                return self._server.ask("HGETALL", name)
            case b"list":
                return self._server.ask("LRANGE", name, 0, -1)
            case b"set":
                return self._server.ask("SMEMBERS", name)
            case b"zset":
                return self._server.ask("ZRANGE", name, 0, -1)
        return self._server.ask("GET", name)


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


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> SqlitePlace | RedisPlace:
    """Somewhere to store, empty."""
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
