"""The live sessions of this process, and whether another may begin."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

from gateway.interviews.sessions import SessionTaken
from gateway.live.audience import Audience
from gateway.live.elsewhere import Alone, Elsewhere
from gateway.live.pressure import Kind, Pressure
from gateway.live.resumption import Resumption
from gateway.live.starts import SpacedStarts

EndWithin = Callable[[float], None]
"""Ends a connection within the given seconds, because the process is about to end."""

MOST_COMING_BACK = 10
"""The largest number of clients of kept sessions that may connect at once while all places are
taken."""

LEAVE_S = 30.0
"""How long a client that comes back waits until its old connection has stored its last words: with
the default budget that takes 29 s at most, unless more than 24 s were spoken."""

LAST_WORDS_S = 5.0
"""Seconds after the grace time in which last words may be recognised before the process ends."""

STORE_S = 1.0
"""Seconds after `LAST_WORDS_S` in which they may be stored, and the clients notified."""


class StillEnding(SessionTaken):
    """The last connection of the session has not stored its last words yet."""

    def __str__(self) -> str:
        return "what was said last is still being recognised; connect again in a few seconds"


@dataclass(slots=True)
class _Hold:
    """One live session. `dismiss` ends its connection."""

    dismiss: Callable[[], None]
    leaving: bool = False
    client: Resumption | None = None
    audience: Audience | None = None
    released: asyncio.Event = field(default_factory=asyncio.Event)


class LiveSessions:
    """The live sessions of a process, for at most `places` connections.

    At most `per_address` of the connections come from one network address; 0 is any number. With
    `pressure`, which `clock` times, no session begins that would harm those before it. `elsewhere`
    are the other processes of the gateway, whose connections count for `per_address`.
    """

    def __init__(
        self,
        places: int,
        *,
        per_address: int = 0,
        pressure: Pressure | None = None,
        clock: Callable[[], float] = time.monotonic,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._elsewhere = elsewhere or Alone()
        self.places = places
        self.pressure = pressure
        self._per_address = per_address
        self._addresses: Counter[str] = Counter()  # as many as there are connections
        self._clock = clock
        self.starts = SpacedStarts()
        self.connections = 0
        self.ended = 0
        """The number of connections that have ended since the start."""
        self.draining = False
        """Whether the process is about to end; then no further session begins."""
        self._ends_at: float | None = None  # by the clock; the grace time of `wind_down` is over
        self._holds: dict[str, _Hold] = {}  # as many as there are connections
        self._endings: dict[EndWithin, None] = {}  # likewise; in the order of their beginning
        self._empty = asyncio.Event()  # set where no connection is left while draining

    def refusal(
        self, session_id: str | None = None, address: str | None = None, *, replaces: bool = False
    ) -> str | None:
        """Why no further session can start now, or None.

        A client at `address` may come back to a session that is kept for it, even under pressure. A
        connection that `replaces` the client's own one is let in likewise.
        """
        if self.draining:
            return "the server is shutting down"
        back = replaces or (session_id is not None and self.kept(session_id) is not None)
        beyond = MOST_COMING_BACK if back else 0  # its old connection still has a place
        if self.connections >= self.places + beyond:
            return f"all {self.places} places are taken"
        most = self._per_address and self._per_address + beyond
        if address is not None and most > 0:
            where = network(address)
            if self._addresses[where] + self._elsewhere.at(where) >= most:
                return f"this address has all of its {self._per_address} places"
        return None if back else self.pressed("voice")

    def pressed(self, kind: Kind) -> str | None:
        """Why the load lets no further session of this kind begin, or None."""
        if self.pressure is None:
            return None
        return self.pressure.refusal(kind, self.connections, self._clock())

    @contextmanager
    def connected(self, address: str | None = None) -> Iterator[None]:
        """Count a connection from this address until the block ends."""
        self._count(address, 1)
        if self.pressure is not None:
            self.pressure.admitted(self._clock())
        try:
            yield
        finally:
            self._count(address, -1)
            self.ended += 1
            if not self.connections:
                self._empty.set()

    def _count(self, address: str | None, change: int) -> None:
        where = network(address)
        self.connections += change
        self._addresses[where] += change
        if not self._addresses[where]:
            del self._addresses[where]
        self._elsewhere.counted(where, change)

    # --- the end of the process --------------------------------------------------------------

    def add(self, end_within: EndWithin) -> None:
        """Add a connection that begins; `wind_down` will call `end_within`. If the process drains
        already, the connection is ended within the time that is left."""
        self._endings[end_within] = None
        if self.draining and self._ends_at is not None:
            end_within(max(0.0, self._ends_at - self._clock()))

    def remove(self, end_within: EndWithin) -> None:
        """Remove a connection that has ended."""
        del self._endings[end_within]

    async def wind_down(self, grace_s: float) -> None:
        """Begin no further session, and let every connection end within `grace_s`.

        Returns when all have ended, or after `LAST_WORDS_S` and `STORE_S` more.
        Cancelling ends nothing that has begun.
        """
        self.draining = True
        self._ends_at = self._clock() + grace_s
        for end_within in tuple(self._endings):
            end_within(grace_s)
        if not self.connections:
            return
        self._empty.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s + LAST_WORDS_S + STORE_S):
                await self._empty.wait()

    # --- one connection for each session -----------------------------------------------------

    @asynccontextmanager
    async def hold(self, session_id: str, dismiss: Callable[[], None]) -> AsyncIterator[None]:
        """Hold the session for one connection of this process until the block ends.

        Waits for a connection that is `leaving` the session. Raises `SessionTaken` if another
        connection holds the session, `StillEnding` if that does not leave it within `LEAVE_S`.
        """
        await self._left(session_id)
        hold = self._holds[session_id] = _Hold(dismiss)
        self._elsewhere.held(session_id)
        try:
            yield
        finally:
            del self._holds[session_id]
            self._elsewhere.left(session_id)
            hold.released.set()

    def held(self) -> tuple[str, ...]:
        """The ids of the sessions that connections of this process hold."""
        return tuple(self._holds)

    def offer(self, session_id: str, client: Resumption) -> None:
        """Let the client that holds a session come back to it."""
        self._holds[session_id].client = client

    @contextmanager
    def heard_by(self, session_id: str, audience: Audience) -> Iterator[None]:
        """Let others listen to a session that this process holds, until the block ends."""
        hold = self._holds[session_id]
        hold.audience = audience
        try:
            yield
        finally:
            hold.audience = None
            audience.close()

    def audience(self, session_id: str) -> Audience | None:
        """The audience of a session; None if no connection of this process has the session."""
        hold = self._holds.get(session_id)
        return None if hold is None else hold.audience

    def kept(self, session_id: str) -> Resumption | None:
        """The resumption of the client that holds a session and may come back to it, or None."""
        hold = self._holds.get(session_id)
        return None if hold is None or hold.leaving else hold.client

    @contextmanager
    def joined(self, address: str | None = None) -> Iterator[None]:
        """Do not count this connection from `address` until the block ends: it continues another
        one, which is counted."""
        self._count(address, -1)
        try:
            yield
        finally:
            self._count(address, 1)

    def leaving(self, session_id: str) -> None:
        """Mark the connection that holds a session as about to leave it."""
        if (hold := self._holds.get(session_id)) is not None:
            hold.leaving = True

    def dismiss(self, session_id: str) -> None:
        """End the connection that holds a session; does nothing if there is none."""
        if (hold := self._holds.get(session_id)) is not None:
            hold.dismiss()

    async def _left(self, session_id: str) -> None:
        try:
            async with asyncio.timeout(LEAVE_S):
                while (hold := self._holds.get(session_id)) is not None:
                    if hold.client is not None and hold.client.away:
                        hold.client.give_up()  # it lost its line; another one joins the session
                    elif not hold.leaving:
                        raise SessionTaken(session_id)
                    await hold.released.wait()
        except TimeoutError:
            raise StillEnding(session_id) from None


def network(address: str | None) -> str:
    """The network of a client's address: the first 64 bits of an IPv6 address, which belong to one
    line, and all of an IPv4 address."""
    if address is None:
        return ""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:  # no address, such as a Unix socket's
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.exploded[:19]
