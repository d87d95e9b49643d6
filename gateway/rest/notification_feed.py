"""The pieces of a client's stream of events, for any transport, and the stream's end."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from gateway.events.event import OutboxEvent
from gateway.events.notification_stream import NotificationStream
from gateway.interviews import sessions
from gateway.interviews.sessions import NoSuchSession
from gateway.rest.event_stream import HEARTBEAT_S
from gateway.security import Access, Grant
from gateway.security.identities import TokenRefused
from gateway.store import Store, StoreError

LONGEST_S: Final = 3600.0
"""Then a stream ends, and its client comes again."""


class End(Enum):
    """Why a stream has ended."""

    TIME = "its time is over"
    CREDENTIAL = "its credential does not hold any more"
    SESSION = "its session was deleted"
    PROCESS = "the gateway ends"


@dataclass(frozen=True, slots=True)
class FeedPiece:
    """The next piece: events; none after `HEARTBEAT_S`; or `missed`: events are left out here."""

    events: tuple[OutboxEvent, ...] = ()
    missed: bool = False


class NotificationFeed:
    """The pieces of one stream, for `lasts_s` at most.

    `holds` says whether the client's credential still does; it is asked at the beginning and after
    each `HEARTBEAT_S`.
    """

    def __init__(
        self, stream: NotificationStream, holds: Callable[[], Awaitable[bool]], lasts_s: float
    ) -> None:
        now = asyncio.get_running_loop().time()
        self.stream = stream
        self.end = End.PROCESS
        """Why it has ended, once `next` has returned None."""
        self._holds = holds
        self._ends_at = now + lasts_s
        self._check_at = now

    async def next(self) -> FeedPiece | None:
        """The next piece, None at the end."""
        now, stream = asyncio.get_running_loop().time, self.stream
        while not stream.over:
            if now() >= self._ends_at:
                self.end = End.TIME
                return None
            if now() >= self._check_at:
                if not await self._holds():
                    self.end = End.CREDENTIAL
                    return None
                self._check_at = now() + HEARTBEAT_S
            if stream.missed:
                stream.missed = False
                return FeedPiece(missed=True)
            events = await stream.next(min(self._ends_at, self._check_at) - now())
            if events or not (stream.over or stream.missed):
                return FeedPiece(tuple(events))
        self.end = End.SESSION if stream.replaced else End.PROCESS
        return None

    def ready(self) -> dict[str, Any]:
        """The first message: the position from which a client goes on that gets no event."""
        return {"type": "ready", "position": self.stream.position}

    def missed(self) -> dict[str, Any]:
        """The message that events before the position are left out."""
        return {"type": "missed", "position": self.stream.position}


def notification(event: OutboxEvent) -> dict[str, Any]:
    """An event as its client gets it."""
    return {"position": event.position, **event.shown()}


async def holds(access: Access, store: Store, grant: Grant | None, credential: str) -> bool:
    """Whether the credential of an open stream still allows what its grant says.

    A ticket was used by the stream: it holds as long as its session is stored. What cannot be
    looked up now holds.
    """
    if grant is None:
        return True
    try:
        if grant.ticket is not None and grant.session_id is not None:
            await sessions.load(store, grant.session_id)
            return True
        found = await access.look(credential)
    except TokenRefused as error:
        return error.unavailable
    except NoSuchSession:
        return False
    except StoreError:
        return True
    return found is not None and _allowed(found) == _allowed(grant)


def lasts_s(access: Access, grant: Grant | None) -> float:
    """How long a stream may last: no longer than the client's credential."""
    until = None if grant is None else access.until(grant)
    return LONGEST_S if until is None else min(LONGEST_S, max(0.0, until - time.time()))


def _allowed(grant: Grant) -> tuple[str, str | None, str]:
    return grant.identity, grant.session_id, grant.role
