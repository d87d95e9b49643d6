import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.interviews import sessions
from gateway.interviews.leases import renew
from gateway.interviews.sessions import NoSuchSession, SessionOwner, SessionRecord, SessionTaken
from gateway.store import Conflict, Put, SqliteStore
from pipeline.testing import ManualClock
from stages.interview import InterviewConfig, start

CONFIG = InterviewConfig("Product Manager", "llama3.2:1b", 3)
HERE = SessionOwner(token="now")
THERE = SessionOwner(token="then")

Scenario = Callable[[SqliteStore], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Scenario], None]:
    def run(scenario: Scenario) -> None:
        async def main() -> None:
            async with asyncio.timeout(20):
                store = await SqliteStore.open(tmp_path / "parley.sqlite3")
                try:
                    await scenario(store)
                finally:
                    await store.aclose()

        asyncio.run(main())

    return run


Run = Callable[[Scenario], None]


def interview(question: int) -> dict[str, Any]:
    """A stored interview that has come to a question."""
    return replace(start(CONFIG).session, current_question=question).to_record()


async def new(store: SqliteStore, session_id: str = "a") -> tuple[SessionRecord, int]:
    return await sessions.create(
        store, CONFIG, mode="voice", ttl_s=60, session_id=session_id, now=1000.0
    )


async def finish(
    store: SqliteStore, record: SessionRecord, version: int
) -> tuple[SessionRecord, int]:
    finished = record.model_copy(update={"finished": True})
    return finished, await sessions.save(store, finished, version)


def test_a_session_is_loaded_as_it_was_made(run: Run) -> None:
    async def scenario(store: SqliteStore) -> None:
        made = await new(store)
        assert made == await sessions.load(store, "a")
        assert made[0] == SessionRecord(
            id="a",
            role="Product Manager",
            model="llama3.2:1b",
            total_questions=3,
            mode="voice",
            created_at=1000.0,
            ttl_s=60,
        )
        with pytest.raises(NoSuchSession, match="there is no session 'b'"):
            await sessions.load(store, "b")

    run(scenario)


def test_an_id_is_used_once_and_ids_that_are_made_differ(run: Run) -> None:
    async def scenario(store: SqliteStore) -> None:
        await new(store)
        with pytest.raises(Conflict):
            await new(store)
        made = [
            (await sessions.create(store, CONFIG, mode="text", ttl_s=60))[0].id for _ in range(3)
        ]
        assert len(set(made)) == 3
        assert all(sessions.SESSION_ID.fullmatch(one) for one in made)

    run(scenario)


def test_of_two_writers_of_the_same_version_the_second_gets_a_conflict(run: Run) -> None:
    async def scenario(store: SqliteStore) -> None:
        record, version = await new(store)
        later = await sessions.save(store, record.with_interview(interview(1)), version)
        with pytest.raises(Conflict):
            await sessions.save(store, record.with_interview(interview(2)), version)
        assert await sessions.load(store, "a") == (record.with_interview(interview(1)), later)

    run(scenario)


def test_words_and_what_follows_from_them_are_stored_in_one_commit(run: Run) -> None:
    async def scenario(store: SqliteStore) -> None:
        record, version = await new(store)
        after = record.with_interview(interview(2))
        version, position = await store.commit(after.put(version), after.transcript(b"my answer"))
        assert await sessions.load(store, "a") == (after, version)
        assert await store.read("transcript:a") == [(position, b"my answer")]

    run(scenario)


def test_a_session_has_one_owner_until_it_is_released(run: Run) -> None:
    async def scenario(store: SqliteStore) -> None:
        await new(store)
        await renew(store, HERE)
        record, version = await sessions.claim(store, "a", HERE)
        assert record.worker == HERE
        assert await sessions.load(store, "a") == (record, version)
        for worker in (HERE, THERE):
            with pytest.raises(SessionTaken, match="session 'a' is live already"):
                await sessions.claim(store, "a", worker)
        await sessions.release(store, "a", THERE)
        assert (await sessions.load(store, "a"))[0].worker == HERE
        await sessions.release(store, "a", HERE)
        assert (await sessions.load(store, "a"))[0].worker is None
        assert (await sessions.claim(store, "a", THERE))[0].worker == THERE

    run(scenario)


def test_of_many_claims_at_once_one_succeeds(run: Run) -> None:
    async def scenario(store: SqliteStore) -> None:
        await new(store)
        workers = [SessionOwner(token=f"{n}") for n in range(8)]
        await asyncio.gather(*(renew(store, worker) for worker in workers))
        asked = [sessions.claim(store, "a", worker) for worker in workers]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(answer, SessionTaken) for answer in answers) == 7
        (won,) = (answer for answer in answers if isinstance(answer, tuple))
        assert await sessions.load(store, "a") == won

    run(scenario)


