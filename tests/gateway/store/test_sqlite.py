import asyncio
import sqlite3
import stat
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.store import (
    Conflict,
    Entry,
    Put,
    SqliteStore,
    StoreUnavailable,
)
from gateway.store import sqlite as module


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


Scenario = Callable[[SqliteStore, Clock], Awaitable[None]]


def with_store(path: Path, scenario: Scenario) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            clock = Clock()
            store = await SqliteStore.open(path, clock=clock)
            try:
                await scenario(store, clock)
            finally:
                await store.aclose()

    asyncio.run(main())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "parley.sqlite3"


# --- lifetimes -------------------------------------------------------------------------------


def test_an_expired_entry_is_gone_at_the_instant_that_was_said(path: Path) -> None:
    async def scenario(store: SqliteStore, clock: Clock) -> None:
        version = await store.put("k", b"one", expect=None, ttl_s=60)
        clock.now += 59.9
        assert await store.get("k") == Entry(b"one", version)
        clock.now += 0.1
        assert await store.get("k") is None
        with pytest.raises(Conflict):
            await store.put("k", b"two", expect=version)
        again = await store.put("k", b"three", expect=None)
        assert await store.get("k") == Entry(b"three", again)

    with_store(path, scenario)


def test_writes_clear_away_what_has_expired_without_ever_being_asked(path: Path) -> None:
    async def scenario(store: SqliteStore, clock: Clock) -> None:
        for number in range(20):
            await store.put(f"old:{number}", b"x", expect=None, ttl_s=10)
            await store.append(f"log:{number}", b"x", ttl_s=10)
        await store.put("forever", b"x", expect=None)
        clock.now += 10
        for number in range(4):
            await store.put(f"new:{number}", b"x", expect=None)

    with_store(path, scenario)
    with sqlite3.connect(path) as database:
        counted = [
            database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("entries", "logs", "items")
        ]
    database.close()
    assert counted == [5, 0, 0]


def test_writes_that_find_nothing_expired_look_again_after_a_second(path: Path) -> None:
    def stored() -> list[str]:
        with sqlite3.connect(path) as database:
            rows = database.execute("SELECT key FROM entries ORDER BY made").fetchall()
        database.close()
        return [key for (key,) in rows]

    async def scenario(store: SqliteStore, clock: Clock) -> None:
        await store.put("a", b"finds nothing", expect=None, ttl_s=0.3)
        clock.now += 0.5
        await store.put("b", b"does not look", expect=None, ttl_s=0.4)
        assert stored() == ["a", "b"]
        clock.now += 0.5
        await store.put("c", b"finds both", expect=None)
        assert stored() == ["c"]
        clock.now -= 3600
        await store.put("d", b"finds nothing", expect=None, ttl_s=1)
        clock.now += 1
        await store.put("e", b"finds one, though the clock was set back", expect=None)
        assert stored() == ["c", "e"]

    with_store(path, scenario)


# --- several processes -----------------------------------------------------------------------


def test_many_stores_can_be_the_first_to_open_the_file(path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            stores = await asyncio.gather(*(SqliteStore.open(path) for _ in range(8)))
            positions = await asyncio.gather(*(store.append("log", b"x") for store in stores))
            assert sorted(positions) == list(range(1, 9))
            for store in stores:
                await store.aclose()

    asyncio.run(main())


# --- what can go wrong -----------------------------------------------------------------------


async def _nothing(store: SqliteStore, clock: Clock) -> None:
    """Opening and closing is all."""


def test_more_waiting_operations_than_the_bound_are_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", 3)

    async def scenario(store: SqliteStore, clock: Clock) -> None:
        asked = [asyncio.ensure_future(store.append("log", b"x")) for _ in range(4)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert answers[:3] == [1, 2, 3]
        assert isinstance(answers[3], StoreUnavailable)
        assert "3 operations are waiting already" in str(answers[3])
        assert await store.append("log", b"x") == 4

    with_store(path, scenario)


def test_a_file_that_another_program_locks_is_reported_as_locked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.01)

    async def scenario(store: SqliteStore, clock: Clock) -> None:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked by another program"):
            await store.put("k", b"x", expect=None)
        other.execute("ROLLBACK")
        other.close()
        assert await store.put("k", b"x", expect=None) > 0

    with_store(path, scenario)


def test_a_locked_file_is_not_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.05)
    path.parent.mkdir()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailable, match="locked by another program"):
        asyncio.run(SqliteStore.open(path))
    other.close()


