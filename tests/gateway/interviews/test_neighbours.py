import asyncio
import logging
import time
from typing import Any

import pytest

from gateway.interviews.leases import renew
from gateway.interviews.neighbours import Traits, compare
from gateway.interviews.sessions import SessionOwner
from gateway.settings import Settings
from gateway.store import StoreUnavailable
from pipeline.testing import run_virtual
from tests.support.memory_store import MemoryStore

HERE = SessionOwner(token="here")
OWN = Traits("0.2", {"SESSION_TTL": 3600, "PARLEY_RESUME_S": 30})


class TimedStore(MemoryStore):
    """Its clock differs from this machine's by `behind_s`."""

    behind_s = 0.0

    async def clock_s(self) -> float:
        return time.time() - self.behind_s


def warned(*others: bytes, own: Traits = OWN, behind_s: float | None = None) -> Any:
    """What is logged where processes with these leases are there before."""
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]

    async def story() -> None:
        kind = MemoryStore if behind_s is None else TimedStore
        store = kind(asyncio.get_running_loop().time)
        if isinstance(store, TimedStore):
            store.behind_s = behind_s or 0.0
        for number, other in enumerate(others):
            await renew(store, SessionOwner(token=f"other-{number}"), other)
        await renew(store, HERE, own.told())
        await compare(store, HERE.token, own)

    logger = logging.getLogger("parley.neighbours")
    logger.addHandler(handler)
    try:
        run_virtual(story())
    finally:
        logger.removeHandler(handler)
    return records


def test_processes_that_are_alike_say_nothing_of_one_another() -> None:
    assert warned(OWN.told(), OWN.told(), behind_s=1.0) == []


def test_another_release_and_other_settings_are_said_once_each() -> None:
    other = Traits("0.1", {"SESSION_TTL": 1800, "PARLEY_RESUME_S": 30}).told()
    assert warned(other, other) == [
        "a process on this store is of version 0.1, this one of 0.2: sessions pass from one to the"
        " other; bring all to the same release",
        "a process on this store has SESSION_TTL=1800, this one 3600: what holds for a session is"
        " what the process has that it reaches",
    ]


@pytest.mark.parametrize(
    "lease",
    [b"", b"\xff", b"[]", b"{}", b'{"version":"0.2","settings":3}', b"[" * 100_000],
    ids=["none", "no UTF-8", "a list", "nothing", "no settings", "deep"],
)
def test_a_lease_that_says_nothing_is_of_another_release(lease: bytes) -> None:
    (said,) = warned(lease)
    assert said.startswith("a process on this store is of version another, which does not say")


@pytest.mark.parametrize(
    ("behind_s", "said"),
    [(300.0, "300 s ahead of that of the store"), (-300.0, "300 s behind that of the store")],
    ids=["ahead", "behind"],
)
def test_a_clock_five_minutes_off_is_said(behind_s: float, said: str) -> None:
    (warning,) = warned(behind_s=behind_s)
    assert f"the clock of this machine is {said}" in warning
    assert f"end so much too {'early' if behind_s > 0 else 'late'}" in warning


def test_a_store_that_does_not_work_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    class Away(MemoryStore):
        async def page(self, *_: Any, **__: Any) -> Any:
            raise StoreUnavailable("it is away")

    async def story() -> None:
        await compare(Away(asyncio.get_running_loop().time), HERE.token, OWN)

    with caplog.at_level(logging.INFO, "parley.neighbours"):
        run_virtual(story())
    assert [record.getMessage() for record in caplog.records] == [
        "the other processes on this store are not known: it is away"
    ]


def test_this_process_fits_itself() -> None:
    traits = Traits.here(Settings())
    assert traits.differences(traits.told()) == []
