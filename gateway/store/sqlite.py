"""A store in one SQLite file, shared by the processes of one machine.

One thread per store owns the connection; the event loop never touches the file. The journal is
written ahead (WAL) with `synchronous=NORMAL`: a commit that has returned survives the death of the
process, but a power cut may take back the last commits (whole ones, never parts; see
https://sqlite.org/pragma.html#pragma_synchronous). WAL needs a local file system.

Commits that wait at the same moment share one transaction, each in a savepoint of its own: a
conflict in one does not undo the others. No commit is answered before the transaction has returned.

Deleted content is overwritten (`secure_delete=ON`), also the former content of changed entries and
expired content that is swept. The journal keeps it until it is written back: `erase` does that at
once, otherwise SQLite does it after a thousand pages.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Self, TypeVar

from gateway.store.protocol import (
    Append,
    Conflict,
    Entry,
    Keep,
    Page,
    Put,
    StoreClosed,
    StoreUnavailable,
    Write,
    about,
    check_subject,
    kind_of,
    subject_of,
)
from gateway.store.sqlite_statements import (
    ADD_ITEM,
    DELETE,
    DROP_EXPIRED_ITEMS,
    ERASE,
    ERASE_ITEMS,
    FOUND,
    GET,
    INSERT,
    KEEP,
    LAST,
    LENGTHEN,
    NEXT_VERSION,
    PAGE,
    READ,
    SCHEMA,
    SCHEMA_VERSION,
    SINCE,
    SWEEP,
    UPDATE,
)
from gateway.store.store_thread import StoreOperation, StoreThread

T = TypeVar("T")

MAX_PENDING = 512
"""The most operations that wait for the thread. At 0.2 ms each that is a tenth of a second."""

SWEEP_PAUSE_S = 1.0
"""After a write that found nothing expired, writes do not look for it again for this time."""

BUSY_TIMEOUT_S = 2.0
"""How long an operation waits for another process's write before it gives up."""

ADVICE = {
    "SQLITE_FULL": "the disk is full: make room",
    "SQLITE_BUSY": "locked by another program for too long: close what holds it open",
    "SQLITE_LOCKED": "locked by another program for too long: close what holds it open",
    "SQLITE_NOTADB": "not a database: move the file away, or choose another folder",
    "SQLITE_CORRUPT": "damaged: move the file away, or restore it from a backup",
    "SQLITE_READONLY": "not writable: check the permissions of the file and its folder",
    "SQLITE_PERM": "not permitted: check the permissions of the file and its folder",
    "SQLITE_CANTOPEN": "cannot be opened: check the permissions of the file and its folder",
    "SQLITE_IOERR": "the disk does not read or write: check it",
}


