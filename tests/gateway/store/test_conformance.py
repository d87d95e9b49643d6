"""What every store must do, each test on SQLite, on a real Redis and on the tests' own store."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store import (
    Append,
    Conflict,
    Entry,
    Keep,
    Page,
    Put,
    Store,
    StoreClosed,
    put_if_absent,
)
from tests.support.examples import examples

Run = Callable[[Callable[[Store], Awaitable[None]]], None]


async def keys(store: Store, kind: str, limit: int) -> list[str]:
    """The keys of a kind, newest first, page by page."""
    found: list[str] = []
    before: int | None = None
    while True:
        page = await store.page(kind, limit=limit, before=before)
        assert len(page.entries) <= limit
        found += [key for key, _ in page.entries]
        if (before := page.next) is None:
            return found


# --- entries ---------------------------------------------------------------------------------


def test_an_entry_is_read_back_with_the_version_that_its_writer_was_given(run: Run) -> None:
    async def scenario(store: Store) -> None:
        assert await store.get("session:a") is None
        first = await store.put("session:a", b"one", expect=None)
        assert await store.get("session:a") == Entry(b"one", first)
        second = await store.put("session:a", b"t\0w\xffo", expect=first)
        assert second > first
        assert await store.get("session:a") == Entry(b"t\0w\xffo", second)

    run(scenario)


def test_a_writer_who_read_an_older_version_is_told_the_current_one(run: Run) -> None:
    async def scenario(store: Store) -> None:
        first = await store.put("k", b"one", expect=None)
        second = await store.put("k", b"two", expect=first)
        with pytest.raises(Conflict) as late:
            await store.put("k", b"late", expect=first)
        with pytest.raises(Conflict) as again:
            await store.put("k", b"new", expect=None)
        with pytest.raises(Conflict) as missing:
            await store.put("missing", b"x", expect=7)
        refused = [late.value, again.value, missing.value]
        assert [(error.key, error.expect, error.found) for error in refused] == [
            ("k", first, second),
            ("k", None, second),
            ("missing", 7, None),
        ]
        assert [str(error) for error in refused] == [
            f"'k' is no longer at version {first} but at {second}",
            "'k' exists already",
            "'missing' is no longer at version 7: it does not exist",
        ]
        assert await store.get("k") == Entry(b"two", second)
        assert await store.get("missing") is None

    run(scenario)


def test_a_deleted_entry_that_comes_back_never_repeats_a_version(run: Run) -> None:
    async def scenario(store: Store) -> None:
        old = await store.put("k", b"one", expect=None)
        await store.delete("k")
        await store.delete("k")
        assert await store.get("k") is None
        new = await store.put("k", b"another life", expect=None)
        with pytest.raises(Conflict):
            await store.put("k", b"from the old life", expect=old)
        assert await store.get("k") == Entry(b"another life", new)

    run(scenario)


def test_an_expired_entry_is_gone_for_readers_and_writers(run: Run, place: Any) -> None:
    async def scenario(store: Store) -> None:
        version = await store.put("k", b"one", expect=None, ttl_s=60)
        await place.pass_time(50)
        assert await store.get("k") == Entry(b"one", version)
        await place.pass_time(10)
        assert await store.get("k") is None
        with pytest.raises(Conflict) as caught:
            await store.put("k", b"two", expect=version)
        assert caught.value.found is None
        again = await store.put("k", b"three", expect=None)
        assert await store.get("k") == Entry(b"three", again)

    run(scenario)


def test_each_write_states_the_lifetime_anew(run: Run, place: Any) -> None:
    async def scenario(store: Store) -> None:
        version = await store.put("k", b"one", expect=None, ttl_s=60)
        await place.pass_time(40)
        version = await store.put("k", b"two", expect=version, ttl_s=60)
        await place.pass_time(40)
        version = await store.put("k", b"three", expect=version)
        await place.pass_time(1e7)
        assert await store.get("k") == Entry(b"three", version)

    run(scenario)


def test_what_is_kept_lives_on_unchanged(run: Run, place: Any) -> None:
    async def scenario(store: Store) -> None:
        version, _ = await store.commit(Put("k", b"one", None, 60), Append("k", b"x", 60))
        await store.append("other", b"x", ttl_s=60)
        assert await store.commit(Keep("k", None), Keep("unknown", None)) == (0, 0)
        await place.pass_time(1e7)
        assert await store.get("k") == Entry(b"one", version)
        assert await store.read("k") == [(1, b"x")]
        assert await store.read("other") == []
        assert await store.get("unknown") is None
        await store.commit(Keep("k", 10))
        await place.pass_time(10)
        assert await store.get("k") is None
        assert await store.read("k") == []
        await store.commit(Keep("k", None))
        assert await store.get("k") is None

    run(scenario)


def test_of_several_that_store_what_is_absent_one_does_and_all_know_it(run: Run) -> None:
    async def scenario(store: Store) -> None:
        answers = await asyncio.gather(
            *(put_if_absent(store, "request:k", b"%d" % n, ttl_s=60) for n in range(8))
        )
        entry = await store.get("request:k")
        assert entry is not None
        assert answers.count(None) == 1
        assert answers.index(None) == int(entry.value)
        assert [answer for answer in answers if answer is not None] == [entry] * 7

    run(scenario)


def test_what_is_absent_can_be_stored_again_when_it_has_expired(run: Run, place: Any) -> None:
    async def scenario(store: Store) -> None:
        assert await put_if_absent(store, "request:k", b"one", ttl_s=60) is None
        await place.pass_time(60)
        assert await put_if_absent(store, "request:k", b"two", ttl_s=60) is None
        found = await put_if_absent(store, "request:k", b"three", ttl_s=60)
        assert found is not None
        assert found.value == b"two"

    run(scenario)


# --- logs ------------------------------------------------------------------------------------


def test_a_log_gives_back_its_items_in_order_and_from_any_position(run: Run) -> None:
    async def scenario(store: Store) -> None:
        assert await store.read("transcript:a") == []
        positions = [await store.append("transcript:a", item) for item in (b"x", b"y", b"z")]
        assert positions == [1, 2, 3]
        assert await store.append("transcript:b", b"other") == 1
        assert await store.read("transcript:a") == [(1, b"x"), (2, b"y"), (3, b"z")]
        assert await store.read("transcript:a", after=2) == [(3, b"z")]
        assert await store.read("transcript:a", after=3) == []

    run(scenario)


def test_a_log_lives_as_long_as_its_last_item_said_and_then_begins_anew(
    run: Run, place: Any
) -> None:
    async def scenario(store: Store) -> None:
        await store.append("log", b"x", ttl_s=60)
        await place.pass_time(40)
        await store.append("log", b"y", ttl_s=60)
        await place.pass_time(40)
        assert await store.read("log") == [(1, b"x"), (2, b"y")]
        await place.pass_time(20)
        assert await store.read("log") == []
        assert await store.append("log", b"new") == 1
        assert await store.read("log") == [(1, b"new")]

    run(scenario)


def test_deleting_a_name_forgets_its_log_too(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.append("transcript:a", b"private")
        await store.append("transcript:b", b"kept")
        await store.delete("transcript:a")
        assert await store.read("transcript:a") == []
        assert await store.read("transcript:b") == [(1, b"kept")]
        assert await store.append("transcript:a", b"new") == 1

    run(scenario)


# --- several writes in one -------------------------------------------------------------------


def test_a_commit_does_all_of_its_writes_or_none(run: Run, place: Any) -> None:
    async def scenario(store: Store) -> None:
        version, position = await store.commit(Put("k", b"one", None), Append("log", b"x"))
        other = await store.put("other", b"1", expect=None, ttl_s=60)
        assert await store.get("k") == Entry(b"one", version)
        assert position == 1
        with pytest.raises(Conflict) as caught:
            await store.commit(
                Append("log", b"lost"),
                Put("new", b"lost", None),
                Keep("other", None),
                Put("other", b"lost", other),
                Put("k", b"late", version - 1),
            )
        assert (caught.value.key, caught.value.found) == ("k", version)
        assert await store.read("log") == [(1, b"x")]
        assert await store.get("new") is None
        assert await store.get("k") == Entry(b"one", version)
        assert await store.get("other") == Entry(b"1", other)
        await place.pass_time(60)
        assert await store.get("other") is None

    run(scenario)


def test_one_commit_may_hold_many_writes(run: Run) -> None:
    async def scenario(store: Store) -> None:
        puts = [Put(f"answer:a:{n}", b"%d" % n, None) for n in range(200)]
        versions = await store.commit(*puts)
        assert len(set(versions)) == 200
        assert await store.get("answer:a:77") == Entry(b"77", versions[77])
        assert await store.erase("a") == 200

    run(scenario)


def test_an_empty_commit_is_no_mistake(run: Run) -> None:
    async def scenario(store: Store) -> None:
        assert await store.commit() == ()

    run(scenario)


# --- listing ---------------------------------------------------------------------------------


def test_entries_of_a_kind_are_listed_newest_first_whatever_is_written_later(run: Run) -> None:
    async def scenario(store: Store) -> None:
        versions = {}
        for name in ("a", "b", "c", "d", "e"):
            versions[name] = await store.put(f"session:{name}", name.encode(), expect=None)
            await store.put(f"other:{name}", b"x", expect=None)
        changed = await store.put("session:b", b"B", expect=versions["b"])
        first = await store.page("session", limit=2)
        assert first.entries == (
            ("session:e", Entry(b"e", versions["e"])),
            ("session:d", Entry(b"d", versions["d"])),
        )
        await store.put("session:f", b"new", expect=None)
        second = await store.page("session", limit=2, before=first.next)
        assert second.entries == (
            ("session:c", Entry(b"c", versions["c"])),
            ("session:b", Entry(b"B", changed)),
        )
        third = await store.page("session", limit=2, before=second.next)
        assert third == Page((("session:a", Entry(b"a", versions["a"])),), None)

    run(scenario)


def test_what_came_since_is_listed_the_oldest_first_and_changes_move_nothing(
    run: Run, place: Any
) -> None:
    async def scenario(store: Store) -> None:
        assert await store.since("event", after=0, limit=9) == Page((), None)
        versions = [
            await store.put(f"event:{name}", b"1", expect=None, ttl_s=ttl_s)
            for name, ttl_s in (("a", None), ("b", 5), ("c", None), ("d", None))
        ]
        await store.put("other:a", b"1", expect=None)
        await store.put("event:a", b"2", expect=versions[0])
        first = await store.since("event", after=0, limit=2)
        assert [key for key, _ in first.entries] == ["event:a", "event:b"]
        assert first.next == versions[1]
        await place.pass_time(6)
        later = await store.since("event", after=versions[0], limit=3)
        assert later.entries == (
            ("event:c", Entry(b"1", versions[2])),
            ("event:d", Entry(b"1", versions[3])),
        )
        assert later.next == versions[3]
        assert await store.since("event", after=versions[3], limit=3) == Page((), None)

    run(scenario)


def test_a_listing_ends_with_the_last_full_page(run: Run) -> None:
    async def scenario(store: Store) -> None:
        assert await store.page("session", limit=2) == Page((), None)
        for name in ("a", "b"):
            await store.put(f"session:{name}", b"", expect=None)
        page = await store.page("session", limit=2)
        assert [key for key, _ in page.entries] == ["session:b", "session:a"]
        assert page.next is None

    run(scenario)


def test_what_was_deleted_or_has_expired_is_not_listed(run: Run, place: Any) -> None:
    async def scenario(store: Store) -> None:
        for number in range(60):
            ttl_s = None if number % 20 == 0 else 60
            await store.put(f"session:{number}", b"x", expect=None, ttl_s=ttl_s)
        await store.delete("session:20")
        await place.pass_time(60)
        assert await keys(store, "session", 2) == ["session:40", "session:0"]
        await store.put("session:20", b"made again", expect=None)
        expected = ["session:20", "session:40", "session:0"]
        assert await keys(store, "session", 50) == expected

    run(scenario)


# --- erasing ---------------------------------------------------------------------------------


def test_erasing_a_subject_leaves_no_trace_of_it(run: Run, place: Any) -> None:
    subject, secret = "a-subject-that-is-nowhere-else", b"what-the-person-said-" * 400

    async def fill(store: Store) -> None:
        first = await store.put(f"session:{subject}", secret, expect=None, ttl_s=60)
        await store.commit(
            Put(f"session:{subject}", b"shorter", first, 60),
            Append(f"transcript:{subject}", secret, 60),
            Append(f"transcript:{subject}", secret, 60),
            Put(f"recording:{subject}:1", secret, None),
            Put("request:5f", subject.encode(), None, 60, about=subject),
            Put("session:other", b"kept", None, 60),
            Append("transcript:other", b"kept", 60),
        )

    async def scenario(store: Store) -> None:
        await fill(store)
        assert subject.encode() in place.content()
        assert await store.erase(subject) == 4
        # Nor while the store is open, nor in what is left when it is closed.
        for trace in (subject.encode(), secret[:60]):
            assert trace not in place.content()
        assert await store.erase(subject) == 0
        assert await store.page("recording", limit=5) == Page((), None)
        assert await keys(store, "session", 5) == ["session:other"]
        assert await store.read("transcript:other") == [(1, b"kept")]

    run(scenario)
    for trace in (subject.encode(), secret[:60]):
        assert trace not in place.content()


def test_what_has_expired_is_erased_with_its_name(run: Run, place: Any) -> None:
    async def scenario(store: Store) -> None:
        await store.put("session:gone-by-itself", b"x", expect=None, ttl_s=60)
        await store.append("transcript:gone-by-itself", b"x", ttl_s=60)
        await place.pass_time(60)
        assert await store.erase("gone-by-itself") == 0
        assert b"gone-by-itself" not in place.content()

    run(scenario)


def test_an_entry_is_erased_with_the_subject_that_its_last_write_named(
    run: Run, place: Any
) -> None:
    async def scenario(store: Store) -> None:
        version = await store.put("request:k", b"under way", expect=None, ttl_s=60)
        (version,) = await store.commit(Put("request:k", b"made a", version, 60, about="a"))
        assert await store.erase("k") == 0
        assert await store.get("request:k") == Entry(b"made a", version)
        # It expires, and is made again about somebody else.
        await place.pass_time(60)
        (again,) = await store.commit(Put("request:k", b"made b", None, None, about="b"))
        assert await store.erase("a") == 0
        assert await store.get("request:k") == Entry(b"made b", again)
        assert await store.erase("b") == 1
        assert await store.get("request:k") is None

    run(scenario)


def test_what_is_about_nobody_cannot_be_erased_together(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.put("counter", b"1", expect=None)
        with pytest.raises(ValueError, match="without a subject"):
            await store.erase("")
        assert await store.get("counter") is not None

    run(scenario)


def test_a_writer_who_did_not_see_the_erasure_brings_nothing_back(run: Run) -> None:
    async def scenario(store: Store) -> None:
        version = await store.put("session:a", b"x", expect=None)
        await store.erase("a")
        with pytest.raises(Conflict) as caught:
            await store.commit(Put("session:a", b"y", version), Append("transcript:a", b"y"))
        assert caught.value.found is None
        assert await store.read("transcript:a") == []

    run(scenario)


# --- any history -----------------------------------------------------------------------------

ACTIONS = ["make", "change", "stale", "delete", "append", "keep", "erase", "wait"]
NAMES = ["x:a", "x:b", "y:b:1"]
operations = st.lists(
    st.tuples(
        st.sampled_from(ACTIONS), st.sampled_from(NAMES), st.sampled_from([None, 15.0, 40.0])
    ),
    max_size=30,
)


@examples(30)
@given(operations)
def test_any_history_reads_like_a_dictionary_whose_keys_expire(
    run: Run, place: Any, history: list[tuple[str, str, float | None]]
) -> None:
    place.clear()

    async def scenario(store: Store) -> None:
        now = 0.0
        entries: dict[str, tuple[bytes, int, float]] = {}
        made: list[str] = []
        logs: dict[str, tuple[list[bytes], float]] = {}
        used: set[int] = set()
        for step, (action, key, ttl_s) in enumerate(history):
            value, expires = b"%d" % step, 1e99 if ttl_s is None else now + ttl_s
            known = entries.get(key)
            match action:
                case "make" | "change":
                    expect = known[1] if known and action == "change" else None
                    if (known is None) == (expect is None):
                        version = await store.put(key, value, expect=expect, ttl_s=ttl_s)
                        assert version not in used
                        used.add(version)
                        entries[key] = (value, version, expires)
                        if expect is None:
                            made = [key, *(name for name in made if name != key)]
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
                    items = [*logs.get(key, ([], 0))[0], value]
                    assert await store.append(key, value, ttl_s=ttl_s) == len(items)
                    logs[key] = (items, expires)
                case "keep":
                    await store.commit(Keep(key, ttl_s))
                    if known:
                        entries[key] = (known[0], known[1], expires)
                    if key in logs:
                        logs[key] = (logs[key][0], expires)
                case "erase":
                    subject = key.split(":")[1]
                    about = [name for name in NAMES if name.split(":")[1] == subject]
                    there = [table.pop(name, None) for table in (entries, logs) for name in about]
                    assert await store.erase(subject) == len(there) - there.count(None)
                case "wait":
                    now += 20
                    await place.pass_time(20)
                    for table in (entries, logs):
                        for name in [n for n, row in table.items() if row[-1] <= now]:
                            del table[name]
            for name in NAMES:
                found, model = await store.get(name), entries.get(name)
                assert found == (Entry(model[0], model[1]) if model else None)
                items = logs.get(name, ([], 0))[0]
                assert await store.read(name) == list(enumerate(items, 1))
            assert await keys(store, "x", 1) == [
                name for name in made if name in entries and name.startswith("x:")
            ]

    run(scenario)


# --- several writers -------------------------------------------------------------------------


def test_two_stores_that_count_in_one_entry_lose_no_count(place: Any) -> None:
    async def count(store: Store, times: int) -> None:
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
            stores = [place.store() for _ in range(2)]
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


WRITER = """
import asyncio, json, pathlib, sys
from gateway.store import Append, Put, store_at