def test_a_full_disk_is_reported_and_what_was_stored_stays(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SCHEMA", (*module.SCHEMA, "PRAGMA max_page_count = 20"))

    async def scenario(store: SqliteStore, clock: Clock) -> None:
        version = await store.put("k", b"x", expect=None)
        with pytest.raises(StoreUnavailable, match="the disk is full: make room"):
            await store.put("k", bytes(1_000_000), expect=version)
        assert await store.get("k") == Entry(b"x", version)

    with_store(path, scenario)


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"These are somebody's notes, and they stay as they are. " * 40)
    with pytest.raises(StoreUnavailable, match=r"parley\.sqlite3: not a database: move the file"):
        asyncio.run(SqliteStore.open(path))
    assert path.read_bytes().startswith(b"These are somebody's notes")


def test_a_folder_that_cannot_be_made_is_answered_with_the_setting_to_change(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="set PARLEY_DATA_DIR to a folder"):
        asyncio.run(SqliteStore.open(tmp_path / "file" / "var" / "parley.sqlite3"))


SCHEMA_1 = (
    """CREATE TABLE entries (
        key TEXT PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL, expires REAL
    ) WITHOUT ROWID""",
    """CREATE TABLE logs (
        log TEXT PRIMARY KEY, length INTEGER NOT NULL, expires REAL
    ) WITHOUT ROWID""",
    """CREATE TABLE items (
        log TEXT NOT NULL, position INTEGER NOT NULL, item BLOB NOT NULL,
        PRIMARY KEY (log, position)
    ) WITHOUT ROWID""",
    "CREATE TABLE counter (version INTEGER NOT NULL)",
    "INSERT INTO counter VALUES (7)",
    "INSERT INTO entries VALUES ('session:a', 'A', 3, NULL), ('session:b', 'B', 7, NULL)",
    "INSERT INTO logs VALUES ('transcript:a', 1, NULL)",
    "INSERT INTO items VALUES ('transcript:a', 1, 'words')",
    "PRAGMA user_version = 1",
)


def test_a_file_of_the_first_version_is_read_listed_and_erased(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        for statement in SCHEMA_1:
            database.execute(statement)
    database.close()

    async def scenario(store: SqliteStore, clock: Clock) -> None:
        page = await store.page("session", limit=5)
        assert [key for key, _ in page.entries] == ["session:b", "session:a"]
        assert await store.put("session:c", b"C", expect=None) == 8
        assert await store.erase("a") == 2
        assert await store.read("transcript:a") == []

    with_store(path, scenario)
    with_store(path, _nothing)


def test_what_is_stored_over_is_overwritten_in_the_file(path: Path) -> None:
    secret = b"what-the-person-said-" * 1000

    async def scenario(store: SqliteStore, clock: Clock) -> None:
        version = await store.put("session:a", secret, expect=None)
        await store.put("session:a", b"nothing", expect=version)
        await store.put("recording:a", secret, expect=None, ttl_s=10)
        clock.now += 10
        await store.put("session:b", b"a write, which sweeps", expect=None)

    with_store(path, scenario)  # closing writes the journal back
    assert secret[:60] not in path.read_bytes()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_erasure_does_not_fail_for_a_process_that_reads(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.05)

    async def scenario(store: SqliteStore, clock: Clock) -> None:
        await store.put("session:a", b"x", expect=None)
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM entries").fetchone() == (1,)
        assert await store.erase("a") == 1
        assert await store.get("session:a") is None
        reader.close()

    with_store(path, scenario)


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    with_store(path, _nothing)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreUnavailable, match="written by a newer Parley"):
        asyncio.run(SqliteStore.open(path))


def test_misuse_of_the_store_is_not_called_unavailable(path: Path) -> None:
    no_text: Any = object()

    async def scenario(store: SqliteStore, clock: Clock) -> None:
        with pytest.raises(sqlite3.Error, match="type 'object' is not supported"):
            await store.get(no_text)

    with_store(path, scenario)


def test_only_the_owner_may_read_the_file(path: Path) -> None:
    with_store(path, _nothing)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# --- commits that wait together --------------------------------------------------------------


class Traced:
    """The transactions of a store's connection."""

    def __init__(self) -> None:
        self.begun = 0

    def __call__(self, statement: str) -> None:
        self.begun += statement.startswith("BEGIN")


async def traced(store: SqliteStore) -> Traced:
    counted = Traced()
    await store._run(lambda: store._connected().set_trace_callback(counted))
    return counted


def test_commits_that_wait_together_share_a_transaction(path: Path) -> None:
    async def scenario(store: SqliteStore, clock: Clock) -> None:
        counted = await traced(store)
        versions = await asyncio.gather(
            *(store.put(f"k{number}", b"one", expect=None) for number in range(9))
        )
        assert len(set(versions)) == 9
        assert counted.begun == 2  # the first one went alone
        found = [await store.get(f"k{number}") for number in range(9)]
        assert found == [Entry(b"one", version) for version in versions]

    with_store(path, scenario)


