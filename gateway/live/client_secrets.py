"""Client secrets, with which a browser can begin sessions for some minutes without an API key.

The store has a digest of each secret and the session that it was made for. Only the client knows
the secret itself.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

from gateway.interviews.keys import SessionKeys
from gateway.store import Put, Store, put_if_absent

PREFIX = "ek_"
"""The first letters of every client secret."""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """`session` is the session object that its client begins with; `expires_at` is a Unix time."""

    value: str
    expires_at: int
    session: dict[str, Any]
    client: str | None = None
    """The client for which its requests are counted, that of the key that made it; None: for no
    client."""
    until: float | None = None
    """When the sessions begun with it have to end (a Unix time), because the key ends then."""


async def make_secret(
    store: Store,
    session: dict[str, Any],
    *,
    lifetime_s: int,
    now: float,
    client: str | None = None,
    until: float | None = None,
) -> ClientSecret:
    """A new secret that lives for `lifetime_s`, and no longer than `until`.

    `now` is seconds since the epoch. The secret's requests are counted for `client`.
    """
    if until is not None:
        lifetime_s = max(1, min(lifetime_s, int(until - now)))
    value = PREFIX + secrets.token_hex(24)
    expires_at = int(now) + lifetime_s
    known = {"session": session, "expires_at": expires_at, "client": client, "until": until}
    kept = json.dumps(known).encode()
    await store.commit(Put(_key(value), kept, None, lifetime_s))
    return ClientSecret(value, expires_at, session, client, until)


async def find_secret(store: Store, value: str, *, now: float) -> ClientSecret | None:
    """The secret; None if the value is no secret, or it has expired."""
    if not value.startswith(PREFIX):
        return None
    entry = await store.get(_key(value))
    if entry is None:
        return None
    kept = json.loads(entry.value)
    if kept["expires_at"] <= now:
        return None
    return ClientSecret(
        value, kept["expires_at"], kept["session"], kept.get("client"), kept.get("until")
    )


async def may_join(store: Store, secret: ClientSecret, session_id: str, *, now: float) -> bool:
    """Whether a client with the secret may name this session: a new one, or one it has begun.

    Remembers, as long as the secret lives, that it has begun the session.
    """
    key = f"begun:{_digest(secret.value)}:{session_id}"
    if await store.get(key) is not None:
        return True
    if await store.get(SessionKeys(session_id).record) is not None:
        return False
    left_s = max(1.0, secret.expires_at - now)
    await put_if_absent(store, key, b"", ttl_s=left_s, about=session_id)
    return True


def _key(value: str) -> str:
    return f"secret:{_digest(value)}"


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode(errors="replace")).hexdigest()
