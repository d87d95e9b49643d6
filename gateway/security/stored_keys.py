"""API keys that the operator makes and revokes while the gateway runs: `parley keys`.

The store has the SHA-256 of each key, which is enough for 192 random bits. Every process on the
same store takes a new key, and refuses a revoked one, from the next request on.
"""

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass

from gateway.security.roles import ClientRole
from gateway.store import Entry, Put, Store

PREFIX = "pk_"
"""The first letters of every key; its id and its secret follow."""

FORM = re.compile(r"pk_([0-9a-f]{12})_([0-9a-f]{48})")
NAME = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
KIND = "apikey"
PAGE = 100


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is listed: all but its secret. Times are Unix times; None: it does not expire."""

    id: str
    name: str
    role: ClientRole
    made_at: int
    expires_at: int | None = None


async def create_key(
    store: Store, name: str, role: ClientRole, *, now: float, lifetime_s: int | None = None
) -> tuple[str, StoredKey]:
    """Make a key. Returns the key, which is shown only this once, and what is kept of it.

    Raises `ValueError` for an invalid name, and `StoreError`.
    """
    if NAME.fullmatch(name) is None:
        raise ValueError("a name has 1 to 64 characters, none of them a control character")
    key_id, secret = secrets.token_hex(6), secrets.token_hex(24)
    expires_at = None if lifetime_s is None else int(now) + lifetime_s
    made = StoredKey(key_id, name, role, int(now), expires_at)
    value = {
        "name": made.name,
        "role": made.role.value,
        "made_at": made.made_at,
        "expires_at": made.expires_at,
        "digest": hashlib.sha256(secret.encode()).hexdigest(),
    }
    # Not about its id: a session may be called so, and is erased with all that is about it.
    about = f"{KIND}/{key_id}"
    await store.commit(Put(_entry(key_id), json.dumps(value).encode(), None, lifetime_s, about))
    return f"{PREFIX}{key_id}_{secret}", made


async def find_key(store: Store, given: str, *, now: float) -> StoredKey | None:
    """The key; None if the value is no key, has expired or was revoked. Raises `StoreError`."""
    parts = FORM.fullmatch(given)
    if parts is None:
        return None
    entry = await store.get(_entry(parts[1]))
    if entry is None:
        return None
    digest = hashlib.sha256(parts[2].encode()).hexdigest()
    if not hmac.compare_digest(digest, json.loads(entry.value)["digest"]):
        return None
    found = _read(parts[1], entry)
    return None if found.expires_at is not None and found.expires_at <= now else found


async def list_keys(store: Store) -> list[StoredKey]:
    """All valid keys, the newest first. Raises `StoreError`."""
    found: list[StoredKey] = []
    before: int | None = None
    while True:
        page = await store.page(KIND, limit=PAGE, before=before)
        found += [_read(name.partition(":")[2], entry) for name, entry in page.entries]
        if page.next is None:
            return found
        before = page.next


async def revoke_key(store: Store, key_id: str) -> bool:
    """Revoke a key; False if there is none. Raises `StoreError`."""
    if await store.get(_entry(key_id)) is None:
        return False
    await store.delete(_entry(key_id))
    return True


def _read(key_id: str, entry: Entry) -> StoredKey:
    kept = json.loads(entry.value)
    return StoredKey(
        key_id, kept["name"], ClientRole(kept["role"]), kept["made_at"], kept["expires_at"]
    )


def _entry(key_id: str) -> str:
    return f"{KIND}:{key_id}"
