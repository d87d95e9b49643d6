"""`Elsewhere`: how the live sessions of this process reach the gateway's other processes.

`gateway.workers.siblings.Siblings` exchanges messages with them. A gateway of one process has
`Alone`.
"""

from typing import Any, Protocol


class Elsewhere(Protocol):
    """The other processes of the gateway. Plain calls that neither wait nor raise."""

    @property
    def mark(self) -> str:
        """How the ids of this process's peers begin; "" if there is only one process."""
        ...

    def held(self, session_id: str) -> None:
        """Tell the others that a connection of this process has the session."""
        ...

    def left(self, session_id: str) -> None:
        """Tell the others that this connection has left the session."""
        ...

    def counted(self, where: str, change: int) -> None:
        """Tell the others the `change` in the number of connections from this network address."""
        ...

    def at(self, where: str) -> int:
        """The number of connections of the other processes from this network address."""
        ...

    def happened(self, session_id: str, kind: str, data: dict[str, Any]) -> None:
        """Tell the others an event of a session, which may have watchers in another process."""
        ...

    def deleted(self, session_id: str) -> None:
        """Tell the others that a session was deleted: one of their connections may have it."""
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
