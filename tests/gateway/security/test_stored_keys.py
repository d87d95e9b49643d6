"""API keys in the store: made once, known by their digest, revoked, expired."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.security.roles import ClientRole
from gateway.security.stored_keys import (
    PAGE,
    PREFIX,
    StoredKey,
    create_key,
    find_key,
    list_keys,
    revoke_key,
)
from gateway.store import SqliteStore, Store
from pipeline.testing import run_virtual
from tests.support.memory_store import MemoryStore

NOW = 1_800_000_000.0


def told(story: Callable[[Store], Awaitable[None]]) -> None:
    async def main() -> None:
        await story(MemoryStore(lambda: 0.0))

    run_virtual(main())


def test_a_key_is_known_again_with_its_role() -> None:
    async def story(store: Store) -> None:
        key, made = await create_key(store, "backend", ClientRole.SERVICE, now=NOW)
        assert made == StoredKey(made.id, "backend", ClientRole.SERVICE, int(NOW))
        assert await find_key(store, key, now=NOW) == made
        for wrong in (key[:-1], key + "0", key.upper(), made.id, "", f"{PREFIX}x", "\udc80"):
            assert await find_key(store, wrong, now=NOW) is None, wrong
        last = "0" if key[-1] != "0" else "1"
        assert await find_key(store, key[:-1] + last, now=NOW) is None

    told(story)


def test_a_key_expires_to_the_second() -> None:
    async def story(store: Store) -> None:
        key, made = await create_key(store, "a", ClientRole.CANDIDATE, now=NOW, lifetime_s=60)
        assert made.expires_at == NOW + 60
        assert await find_key(store, key, now=NOW + 59) == made
        assert await find_key(store, key, now=NOW + 60) is None

    told(story)


def test_a_revoked_key_is_none_and_the_others_stay() -> None:
    async def story(store: Store) -> None:
        one, first = await create_key(store, "one", ClientRole.ADMIN, now=NOW)
        two, second = await create_key(store, "two", ClientRole.INTERVIEWER, now=NOW)
        assert await list_keys(store) == [second, first]
        assert await revoke_key(store, first.id) is True
        assert await revoke_key(store, first.id) is False
        assert await find_key(store, one, now=NOW) is None
        assert await find_key(store, two, now=NOW) == second
        assert await list_keys(store) == [second]

    told(story)


def test_a_session_that_is_called_as_a_key_takes_none_with_it() -> None:
    async def story(store: Store) -> None:
        key, made = await create_key(store, "one", ClientRole.SERVICE, now=NOW)
        assert await store.erase(made.id) == 0
        assert await store.erase("apikey") == 0
        assert await find_key(store, key, now=NOW) == made

    told(story)


def test_all_keys_are_listed_however_many() -> None:
    async def story(store: Store) -> None:
        for number in range(PAGE + 1):
            await create_key(store, f"{number}", ClientRole.SERVICE, now=NOW)
        assert len(await list_keys(store)) == PAGE + 1

    told(story)


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "a\x1b[31m"], ids=repr)
def test_a_name_is_one_line(name: str) -> None:
    async def story(store: Store) -> None:
        with pytest.raises(ValueError, match="1 to 64 characters"):
            await create_key(store, name, ClientRole.SERVICE, now=NOW)

    told(story)


def test_the_store_holds_no_key(tmp_path: Path) -> None:
    async def main() -> str:
        store = SqliteStore(tmp_path / "parley.sqlite3")
        try:
            return (await create_key(store, "one", ClientRole.SERVICE, now=NOW))[0]
        finally:
            await store.aclose()

    key = asyncio.run(main())
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"apikey:" in kept
    assert key.rpartition("_")[2].encode() not in kept
