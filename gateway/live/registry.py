"""The live sessions of this process, and whether another may begin."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from gateway.interviews.sessions import SessionTaken

LEAVE_S = 6.0
"""How long a reconnecting client waits for its old connection, which stores its last words."""


@dataclass(slots=True)
class _Hold:
    """One live session. `dismiss` ends its connection."""

    dismiss: Callable[[], None]
    leaving: bool = False
    released: asyncio.Event = field(default_factory=asyncio.Event)


class LiveSessions:
    """The live sessions of a process, for at most `places` connections."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.connections = 0
        self.draining = False
        """The process is about to end: no further session begins."""
        self._holds: dict[str, _Hold] = {}  # as many as there are connections

    def refusal(self) -> str | None:
        """Why no further session can start now, or None."""
        if self.draining:
            return "the server is shutting down"
        if self.connections >= self.places:
            return f"all {self.places} places are taken"
        return None

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Count a connection until the block ends."""
        self.connections += 1
        try:
            yield
        finally:
            self.connections -= 1

    @asynccontextmanager
    async def hold(self, session_id: str, dismiss: Callable[[], None]) -> AsyncIterator[None]:
        """Hold the session for one connection of this process until the block ends.

        Waits for a connection that is `leaving` the session. Raises `SessionTaken` where another
        connection holds the session, or does not leave it within `LEAVE_S`.
        """
        await self._left(session_id)
        hold = self._holds[session_id] = _Hold(dismiss)
        try:
            yield
        finally:
            del self._holds[session_id]
            hold.released.set()

    def leaving(self, session_id: str) -> None:
        """Mark the connection that holds a session as about to leave it."""
        if (hold := self._holds.get(session_id)) is not None:
            hold.leaving = True

    def dismiss(self, session_id: str) -> None:
        """End the connection that holds a session; harmless where there is none."""
        if (hold := self._holds.get(session_id)) is not None:
            hold.dismiss()

    async def _left(self, session_id: str) -> None:
        try:
            async with asyncio.timeout(LEAVE_S):
                while (hold := self._holds.get(session_id)) is not None:
                    if not hold.leaving:
                        raise SessionTaken(session_id)
                    await hold.released.wait()
        except TimeoutError:
            raise SessionTaken(session_id) from None