class SqliteStore:
    """A `Store` in a file, which is created if it is missing, readable only by its owner.

    `clock` gives seconds since the epoch: lifetimes go on while no process runs.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._thread = StoreThread("parley-store", self._perform)
        self._pending = 0
        self._closed = False
        # Used only in the thread.
        self._database: sqlite3.Connection | None = None
        self._swept_at = -SWEEP_PAUSE_S  # when nothing was found expired

    @classmethod
    async def open(cls, path: Path, *, clock: Callable[[], float] = time.time) -> Self:
        """Open or create the file, with its folder. Raises `StoreUnavailable`."""
        store = cls(path, clock=clock)
        try:
            await store._run(store._connected)
        except BaseException:
            await store.aclose()
            raise
        return store

    @property
    def kind(self) -> str:
        return "sqlite"

    async def get(self, key: str) -> Entry | None:
        return await self._run(lambda: self._get(key))

    async def put(
        self, key: str, value: bytes, *, expect: int | None, ttl_s: float | None = None
    ) -> int:
        (version,) = await self.commit(Put(key, value, expect, ttl_s))
        return version

    async def delete(self, key: str) -> None:
        await self._run(lambda: self._delete(key))

    async def append(self, log: str, item: bytes, *, ttl_s: float | None = None) -> int:
        (position,) = await self.commit(Append(log, item, ttl_s))
        return position

    async def read(self, log: str, after: int = 0) -> list[tuple[int, bytes]]:
        return await self._run(lambda: self._read(log, after))

    async def commit(self, *writes: Write) -> tuple[int, ...]:
        numbers: tuple[int, ...] = await self._wait_for(_Commit, writes)
        return numbers

    async def page(self, kind: str, *, limit: int, before: int | None = None) -> Page:
        return await self._run(lambda: self._page(kind, limit, before))

    async def since(self, kind: str, *, after: int, limit: int) -> Page:
        return await self._run(lambda: self._since(kind, after, limit))

    async def erase(self, subject: str) -> int:
        check_subject(subject)
        return await self._run(lambda: self._erase(subject))

    async def ping(self) -> None:
        await self._run(lambda: self._connected().execute("SELECT 1 FROM counter").fetchone())

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        last = asyncio.get_running_loop().create_future()
        self._thread.take(_Work(last, self._disconnect))
        try:
            await asyncio.shield(last)
        finally:
            self._thread.end()

    async def _run(self, work: Callable[[], T]) -> T:
        """Do `work` in the thread. If it is cancelled before the thread begins, it is not done."""
        result: T = await self._wait_for(_Work, work)
        return result

    async def _wait_for(self, operation: "type[_Work] | type[_Commit]", given: Any) -> Any:
        if self._closed:
            raise StoreClosed(f"{self._path} was closed")
        if max(self._pending, self._thread.waiting) >= MAX_PENDING:
            raise StoreUnavailable(f"{self._path}: {MAX_PENDING} operations are waiting already")
        self._pending += 1
        try:
            future = asyncio.get_running_loop().create_future()
            self._thread.take(operation(future, given))
            return await future
        except sqlite3.Error as error:
            raise self._unavailable(error) from error
        finally:
            self._pending -= 1

    def _unavailable(self, error: sqlite3.Error) -> Exception:
        """An error of SQLite as `StoreUnavailable`; a misuse of its API is returned unchanged."""
        name = getattr(error, "sqlite_errorname", None)
        if name is None:
            return error
        primary = "_".join(name.split("_")[:2])
        return StoreUnavailable(f"{self._path}: {ADVICE.get(primary, str(error))}")

    # --- in the thread ---

    def _connected(self) -> sqlite3.Connection:
        if self._database is None:
            self._database = self._connect()
        return self._database

    def _connect(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Never open an existing file: closing it would drop the locks of this process's other
            # connections (https://sqlite.org/howtocorrupt.html, 2.2).
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            pass
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreUnavailable(
                f"{self._path} cannot be opened for writing ({reason}): "
                "set PARLEY_DATA_DIR to a folder that this user may write"
            ) from error
        database = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            _write_ahead(database)
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA secure_delete = ON")
            with _transaction(database):
                (found,) = database.execute("PRAGMA user_version").fetchone()
                if found > SCHEMA_VERSION:
                    raise StoreUnavailable(f"{self._path} was written by a newer Parley: update")
                if found < SCHEMA_VERSION:
                    if found == 1:
                        _upgrade(database)
                    for statement in SCHEMA:
                        database.execute(statement)
        except BaseException:
            database.close()
            raise
        return database

    def _disconnect(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _get(self, key: str) -> Entry | None:
        row = self._connected().execute(GET, {"key": key, "now": self._clock()}).fetchone()
        return Entry(*row) if row else None

    def _read(self, log: str, after: int) -> list[tuple[int, bytes]]:
        values = {"log": log, "after": after, "now": self._clock()}
        return self._connected().execute(READ, values).fetchall()

    def _delete(self, key: str) -> None:
        database = self._connected()
        with _transaction(database):
            for statement in DELETE:
                database.execute(statement, {"key": key})

    def _perform(self, operations: "Sequence[_Work | _Commit]") -> None:
        for kind, group in groupby(operations, type):
            together = list(group)
            if kind is _Commit:
                self._commit([each for each in together if isinstance(each, _Commit)])
            for each in together:
                if isinstance(each, _Work) and not each.cancelled:
                    each.perform()

    def _commit(self, commits: "Sequence[_Commit]") -> None:
        """Make the commits in one transaction; if that fails as a whole, each gets one of its own.

        If another program has the file locked, no commit is the cause, and none is tried again.
        """
        commits = [commit for commit in commits if not commit.cancelled]
        if not commits:
            return
        try:
            database = self._connected()
            now = self._clock()
            with _transaction(database):
                if len(commits) == 1:
                    commits[0].write(database, now)
                else:
                    for commit in commits:
                        commit.write_beside_others(database, now)
                self._sweep(database, now)
        except BaseException as error:
            if len(commits) == 1 or _is_busy(error):
                for commit in commits:
                    commit.error = error
            else:
                for commit in commits:
                    self._commit([commit])

    def _sweep(self, database: sqlite3.Connection, now: float) -> None:
        # A clock that was set back counts as a pause that is over.
        if 0 <= now - self._swept_at < SWEEP_PAUSE_S:
            return
        if not sum(database.execute(statement, {"now": now}).rowcount for statement in SWEEP):
            self._swept_at = now

    def _page(self, kind: str, limit: int, before: int | None) -> Page:
        values = {
            "kind": kind,
            "before": LAST if before is None else before,
            "limit": limit + 1,
            "now": self._clock(),
        }
        rows = self._connected().execute(PAGE, values).fetchall()
        entries = tuple((key, Entry(value, version)) for key, value, version, _ in rows[:limit])
        return Page(entries, rows[limit - 1][3] if len(rows) > limit else None)

    def _since(self, kind: str, after: int, limit: int) -> Page:
        values = {"kind": kind, "after": after, "limit": limit, "now": self._clock()}
        rows = self._connected().execute(SINCE, values).fetchall()
        entries = tuple((key, Entry(value, version)) for key, value, version, _ in rows)
        return Page(entries, rows[-1][3] if rows else None)

    def _erase(self, subject: str) -> int:
        database = self._connected()
        now = self._clock()
        with _transaction(database):
            database.execute(ERASE_ITEMS, {"about": subject})
            ends = [
                expires
                for statement in ERASE
                for (expires,) in database.execute(statement, {"about": subject})
            ]
        # The journal still holds the erased content: write it back and empty it. While another
        # process reads, this fails and is left to the next time; the erasure has succeeded.
        with contextlib.suppress(sqlite3.OperationalError):
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return sum(expires is None or expires > now for expires in ends)


class _Work(StoreOperation):
    __slots__ = ("_work",)

    def __init__(self, future: "asyncio.Future[Any]", work: Callable[[], object]) -> None:
        super().__init__(future)
        self._work = work

    def perform(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:
            self.error = error


class _Commit(StoreOperation):
    __slots__ = ("_writes",)

    def __init__(self, future: "asyncio.Future[Any]", writes: tuple[Write, ...]) -> None:
        super().__init__(future)
        self._writes = writes

    def write(self, database: sqlite3.Connection, now: float) -> None:
        """Make the writes within a transaction of their own. Raises `Conflict`."""
        self.error = None
        self.result = tuple(_write(database, write, now) for write in self._writes)

    def write_beside_others(self, database: sqlite3.Connection, now: float) -> None:
        """Make the writes within a shared transaction: all of them, or none where one conflicts."""
        database.execute("SAVEPOINT one")
        try:
            self.write(database, now)
        except Conflict as conflict:
            self.error = conflict
            database.execute("ROLLBACK TO one")
        database.execute("RELEASE one")


def _is_busy(error: BaseException) -> bool:
    """Whether another program had the file locked for too long."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _write_ahead(database: sqlite3.Connection) -> None:
    """Switch to WAL. SQLite's own busy timeout does not cover two processes doing so at once."""
    give_up_at = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)
        else:
            return


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    # Immediate: a transaction that reads first and writes later fails at once if another process
    # has written in between, whatever the busy timeout is.
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        # After some errors, such as a full disk, SQLite has already rolled back.
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _upgrade(database: sqlite3.Connection) -> None:
    """Make the tables of schema 1 those of schema 2; entries keep the order of their versions."""
    database.create_function("kind_of", 1, kind_of, deterministic=True)
    database.create_function("subject_of", 1, subject_of, deterministic=True)
    for column in ("kind TEXT NOT NULL DEFAULT ''", "about TEXT NOT NULL DEFAULT ''"):
        database.execute(f"ALTER TABLE entries ADD COLUMN {column}")
    database.execute("ALTER TABLE entries ADD COLUMN made INTEGER NOT NULL DEFAULT 0")
    database.execute("ALTER TABLE logs ADD COLUMN about TEXT NOT NULL DEFAULT ''")
    database.execute(
        "UPDATE entries SET kind = kind_of(key), about = subject_of(key), made = version"
    )
    database.execute("UPDATE logs SET about = subject_of(log)")


