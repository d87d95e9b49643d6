"""Runs a redis-server for one load run, and measures what it had to do."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from gateway.commands.bench.server import ServerFailed, free_port

PROGRAM = "redis-server"
START_S = 20.0
STOP_S = 10.0
ANSWER_S = 5.0
POLL_S = 0.02


def missing() -> str | None:
    """Why no redis-server can be started here, or None."""
    if shutil.which(PROGRAM) is None:
        return f"{PROGRAM} is not installed here"
    if find_spec("redis") is None:
        return "the client for Redis is not installed: pip install 'parley-gateway[redis]'"
    return None


@dataclass(frozen=True, slots=True)
class RedisUse:
    """The work that a redis-server has done since its start, at a time of the monotonic clock.
    `cpu_s` is the CPU time of the thread that runs commands."""

    at_s: float
    commands: int
    cpu_s: float
    memory_kb: float


class OwnRedis:
    """A redis-server within a `with` block, on a port of 127.0.0.1, with the settings of
    docs/storage.md.

    Entering raises `ServerFailed` if it does not answer. Check `missing` before: if it has a
    reason, use nothing else.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="parley-capacity-")
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Any = None
        self._asked = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def __enter__(self) -> "OwnRedis":
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        options = {
            "port": self._port,
            "bind": "127.0.0.1",
            "dir": self._folder.name,
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        try:
            with Path(self._folder.name, "redis.log").open("wb") as log:
                self._process = subprocess.Popen(
                    [PROGRAM, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            # One that is not ready yet is asked again here, and in no other place.
            once = Retry(NoBackoff(), 0)
            self._client = Redis(
                host="127.0.0.1", port=self._port, socket_timeout=ANSWER_S, retry=once
            )
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def used(self) -> RedisUse:
        """The use so far, without these queries. Raises `ServerFailed` if no answer comes."""
        from redis.exceptions import RedisError

        self._asked += 1
        try:
            told = self._client.info()
        except RedisError as error:
            raise ServerFailed(f"{PROGRAM} does not answer: {error}") from None
        return RedisUse(
            time.monotonic(),
            int(told["total_commands_processed"]) - self._asked,
            sum(_cpu_s(told, kind) for kind in ("sys", "user")),
            int(told["used_memory"]) / 1024,
        )

    def _wait(self) -> None:
        from redis.exceptions import RedisError

        assert self._process is not None
        deadline = time.monotonic() + START_S
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                self._client.ping()
            except RedisError:
                time.sleep(POLL_S)
            else:
                return
        lines = Path(self._folder.name, "redis.log").read_text(errors="replace").splitlines()
        raise ServerFailed("\n".join([f"{PROGRAM} did not become ready:", *lines[-15:]]))

    def _stop(self) -> None:
        if self._client is not None:
            self._client.close()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()


def _cpu_s(told: Mapping[str, Any], kind: str) -> float:
    """CPU seconds of the thread that runs commands; before Redis 7.0, of all threads together."""
    whole = told[f"used_cpu_{kind}"]
    return float(told.get(f"used_cpu_{kind}_main_thread", whole))
