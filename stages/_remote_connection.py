"""What a worker needs of a connection to a gateway, whichever server has made it."""

from typing import Protocol


class ConnectionLost(Exception):
    """The connection has ended, in order or not."""


class WorkerConnection(Protocol):
    """A WebSocket. Texts are text messages, bytes are binary ones."""

    async def recv(self) -> bytes | str:
        """The next whole message. Raises `ConnectionLost`, and `ProtocolViolation` for a message
        that is too long."""

    async def send(self, message: bytes | str) -> None:
        """Send a message; returns when the network has room for more. Raises `ConnectionLost`."""

    async def close(self, code: int, reason: str) -> None:
        """End the connection. Never raises, and returns in a short time."""
