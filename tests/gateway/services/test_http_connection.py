"""What one connection to an instance takes and keeps, byte by byte and without a server."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.services.answer_reader import MalformedAnswer
from gateway.services.http_connection import HELD_BYTES, ConnectionBroken, HttpConnection
from pipeline.testing import run_virtual

SMALL = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood"
BIG = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (10 * HELD_BYTES)


class FakeTransport(asyncio.Transport):
    """Remembers what it is told. `far` is the other end of its socket."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.sent = b""
        self._reads = True
        self.ended = ""
        super().__init__({"socket": self.near})

    def write(self, data: Any) -> None:
        self.sent += data

    def pause_reading(self) -> None:
        self._reads = False

    def resume_reading(self) -> None:
        assert not self.ended
        self._reads = True

    def is_reading(self) -> bool:
        return self._reads

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = self.ended or "aborted"

    def is_closing(self) -> bool:
        return bool(self.ended)


def tell(story: Callable[[HttpConnection, FakeTransport], Coroutine[Any, Any, None]]) -> None:
    async def told() -> None:
        connection, transport = HttpConnection(), FakeTransport()
        connection.connection_made(transport)
        with transport.near, transport.far:
            await story(connection, transport)

    run_virtual(told())


def ask(connection: HttpConnection, *, whole: bool = True) -> None:
    connection.ask(b"GET / HTTP/1.1\r\n\r\n", head_only=False, whole=whole)


async def taken(connection: HttpConnection) -> bytes:
    body = b""
    while piece := await connection.piece():
        body += piece
    return body


def test_one_request_after_the_other_has_its_own_answer() -> None:
    async def story(connection: HttpConnection, transport: FakeTransport) -> None:
        for count in (1, 2):
            assert connection.usable
            ask(connection)
            assert transport.sent == b"GET / HTTP/1.1\r\n\r\n" * count
            head = asyncio.create_task(connection.head())
            await asyncio.sleep(1)
            assert not head.done()
            connection.data_received(SMALL)
            assert await head == (200, [(b"content-length", b"4")])
            assert await taken(connection) == b"good"
            assert connection.leave()
        assert transport.ended == ""

    tell(story)


def test_a_service_is_not_read_while_enough_of_its_answer_waits() -> None:
    async def story(connection: HttpConnection, transport: FakeTransport) -> None:
        ask(connection)
        connection.data_received(BIG + b"a" * HELD_BYTES)
        assert transport.is_reading()
        connection.data_received(b"b")
        assert not transport.is_reading()
        assert await connection.piece() == b"a" * HELD_BYTES + b"b"
        assert transport.is_reading()
        assert not connection.ready
        connection.data_received(b"c" * HELD_BYTES)  # what was taken counts no more
        assert transport.is_reading()

    tell(story)


def test_many_pieces_that_wait_come_as_one() -> None:
    async def story(connection: HttpConnection, transport: FakeTransport) -> None:
        ask(connection)
        connection.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        tokens = [b"%d " % number for number in range(1000)]
        for token in tokens:
            connection.data_received(b"%x\r\n%b\r\n" % (len(token), token))
        assert await connection.piece() == b"".join(tokens)
        assert not connection.ready
        connection.data_received(b"4\r\nlast\r\n")
        connection.data_received(b"0\r\n\r\n")
        assert await connection.piece() == b"last"
        assert connection.complete
        assert await connection.piece() == b""
        assert connection.leave()

    tell(story)


@pytest.mark.parametrize("when", ["with it", "behind it", "idle"])
def test_what_belongs_to_no_request_ends_the_connection(when: str) -> None:
    async def story(connection: HttpConnection, transport: FakeTransport) -> None:
        ask(connection)
        connection.data_received(SMALL + (b"evil" if when == "with it" else b""))
        if when == "behind it":
            connection.data_received(b"evil")
        assert await taken(connection) == b"good"
        assert connection.leave() is (when == "idle")
        if when == "idle":
            connection.data_received(b"evil")
        assert transport.ended == "aborted"
        assert not connection.usable

    tell(story)


def test_what_follows_a_whole_answer_is_not_read_on_and_on() -> None:
    async def story(connection: HttpConnection, transport: FakeTransport) -> None:
        ask(connection)
        connection.data_received(SMALL + b"evil")
        assert not transport.is_reading()
        assert await taken(connection) == b"good"

    tell(story)


@pytest.mark.parametrize("what", ["bytes", "end"])
def test_an_idle_connection_with_something_to_read_is_of_no_use(what: str) -> None:
    async def story(connection: HttpConnection, transport: FakeTransport) -> None:
        assert connection.usable
        if what == "bytes":
            transport.far.send(b"evil")
        else:
            transport.far.close()
        assert not connection.usable  # although the loop has not read it yet

    tell(story)


