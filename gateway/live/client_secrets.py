"""Secrets that live for minutes, with which a browser begins a session in place of an API key.

The store has a digest of each secret and the session that it was made for; the secret itself is
known to its client alone.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

from gateway.store import Put, Store

PREFIX = "ek_"
"""The first letters of every client secret."""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """`session` is the session object that its client begins with; `expires_at` is a Unix time."""

    value: str
    expires_at: int
    session: dict[str, Any]


async def make_secret(
    store: Store, session: dict[str, Any], *, lifetime_s: int, now: float
) -> ClientSecret:
    """A new secret that lives for `lifetime_s`; `now` is seconds since the epoch."""
    value = PREFIX + secrets.token_hex(24)
    expires_at = int(now) + lifetime_s
    kept = json.dumps({"session": session, "expires_at": expires_at}).encode()
    await store.commit(Put(_key(value), kept, None, lifetime_s))
    return ClientSecret(value, expires_at, session)


async def find_secret(store: Store, value: str, *, now: float) -> ClientSecret | None:
    """The secret, None where it is none or has expired."""
    if not value.startswith(PREFIX):
        return None
    entry = await store.get(_key(value))
    if entry is None:
        return None
    kept = json.loads(entry.value)
    if kept["expires_at"] <= now:
        return None
    return ClientSecret(value, kept["expires_at"], kept["session"])


def _key(value: str) -> str:
    return f"secret:{hashlib.sha256(value.encode(errors='replace')).hexdigest()}"
