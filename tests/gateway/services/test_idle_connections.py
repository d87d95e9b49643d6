"""Connections wait for the next call, and none is used that is of no use any more."""

import asyncio
from typing import cast

import pytest

from gateway.services.http_connection import ConnectFailed, HttpConnection
from gateway.services.idle_connections import KEPT_S, IdleConnections
from pipeline.testing import run_virtual


class FakeConnection:
    """A connection; `keeps` says whether its last answer was read to its end."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.idle_since = 0.0
        self.usable = self.keeps = True
        self.closed = False

    def leave(self) -> bool:
        if not self.keeps:
            self.abort()
        return self.keeps

    def close(self) -> None:
        self.closed = True

    abort = close


class Story:
    def __init__(self) -> None:
        self.made: list[FakeConnection] = []
        self.fails = False
        self.connections = IdleConnections(self._made)

    async def _made(self) -> HttpConnection:
        if self.fails:
            raise ConnectFailed
        self.made.append(FakeConnection(len(self.made)))
        return cast("HttpConnection", self.made[-1])

    async def take(self) -> FakeConnection:
        return cast("FakeConnection", await self.connections.take())

    def back(self, one: FakeConnection) -> None:
        self.connections.back(cast("HttpConnection", one))

    async def ask(self) -> int:
        """The number of the connection that had a call."""
        one = await self.take()
        self.back(one)
        return one.number


def test_the_connection_that_was_used_last_is_taken_and_a_new_one_where_all_are_in_use() -> None:
    async def main() -> None:
        story = Story()
        held = [await story.take() for _ in range(3)]
        for number in (1, 0, 2):
            story.back(held[number])
        assert [await story.ask() for _ in range(3)] == [2, 2, 2]
        assert len(story.made) == 3

    run_virtual(main())


def test_one_that_has_expired_or_is_of_no_use_is_not_used_again() -> None:
    async def main() -> None:
        story = Story()
        assert await story.ask() == 0
        await asyncio.sleep(KEPT_S - 0.1)
        assert await story.ask() == 0
        await asyncio.sleep(KEPT_S)
        assert await story.ask() == 1
        assert story.made[0].closed
        story.made[1].usable = False
        assert await story.ask() == 2
        assert story.made[1].closed

    run_virtual(main())


def test_those_that_expire_while_others_are_used_are_closed() -> None:
    async def main() -> None:
        story = Story()
        held = [await story.take() for _ in range(3)]
        story.back(held[0])
        story.back(held[1])
        await asyncio.sleep(KEPT_S)
        story.back(held[2])
        assert await story.ask() == 2
        assert [one.closed for one in story.made] == [True, True, False]

    run_virtual(main())


def test_an_answer_that_was_not_read_to_its_end_ends_its_connection() -> None:
    async def main() -> None:
        story = Story()
        left = await story.take()
        left.keeps = False
        story.back(left)
        assert left.closed
        assert await story.ask() == 1

    run_virtual(main())


def test_where_no_connection_can_be_made_nothing_is_kept() -> None:
    async def main() -> None:
        story = Story()
        story.fails = True
        with pytest.raises(ConnectFailed):
            await story.ask()
        story.fails = False
        assert await story.ask() == 0

    run_virtual(main())


def test_closing_ends_those_in_use_too_and_none_comes_back() -> None:
    async def main() -> None:
        story = Story()
        await story.ask()
        held, other = await story.take(), await story.take()
        story.connections.close()
        assert [one.closed for one in story.made] == [True, True]
        for one in (held, other):
            story.back(one)
        assert await story.ask() == 2  # nothing was kept

    run_virtual(main())