def _write(database: sqlite3.Connection, write: Write, now: float) -> int:
    match write:
        case Put():
            return _put(database, write, now)
        case Append():
            return _append(database, write, now)
        case Keep():
            values = {"name": write.name, "expires": _expires(write.ttl_s, now), "now": now}
            for statement in KEEP:
                database.execute(statement, values)
            return 0


def _put(database: sqlite3.Connection, write: Put, now: float) -> int:
    (version,) = database.execute(NEXT_VERSION).fetchone()
    values = {
        "key": write.key,
        "value": write.value,
        "version": version,
        "expires": _expires(write.ttl_s, now),
        "expect": write.expect,
        "kind": kind_of(write.key),
        "about": about(write),
        "now": now,
    }
    statement = INSERT if write.expect is None else UPDATE
    if database.execute(statement, values).rowcount != 1:
        row = database.execute(FOUND, values).fetchone()
        raise Conflict(write.key, write.expect, row[0] if row else None)
    return int(version)


def _append(database: sqlite3.Connection, write: Append, now: float) -> int:
    values = {
        "log": write.log,
        "expires": _expires(write.ttl_s, now),
        "about": about(write),
        "now": now,
    }
    database.execute(DROP_EXPIRED_ITEMS, values)
    (position,) = database.execute(LENGTHEN, values).fetchone()
    database.execute(ADD_ITEM, {"log": write.log, "position": position, "item": write.item})
    return int(position)


def _expires(ttl_s: float | None, now: float) -> float | None:
    return None if ttl_s is None else now + ttl_s