def test_a_conflict_takes_nothing_of_the_others_back(path: Path) -> None:
    async def scenario(store: SqliteStore, clock: Clock) -> None:
        taken = await store.put("taken", b"one", expect=None)
        counted = await traced(store)
        outcomes = await asyncio.gather(
            store.put("first", b"1", expect=None),
            store.commit(Put("before", b"2", None), Put("taken", b"2", taken + 7)),
            store.put("taken", b"3", expect=taken),
            store.put("last", b"4", expect=None),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [int, Conflict, int, int]
        assert counted.begun == 2
        values = {key: await store.get(key) for key in ("first", "before", "taken", "last")}
        assert {key: entry and entry.value for key, entry in values.items()} == {
            "first": b"1",
            "before": None,
            "taken": b"3",
            "last": b"4",
        }

    with_store(path, scenario)


def test_where_a_shared_transaction_fails_each_commit_has_its_own(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = module._write

    def failing(database: sqlite3.Connection, asked: Put, now: float) -> int:
        if asked.key == "k2":
            raise sqlite3.OperationalError("it fails")
        return write(database, asked, now)

    async def scenario(store: SqliteStore, clock: Clock) -> None:
        monkeypatch.setattr(module, "_write", failing)
        outcomes = await asyncio.gather(
            *(store.put(f"k{number}", b"one", expect=None) for number in range(4)),
            return_exceptions=True,
        )
        assert [isinstance(outcome, int) for outcome in outcomes] == [True, True, False, True]
        found = [await store.get(f"k{number}") for number in range(4)]
        assert [entry is not None for entry in found] == [True, True, False, True]

    with_store(path, scenario)


def test_what_is_cancelled_before_its_turn_is_not_written(path: Path) -> None:
    async def scenario(store: SqliteStore, clock: Clock) -> None:
        first = asyncio.create_task(store.put("first", b"1", expect=None))
        second = asyncio.create_task(store.put("second", b"2", expect=None))
        await asyncio.sleep(0)
        second.cancel()
        await first
        assert await store.get("second") is None

    with_store(path, scenario)


def test_what_is_cancelled_while_those_before_it_are_done_is_not_done(path: Path) -> None:
    async def scenario(store: SqliteStore, clock: Clock) -> None:
        began, may_end = threading.Event(), threading.Event()

        def work() -> None:
            began.set()
            may_end.wait(20)

        await store.put("kept", b"1", expect=None)
        busy = asyncio.create_task(store._run(lambda: None))
        await asyncio.sleep(0)
        slow = asyncio.create_task(store._run(work))
        erasing = asyncio.create_task(store.delete("kept"))
        writing = asyncio.create_task(store.put("late", b"1", expect=None))
        await asyncio.to_thread(began.wait, 20)  # the three are taken together
        erasing.cancel()
        writing.cancel()
        may_end.set()
        await asyncio.wait([busy, slow, erasing, writing])
        assert await store.get("kept") is not None
        assert await store.get("late") is None

    with_store(path, scenario)


def test_commits_that_wait_for_a_locked_file_wait_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.01)

    async def scenario(store: SqliteStore, clock: Clock) -> None:
        counted = await traced(store)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        outcomes = await asyncio.gather(
            *(store.put(f"k{number}", b"one", expect=None) for number in range(9)),
            return_exceptions=True,
        )
        other.execute("ROLLBACK")
        other.close()
        assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 9
        assert counted.begun == 2  # the first one went alone
        assert await store.put("k0", b"one", expect=None) > 0

    with_store(path, scenario)


def test_operations_that_were_cancelled_count_until_the_thread_comes_to_them(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", 3)

    async def scenario(store: SqliteStore, clock: Clock) -> None:
        may_end = threading.Event()
        slow = asyncio.create_task(store._run(lambda: may_end.wait(20)))
        await asyncio.sleep(0)
        refused = 0
        for _ in range(5):
            asked = asyncio.create_task(store.append("log", b"x"))
            await asyncio.sleep(0)
            asked.cancel()
            (outcome,) = await asyncio.gather(asked, return_exceptions=True)
            refused += isinstance(outcome, StoreUnavailable)
        may_end.set()
        await slow
        assert refused == 2
        assert await store.append("log", b"x") == 1

    with_store(path, scenario)


def test_what_was_asked_before_a_close_that_is_cancelled_is_still_answered(path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            store = await SqliteStore.open(path)
            may_end = threading.Event()
            slow = asyncio.create_task(store._run(lambda: may_end.wait(20)))
            await asyncio.sleep(0)
            asked = asyncio.create_task(store.put("k", b"1", expect=None))
            await asyncio.sleep(0)
            closing = asyncio.create_task(store.aclose())
            await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait([closing])
            may_end.set()
            await slow
            assert await asked > 0

    asyncio.run(main())
