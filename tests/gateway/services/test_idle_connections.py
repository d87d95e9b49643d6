"""Connections wait for the next call, and none is used that is of no use any more."""

from collections.abc import AsyncIterator
from typing import Any, cast

import httpcore
import pytest

from gateway.services.idle_connections import IdleConnections
from pipeline.testing import run_virtual


class FakeConnection:
    """One that answers each request with its number; `fails` is raised in place of an answer."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.fails: BaseException | None = None
        self.expired = self.closed = self.busy = False

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        if self.fails is not None:
            raise self.fails
        assert not self.busy
        self.busy = True
        return httpcore.Response(200, content=FakeBody(self))

    def is_closed(self) -> bool:
        return self.closed

    def is_idle(self) -> bool:
        return not self.busy and not self.closed

    def has_expired(self) -> bool:
        return self.expired

    async def aclose(self) -> None:
        self.closed = True


class FakeBody:
    def __init__(self, connection: FakeConnection) -> None:
        self._connection = connection
        self.read = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield f"{self._connection.number}".encode()
        self.read = True

    async def aclose(self) -> None:
        self._connection.busy = False
        if not self.read:  # as httpcore does
            self._connection.closed = True


class Story:
    def __init__(self) -> None:
        self.made: list[FakeConnection] = []
        self.pool = IdleConnections(self._made)

    def _made(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        self.made.append(FakeConnection(len(self.made)))
        return cast("httpcore.AsyncHTTPConnection", self.made[-1])

    async def begin(self) -> httpcore.Response:
        return await self.pool.handle_async_request(httpcore.Request("GET", "http://127.0.0.1:1/"))

    async def ask(self) -> int:
        """The number of the connection that has answered."""
        answer = await self.begin()
        body: Any = answer.stream
        number = int(b"".join([piece async for piece in body]))
        await body.aclose()
        await body.aclose()  # a second time changes nothing
        return number


def test_the_connection_that_was_used_last_is_taken_and_a_new_one_where_all_are_in_use() -> None:
    async def main() -> None:
        story = Story()
        held = [await story.begin() for _ in range(3)]
        for number in (1, 0, 2):
            body: Any = held[number].stream
            assert [piece async for piece in body] == [f"{number}".encode()]
            await body.aclose()
        assert [await story.ask() for _ in range(3)] == [2, 2, 2]
        assert len(story.made) == 3

    run_virtual(main())


def test_one_that_has_expired_or_was_closed_is_not_used_again() -> None:
    async def main() -> None:
        story = Story()
        assert await story.ask() == 0
        story.made[0].expired = True
        assert await story.ask() == 1
        assert story.made[0].closed
        story.made[1].closed = True
        assert await story.ask() == 2

    run_virtual(main())


def test_those_that_expire_while_others_are_used_are_closed() -> None:
    async def main() -> None:
        story = Story()
        held: list[Any] = [(await story.begin()).stream for _ in range(3)]
        for body in held:
            assert len([piece async for piece in body]) == 1
            await body.aclose()
        story.made[0].expired = story.made[1].expired = True
        assert await story.ask() == 2
        assert [one.closed for one in story.made] == [True, True, False]

    run_virtual(main())


def test_an_answer_that_was_not_read_to_its_end_ends_its_connection() -> None:
    async def main() -> None:
        story = Story()
        left: Any = (await story.begin()).stream
        await left.aclose()
        assert story.made[0].closed
        assert await story.ask() == 1

    run_virtual(main())


@pytest.mark.parametrize(
    "failure", [httpcore.ReadError("lost"), GeneratorExit()], ids=["lost", "left"]
)
def test_a_request_that_fails_ends_its_connection(failure: BaseException) -> None:
    async def main() -> None:
        story = Story()
        assert await story.ask() == 0
        story.made[0].fails = failure
        with pytest.raises(type(failure)):
            await story.ask()
        assert story.made[0].closed
        assert await story.ask() == 1

    run_virtual(main())


def test_one_that_takes_no_request_is_passed_over() -> None:
    async def main() -> None:
        story = Story()
        assert await story.ask() == 0
        story.made[0].fails = httpcore.ConnectionNotAvailable()
        assert await story.ask() == 1
        assert story.made[0].closed

    run_virtual(main())


def test_closing_ends_those_in_use_too_and_none_comes_back() -> None:
    async def main() -> None:
        story = Story()
        await story.ask()
        held: Any = (await story.begin()).stream
        other: Any = (await story.begin()).stream
        await story.pool.aclose()
        assert [one.closed for one in story.made] == [True, True]
        for body in (held, other):
            await body.aclose()
        assert await story.ask() == 2  # nothing was kept

    run_virtual(main())
