"""Tickets and passes: once, for one session, for a while, whichever process is asked."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.security import Access, ApiKeys, Grant
from gateway.store import SqliteStore, Store

KEY = "a-key-of-ours"
START = 1_800_000_000.0


class Clock:
    """Seconds since the epoch, as a test wants them."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Two:
    """Two processes on one store. `stored` are the sessions that exist."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.stored: set[str] = set()
        self.stores = [SqliteStore(folder / "parley.sqlite3") for _ in range(2)]
        self.one, self.other = (self._access(store) for store in self.stores)

    def _access(self, store: Store) -> Access:
        async def exists(session_id: str) -> bool:
            return session_id in self.stored

        return Access(ApiKeys(KEY), store, exists, pass_s=600, clock=self.clock)

    def run(self, story: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            try:
                async with asyncio.timeout(20):
                    await story()
            finally:
                for store in self.stores:
                    await store.aclose()

        asyncio.run(main())


@pytest.fixture
def two(tmp_path: Path) -> Two:
    return Two(tmp_path)


async def entered(access: Access, credential: str, session_id: str) -> bool:
    grant = await access.look(credential)
    return grant is not None and await access.enter(grant, session_id)


def test_a_key_opens_every_session(two: Two) -> None:
    async def story() -> None:
        grant = await two.one.look(KEY)
        assert grant is not None
        assert grant.everything
        assert [await two.one.enter(grant, name) for name in ("a", "b")] == [True, True]
        assert await two.one.begin(grant) is True
        assert await two.one.look(KEY[:-1]) is None
        assert await two.one.look("") is None

    two.run(story)


def test_a_candidate_that_comes_back_to_its_session_writes_nothing(two: Two) -> None:
    candidates = [Grant(name, owner=name) for name in ("anna", "bert")]
    commits = 0

    async def story() -> None:
        nonlocal commits
        store = two.stores[0]
        commit = store.commit

        async def counted(*writes: Any) -> Any:
            nonlocal commits
            commits += 1
            return await commit(*writes)

        store.commit = counted  # type: ignore[method-assign]
        anna, bert = candidates
        assert await two.one.enter(anna, "a") is True
        assert commits == 1
        two.stored.add("a")
        for _ in range(3):
            assert await two.one.enter(anna, "a") is True
            assert await two.one.own(anna, "a") is True
            assert await two.one.own(bert, "a") is False
        assert commits == 1

    two.run(story)


def test_of_candidates_that_begin_one_session_at_once_one_has_it(two: Two) -> None:
    async def story() -> None:
        grants = [Grant(name, owner=name) for name in ("anna", "bert")] * 3
        sides = (two.one, two.other) * 3
        taken = await asyncio.gather(
            *(side.own(grant, "a") for side, grant in zip(sides, grants, strict=True))
        )
        assert sorted(taken) == [False] * 3 + [True] * 3
        assert taken[0] is taken[2] is taken[4]

    two.run(story)


def test_a_ticket_opens_its_session_once(two: Two) -> None:
    async def story() -> None:
        ticket = (await two.one.ticket("a", 60)).value
        assert await entered(two.one, ticket, "b") is False
        assert await entered(two.other, ticket, "a") is True
        assert await entered(two.one, ticket, "a") is False
        assert await two.other.look(ticket) is None

    two.run(story)


def test_of_many_that_come_at_once_with_a_ticket_one_gets_in(two: Two) -> None:
    async def story() -> None:
        ticket = (await two.one.ticket("a", 60)).value
        grants = [await access.look(ticket) for access in (two.one, two.other) * 5]
        taken = await asyncio.gather(
            *(
                access.enter(grant, "a")
                for grant, access in zip(grants, (two.one, two.other) * 5, strict=True)
                if grant is not None
            )
        )
        assert len(taken) == 10
        assert sorted(taken) == [False] * 9 + [True]

    two.run(story)


def test_a_link_opens_its_session_as_often_as_it_says(two: Two) -> None:
    async def story() -> None:
        link = (await two.one.ticket("a", 3600, 600, uses=3)).value
        assert await entered(two.one, link, "b") is False
        assert await entered(two.one, link, "a") is True
        grant = await two.other.look(link)
        assert grant is not None
        assert two.other.until(grant) == START + 600, "also after the first use"
        assert await entered(two.other, link, "a") is True
        assert await entered(two.one, link, "a") is True
        assert await entered(two.one, link, "a") is False
        two.clock.now = START + 3600
        assert await two.one.look((await two.one.ticket("a", 1, uses=2)).value) is not None
        assert await two.one.look(link) is None

    two.run(story)


def test_of_many_that_come_at_once_with_a_link_as_many_get_in_as_it_has_uses(two: Two) -> None:
    async def story() -> None:
        link = (await two.one.ticket("a", 60, uses=4)).value
        each = (two.one, two.other) * 5
        grants = [await access.look(link) for access in each]
        taken = await asyncio.gather(
            *(
                access.enter(grant, "a")
                for grant, access in zip(grants, each, strict=True)
                if grant is not None
            )
        )
        assert sorted(taken) == [False] * 6 + [True] * 4
        assert await two.one.look(link) is None

    two.run(story)


def test_a_candidate_owns_what_it_begins_at_every_process(two: Two) -> None:
    async def story() -> None:
        anna, bert = (Grant(name, owner=name) for name in ("anna", "bert"))
        assert await two.one.owns(anna, "a") is False
        assert await two.one.holds(anna, "a") is True
        both = [two.one.enter(anna, "a"), two.other.enter(bert, "a")]
        taken = await asyncio.gather(*both)
        assert sorted(taken) == [False, True]
        two.stored.add("a")
        winner, loser = (anna, bert) if taken[0] else (bert, anna)
        for access in (two.one, two.other):
            assert await access.owns(winner, "a") is True
            assert await access.enter(winner, "a") is True
            assert await access.holds(loser, "a") is False
        two.stored.add("made by a program")
        assert await two.one.holds(anna, "made by a program") is False
        assert await two.stores[0].erase("a") == 1

    two.run(story)


def test_a_ticket_for_a_new_session_opens_none_that_exists(two: Two) -> None:
    async def story() -> None:
        two.stored.add("a")
        ticket = (await two.one.ticket(None, 60)).value
        assert await entered(two.one, ticket, "a") is False
        assert await entered(two.one, ticket, "b") is True
        assert await entered(two.one, ticket, "c") is False

    two.run(story)


def test_a_credential_says_how_long_what_it_opens_may_last(two: Two) -> None:
    async def story() -> None:
        for credential, until in (
            ((await two.one.ticket("a", 60, 600)).value, START + 650),
            ((await two.one.ticket("a", 60)).value, None),
            ((await two.one.session_pass("a", START + 300)).value, START + 300),
            (KEY, None),
        ):
            two.clock.now = START
            grant = await two.other.look(credential)
            assert grant is not None
            two.clock.now = START + 50
            assert two.other.until(grant) == until

    two.run(story)


def test_a_ticket_for_a_session_makes_no_other(two: Two) -> None:
    async def story() -> None:
        bound = await two.one.look((await two.one.ticket("a", 60)).value)
        fresh = await two.one.look((await two.one.ticket(None, 60)).value)
        held = await two.one.look((await two.one.session_pass("a")).value)
        assert bound is not None
        assert fresh is not None
        assert held is not None
        assert await two.one.begin(bound) is False
        assert await two.one.begin(held) is False
        assert [await two.one.begin(fresh) for _ in range(2)] == [True, False]

    two.run(story)


def test_tickets_and_passes_expire(two: Two) -> None:
    async def story() -> None:
        ticket = await two.one.ticket("a", 60)
        held = await two.one.session_pass("a")
        assert (ticket.expires_at - START, held.expires_at - START) == (60, 600)
        two.clock.now = START + 59
        late = await two.one.look(ticket.value)
        assert late is not None
        two.clock.now = START + 60
        assert await two.one.look(ticket.value) is None
        assert await two.one.enter(late, "a") is False  # it expired between the two steps
        assert await entered(two.one, held.value, "a") is True
        two.clock.now = START + 600
        assert await two.one.look(held.value) is None

    two.run(story)


def test_a_pass_opens_its_session_as_often_as_it_is_shown(two: Two) -> None:
    async def story() -> None:
        held = (await two.one.session_pass("a")).value
        assert [await entered(two.other, held, "a") for _ in range(3)] == [True] * 3
        assert await entered(two.other, held, "b") is False

    two.run(story)


def test_a_pass_for_less_time_ends_sooner(two: Two) -> None:
    async def story() -> None:
        first = await two.one.session_pass("a")
        two.clock.now = START + 590
        renewed = await two.one.session_pass("a", first.expires_at)
        assert renewed.expires_at == first.expires_at
        assert await entered(two.one, renewed.value, "a") is True
        two.clock.now = START + 600
        assert await two.one.look(renewed.value) is None

    two.run(story)


def test_what_is_no_ticket_is_not_looked_up(two: Two) -> None:
    async def story() -> None:
        for credential in ("pt_", "ps_", "pt_x", "ps_x", "pt_" + "0" * 48, "\udc80", "é", "x" * 9):
            assert await two.one.look(credential) is None
        assert await two.one.look("pt_" + "0" * 100_000) is None

    two.run(story)


def test_the_store_holds_no_ticket_and_no_pass(two: Two, tmp_path: Path) -> None:
    values: list[str] = []

    async def story() -> None:
        values.append((await two.one.ticket("a", 60)).value)
        values.append((await two.one.session_pass("a")).value)

    two.run(story)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert (b"ticket:" in kept, b"pass:" in kept) == (True, True)
    assert [value for value in values if value.encode() in kept] == []


def test_with_a_session_its_tickets_and_passes_are_erased(two: Two) -> None:
    async def story() -> None:
        values = [(await two.one.ticket("a", 60)).value, (await two.one.session_pass("a")).value]
        used = (await two.one.ticket("a", 60)).value
        assert await entered(two.one, used, "a") is True
        assert await two.stores[0].erase("a") == 3
        assert [await two.one.look(value) for value in values] == [None, None]

    two.run(story)
