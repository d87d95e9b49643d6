"""The live sessions of this process, and whether another may begin."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

from gateway.interviews.sessions import SessionTaken

EndWithin = Callable[[float], None]
"""Ends a connection within so many seconds, because the process is about to end."""

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
        self._endings: dict[EndWithin, None] = {}  # likewise; in the order of their beginning
        self._empty = asyncio.Event()  # set where no connection is left while draining

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
            if not self.connections:
                self._empty.set()

    # --- the end of the process --------------------------------------------------------------

    def add(self, end_within: EndWithin) -> None:
        """A connection begins: `wind_down` will call this."""
        self._endings[end_within] = None

    def remove(self, end_within: EndWithin) -> None:
        """The connection has ended."""
        del self._endings[end_within]

    async def wind_down(self, grace_s: float) -> None:
        """Begin no further session, and let every connection end within `grace_s`.

        Returns when all have ended, or after `LEAVE_S` more, in which they store their last words.
        Cancelling ends nothing that has begun.
        """
        self.draining = True
        for end_within in tuple(self._endings):
            end_within(grace_s)
        if not self.connections:
            return
        self._empty.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s + LEAVE_S):
                await self._empty.wait()

    # --- one connection for each session -----------------------------------------------------

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
