"""What a client's credential allows: an API key everything, a ticket or a pass one session."""

import hashlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.security.keys import ApiKeys
from gateway.security.tickets import (
    Issued,
    Ticket,
    find_observer,
    find_pass,
    find_ticket,
    make_observer,
    make_pass,
    make_ticket,
    use_ticket,
)
from gateway.store import Store

MOST_WAITING = 256
"""Clients at a time that have connected and not said yet who they are."""

MOST_WAITING_AT = 32
"""Those of one network address: one alone must not keep the others out."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a credential allows. `session_id` None: every session, or a new one with a `ticket`."""

    digest: str
    """Of the credential, to know it again."""
    session_id: str | None = None
    ticket: Ticket | None = None
    expires_at: int | None = None
    """Of a pass, in seconds since the epoch."""
    listens: bool = False
    """An observer's: it lets listen, and nothing else."""

    @property
    def everything(self) -> bool:
        """Whether this is an API key."""
        return self.session_id is None and self.ticket is None

    def until(self, now: float) -> float | None:
        """When what begins `now` by it has to end (a Unix time); None where it does not say."""
        if self.ticket is not None and self.ticket.lasts_s is not None:
            return now + self.ticket.lasts_s
        return self.expires_at


class Access:
    """Looks credentials up, and uses tickets. Every method may raise `StoreError`.

    `exists` says whether a session is stored. A pass holds for `pass_s`.
    """

    def __init__(
        self,
        keys: ApiKeys,
        store: Store,
        exists: Callable[[str], Awaitable[bool]],
        *,
        pass_s: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.open = keys.open
        """Whether every client may do everything: there are no keys."""
        self.waiting: Counter[str] = Counter()
        """Clients that have not said yet who they are, by their network addresses."""
        self._keys = keys
        self._store = store
        self._exists = exists
        self._pass_s = pass_s
        self._clock = clock

    async def look(self, credential: str) -> Grant | None:
        """What a credential allows, without using it; None if it is not valid."""
        if not credential:
            return None
        digest = digest_of(credential)
        if self._keys.accepts(credential):
            return Grant(digest)
        now = self._clock()
        held = await find_pass(self._store, credential, now=now)
        if held is not None:
            return Grant(digest, held[0], expires_at=held[1])
        ticket = await find_ticket(self._store, credential, now=now)
        return None if ticket is None else Grant(digest, ticket.session_id, ticket)

    async def observer(self, credential: str) -> Grant | None:
        """The session to which an observer's token lets listen; None if it is not valid.

        `look` knows no such token, so that it opens nothing else.
        """
        held = await find_observer(self._store, credential, now=self._clock())
        if held is None:
            return None
        return Grant(digest_of(credential), held[0], expires_at=held[1], listens=True)

    async def enter(self, grant: Grant, session_id: str) -> bool:
        """Use a grant for a session; False if it does not hold for it, or its ticket is used.

        A ticket for a new session opens none that is stored.
        """
        if not await self.holds(grant, session_id):
            return False
        return grant.ticket is None or await self._use(grant.ticket)

    async def holds(self, grant: Grant, session_id: str) -> bool:
        """Whether a grant is for a session. Its ticket is not used."""
        if grant.everything or grant.session_id == session_id:
            return True
        return grant.session_id is None and not await self._exists(session_id)

    def until(self, grant: Grant) -> float | None:
        """When what begins now by a grant has to end: see `Grant.until`."""
        return grant.until(self._clock())

    async def begin(self, grant: Grant) -> bool:
        """Use a grant for a session that is about to be made; False if it is for another."""
        if grant.everything:
            return True
        if grant.session_id is not None or grant.ticket is None:
            return False
        return await self._use(grant.ticket)

    async def ticket(
        self, session_id: str | None, lifetime_s: int, lasts_s: int | None = None
    ) -> Issued:
        """A new ticket for a session, or for a new one; what it opens ends after `lasts_s`."""
        now = self._clock()
        return await make_ticket(
            self._store, session_id, lifetime_s=lifetime_s, now=now, lasts_s=lasts_s
        )

    async def session_pass(self, session_id: str, until: float | None = None) -> Issued:
        """A new pass for a session, which does not hold longer than `until` (a Unix time)."""
        now = self._clock()
        left_s = self._pass_s if until is None else min(self._pass_s, max(1, int(until) - int(now)))
        return await make_pass(self._store, session_id, lifetime_s=left_s, now=now)

    async def observer_token(self, session_id: str, lifetime_s: int) -> Issued:
        """A new token for listening to a session."""
        now = self._clock()
        return await make_observer(self._store, session_id, lifetime_s=lifetime_s, now=now)

    async def _use(self, ticket: Ticket) -> bool:
        return await use_ticket(self._store, ticket, now=self._clock())


def digest_of(credential: str) -> str:
    """By which a credential is known again without being kept."""
    return hashlib.sha256(credential.encode(errors="replace")).hexdigest()
