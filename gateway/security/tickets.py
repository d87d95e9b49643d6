"""Tickets, passes and observer's tokens, which clients use in place of an API key.

A *ticket* opens one existing or new session, as a rule once and within seconds. A ticket for an
existing session may have more uses and hold for days, such as the link that a candidate gets. A
*pass* opens one session, as often as its client likes, until it expires. With an *observer's token*
its bearer may listen to one session, and do nothing else. The store has a digest of each, so that
any process on the same store accepts them, and a copy of the store reveals none.

A ticket is used by compare-and-set: if several clients have the same ticket, at whichever process,
only as many get in as it has uses.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

from gateway.settings import Settings
from gateway.store import Conflict, Put, Store

TICKET, PASS, OBSERVER = "pt_", "ps_", "po_"
"""The first letters of every ticket, of every pass, and of every observer's token."""

_KINDS = {TICKET: "ticket", PASS: "pass", OBSERVER: "observer"}

SECRET_BYTES = 24

MOST_USES = 100
"""The most uses of one ticket."""

LONGEST = 100
"""A longer credential is no ticket, pass or observer's token; it is not looked up."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new ticket or pass, known from now on to its client alone; `expires_at` is a Unix time."""

    value: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket that can still be used. `session_id` None: it is for one new session.

    `key` and `version` are those of its entry in the store. `lasts_s` limits how long the session
    or pass that it opens may last; None: it sets no limit.
    """

    key: str
    version: int
    session_id: str | None
    expires_at: int
    lasts_s: int | None = None
    uses: int = 1


def pass_s(settings: Settings) -> int:
    """How long a pass is valid: an interview, its breaks, and the time in which to join it."""
    return settings.longest_interview_min * 60 + settings.session_ttl_s


async def make_ticket(
    store: Store,
    session_id: str | None,
    *,
    lifetime_s: int,
    now: float,
    lasts_s: int | None = None,
    uses: int = 1,
) -> Issued:
    """Make a ticket for a session that exists, or for a new one; `now` is seconds since the epoch.

    A live session that it opens ends after `lasts_s`, and so does a pass that it is exchanged for.
    It has up to `MOST_USES` uses.
    """
    return await _make(store, TICKET, session_id, lifetime_s, now, lasts_s, uses)


async def find_ticket(store: Store, value: str, *, now: float) -> Ticket | None:
    """The ticket, without using it; None if the value is no ticket, or was used, or has expired."""
    if not value.startswith(TICKET) or len(value) > LONGEST:
        return None
    key = _key("ticket", value)
    entry = await store.get(key)
    if entry is None:
        return None
    kept = json.loads(entry.value)
    if kept["used"] or kept["expires_at"] <= now:
        return None
    return Ticket(
        key,
        entry.version,
        kept["session"],
        kept["expires_at"],
        kept.get("lasts"),
        kept.get("uses", 1),
    )


async def use_ticket(store: Store, ticket: Ticket, *, now: float) -> bool:
    """Use the ticket up. False if another client was faster, or it has expired meanwhile."""
    left_s = ticket.expires_at - now
    if left_s <= 0:
        return False
    # The entry stays until the ticket would have expired: an expired one is no new one.
    about = ticket.session_id or None
    version, left = ticket.version, ticket.uses - 1
    while True:
        used = _kept(
            ticket.session_id, ticket.expires_at, used=left == 0, lasts_s=ticket.lasts_s, uses=left
        )
        try:
            await store.commit(Put(ticket.key, used, version, left_s, about))
        except Conflict:
            # Others were faster: each of these rounds is a use of theirs, so they are bounded.
            entry = await store.get(ticket.key)
            if entry is None or (kept := json.loads(entry.value))["used"]:
                return False
            version, left = entry.version, kept.get("uses", 1) - 1
        else:
            return True


async def make_pass(store: Store, session_id: str, *, lifetime_s: int, now: float) -> Issued:
    """A new pass for a session; `now` is seconds since the epoch."""
    return await _make(store, PASS, session_id, lifetime_s, now)


async def find_pass(store: Store, value: str, *, now: float) -> tuple[str, int] | None:
    """The session of a pass, and until when it is open; None if the value is no pass or has
    expired."""
    return await _held(store, PASS, value, now)


async def make_observer(store: Store, session_id: str, *, lifetime_s: int, now: float) -> Issued:
    """A new observer's token for a session; `now` is seconds since the epoch."""
    return await _make(store, OBSERVER, session_id, lifetime_s, now)


async def find_observer(store: Store, value: str, *, now: float) -> tuple[str, int] | None:
    """The session that an observer's token lets listen to, and until when; None if the value is no
    such token or has expired."""
    return await _held(store, OBSERVER, value, now)


async def _held(store: Store, prefix: str, value: str, now: float) -> tuple[str, int] | None:
    if not value.startswith(prefix) or len(value) > LONGEST:
        return None
    entry = await store.get(_key(_KINDS[prefix], value))
    if entry is None:
        return None
    kept = json.loads(entry.value)
    return (kept["session"], kept["expires_at"]) if kept["expires_at"] > now else None


async def _make(
    store: Store,
    prefix: str,
    session_id: str | None,
    lifetime_s: int,
    now: float,
    lasts_s: int | None = None,
    uses: int = 1,
) -> Issued:
    value = prefix + secrets.token_hex(SECRET_BYTES)
    expires_at = int(now) + lifetime_s
    key = _key(_KINDS[prefix], value)
    kept = _kept(session_id, expires_at, used=False, lasts_s=lasts_s, uses=uses)
    await store.commit(Put(key, kept, None, lifetime_s, session_id))
    return Issued(value, expires_at)


def _kept(
    session_id: str | None,
    expires_at: int,
    *,
    used: bool,
    lasts_s: int | None = None,
    uses: int = 1,
) -> bytes:
    kept: dict[str, Any] = {"session": session_id, "expires_at": expires_at, "used": used}
    if lasts_s is not None:
        kept["lasts"] = lasts_s
    if uses > 1:
        kept["uses"] = uses
    return json.dumps(kept).encode()


def _key(kind: str, value: str) -> str:
    return f"{kind}:{hashlib.sha256(value.encode(errors='replace')).hexdigest()}"
