"""A store in Redis, for workers on several machines.

Every change is one Lua script (`gateway.store.redis_scripts`), which Redis runs as a whole: of two
writers who read the same version the second gets `Conflict`. Scripts work on one server, so all
names share the hash tag `{parley}`: a cluster keeps them in one slot, and this client speaks to the
server that its URL names, without following redirections.

A commit always survives the death of a Parley process. It survives the death of the Redis process
if Redis keeps an append-only file; with `appendfsync everysec` a crash of the machine may lose the
last two seconds. A client cannot set this, so `durability` reads it.
"""

import asyncio
import math
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.sentinel import MasterNotFoundError

from gateway.redis_url import shown
from gateway.store.protocol import (
    Append,
    Conflict,
    Entry,
    Page,
    Put,
    StoreBusy,
    StoreClosed,
    StoreUnavailable,
    Write,
    about,
    check_subject,
    kind_of,
    subject_of,
)
from gateway.store.redis_pool import CONNECTIONS, RedisPool
from gateway.store.redis_scripts import COMMIT, DELETE, ERASE, PAGE, PREFIX, SINCE

OPERATION_S = 3.0
"""How long an operation may take, including the wait for a connection."""

MAX_PENDING = 512
"""Operations that may be under way or wait for a connection."""

ADVICE: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((exceptions.AuthenticationError,), "refuses the user or the password: check REDIS_URL"),
    (
        (exceptions.NoPermissionError,),
        "does not let this user do it: docs/storage.md says what is needed",
    ),
    ((exceptions.OutOfMemoryError,), "is full: make room, or raise its maxmemory"),
    ((exceptions.ReadOnlyError,), "is a replica: let REDIS_URL name the primary"),
    ((exceptions.BusyLoadingError,), "is still loading its data: wait"),
    ((exceptions.TimeoutError, TimeoutError), "does not answer in time: is it overloaded?"),
    (
        (MasterNotFoundError,),
        "has no primary now, as far as the Sentinels that answer know: wait for its successor, or"
        " check the name and the Sentinels in REDIS_URL",
    ),
    ((exceptions.ConnectionError, OSError), "cannot be reached: start it, or check REDIS_URL"),
)
"""The meaning of an error for people; the first match counts."""

_LOST = (exceptions.ConnectionError, exceptions.TimeoutError, TimeoutError)
"""The errors of an operation whose connection is lost."""


