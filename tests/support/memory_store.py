"""A store in memory, for tests in virtual time: SQLite's thread does not advance that."""

import asyncio
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.store import Append, Conflict, Entry, Keep, Page, Put, StoreClosed, Write
from gateway.store.protocol import about, check_subject, kind_of, subject_of


@dataclass(slots=True)
class _Entry:
    value: bytes
    version: int
    expires: float
    about: str
    made: int


@dataclass(slots=True)
class _Log:
    items: list[bytes]
    expires: float
    about: str


@dataclass(slots=True)
class Tables:
    """What is stored; several stores may share it."""

    entries: dict[str, _Entry] = field(default_factory=dict)
    logs: dict[str, _Log] = field(default_factory=dict)
    versions: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))


class MemoryStore:
    """A `gateway.store.Store`. `clock` gives seconds. Every call lets other tasks run first."""

    kind = "memory"

    def __init__(self, clock: Callable[[], float], tables: Tables | None = None) -> None:
        self._clock = clock
        self._tables = Tables() if tables is None else tables
        self._closed = False

    async def get(self, key: str) -> Entry | None:
        await self._begin()
        found = self._entry(key)
        return None if found is None else Entry(found.value, found.version)

    async def put(
        self, key: str, value: bytes, *, expect: int | None, ttl_s: float | None = None
    ) -> int:
        (version,) = await self.commit(Put(key, value, expect, ttl_s))
        return version

    async def delete(self, key: str) -> None:
        await self._begin()
        self._tables.entries.pop(key, None)
        self._tables.logs.pop(key, None)

    async def append(self, log: str, item: bytes, *, ttl_s: float | None = None) -> int:
        (position,) = await self.commit(Append(log, item, ttl_s))
        return position

    async def read(self, log: str, after: int = 0) -> list[tuple[int, bytes]]:
        await self._begin()
        found = self._log(log)
        return [] if found is None else list(enumerate(found.items, 1))[after:]

    async def commit(self, *writes: Write) -> tuple[int, ...]:
        await self._begin()
        for write in writes:
            if isinstance(write, Put):
                self._check(write)
        return tuple(map(self._write, writes))

    async def page(self, kind: str, *, limit: int, before: int | None = None) -> Page:
        await self._begin()
        made = sorted(
            (
                (entry.made, key, Entry(entry.value, entry.version))
                for key, entry in self._tables.entries.items()
                if kind_of(key) == kind and self._lives(entry)
            ),
            reverse=True,
        )
        left = [entry for entry in made if before is None or entry[0] < before]
        shown = left[:limit]
        more = len(left) > limit
        return Page(tuple(entry[1:] for entry in shown), shown[-1][0] if more else None)

    async def since(self, kind: str, *, after: int, limit: int) -> Page:
        await self._begin()
        found = sorted(
            (entry.made, key, Entry(entry.value, entry.version))
            for key, entry in self._tables.entries.items()
            if kind_of(key) == kind and self._lives(entry) and entry.made > after
        )[:limit]
        return Page(tuple(entry[1:] for entry in found), found[-1][0] if found else None)

    async def erase(self, subject: str) -> int:
        check_subject(subject)
        await self._begin()
        count = 0
        tables: tuple[dict[str, _Entry] | dict[str, _Log], ...] = (
            self._tables.entries,
            self._tables.logs,
        )
        for table in tables:
            for name in [name for name, row in table.items() if row.about == subject]:
                count += self._lives(table.pop(name))
        return count

    async def ping(self) -> None:
        await self._begin()

    async def aclose(self) -> None:
        self._closed = True

    # --- one step ----------------------------------------------------------------------------

    async def _begin(self) -> None:
        if self._closed:
            raise StoreClosed("the store was closed")
        await asyncio.sleep(0)

    def _lives(self, row: _Entry | _Log) -> bool:
        return row.expires > self._clock()

    def _entry(self, key: str) -> _Entry | None:
        found = self._tables.entries.get(key)
        return found if found is not None and self._lives(found) else None

    def _log(self, name: str) -> _Log | None:
        found = self._tables.logs.get(name)
        return found if found is not None and self._lives(found) else None

    def _check(self, write: Put) -> None:
        entry = self._entry(write.key)
        found = None if entry is None else entry.version
        if found != write.expect:
            raise Conflict(write.key, write.expect, found)

    def _write(self, write: Write) -> int:
        expires = math.inf if write.ttl_s is None else self._clock() + write.ttl_s
        match write:
            case Put(key, value):
                version = next(self._tables.versions)
                before = self._entry(key)
                made = version if before is None else before.made
                self._tables.entries[key] = _Entry(value, version, expires, about(write), made)
                return version
            case Append(name, item):
                log = self._log(name) or _Log([], expires, subject_of(name))
                self._tables.logs[name] = log
                log.items.append(item)
                log.expires = expires
                return len(log.items)
            case Keep(name):
                for row in (self._entry(name), self._log(name)):
                    if row is not None:
                        row.expires = expires
        return 0


class MemoryPlace:
    """Where stores share what they hold, with a clock that the test moves."""

    words = ("memory",)

    def __init__(self) -> None:
        self._now = 0.0
        self._tables = Tables()

    def store(self) -> MemoryStore:
        return MemoryStore(lambda: self._now, self._tables)

    async def pass_time(self, seconds: float) -> None:
        self._now += seconds

    def clear(self) -> None:
        self._tables.entries.clear()
        self._tables.logs.clear()

    def content(self) -> bytes:
        """Everything that is there."""
        held = [
            *self._tables.entries,
            *self._tables.logs,
            *(entry.value.decode("latin-1") for entry in self._tables.entries.values()),
            *(item.decode("latin-1") for log in self._tables.logs.values() for item in log.items),
            *(row.about for row in self._tables.entries.values()),
        ]
        return "\n".join(held).encode("latin-1")
