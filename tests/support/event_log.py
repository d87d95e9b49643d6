"""What stock clients of OpenAI's APIs receive over a WebSocket, collected and checked."""

import asyncio
import base64
from typing import Any, Protocol

from pydantic import TypeAdapter
from websockets.exceptions import ConnectionClosed

from tests.support.gateway import PATIENCE_S

Event = dict[str, Any]


class Connection(Protocol):
    """What the stock client's connections of both APIs have."""

    async def recv(self) -> Any: ...

    async def send(self, event: Any) -> None: ...


class EventLog:
    """The events of one connection, each of them checked as the client's `types` have it; those
    named `audio` carry sound. `until` finds events in their order: each is found once.
    """

    def __init__(self, connection: Connection, types: TypeAdapter[Any], audio: str) -> None:
        self._wire = connection
        self._types = types
        self._audio = audio
        self.events: list[Event] = []
        self.audio = bytearray()
        self.passed = 0
        """Events that `until` has passed."""
        self.closed: ConnectionClosed | None = None
        self._more = asyncio.Event()
        self.reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while True:
                event = (await self._wire.recv()).to_dict()
                self._types.validate_python(event)
                if event["type"] == self._audio:
                    self.hear(base64.b64decode(str(event["delta"])))
                self.events.append(event)
                self._more.set()
        except ConnectionClosed as closed:
            self.closed = closed
        finally:
            self._more.set()

    def hear(self, data: bytes) -> None:
        """Take the sound of one event."""
        self.audio += data

    async def send(self, kind: str, **fields: Any) -> None:
        """Send an event as it is given, right or wrong."""
        await self._wire.send({"type": kind, **fields})

    async def until(self, kind: str, **fields: Any) -> Event:
        """The next event of a type with these fields, once it is there."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for index in range(self.passed, len(self.events)):
                    event = self.events[index]
                    if event["type"] == kind and fields.items() <= event.items():
                        self.passed = index + 1
                        return event
                assert not self.reader.done(), (kind, self.types(), self.events[-1:])
                self._more.clear()
                await self._more.wait()

    async def refused(self, code: str) -> Event:
        """The error object of the next error, which has this code."""
        error: Event = (await self.until("error"))["error"]
        assert error["code"] == code, error
        return error

    async def ended(self) -> tuple[int | None, str | None]:
        """Close code and reason, once the server has closed."""
        async with asyncio.timeout(PATIENCE_S):
            await self.reader
        assert self.closed is not None
        assert self.closed.rcvd is not None
        return self.closed.rcvd.code, self.closed.rcvd.reason

    def types(self, start: int = 0) -> list[str]:
        return [event["type"] for event in self.events[start:]]

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]