class RedisStore:
    """A `Store` in the Redis that `url` names. It connects on first use.

    An operation that Redis does not answer raises `StoreUnavailable`, and the next one connects
    anew. If its connection was cut, as by a restart of Redis, only a read is tried a second time:
    it cannot be known whether a write was done. Lifetimes follow the clock of Redis.
    """

    def __init__(self, url: str) -> None:
        self._address = shown(url)
        self._pool = RedisPool(url)
        self._redis = Redis(connection_pool=self._pool.connections)
        self._room = asyncio.Semaphore(CONNECTIONS)
        texts = (COMMIT, DELETE, PAGE, SINCE, ERASE)
        scripts = [self._redis.register_script(text) for text in texts]
        self._commit, self._delete, self._page, self._since, self._erase = scripts
        self._scripts: dict[str, Any] = {}  # of other modules, by their texts
        self._pending = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    @property
    def kind(self) -> str:
        return "redis"

    async def get(self, key: str) -> Entry | None:
        name = f"{PREFIX}entry:{key}"
        value, version = await self._read(lambda: self._redis.hmget(name, ["value", "version"]))
        return None if version is None else Entry(value, int(version))

    async def put(
        self, key: str, value: bytes, *, expect: int | None, ttl_s: float | None = None
    ) -> int:
        (version,) = await self.commit(Put(key, value, expect, ttl_s))
        return version

    async def delete(self, key: str) -> None:
        arguments = [key, kind_of(key), subject_of(key)]
        await self._run(lambda: self._delete(keys=[PREFIX], args=arguments))

    async def append(self, log: str, item: bytes, *, ttl_s: float | None = None) -> int:
        (position,) = await self.commit(Append(log, item, ttl_s))
        return position

    async def read(self, log: str, after: int = 0) -> list[tuple[int, bytes]]:
        items = await self._read(lambda: self._redis.lrange(f"{PREFIX}log:{log}", after, -1))
        return list(enumerate(items, after + 1))

    async def commit(self, *writes: Write) -> tuple[int, ...]:
        arguments = [part for write in writes for part in _arguments(write)]
        done = await self._run(lambda: self._commit(keys=[PREFIX], args=arguments))
        if done[0] == b"conflict":
            put = writes[done[1] - 1]
            assert isinstance(put, Put)
            raise Conflict(put.key, put.expect, int(done[2]) if done[2] else None)
        return tuple(int(number) for number in done[1:])

    async def page(self, kind: str, *, limit: int, before: int | None = None) -> Page:
        arguments: list[Any] = [kind, limit, "+inf" if before is None else f"({before}"]
        return _page_of(await self._read(lambda: self._page(keys=[PREFIX], args=arguments)))

    async def since(self, kind: str, *, after: int, limit: int) -> Page:
        arguments: list[Any] = [kind, after, limit]
        return _page_of(await self._read(lambda: self._since(keys=[PREFIX], args=arguments)))

    async def erase(self, subject: str) -> int:
        check_subject(subject)
        return int(await self._run(lambda: self._erase(keys=[PREFIX], args=[subject])))

    async def ping(self) -> None:
        await self._run(self._redis.ping)

    async def evaluate(self, script: str, arguments: Sequence[Any]) -> Any:
        """Run a script on names of its own below the prefix, its one key; returns the script's
        result.

        It is not run a second time if its connection was cut. Raises `StoreUnavailable`.
        """
        if (made := self._scripts.get(script)) is None:
            made = self._scripts[script] = self._redis.register_script(script)
        return await self._run(lambda: made(keys=[PREFIX], args=[*arguments]))

    async def clock_s(self) -> float:
        """The time of Redis, in seconds since 1970. Raises `StoreUnavailable`."""
        seconds, microseconds = await self._read(self._redis.time)
        return float(seconds) + int(microseconds) / 1e6

    async def durability(self) -> str | None:
        """A sentence on what this Redis may lose by its own settings, or None.

        None also if the user may not read them, as with some providers of Redis.
        """
        try:
            info = await self._run(self._redis.info)
        except StoreUnavailable as error:
            if isinstance(error.__cause__, exceptions.NoPermissionError):
                return None
            raise
        if not info.get("aof_enabled"):
            return "it keeps no append-only file: its own end may take back what was stored"
        policy = str(info.get("maxmemory_policy", "noeviction"))
        if policy != "noeviction" and info.get("maxmemory"):
            return f"its maxmemory-policy is {policy}: it may drop sessions when memory is full"
        return None

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._idle.wait()  # OPERATION_S at most
        await self._redis.aclose()
        await self._pool.aclose()

    async def _read(self, work: Callable[[], Any]) -> Any:
        try:
            return await self._run(work)
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, exceptions.ConnectionError):
                raise
            return await self._run(work)

    async def _run(self, work: Callable[[], Any]) -> Any:
        if self._closed:
            raise StoreClosed(f"{self._address} was closed")
        if self._pending >= MAX_PENDING:
            raise StoreBusy(f"{self._address}: {MAX_PENDING} operations are waiting already")
        task = asyncio.current_task()
        assert task is not None
        cancels = task.cancelling()
        self._pending += 1
        self._idle.clear()
        try:
            async with asyncio.timeout(OPERATION_S), self._room:
                return await work()
        except (exceptions.RedisError, OSError) as error:  # our own deadline is an OSError
            if task.cancelling() > cancels:  # the library may put its own error in the place
                raise asyncio.CancelledError from error
            if isinstance(error, _LOST):
                self._pool.distrust()  # the idle connections are cut as well, or lead nowhere
            raise self._unavailable(error) from error
        finally:
            self._pending -= 1
            if not self._pending:
                self._idle.set()

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        if (fault := _tls_fault(error)) is not None:
            advice = f"cannot be trusted ({fault}): check ssl_ca_certs and the host in REDIS_URL"
            return StoreUnavailable(f"{self._address} {advice}")
        for kinds, advice in ADVICE:
            if isinstance(error, kinds):
                return StoreUnavailable(f"{self._address} {advice}")
        # For an unknown command Redis quotes the arguments, which are private.
        said = str(error).partition(", with args")[0]
        return StoreUnavailable(f"{self._address}: {said}")


def _page_of(done: list[bytes]) -> Page:
    following, *flat = done
    entries = tuple(
        (key.decode(), Entry(value, int(version)))
        for key, value, version in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    )
    return Page(entries, int(following) if following else None)


def _tls_fault(error: BaseException | None) -> str | None:
    """Why a certificate was refused or TLS failed; None if the error is another one."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return getattr(error, "verify_message", "") or error.reason or "no TLS"
        error = error.__cause__ or error.__context__
    return None


def _arguments(write: Write) -> tuple[Any, ...]:
    """A write as the seven arguments of the script."""
    match write:
        case Put():
            expect = "" if write.expect is None else write.expect
            lifetime = _milliseconds(write.ttl_s)
            names = (kind_of(write.key), about(write))
            return ("put", write.key, write.value, expect, lifetime, *names)
        case Append():
            lifetime = _milliseconds(write.ttl_s)
            return ("append", write.log, write.item, "", lifetime, "", about(write))
    return ("keep", write.name, "", "", _milliseconds(write.ttl_s), "", "")


def _milliseconds(ttl_s: float | None) -> int | str:
    """A lifetime for Redis, at least one millisecond; empty for no end."""
    return "" if ttl_s is None else max(1, math.ceil(ttl_s * 1000))
