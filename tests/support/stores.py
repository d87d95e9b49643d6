"""The two places where sessions can be stored: a SQLite file and a real redis-server."""

import asyncio
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.store import SqliteStore, Store
from tests.support.served import free_port

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
    """The process, on a free port of 127.0.0.1, with an append-only file in a folder of its own.

    With `tls`, the files of a certificate and its key, it speaks nothing else.
    """

    def __init__(
        self, program: str, folder: Path, *, tls: tuple[Path, Path] | None = None, **options: Any
    ) -> None:
        self._program = program
        self._folder = folder
        self._tls = tls
        self._options = options
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        if tls is not None:
            self.url = f"rediss://127.0.0.1:{self.port}/0?ssl_ca_certs={tls[0]}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it answers."""
        from redis.exceptions import RedisError

        with (self._folder / "log").open("ab") as log:
            words = [self._program, *self._words()]
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
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

    def _words(self) -> list[str]:
        options: dict[str, Any] = {"port": self.port, "bind": "127.0.0.1", "dir": self._folder}
        options |= {"appendonly": "yes", "appendfsync": "everysec"} | self._secured()
        options |= {name.replace("_", "-"): value for name, value in self._options.items()}
        return [word for name, value in options.items() for word in (f"--{name}", *_split(value))]

    def _secured(self) -> dict[str, Any]:
        if self._tls is None:
            return {}
        cert, key = self._tls
        return {
            "port": 0,
            "tls-port": self.port,
            "tls-cert-file": cert,
            "tls-key-file": key,
            "tls-ca-cert-file": cert,
            "tls-auth-clients": "no",
            "tls-replication": "yes",
        }

    def send_signal(self, sent: signal.Signals) -> None:
        """Stop it, or let it go on."""
        assert self._process is not None
        self._process.send_signal(sent)

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def ask(self, *command: Any) -> Any:
        """What it answers to a command of a plain client."""
        from redis import Redis

        with Redis.from_url(self.url, socket_timeout=10) as redis:
            return redis.execute_command(*command)

    def setting(self, name: str) -> str:
        """The value of one of its settings."""
        from redis import Redis

        with Redis.from_url(self.url, decode_responses=True) as redis:
            value: str = redis.config_get(name)[name]
        return value


class Sentinel(RedisServer):
    """A Sentinel that watches a primary under the name `main`, and decides alone.

    It calls a primary lost after 2 s, which one that lives keeps even on a busy machine.
    """

    def __init__(self, program: str, folder: Path, primary: RedisServer, **options: Any) -> None:
        super().__init__(program, folder, **options)
        self._primary = primary

    def _words(self) -> list[str]:
        port = self._primary.port
        lines = {"port": self.port, "bind": "127.0.0.1", "dir": self._folder} | self._secured()
        file = self._folder / "sentinel.conf"  # which it writes again
        file.write_text(
            "".join(f"{name} {value}\n" for name, value in lines.items())
            + f"sentinel monitor main 127.0.0.1 {port} 1\n"
            + "sentinel down-after-milliseconds main 2000\nsentinel failover-timeout main 2000\n"
        )
        return [str(file), "--sentinel"]


def _split(value: Any) -> list[str]:
    return str(value).split(" ") if isinstance(value, str) else [str(value)]


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
