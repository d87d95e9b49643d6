"""`Elsewhere`: the other processes of one gateway, as the live sessions of this process see them.

The class in `gateway.workers` exchanges messages with them. A gateway of one process has `Alone`.
"""

from typing import Any, Protocol


class Elsewhere(Protocol):
    """The other processes of the gateway. Plain calls that neither wait nor raise."""

    @property
    def mark(self) -> str:
        """The beginning of the ids of this process's peers; "" where there is one process only."""
        ...

    def held(self, session_id: str) -> None:
        """Tell them that a connection of this process has the session."""
        ...

    def left(self, session_id: str) -> None:
        """Tell them that this connection has left the session."""
        ...

    def counted(self, where: str, change: int) -> None:
        """Tell them the `change` in how many connections come from this network address."""
        ...

    def at(self, where: str) -> int:
        """The number of connections of the other processes from this network address."""
        ...

    def happened(self, session_id: str, kind: str, data: dict[str, Any]) -> None:
        """Tell them an event of a session, which people may watch in another process."""
        ...

    def deleted(self, session_id: str) -> None:
        """Tell them that a session was deleted: a connection of theirs may have it."""
        ...


class Alone:
    """The `Elsewhere` of a gateway that has one process."""

    mark = ""

    def held(self, session_id: str) -> None:
        """Does nothing: there is no other process."""

    def left(self, session_id: str) -> None:
        """Does nothing: there is no other process."""

    def counted(self, where: str, change: int) -> None:
        """Does nothing: there is no other process."""

    def at(self, where: str) -> int:
        """No connection: there is no other process."""
        return 0

    def happened(self, session_id: str, kind: str, data: dict[str, Any]) -> None:
        """Does nothing: there is no other process."""

    def deleted(self, session_id: str) -> None:
        """Does nothing: there is no other process."""
