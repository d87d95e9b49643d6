import asyncio
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.store import (
    Append,
    Conflict,
    Entry,
    Put,
    SqliteStore,
    StoreClosed,
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


# --- entries ---------------------------------------------------------------------------------


def test_an_entry_is_read_back_with_the_version_that_its_writer_was_given(path: Path) -> None:
    async def scenario(store: SqliteStore, clock: Clock) -> None:
        assert await store.get("session:a") is None
        first = await store.put("session:a", b"one", expect=None)
        assert await store.get("session:a") == Entry(b"one", first)
        second = await store.put("session:a", b"two", expect=first)
        assert second > first
        assert await store.get("session:a") == Entry(b"two", second)

    with_store(path, scenario)


def test_a_writer_who_read_an_older_version_is_refused_and_changes_nothing(path: Path) -> None:
    async def scenario(store: SqliteStore, clock: Clock) -> None:
        first = await store.put("k", b"one", expect=None)
        second = await store.put("k", b"two", expect=first)
        with pytest.raises(Conflict, match=f"'k' is no longer at version {first}"):
            await store.put("k", b"late", expect=first)
        with pytest.raises(Conflict, match="'k' exists already"):
            await store.put("k", b"new", expect=None)
        with pytest.raises(Conflict) as caught:
            await store.put("missing", b"x", expect=7)
        assert (caught.value.key, caught.value.expect) == ("missing", 7)
        assert await store.get("k") == Entry(b"two", second)
        assert await store.get("missing") is None

    with_store(path, scenario)


def test_a_deleted_entry_that_comes_back_never_repeats_a_version(path: Path) -> None:
    async def scenario(store: SqliteStore, clock: Clock) -> None:
        old = await store.put("k", b"one", expect=None)
        await store.delete("k")
        await store.delete("k")
        assert await store.get("k") is None
        new = await store.put("k", b"another life", expect=None)
        with pytest.raises(Conflict):
            await store.put("k", b"from the old life", expect=old)
        assert await store.get("k") == Entry(b"another life", new)

    with_store(path, scenario)


def test_an_expired_entry_is_gone_at_once_for_readers_and_writers(path: Path) -> None:
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


def test_each_write_states_the_lifetime_anew(path: Path) -> None:
    async def scenario(store: SqliteStore, clock: Clock) -> None:
        version = await store.put("k", b"one", expect=None, ttl_s=60)
        clock.now += 50
        version = await store.put("k", b"two", expect=version, ttl_s=60)
        clock.now += 50
        version = await store.put("k", b"three", expect=version)
        clock.now += 1e9
        assert await store.get("k") == Entry(b"three", version)

    with_store(path, scenario)


# --- logs ------------------------------------------------------------------------------------


def test_a_log_gives_back_its_items_in_order_and_from_any_position(path: Path) -> None:
    async def scenario(store: SqliteStore, clock: Clock) -> None:
        assert await store.read("transcript:a") == []
        positions = [await store.append("transcript:a", item) for item in (b"x", b"y", b"z")]
        assert positions == [1, 2, 3]
        assert await store.append("transcript:b", b"other") == 1
        assert await store.read("transcript:a") == [(1, b"x"), (2, b"y"), (3, b"z")]
        assert await store.read("transcript:a", after=2) == [(3, b"z")]
        assert await store.read("transcript:a", after=3) == []

    with_store(path, scenario)


def test_a_log_lives_as_long_as_its_last_item_said_and_then_begins_anew(path: Path) -> None:
    async def scenario(store: SqliteStore, clock: Clock) -> None:
        await store.append("log", b"x", ttl_s=60)
        clock.now += 50
        await store.append("log", b"y", ttl_s=60)
        clock.now += 50
        assert await store.read("log") == [(1, b"x"), (2, b"y")]
        clock.now += 10
        assert await store.read("log") == []
        assert await store.append("log", b"new") == 1
        assert await store.read("log") == [(1, b"new")]

    with_store(path, scenario)


def test_deleting_a_name_forgets_its_log_too(path: Path) -> None:
    async def scenario(store: SqliteStore, clock: Clock) -> None:
        await store.append("transcript:a", b"private")
        await store.append("transcript:b", b"kept")
        await store.delete("transcript:a")
        assert await store.read("transcript:a") == []
        assert await store.read("transcript:b") == [(1, b"kept")]
        assert await store.append("transcript:a", b"new") == 1

    with_store(path, scenario)


# --- several writes in one -------------------------------------------------------------------


def test_a_commit_does_all_of_its_writes_or_none(path: Path) -> None:
    async def scenario(store: SqliteStore, clock: Clock) -> None:
        version, position = await store.commit(Put("k", b"one", None), Append("log", b"x"))
        assert await store.get("k") == Entry(b"one", version)
        assert position == 1
        with pytest.raises(Conflict):
            await store.commit(
                Append("log", b"lost"), Put("new", b"lost", None), Put("k", b"late", version + 9)
            )
        assert await store.read("log") == [(1, b"x")]
        assert await store.get("new") is None
        assert await store.get("k") == Entry(b"one", version)

    with_store(path, scenario)


operations = st.lists(
    st.tuples(
        st.sampled_from(["make", "change", "stale", "delete", "append", "wait"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from([None, 5.0, 20.0]),
    ),
    max_size=30,
)


@settings(max_examples=30, deadline=None)
@given(operations)
def test_any_history_reads_like_a_dictionary_whose_keys_expire(
    history: list[tuple[str, str, float | None]],
) -> None:
    async def scenario(store: SqliteStore, clock: Clock) -> None:
        entries: dict[str, tuple[bytes, int, float | None]] = {}
        logs: dict[str, tuple[list[bytes], float | None]] = {}
        used: set[int] = set()
        for step, (action, key, ttl_s) in enumerate(history):
            value, expires = b"%d" % step, None if ttl_s is None else clock.now + ttl_s
            known = entries.get(key)
            match action:
                case "make" | "change":
                    expect = known[1] if known and action == "change" else None
                    if (known is None) == (expect is None):
                        version = await store.put(key, value, expect=expect, ttl_s=ttl_s)
                        assert version not in used
                        used.add(version)
                        entries[key] = (value, version, expires)
                    else:
                        with pytest.raises(Conflict):
                            await store.put(key, value, expect=expect, ttl_s=ttl_s)
                case "stale":
                    for old in used - {known[1] if known else 0}:
                        with pytest.raises(Conflict):
                            await store.put(key, value, expect=old)
                case "delete":
                    await store.delete(key)
                    entries.pop(key, None)
                    logs.pop(key, None)
                case "append":
                    items = [*logs.get(key, ([], None))[0], value]
                    assert await store.append(key, value, ttl_s=ttl_s) == len(items)
                    logs[key] = (items, expires)
                case "wait":
                    clock.now += 7
                    for table in (entries, logs):
                        for name in [
                            n for n, row in table.items() if (row[-1] or 1e99) <= clock.now
                        ]:
                            del table[name]
            for name in ("a", "b"):
                found, model = await store.get(name), entries.get(name)
                assert found == (Entry(model[0], model[1]) if model else None)
                items = logs.get(name, ([], None))[0]
                assert await store.read(name) == list(enumerate(items, 1))

    with tempfile.TemporaryDirectory() as folder:
        with_store(Path(folder, "parley.sqlite3"), scenario)


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


# --- several processes -----------------------------------------------------------------------


def test_two_stores_that_count_in_one_entry_lose_no_count(path: Path) -> None:
    async def count(store: SqliteStore, times: int) -> None:
        for _ in range(times):
            while True:
                entry = await store.get("counter")
                value, expect = (int(entry.value), entry.version) if entry else (0, None)
                try:
                    await store.commit(
                        Put("counter", b"%d" % (value + 1), expect), Append("log", b"%d" % value)
                    )
                except Conflict:
                    continue
                break

    async def main() -> None:
        async with asyncio.timeout(30):
            stores = await asyncio.gather(*(SqliteStore.open(path) for _ in range(2)))
            async with asyncio.TaskGroup() as group:
                for store in (*stores, *stores):
                    group.create_task(count(store, 25))
            entry = await stores[0].get("counter")
            assert entry is not None
            assert entry.value == b"100"
            expected = [(n + 1, b"%d" % n) for n in range(100)]
            assert await stores[1].read("log") == expected
            for store in stores:
                await store.aclose()

    asyncio.run(main())


def test_many_stores_can_be_the_first_to_open_the_file(path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            stores = await asyncio.gather(*(SqliteStore.open(path) for _ in range(8)))
            positions = await asyncio.gather(*(store.append("log", b"x") for store in stores))
            assert sorted(positions) == list(range(1, 9))
            for store in stores:
                await store.aclose()

    asyncio.run(main())


def test_what_was_committed_outlives_a_process_that_dies(path: Path) -> None:
    script = """
import asyncio, os, pathlib, sys
from gateway.store import Append, Put, SqliteStore
async def main():
    store = await SqliteStore.open(pathlib.Path(sys.argv[1]))
    await store.commit(Put("session:a", b"answered", None), Append("transcript:a", b"words"))
    os._exit(9)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script, str(path)], timeout=30, check=False)
    assert done.returncode == 9

    async def scenario(store: SqliteStore, clock: Clock) -> None:
        entry = await store.get("session:a")
        assert entry is not None
        assert entry.value == b"answered"
        assert await store.read("transcript:a") == [(1, b"words")]

    with_store(path, scenario)


# --- what can go wrong -----------------------------------------------------------------------


def test_a_closed_store_refuses_and_can_be_closed_again(path: Path) -> None:
    async def scenario(store: SqliteStore, clock: Clock) -> None:
        pending = asyncio.ensure_future(store.put("k", b"x", expect=None))
        await asyncio.sleep(0)
        await store.aclose()
        await store.aclose()
        assert await pending > 0
        with pytest.raises(StoreClosed):
            await store.get("k")

    with_store(path, scenario)
    with_store(path, lambda store, clock: _holds(store, "k", b"x"))


async def _nothing(store: SqliteStore, clock: Clock) -> None:
    """Opening and closing is all."""


async def _holds(store: SqliteStore, key: str, value: bytes) -> None:
    entry = await store.get(key)
    assert entry is not None
    assert entry.value == value


def test_a_cancelled_write_happened_as_a_whole_or_not_at_all(path: Path) -> None:
    async def scenario(store: SqliteStore, clock: Clock) -> None:
        writes = [
            asyncio.ensure_future(store.commit(Put(f"k{n}", b"x", None), Append(f"k{n}", b"x")))
            for n in range(50)
        ]
        await asyncio.sleep(0)
        for write in writes:
            write.cancel()
        await asyncio.gather(*writes, return_exceptions=True)
        for n in range(50):
            there = await store.get(f"k{n}") is not None
            assert await store.read(f"k{n}") == ([(1, b"x")] if there else [])
        assert await store.append("after", b"x") == 1

    with_store(path, scenario)


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
