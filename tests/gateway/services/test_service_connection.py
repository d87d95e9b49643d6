"""Whether a service is still there: by its pongs, where they can be heard. In virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI

from gateway.services.service_connection import (
    PING_EVERY_S,
    PING_TIMEOUT_S,
    ServiceConnection,
)
from pipeline.testing import run_virtual

BOTH_S = PING_EVERY_S + PING_TIMEOUT_S


class Line(asyncio.Transport):
    """Both ends of a connection; what comes for an end that is paused waits."""

    def __init__(self, connection: ServiceConnection) -> None:
        super().__init__()
        self.connection = connection
        self.service = ServerProtocol()
        self.answers = True
        self.pings = 0
        self._waiting = bytearray()
        self._paused = False
        self._closing = False

    # --- the service ---------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        self.service.receive_data(bytes(data))
        for event in self.service.events_received():
            if isinstance(event, Request):
                self.service.send_response(self.service.accept(event))
            elif cast("Frame", event).opcode is Opcode.PING:
                self.pings += 1
        sent = b"".join(self.service.data_to_send())
        if self.answers:
            self._deliver(sent)

    def say(self, text: str) -> None:
        """The service sends a message."""
        self.service.send_text(text.encode())
        self._deliver(b"".join(self.service.data_to_send()))

    def _deliver(self, data: bytes) -> None:
        self._waiting += data
        if self._waiting and not self._paused:
            come, self._waiting = bytes(self._waiting), bytearray()
            asyncio.get_running_loop().call_soon(self.connection.data_received, come)

    # --- the transport -------------------------------------------------------------------------

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._deliver(b"")

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits."""

    def is_closing(self) -> bool:
        return self._closing

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)


def told(story: Callable[[Line], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        protocol = ClientProtocol(WebSocketURI(False, "service", 80, "/", ""))
        connection = ServiceConnection(
            protocol, ping_interval=PING_EVERY_S, ping_timeout=None, close_timeout=2, max_queue=4
        )
        line = Line(connection)
        connection.connection_made(line)
        await connection.handshake()
        connection.start_keepalive()
        try:
            await story(line)
        finally:
            line.abort()
            await connection.wait_closed()

    run_virtual(main())


def ended_as(line: Line) -> tuple[bool, int | None]:
    """Whether it has ended, and the code with which the gateway has."""
    said = line.connection.protocol.close_sent
    return line.is_closing(), None if said is None else said.code


def test_a_service_that_answers_pings_is_there() -> None:
    async def story(line: Line) -> None:
        await asyncio.sleep(10 * PING_EVERY_S + 1)
        assert (ended_as(line), line.pings) == ((False, None), 10)

    told(story)


def test_a_service_that_says_nothing_any_more_is_gone() -> None:
    async def story(line: Line) -> None:
        await asyncio.sleep(5)
        line.answers = False
        await asyncio.sleep(BOTH_S - 6)
        assert ended_as(line) == (False, None)
        await asyncio.sleep(4)
        assert ended_as(line) == (True, 1011)

    told(story)


def test_a_service_that_is_not_read_is_not_gone_though_its_pongs_are_not_heard() -> None:
    async def story(line: Line) -> None:
        for number in range(10):
            line.say(f"{number}")
        for number in range(10):  # a client that takes a minute for a message
            await asyncio.sleep(60)
            assert ended_as(line) == (False, None)
            assert await line.connection.recv() == f"{number}"
        await asyncio.sleep(3 * BOTH_S)
        assert ended_as(line) == (False, None)
        line.answers = False
        await asyncio.sleep(BOTH_S + 2)
        assert ended_as(line) == (True, 1011)

    told(story)


def test_a_service_that_sends_is_there_though_its_pong_is_late() -> None:
    async def story(line: Line) -> None:
        line.answers = False
        for number in range(40):
            await asyncio.sleep(5)
            line.say(f"{number}")
            assert await line.connection.recv() == f"{number}"
        assert ended_as(line) == (False, None)
        await asyncio.sleep(BOTH_S)
        assert ended_as(line) == (True, 1011)

    told(story)


def test_a_service_that_takes_nothing_is_gone() -> None:
    async def story(line: Line) -> None:
        line.answers = False
        line.connection.pause_writing()
        await asyncio.sleep(BOTH_S + 2)
        assert ended_as(line) == (True, 1011)

    told(story)
