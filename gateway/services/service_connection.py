"""A WebSocket connection with a service, which notices when the service is gone.

A service that answers no ping is gone. But while the service's messages are not read, its pongs
wait behind them. `websockets` waits for the pong all the same, and would end a connection that a
client reads slowly, as if the service had failed.
"""

import asyncio
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

PING_EVERY_S: Final = 20.0
PING_TIMEOUT_S: Final = 20.0
"""A service that sends neither a pong nor anything else for this long is gone. The values are
those of most servers."""

LOOK_S: Final = 1.0
"""How often, while a pong is awaited, it is checked whether anything has come."""


class ServiceConnection(ClientConnection):
    """A connection whose service must send something in `PING_TIMEOUT_S` of the time it is read.

    Make it without a `ping_timeout`.
    """

    heard_at = 0.0
    """When the service was heard last, or was not read, by the loop's clock."""

    def data_received(self, data: bytes) -> None:
        self.heard_at = self.loop.time()
        super().data_received(data)

    async def keepalive(self) -> None:
        """Ping the service until the connection is lost, which cancels this, or it is silent."""
        try:
            while True:
                await asyncio.sleep(PING_EVERY_S)
                if not await self._answers():
                    # `send_context` would wait until a service takes it that takes nothing.
                    self.protocol.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
                    self.send_data()
                    self.transport.abort()
                    return
        except ConnectionClosed:
            return

    async def _answers(self) -> bool:
        pong = asyncio.ensure_future(self._ponged())
        self.heard_at = self.loop.time()
        try:
            while self.loop.time() - self.heard_at < PING_TIMEOUT_S:
                done, _ = await asyncio.wait((pong,), timeout=LOOK_S)
                if done:
                    return pong.exception() is None
                if self.recv_messages.paused:
                    self.heard_at = self.loop.time()
            return False
        finally:
            pong.cancel()

    async def _ponged(self) -> None:
        """Ping, which waits while the service reads nothing, and wait for the pong."""
        await (await self.ping())