async def main():
    kind, where = sys.argv[1:]
    url = where if kind == "redis" else None
    store = store_at(pathlib.Path(where), url)
    version, answers = None, []
    while True:
        answers.append(f"answer {len(answers)}")
        version, _ = await store.commit(
            Put("session:a", json.dumps(answers).encode(), version, 3600),
            Append("transcript:a", answers[-1].encode(), 3600),
        )
        print(len(answers), flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("place", ["sqlite", "redis"], indirect=True)
def test_a_killed_writer_loses_no_answer_that_was_accepted(run: Run, place: Any) -> None:
    command = [sys.executable, "-c", WRITER, *place.words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        accepted = [int(writer.stdout.readline()) for _ in range(100)]
        writer.kill()  # between two commits or in the middle of one
        accepted += [int(line) for line in writer.stdout if line.endswith("\n")]

    async def scenario(store: Store) -> None:
        entry = await store.get("session:a")
        assert entry is not None
        answers = json.loads(entry.value)
        # One more may have been stored, whose answer the killed process could not print.
        assert len(answers) - accepted[-1] in (0, 1)
        assert answers == [f"answer {n}" for n in range(len(answers))]
        lines = [line.decode() for _, line in await store.read("transcript:a")]
        assert lines == answers
        again = await store.put("session:a", b"goes on", expect=entry.version)
        assert again > entry.version

    run(scenario)


# --- what can go wrong -----------------------------------------------------------------------


def test_a_closed_store_refuses_and_can_be_closed_again(run: Run) -> None:
    async def scenario(store: Store) -> None:
        pending = asyncio.ensure_future(store.put("k", b"x", expect=None))
        await asyncio.sleep(0)
        await store.aclose()
        await store.aclose()
        assert await pending > 0
        for refused in (store.get("k"), store.ping(), store.commit(), store.erase("a")):
            with pytest.raises(StoreClosed):
                await refused

    async def after(store: Store) -> None:
        entry = await store.get("k")
        assert entry is not None
        assert entry.value == b"x"

    run(scenario)
    run(after)


def test_a_cancelled_write_happened_as_a_whole_or_not_at_all(run: Run) -> None:
    async def scenario(store: Store) -> None:
        for pauses in (1, 3, 10, 30):
            writes = [
                asyncio.ensure_future(store.commit(Put(f"{n}", b"x", None), Append(f"{n}", b"x")))
                for n in range(50)
            ]
            for _ in range(pauses):
                await asyncio.sleep(0)
            for write in writes:
                write.cancel()
            await asyncio.gather(*writes, return_exceptions=True)
            for n in range(50):
                there = await store.get(f"{n}") is not None
                assert await store.read(f"{n}") == ([(1, b"x")] if there else [])
                await store.delete(f"{n}")
        assert await store.append("after", b"x") == 1

    run(scenario)


def test_a_store_says_what_it_is_and_whether_it_answers(run: Run, place: Any) -> None:
    async def scenario(store: Store) -> None:
        assert store.kind == place.words[0]
        await store.ping()

    run(scenario)
