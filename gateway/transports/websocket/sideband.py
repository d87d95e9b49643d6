"""A sideband of a call over WebRTC, over one WebSocket: `/v1/realtime?call_id=…`."""

import asyncio
import logging
import time

from starlette.websockets import WebSocket

from gateway.live.sideband import Sidebands
from gateway.protocols.client_events import INVALID_JSON
from gateway.protocols.dialect import (
    SESSION_EXPIRED,
    CloseCode,
    Outgoing,
    ProtocolError,
    WireMessage,
)
from gateway.transports.websocket.endpoint import close, protocol_of
from gateway.transports.websocket.protocol import WebSocketProtocol

logger = logging.getLogger("parley.sidebands")


class SidebandSocket:
    """A `gateway.live.sideband.SidebandLine`, and a `gateway.live.transport.Receiver` of what comes
    over it."""

    def __init__(self, protocol: WebSocketProtocol, sidebands: Sidebands) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[tuple[CloseCode, str]] = self._loop.create_future()
        """How it is to be closed."""
        self._protocol = protocol
        self._sidebands = sidebands

    def send(self, message: WireMessage) -> None:
        self._protocol.send_message(message)

    def over(self, code: CloseCode, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result((code, reason))

    def on_text(self, data: bytes) -> None:
        self._sidebands.said(self, data, self._loop.time())

    def on_audio(self, data: bytes) -> None:
        error = ProtocolError(INVALID_JSON, "A message is a JSON object, sent as text.")
        self._sidebands.refuse(self, error)

    def on_control(self) -> bool:
        return self._sidebands.control(self, self._loop.time())

    def emit(self, output: Outgoing) -> None:
        """The transport says nothing of its own here."""


async def follow(
    websocket: WebSocket,
    sidebands: Sidebands,
    subprotocol: str | None,
    until: float | None,
    *,
    call_id: str,
    by_secret: bool,
    message_bytes: int,
) -> None:
    """Accept the WebSocket as a sideband of a live call, and close it with the call.

    The client's credential, a client secret or none, says `until` when (a Unix time) it may go on.
    Messages that are longer than `message_bytes` are not answered. Raises `SidebandsFull` before it
    is accepted.
    """
    with sidebands.place(by_secret=by_secret):
        await websocket.accept(subprotocol)
        protocol = protocol_of(websocket)
        protocol.allow(message_bytes)
        line = SidebandSocket(protocol, sidebands)
        sidebands.join(line)
        logger.info("call %s: a sideband is attached", call_id)
        try:
            async with asyncio.timeout(None if until is None else until - time.time()):
                protocol.attach(line)
                code, reason = await _end(websocket, line)
        except TimeoutError:
            code, reason = CloseCode.POLICY, f"{SESSION_EXPIRED}: the credential's time is over"
        finally:
            sidebands.leave(line)
    why = "it does not read" if protocol.stalled else f"{code.value} {reason}"
    logger.info("call %s: a sideband has ended: %s", call_id, why)
    await close(websocket, protocol, code, reason)


async def _end(websocket: WebSocket, line: SidebandSocket) -> tuple[CloseCode, str]:
    """How the sideband is to be closed, once its client or the call has gone."""
    gone = asyncio.ensure_future(_gone(websocket))
    try:
        await asyncio.wait((gone, line.ended), return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
    return line.ended.result() if line.ended.done() else (CloseCode.FINISHED, "")


async def _gone(websocket: WebSocket) -> None:
    """Return when the client has disconnected."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass  # its messages go to the line
