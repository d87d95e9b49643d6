"""Which sessions are live in a process, and whether another may begin."""

import pytest

from gateway.interviews.sessions import SessionTaken
from gateway.live.pressure import LoadSample, Pressure
from gateway.live.registry import LiveSessions, network
from gateway.live.resumption import Resumption
from pipeline.testing import run_virtual
from tests.support.memory_store import MemoryStore


def test_a_process_says_why_no_further_session_begins() -> None:
    live = LiveSessions(1)
    assert live.refusal() is None
    with live.connected():
        assert live.refusal() == "all 1 places are taken"
    assert live.refusal() is None
    live.draining = True
    assert live.refusal() == "the server is shutting down"


def test_a_session_is_held_once_and_dismissed_by_its_id() -> None:
    dismissed: list[str] = []

    async def main() -> None:
        live = LiveSessions(2)
        live.dismiss("a")
        async with live.hold("a", lambda: dismissed.append("a")):
            with pytest.raises(SessionTaken):
                async with live.hold("a", lambda: dismissed.append("again")):
                    pass
            live.leaving("unknown")
            live.dismiss("b")
            live.dismiss("a")
        async with live.hold("a", lambda: dismissed.append("later")):
            pass

    run_virtual(main())
    assert dismissed == ["a"]


def test_an_address_has_only_so_many_places() -> None:
    live = LiveSessions(10, per_address=2)
    with live.connected("192.0.2.1"), live.connected("::ffff:192.0.2.1"):
        assert live.refusal(address="192.0.2.1") == "this address has all of its 2 places"
        assert live.refusal(address="192.0.2.2") is None
        assert live.refusal() is None
    assert live.refusal(address="192.0.2.1") is None


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (None, ""),
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002"),
        ("fe80::1%eth0", "fe80:0000:0000:0000"),
        ("testclient", "testclient"),
    ],
)
def test_one_line_is_one_network(address: str | None, expected: str) -> None:
    assert network(address) == expected


def test_a_client_that_comes_back_has_one_place_of_its_address() -> None:
    live = LiveSessions(10, per_address=1)

    async def main() -> None:
        async with live.hold("test", lambda: None):
            client = Resumption(MemoryStore(lambda: 0.0), "test", 30.0, lambda line: None)
            live.offer("test", client)
            with live.connected("192.0.2.1"):
                assert live.refusal("other", "192.0.2.1") is not None
                assert live.refusal("test", "192.0.2.1") is None
                with live.connected("192.0.2.2"), live.joined("192.0.2.2"):
                    assert live.connections == 1
                    assert live.refusal("other", "192.0.2.2") is None
                assert live.connections == 1

    run_virtual(main())


def test_a_connection_that_begins_in_the_grace_time_ends_in_it() -> None:
    now = 100.0
    live = LiveSessions(10, clock=lambda: now)
    told: list[float] = []
    live.add(told.append)
    live.remove(told.append)
    assert told == []

    async def main() -> None:
        nonlocal now
        await live.wind_down(10.0)
        for later in (104.0, 120.0):
            now = later
            live.add(told.append)
            live.remove(told.append)

    run_virtual(main())
    assert told == [6.0, 0.0]


def test_the_load_refuses_and_does_not_keep_a_client_from_coming_back() -> None:
    pressure = Pressure()
    live = LiveSessions(100, pressure=pressure, clock=lambda: 5.0)
    pressure.observe(LoadSample(memory=0.95), 4.0)
    assert live.refusal("test") is None, "nobody is live, so that nothing would ever change"

    async def main() -> None:
        with live.connected():
            assert live.refusal("test") == "overloaded: 95% of the memory is in use"
            assert live.pressed("text") == live.refusal("test")
            await come_back()

    async def come_back() -> None:
        async with live.hold("test", lambda: None):
            live.offer(
                "test", Resumption(MemoryStore(lambda: 0.0), "test", 30.0, lambda line: None)
            )
            assert live.refusal("test") is None
            live.leaving("test")
            assert live.refusal("test") is not None

    run_virtual(main())
