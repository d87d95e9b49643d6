"""What processes tell one another, and what is too long to be told."""

import asyncio
import json
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.workers.bus import LONGEST_LINE, LONGEST_TOLD, Bus
from gateway.workers.siblings import PART, Siblings


class Heard:
    """A `gateway.workers.bus.Hearer`."""

    def __init__(self) -> None:
        self.told: list[tuple[int, dict[str, Any]]] = []

    def heard(self, worker: int, told: dict[str, Any]) -> None:
        self.told.append((worker, told))

    def there(self, worker: int) -> None:
        raise AssertionError

    def gone(self, worker: int, owner: str) -> None:
        raise AssertionError


async def connected() -> tuple[Bus, Heard, asyncio.StreamReader, asyncio.StreamWriter]:
    near, far = socket.socketpair()
    heard = Heard()
    bus = Bus(heard, lambda: None)
    reader, writer = await asyncio.open_connection(sock=near, limit=LONGEST_LINE)
    await bus.connect(far, "owner")
    assert await reader.readline() == b"ready owner\n"
    return bus, heard, reader, writer


def test_the_longest_that_is_told_comes_through_with_the_senders_number_before_it() -> None:
    async def story() -> None:
        bus, heard, reader, writer = await connected()
        whole = {"event": "x" * (LONGEST_TOLD - len(b'tell {"event":""}'))}
        assert bus.tell(whole)
        line = await reader.readline()
        writer.write(b"from 31 " + line.removeprefix(b"tell "))
        async with asyncio.timeout(30):
            while not heard.told:
                await asyncio.sleep(0)
        assert heard.told == [(31, whole)]
        await bus.aclose()
        writer.close()

    asyncio.run(story())


def test_what_is_too_long_is_not_told_and_the_log_says_what_it_was(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        bus, _, reader, writer = await connected()
        assert not bus.tell({"event": "answer", "of": "one", "data": "secret " * LONGEST_LINE})
        assert bus.tell({"held": "two"})
        assert await reader.readline() == b'tell {"held":"two"}\n'
        await bus.aclose()
        writer.close()

    asyncio.run(story())
    (message,) = caplog.messages
    assert message.startswith('the other processes are not told {"event":"answer",')
    assert "secret" not in message


class Recorded:
    """A bus that takes what it can."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def tell(self, told: dict[str, Any]) -> bool:
        if len(json.dumps(told)) > LONGEST_TOLD:
            return False
        self.told.append(told)
        return True


def siblings(index: int, **live: Any) -> Any:
    made: Any = Siblings.__new__(Siblings)
    made.index = index
    made._holders, made._at, made._own_at = {}, {}, live.pop("at", {})
    made.bus = Recorded()
    made.runtime = SimpleNamespace(
        live=SimpleNamespace(held=lambda: live.get("held", ())),
        settings=SimpleNamespace(per_address=1),
    )
    return made


def test_many_sessions_and_addresses_are_told_in_parts() -> None:
    held = tuple(f"{number:064}" for number in range(10 * PART + 1))
    at = {f"2001:db8:0:{number:x}": 2 for number in range(PART + 1)}
    one, other = siblings(0, held=held, at=at), siblings(1)
    other._holders = {"old": 0, "another's": 2}
    one.there(1)
    assert len(one.bus.told) == 1 + 11 + 2
    for told in one.bus.told:
        other.heard(0, told)
    assert other._holders == {**dict.fromkeys(held, 0), "another's": 2}
    assert dict(other._at[0]) == at
    assert other.at("2001:db8:0:7") == 2


def test_watchers_elsewhere_learn_that_an_event_was_too_long() -> None:
    one = siblings(0)
    one.happened("session", "answer", {"text": "x" * LONGEST_LINE})
    one.happened("session", "answer", {"text": "short"})
    assert one.bus.told == [
        {"event": "missed", "of": "session", "data": {}},
        {"event": "answer", "of": "session", "data": {"text": "short"}},
    ]
