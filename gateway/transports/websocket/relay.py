"""Relays the messages of a client's WebSocket and of a service's, in both directions.

While one side does not read, the other side is not read either: little waits here. Messages are
passed on whole, so that those that are too long can be refused. Control frames are not passed on:
each side has its own pings.
"""

import asyncio
from asyncio import FIRST_COMPLETED
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gateway.protocols.dialect import CloseCode, Outgoing
from gateway.transports.websocket.protocol import NO_CODE, WebSocketProtocol

MOST_AHEAD_BYTES: Final = 64 * 1024
MOST_AHEAD: Final = 32
"""The most bytes and messages that may wait for the service; with more the client is not read."""

CONTROLS_A_SECOND: Final = 1000
"""The most pings and short fragments of a client; with more it is refused."""

LAST_S: Final = 2.0
"""How long a service may take to read what its client sent before it left."""

STALL_S: Final = 30.0
"""How long a client may read nothing while more waits for it; as for HTTP."""

GOING_AWAY: Final = 1001
BAD_GATEWAY: Final = 1014
"""Sent to the client if the service ends without a close frame (IANA's registry): the code for that
end may not be sent."""

LOST: Final = 1006
TOO_LONG: Final = 1009

OF_CLIENT: Final = (1002, CloseCode.NOT_UTF8, CloseCode.POLICY, TOO_LONG)
"""The codes with which the gateway closes a client's WebSocket for a fault of the client."""


@dataclass(frozen=True, slots=True)
class RelayEnd:
    """The code and the reason with which the client's side is closed."""

    code: int
    reason: str


class WebSocketRelay:
    """Passes messages on. Call `run` once.

    `receive` is the application's: it reports that the client has left. The relay ends when no
    message has come or gone for `idle_s`.
    """

    def __init__(
        self,
        protocol: WebSocketProtocol,
        receive: Callable[[], Awaitable[Any]],
        service: ClientConnection,
        *,
        idle_s: float,
    ) -> None:
        self._protocol = protocol
        self._receive = receive
        self._service = service
        self._idle_s = idle_s
        self._ahead = _Ahead(protocol)
        self._active_at = 0.0

    async def run(self) -> RelayEnd | None:
        """Pass messages on until one side has closed; the service's side is closed with it."""
        self._protocol.stall_s = STALL_S
        self._active()
        self._protocol.attach(self._ahead)
        gone = asyncio.create_task(self._gone())
        forth = asyncio.create_task(self._to_service())  # ends with the service's connection
        back = asyncio.create_task(self._to_client())
        try:
            while not (gone.done() or back.done()):
                left_s = self._active_at + self._idle_s - asyncio.get_running_loop().time()
                if left_s <= 0:
                    await self._close(GOING_AWAY, "no message for too long")
                    return RelayEnd(GOING_AWAY, f"no message for {self._idle_s:g} s")
                await asyncio.wait((gone, back), timeout=left_s, return_when=FIRST_COMPLETED)
            if back.done():
                back.result()
                return self._of_service()
            await self._close_service(gone.result(), forth)
            return None
        finally:
            for task in (gone, forth, back):
                task.cancel()
            await asyncio.wait((gone, forth, back))

    async def _to_service(self) -> None:
        try:
            while (message := await self._ahead.take()) is not None:
                text, data = message
                await self._service.send(data, text=text)
                self._active()
        except ConnectionClosed:
            return

    async def _to_client(self) -> None:
        protocol = self._protocol
        try:
            while True:
                message = await self._service.recv()
                protocol.send_message(message)
                self._active()
                await protocol.writable.wait()
        except ConnectionClosed:
            return

    async def _gone(self) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = await self._receive()
            if message["type"] == "websocket.disconnect":
                return message

    async def _close_service(self, message: dict[str, Any], forth: asyncio.Task[None]) -> None:
        """Close the service's side as the client has closed its own, after the client's last
        message."""
        told = self._protocol.conn.close_rcvd
        if told is None and self._protocol.conn.close_sent is None:
            return  # its line was lost, and so is the service's
        self._ahead.end()
        await asyncio.wait([forth], timeout=LAST_S)
        if told is not None:
            code = CloseCode.FINISHED if told.code == NO_CODE else told.code
            await self._close(code, told.reason)
        elif (code := int(message.get("code") or GOING_AWAY)) in OF_CLIENT:
            await self._close(code, "the client broke the protocol")
        else:
            await self._close(GOING_AWAY, "the gateway has ended it")

    async def _close(self, code: int, reason: str) -> None:
        """Close the service's side. A service that reads nothing any more is not waited for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                await self._service.close(code, reason)

    def _of_service(self) -> RelayEnd:
        code, said = self._service.close_code, self._service.protocol.close_sent
        if code == NO_CODE:
            return RelayEnd(CloseCode.FINISHED, "")
        if code is None or code == LOST:
            # Where the gateway has refused the service's message, this is why.
            if said is not None and said.code == TOO_LONG:
                return RelayEnd(TOO_LONG, "the service's message is too long")
            return RelayEnd(BAD_GATEWAY, "the service's connection broke off")
        return RelayEnd(code, self._service.close_reason or "")

    def _active(self) -> None:
        self._active_at = asyncio.get_running_loop().time()


class _Ahead:
    """A `gateway.live.transport.Receiver`: holds messages of the client until the service takes
    them."""

    def __init__(self, protocol: WebSocketProtocol) -> None:
        self._protocol = protocol
        self._waiting: deque[tuple[bool, bytes]] = deque()
        self._bytes = 0
        self._some = asyncio.Event()
        self._ended = False
        self._second = 0
        self._controls = 0

    def on_text(self, data: bytes) -> None:
        self._keep(True, data)

    def on_audio(self, data: bytes) -> None:
        self._keep(False, data)

    def on_control(self) -> bool:
        second = int(self._protocol.loop.time())
        if second != self._second:
            self._second, self._controls = second, 0
        self._controls += 1
        if self._controls <= CONTROLS_A_SECOND:
            return True
        self._protocol.refuse(CloseCode.POLICY, "too many frames that are no messages")
        return False

    def emit(self, output: Outgoing) -> None:
        """Does nothing: the transport has no outputs of its own here."""

    async def take(self) -> tuple[bool, bytes] | None:
        """The next message: whether it is text, and its content; None after the last one.

        Cancelling it loses nothing.
        """
        while not self._waiting:
            if self._ended:
                return None
            self._some.clear()
            await self._some.wait()
        text, data = self._waiting.popleft()
        self._bytes -= len(data)
        if self._bytes <= MOST_AHEAD_BYTES // 2 and len(self._waiting) <= MOST_AHEAD // 2:
            self._protocol.resume()
        return text, data

    def end(self) -> None:
        """Note that no further message comes."""
        self._ended = True
        self._some.set()

    def _keep(self, text: bool, data: bytes) -> None:
        self._waiting.append((text, data))
        self._bytes += len(data)
        self._some.set()
        if self._bytes > MOST_AHEAD_BYTES or len(self._waiting) > MOST_AHEAD:
            self._protocol.pause()
