"""Client secrets: known to their client alone, and gone when their time is over."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.live.client_secrets import PREFIX, find_secret, make_secret, may_join
from gateway.store import SqliteStore, Store

NOW = 1_700_000_000.5
SESSION: dict[str, Any] = {"type": "realtime", "model": "mine"}


@pytest.fixture
def told(tmp_path: Path) -> Callable[[Callable[[Store], Awaitable[None]]], None]:
    """Runs a story with a store."""

    def run(story: Callable[[Store], Awaitable[None]]) -> None:
        async def main() -> None:
            store = SqliteStore(tmp_path / "parley.sqlite3")
            try:
                await story(store)
            finally:
                await store.aclose()

        asyncio.run(main())

    return run


def test_a_secret_is_found_until_it_expires(told: Any) -> None:
    async def story(store: Store) -> None:
        made = await make_secret(store, SESSION, lifetime_s=60, now=NOW)
        assert made.value.startswith(PREFIX)
        assert (made.expires_at, made.session) == (int(NOW) + 60, SESSION)
        assert await find_secret(store, made.value, now=NOW + 59) == made
        assert await find_secret(store, made.value, now=NOW + 59) == made  # more than once
        assert await find_secret(store, made.value, now=made.expires_at) is None

    told(story)


def test_a_secret_keeps_whose_it_is_and_ends_with_its_key(told: Any) -> None:
    async def story(store: Store) -> None:
        for until, expires_at in ((NOW + 20, int(NOW) + 20), (NOW + 90, int(NOW) + 60)):
            made = await make_secret(
                store, SESSION, lifetime_s=60, now=NOW, client="key-1", until=until
            )
            assert (made.client, made.until, made.expires_at) == ("key-1", until, expires_at)
            assert await find_secret(store, made.value, now=NOW) == made

    told(story)


def test_no_two_secrets_are_alike(told: Any) -> None:
    async def story(store: Store) -> None:
        made = [await make_secret(store, {"n": n}, lifetime_s=60, now=NOW) for n in range(3)]
        assert len({secret.value for secret in made}) == 3
        for secret in made:
            assert await find_secret(store, secret.value, now=NOW) == secret

    told(story)


@pytest.mark.parametrize("value", ["", "ek_", "ek_wrong", "a-key", "ek_\udcff"])
def test_what_is_no_secret_is_not_found(told: Any, value: str) -> None:
    async def story(store: Store) -> None:
        await make_secret(store, SESSION, lifetime_s=60, now=NOW)
        assert await find_secret(store, value, now=NOW) is None

    told(story)


def test_the_store_does_not_know_the_secret_itself(told: Any, tmp_path: Path) -> None:
    values: list[str] = []

    async def story(store: Store) -> None:
        values.append((await make_secret(store, SESSION, lifetime_s=60, now=NOW)).value)

    told(story)
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b'"mine"' in kept
    assert values[0].encode() not in kept
    assert values[0].removeprefix(PREFIX).encode() not in kept


def test_a_secret_opens_new_sessions_and_those_that_were_begun_with_it(told: Any) -> None:
    async def story(store: Store) -> None:
        mine, other = [await make_secret(store, SESSION, lifetime_s=60, now=NOW) for _ in range(2)]
        assert await may_join(store, mine, "a", now=NOW) is True
        await store.put("session:a", b"{}", expect=None)
        assert await may_join(store, mine, "a", now=NOW) is True
        assert await may_join(store, other, "a", now=NOW) is False
        assert await may_join(store, other, "b", now=NOW) is True
        await store.erase("a")  # with it, that it was begun
        await store.put("session:a", b"{}", expect=None)
        assert await may_join(store, mine, "a", now=NOW) is False

    told(story)
