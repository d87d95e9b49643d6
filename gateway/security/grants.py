"""The grant of a client's credential: the access of a role, or access to one session.

API keys and tokens of an identity provider say who a client is, tickets and passes which session
they open. A candidate with a token or a key may use the sessions that it has begun: the store has a
digest of the owner of each.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.security.identities import may_be_token, owner_of
from gateway.security.keys import ApiKeys
from gateway.security.roles import ClientRole
from gateway.security.stored_keys import PREFIX as KEY_PREFIX
from gateway.security.stored_keys import find_key
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
from gateway.security.tokens import Tokens
from gateway.store import Store, put_if_absent

MOST_WAITING = 256
"""The most clients at a time that have connected and not yet said who they are."""

MOST_WAITING_AT = 32
"""The most of those clients from one network address, so that others can still connect."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The access that a credential gives.

    `session_id` None means every session; with a `ticket` a new one; with an `owner` the owner's.
    """

    digest: str
    """The digest of the credential, by which it is recognised."""
    session_id: str | None = None
    ticket: Ticket | None = None
    expires_at: int | None = None
    """When a pass or a token expires, in seconds since the epoch."""
    role: ClientRole = ClientRole.CANDIDATE
    owner: str = ""
    """By which a candidate's sessions are known to be its own, "" for a ticket or a pass."""
    key_id: str = ""
    """Of a key of `parley keys`, by which operators know it."""
    listens: bool = False
    """An observer's: it lets listen, and nothing else."""

    @property
    def everything(self) -> bool:
        """Whether it opens every session."""
        return self.role is not ClientRole.CANDIDATE

    @property
    def identity(self) -> str:
        """The client, by which its requests are counted and the sessions that it makes are known.

        Passes of a session are one: each makes further ones.
        """
        if self.owner or self.listens or self.session_id is None:
            return self.owner or self.digest
        return f"passes-of:{self.session_id}"

    def until(self, now: float) -> float | None:
        """When what begins `now` by it has to end (a Unix time); None where it does not say."""
        if self.ticket is not None and self.ticket.lasts_s is not None:
            return now + self.ticket.lasts_s
        return self.expires_at


class Access:
    """Looks credentials up, and uses tickets. Every method may raise `StoreError`.

    `exists` says whether a session is stored. A pass holds for `pass_s`. `tokens` checks those of
    an identity provider. `required`: clients say who they are although there are no `keys`.
    """

    def __init__(
        self,
        keys: ApiKeys,
        store: Store,
        exists: Callable[[str], Awaitable[bool]],
        *,
        pass_s: int,
        tokens: Tokens | None = None,
        required: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.open = keys.open and tokens is None and not required
        """Whether every client may do everything, and need not say who it is."""
        self.waiting: Counter[str] = Counter()
        """Clients that have not said yet who they are, by their network addresses."""
        self._keys = keys
        self._store = store
        self._exists = exists
        self._pass_s = pass_s
        self._tokens = tokens
        self._clock = clock

    async def look(self, credential: str) -> Grant | None:
        """The grant of a credential, without using it; None if the credential is not valid.

        Raises `TokenRefused` for an identity token that is not valid.
        """
        if not credential:
            return None
        digest = digest_of(credential)
        if (self.open or not self._keys.open) and self._keys.accepts(credential):
            return Grant(digest, role=ClientRole.SERVICE)
        now = self._clock()
        if self._tokens is not None and may_be_token(credential):
            return await self._of_token(self._tokens, credential, digest)
        if (key := await find_key(self._store, credential, now=now)) is not None:
            return Grant(
                digest,
                expires_at=key.expires_at,
                role=key.role,
                owner=owner_of("key", key.id),
                key_id=key.id,
            )
        held = await find_pass(self._store, credential, now=now)
        if held is not None:
            return Grant(digest, held[0], expires_at=held[1])
        ticket = await find_ticket(self._store, credential, now=now)
        return None if ticket is None else Grant(digest, ticket.session_id, ticket)

    async def _of_token(self, tokens: Tokens, credential: str, digest: str) -> Grant:
        who = await tokens.identity(credential)
        return Grant(
            digest,
            who.session_id,
            expires_at=who.expires_at,
            role=who.role,
            owner=owner_of("token", who.subject),
        )

    async def opens_all(self, credential: str) -> Grant | None:
        """The grant of a credential that opens every session; None for any other.

        Raises `TokenRefused` for a token that does not hold.
        """
        grant = await self.look(credential)
        return None if grant is None or not grant.everything else grant

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
        if grant.ticket is None:
            return await self.own(grant, session_id)
        return await self._use(grant.ticket)

    async def holds(self, grant: Grant, session_id: str) -> bool:
        """Whether a grant is for a session, or for one that is new. Its ticket is not used."""
        if await self.owns(grant, session_id):
            return True
        return grant.session_id is None and not await self._exists(session_id)

    async def owns(self, grant: Grant, session_id: str) -> bool:
        """Whether a grant is for every session, for this one, or for the owner of this one."""
        if grant.everything or grant.session_id == session_id:
            return True
        if not grant.owner or grant.session_id is not None:
            return False
        entry = await self._store.get(_owner(session_id))
        return entry is not None and entry.value.decode() == grant.owner

    async def own(self, grant: Grant, session_id: str) -> bool:
        """Give a new session to a candidate who is about to begin it; False if it is another's.

        Nothing happens, and it is true, for a grant of another kind.
        """
        if grant.everything or not grant.owner or grant.session_id is not None:
            return True
        owner, key = grant.owner.encode(), _owner(session_id)
        # Most come back to what is theirs: a read, where a write that fails would be one of few.
        before = await self._store.get(key) or await put_if_absent(
            self._store, key, owner, ttl_s=self._pass_s, about=session_id
        )
        return before is None or before.value == owner

    def until(self, grant: Grant) -> float | None:
        """When what begins now by a grant has to end: see `Grant.until`."""
        return grant.until(self._clock())

    async def begin(self, grant: Grant) -> bool:
        """Use a grant for a session that is about to be made; False if it is for another."""
        if grant.everything:
            return True
        if grant.session_id is not None:
            return False
        return True if grant.ticket is None else await self._use(grant.ticket)

    async def ticket(
        self,
        session_id: str | None,
        lifetime_s: int,
        lasts_s: int | None = None,
        uses: int = 1,
    ) -> Issued:
        """A new ticket for a session, or for a new one; what it opens ends after `lasts_s`."""
        now = self._clock()
        return await make_ticket(
            self._store, session_id, lifetime_s=lifetime_s, now=now, lasts_s=lasts_s, uses=uses
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


def knows_roles(credential: str) -> bool:
    """Whether a credential has the form of those that say who a client is."""
    return may_be_token(credential) or credential.startswith(KEY_PREFIX)


def _owner(session_id: str) -> str:
    return f"owner:{session_id}"


def digest_of(credential: str) -> str:
    """By which a credential is known again without being kept."""
    return hashlib.sha256(credential.encode(errors="replace")).hexdigest()
