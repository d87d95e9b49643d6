"""Who owns a live session, on every store: by leases, not by host names and process ids."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.interviews import leases, sessions
from gateway.interviews.keys import lease_key
from gateway.interviews.leases import LEASE_S, RENEW_S, leased, renew
from gateway.interviews.sessions import SessionOwner, SessionTaken
from gateway.store import Keep, Store, StoreUnavailable, Write
from pipeline.testing import run_virtual
from stages.interview import InterviewConfig
from tests.support.memory_store import MemoryStore

Run = Callable[[Callable[[Store], Awaitable[None]]], None]

KILLED = SessionOwner(token="killed")
ANOTHER = SessionOwner(token="another")


async def held(store: Store) -> None:
    """A session that is live in a process, which is killed."""
    config = InterviewConfig("Product Manager", "auto", 3)
    await sessions.create(store, config, mode="voice", ttl_s=3600, session_id="a")
    await renew(store, KILLED)
    await sessions.claim(store, "a", KILLED)


def test_a_session_is_free_seconds_after_its_container_was_replaced(run: Run, place: Any) -> None:
    async def scenario(store: Store) -> None:
        await held(store)
        await place.pass_time(LEASE_S - 1)
        with pytest.raises(SessionTaken):
            await sessions.claim(store, "a", ANOTHER)
        await place.pass_time(1)
        record, _ = await sessions.claim(store, "a", ANOTHER)
        assert record.worker == ANOTHER
        assert LEASE_S == 15

    run(scenario)


def test_a_lease_that_is_renewed_goes_on(run: Run, place: Any) -> None:
    async def scenario(store: Store) -> None:
        await held(store)
        for _ in range(4):
            await place.pass_time(RENEW_S)
            await renew(store, KILLED)
        await place.pass_time(LEASE_S - 1)
        with pytest.raises(SessionTaken):
            await sessions.claim(store, "a", ANOTHER)
        await place.pass_time(1)
        await renew(store, KILLED)  # it had only been held up
        with pytest.raises(SessionTaken):
            await sessions.claim(store, "a", ANOTHER)

    run(scenario)


def test_a_process_that_ends_in_order_frees_its_sessions_at_once(run: Run) -> None:
    async def scenario(store: Store) -> None:
        async with leased(store, KILLED):
            await held(store)
            with pytest.raises(SessionTaken):
                await sessions.claim(store, "a", ANOTHER)
        assert (await sessions.claim(store, "a", ANOTHER))[0].worker == ANOTHER

    run(scenario)


def test_a_lease_is_renewed_in_time_and_after_a_failure_soon(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        store = MemoryStore(loop.time)
        times: list[float] = []
        real = leases.renew

        async def renewed(store: Store, owner: SessionOwner, about: bytes) -> None:
            times.append(loop.time())
            if len(times) in (1, 3):
                raise StoreUnavailable("locked")
            await real(store, owner, about)

        monkeypatch.setattr(leases, "renew", renewed)
        async with leased(store, KILLED):
            await asyncio.sleep(13)
        assert times == [0, 1, 6, 7, 12]

    run_virtual(story())
    assert [record.getMessage() for record in caplog.records] == [
        "the lease of this process was not renewed: locked"
    ] * 2


def test_a_lease_is_renewed_after_a_failure_that_nobody_expected(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        store = MemoryStore(loop.time)
        real, times = leases.renew, list[float]()

        async def renewed(store: Store, owner: SessionOwner, about: bytes) -> None:
            times.append(loop.time())
            if len(times) in (1, 3):
                raise ValueError("no reply of a store")
            await real(store, owner, about)

        monkeypatch.setattr(leases, "renew", renewed)
        async with leased(store, KILLED):
            await asyncio.sleep(8)
        assert times == [0, 1, 6, 7]

    run_virtual(story())
    assert [record.getMessage() for record in caplog.records] == [
        "the lease of this process was not renewed"
    ] * 2


def test_a_lease_that_expires_while_it_is_renewed_is_there_again() -> None:
    class Slow(MemoryStore):
        """The lease expires after it was found."""

        slow = True

        async def commit(self, *writes: Write) -> tuple[int, ...]:
            if isinstance(writes[0], Keep) and self.slow:
                self.slow = False
                await asyncio.sleep(LEASE_S)
            return await super().commit(*writes)

    async def story() -> None:
        store = Slow(asyncio.get_running_loop().time)
        await renew(store, KILLED)
        await renew(store, KILLED)
        assert await store.get(lease_key(KILLED.token)) is not None

    run_virtual(story())


def test_a_store_that_is_gone_at_the_end_keeps_nobody_from_ending() -> None:
    async def story() -> None:
        store = MemoryStore(asyncio.get_running_loop().time)
        async with leased(store, KILLED):
            await store.aclose()

    asyncio.run(story())