def test_releasing_wins_over_a_change_that_comes_in_between(run: Run) -> None:
    async def scenario(store: SqliteStore) -> None:
        await new(store)
        record, version = await sessions.claim(store, "a", HERE)
        both = await asyncio.gather(
            sessions.release(store, "a", HERE),
            sessions.save(store, record.with_interview(interview(1)), version),
            return_exceptions=True,
        )
        stored, _ = await sessions.load(store, "a")
        assert stored.worker is None
        assert stored.interview == (None if isinstance(both[1], Conflict) else interview(1))

    run(scenario)


def test_a_session_that_is_gone_cannot_be_claimed_and_need_not_be_released(run: Run) -> None:
    async def scenario(store: SqliteStore) -> None:
        with pytest.raises(NoSuchSession):
            await sessions.claim(store, "a", HERE)
        await sessions.release(store, "a", HERE)

    run(scenario)


def test_a_session_whose_owner_has_died_is_taken_over(run: Run) -> None:
    async def scenario(store: SqliteStore) -> None:
        await new(store)
        await sessions.claim(store, "a", HERE)  # whose lease has ended
        assert (await sessions.claim(store, "a", THERE))[0].worker == THERE

    run(scenario)


def test_owners_of_older_versions_have_no_lease() -> None:
    stored = '{"host": "box", "pid": 10, "token": "then"}'
    assert SessionOwner.model_validate_json(stored) == THERE


# --- what stays and what goes ------------------------------------------------------------------


def with_clock(
    tmp_path: Path, story: Callable[[SqliteStore, ManualClock], Awaitable[None]]
) -> None:
    async def main() -> None:
        clock = ManualClock(1000.0)
        store = SqliteStore(tmp_path / "parley.sqlite3", clock=clock)
        try:
            await story(store, clock)
        finally:
            await store.aclose()

    asyncio.run(main())


def test_an_unfinished_session_expires_and_a_finished_one_stays(tmp_path: Path) -> None:
    async def story(store: SqliteStore, clock: ManualClock) -> None:
        for name in ("open", "done"):
            record, version = await new(store, name)
            version, _ = await store.commit(record.put(version), record.transcript(b"answer"))
            if name == "done":
                finished, version = await finish(store, record, version)
                assert finished.finished
        clock.advance(59)
        assert await sessions.load(store, "done") == (finished, version)
        await sessions.load(store, "open")
        clock.advance(1)
        with pytest.raises(NoSuchSession):
            await sessions.load(store, "open")
        assert await store.read("transcript:open") == []
        clock.advance(1e6)
        record, version = await sessions.load(store, "done")
        # Nor does a later change give it an end again.
        await store.commit(record.put(version), record.transcript(b"read the report"))
        clock.advance(1e6)
        assert (await sessions.load(store, "done"))[0] == finished
        lines = await store.read("transcript:done")
        assert lines == [(1, b"answer"), (2, b"read the report")]

    with_clock(tmp_path, story)


def test_a_finish_over_a_newer_version_is_refused(run: Run) -> None:
    async def scenario(store: SqliteStore) -> None:
        record, version = await new(store)
        newer = await sessions.save(store, record, version)
        with pytest.raises(Conflict) as caught:
            await finish(store, record, version)
        assert caught.value.found == newer

    run(scenario)


def test_sessions_are_listed_page_by_page_newest_first(run: Run) -> None:
    async def scenario(store: SqliteStore) -> None:
        for name in ("a", "b", "c"):
            await new(store, name)
        records, following = await sessions.page(store, limit=2)
        assert [record.id for record in records] == ["c", "b"]
        records, following = await sessions.page(store, limit=2, before=following)
        assert [record.id for record in records] == ["a"]
        assert following is None

    run(scenario)


def stored(folder: Path) -> bytes:
    """Every byte of the store's files."""
    return b"".join(file.read_bytes() for file in folder.iterdir())


def test_deleting_a_session_leaves_nothing_that_names_it(tmp_path: Path, run: Run) -> None:
    async def scenario(store: SqliteStore) -> None:
        record, version = await new(store, "somebodys-interview")
        await new(store, "another")
        await store.commit(
            record.put(version),
            record.transcript(b"private"),
            Put(f"recording:{record.id}:1", b"{}", None),
            Put("request:6b", record.id.encode(), None, 60, about=record.id),
        )
        await sessions.delete(store, record.id)
        content = stored(tmp_path)
        assert b"another" in content
        assert b"somebodys-interview" not in content
        assert b"private" not in content
        with pytest.raises(NoSuchSession):
            await sessions.delete(store, record.id)
        assert (await sessions.load(store, "another"))[0].id == "another"

    run(scenario)


def test_a_deleted_session_is_distinguished_from_one_that_never_existed(run: Run) -> None:
    async def scenario(store: SqliteStore) -> None:
        await new(store, "a")
        assert not await sessions.was_deleted(store, "a")
        await sessions.delete(store, "a")
        assert await sessions.was_deleted(store, "a")
        with pytest.raises(NoSuchSession):
            await sessions.delete(store, "b")
        assert not await sessions.was_deleted(store, "b")

    run(scenario)
