"""What the other processes of one gateway have to know of this one's live sessions, and tell it.

`gateway.workers` has the one that talks to them. A gateway of one process has `Alone`.
"""

from typing import Any, Protocol


class Elsewhere(Protocol):
    """The other processes of the gateway. Plain calls that neither wait nor raise."""

    @property
    def mark(self) -> str:
        """The beginning of the ids of this process's peers; "" where there is one process only."""
        ...

    def held(self, session_id: str) -> None:
        """A connection of this process has the session."""
        ...

    def left(self, session_id: str) -> None:
        """It has left the session."""
        ...

    def counted(self, where: str, change: int) -> None:
        """So many connections more, or fewer, come from this network address."""
        ...

    def at(self, where: str) -> int:
        """How many connections of the other processes come from this network address."""
        ...

    def happened(self, session_id: str, kind: str, data: dict[str, Any]) -> None:
        """An event of a session, which people may watch in another process."""
        ...

    def deleted(self, session_id: str) -> None:
        """A session was deleted: a connection of another process may have it."""
        ...


class Alone:
    """There are no other processes."""

    mark = ""

    def held(self, session_id: str) -> None:
        """Nobody else wants to know."""

    def left(self, session_id: str) -> None:
        """Nobody else wants to know."""

    def counted(self, where: str, change: int) -> None:
        """Nobody else wants to know."""

    def at(self, where: str) -> int:
        """Nobody is elsewhere."""
        return 0

    def happened(self, session_id: str, kind: str, data: dict[str, Any]) -> None:
        """Nobody watches elsewhere."""

    def deleted(self, session_id: str) -> None:
        """Nobody else may have it."""