@pytest.mark.parametrize(
    ("data", "lost", "failure"),
    [
        (b"", None, ConnectionBroken),
        (SMALL[:-1], None, ConnectionBroken),
        (SMALL[:-1], ConnectionResetError(), ConnectionBroken),
        (b"220 smtp\r\n\r\n", None, MalformedAnswer),
    ],
    ids=["nothing", "half", "reset", "no HTTP"],
)
def test_an_answer_that_is_not_whole_is_none(
    data: bytes, lost: Exception | None, failure: type[Exception]
) -> None:
    async def story(connection: HttpConnection, transport: FakeTransport) -> None:
        async def asked() -> bytes:
            await connection.head()
            return await taken(connection)

        ask(connection)
        asking = asyncio.create_task(asked())
        await asyncio.sleep(1)
        if data:
            connection.data_received(data)
        if lost is None:
            connection.eof_received()
        connection.connection_lost(lost)
        with pytest.raises(failure):
            await asking
        assert not connection.leave()

    tell(story)


def test_what_came_before_a_break_is_passed_on() -> None:
    async def story(connection: HttpConnection, transport: FakeTransport) -> None:
        ask(connection)
        connection.data_received(SMALL[:-1])
        connection.connection_lost(ConnectionResetError())
        assert await connection.head() == (200, [(b"content-length", b"4")])
        assert await connection.piece() == b"goo"
        with pytest.raises(ConnectionBroken):
            await connection.piece()

    tell(story)


def test_a_body_goes_as_fast_as_the_service_takes_it() -> None:
    async def story(connection: HttpConnection, transport: FakeTransport) -> None:
        ask(connection, whole=False)
        assert await connection.send(b"first")
        connection.pause_writing()
        second = asyncio.create_task(connection.send(b"second"))
        await asyncio.sleep(1)
        assert transport.sent.endswith(b"first")
        connection.resume_writing()
        assert await second
        assert transport.sent.endswith(b"firstsecond")
        connection.pause_writing()
        finishing = asyncio.create_task(connection.finish())
        await asyncio.sleep(1)
        assert not finishing.done()
        connection.resume_writing()
        await finishing
        connection.data_received(SMALL)
        assert await taken(connection) == b"good"
        assert connection.leave()

    tell(story)


def test_a_service_that_answers_and_leaves_gets_no_more_of_the_body() -> None:
    async def story(connection: HttpConnection, transport: FakeTransport) -> None:
        ask(connection, whole=False)
        connection.pause_writing()
        sending = asyncio.create_task(connection.send(b"first"))
        await asyncio.sleep(1)
        connection.data_received(SMALL)
        connection.eof_received()
        connection.connection_lost(None)
        assert not await sending
        assert (await connection.head())[0] == 200
        assert await taken(connection) == b"good"
        assert not connection.leave()

    tell(story)


def test_a_connection_whose_request_was_not_sent_to_its_end_is_not_used_again() -> None:
    async def story(connection: HttpConnection, transport: FakeTransport) -> None:
        ask(connection, whole=False)
        await connection.send(b"first")
        connection.data_received(SMALL)
        assert await taken(connection) == b"good"
        assert not connection.leave()
        assert transport.ended == "aborted"

    tell(story)


def test_a_call_that_is_given_up_ends_its_connection() -> None:
    async def story(connection: HttpConnection, transport: FakeTransport) -> None:
        ask(connection)
        connection.data_received(BIG + b"a" * 100)
        assert not connection.leave()
        assert transport.ended == "aborted"

    tell(story)


@pytest.mark.parametrize("how", ["closed", "spoke first"])
def test_a_connection_that_ended_before_its_request_fails_it_at_once(how: str) -> None:
    async def story(connection: HttpConnection, transport: FakeTransport) -> None:
        if how == "closed":
            connection.eof_received()
        else:
            connection.data_received(b"220 smtp.example ESMTP\r\n")
            assert transport.ended == "aborted"
        connection.connection_lost(None)
        ask(connection)
        with pytest.raises(ConnectionBroken):
            await connection.head()
        assert transport.sent == b""
        assert not connection.leave()

    tell(story)


def test_what_waits_is_still_passed_on_when_the_connection_is_ended_here() -> None:
    async def story(connection: HttpConnection, transport: FakeTransport) -> None:
        ask(connection)
        size = 2 * HELD_BYTES
        connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (size + 1))
        connection.data_received(b"a" * size)
        assert not transport.is_reading()
        connection.abort()
        connection.connection_lost(None)
        assert await connection.piece() == b"a" * size
        assert not connection.complete
        with pytest.raises(ConnectionBroken):
            await connection.piece()

    tell(story)


def test_a_whole_answer_that_waits_is_not_cut_when_the_connection_is_ended_here() -> None:
    async def story(connection: HttpConnection, transport: FakeTransport) -> None:
        ask(connection)
        connection.data_received(SMALL)
        connection.abort()
        connection.connection_lost(None)
        assert not connection.complete
        assert await taken(connection) == b"good"

    tell(story)


def test_a_service_that_only_ends_its_answer_gets_no_more_of_the_body() -> None:
    async def story(connection: HttpConnection, transport: FakeTransport) -> None:
        ask(connection, whole=False)
        connection.pause_writing()
        sending = asyncio.create_task(connection.send(b"first"))
        await asyncio.sleep(1)
        connection.data_received(SMALL)
        connection.eof_received()
        assert not await sending

    tell(story)
