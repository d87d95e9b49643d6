"""The keys in a JSON Web Key Set (RFC 7517), by their ids. Pure."""

import json
from collections.abc import Mapping
from typing import Any

import jwt

from gateway.security.identities import LONGEST_NAME, Algorithm, VerifyingKey

MOST_KEYS = 64
SHORTEST_RSA_BITS = 2048
"""RFC 7518, section 3.3."""


class NoKeySet(Exception):
    """A document is no set of keys, or has none that can be used. The text is one line."""


def keys_in(document: bytes) -> dict[str, VerifyingKey]:
    """The keys for RS256 and ES256 in a set, by id; "" is the id of a key without one. Raises
    `NoKeySet`.

    Keys of other kinds, for encryption, shorter ones, and those that cannot be read are left out:
    a set may hold what others need. Shared secrets are left out, too: a set is public.
    """
    try:
        found = json.loads(document)
        entries = found["keys"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise NoKeySet("it is no JSON object with keys") from None
    if not isinstance(entries, list) or len(entries) > MOST_KEYS:
        raise NoKeySet(f"keys is no list of {MOST_KEYS} at most")
    keys: dict[str, VerifyingKey] = {}
    for entry in entries:
        key_id = entry.get("kid", "") if isinstance(entry, dict) else None
        if not isinstance(key_id, str) or len(key_id) > LONGEST_NAME or key_id in keys:
            continue
        if (key := _key(entry)) is not None:
            keys[key_id] = key
    if not keys:
        raise NoKeySet("it has no key for RS256 or ES256")
    return keys


def _key(entry: Mapping[str, Any]) -> VerifyingKey | None:
    algorithm = _algorithm(entry)
    if algorithm is None or entry.get("alg", algorithm) != algorithm:
        return None
    if entry.get("use", "sig") != "sig" or not _for_verifying(entry.get("key_ops")):
        return None
    public = {name: entry[name] for name in ("kty", "crv", "n", "e", "x", "y") if name in entry}
    try:
        key = jwt.PyJWK(public, algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if algorithm == "RS256" and key.key.key_size < SHORTEST_RSA_BITS:
        return None
    return VerifyingKey(algorithm, key)


def _for_verifying(operations: object) -> bool:
    return operations is None or (isinstance(operations, list) and "verify" in operations)


def _algorithm(entry: Mapping[str, Any]) -> Algorithm | None:
    match entry.get("kty"), entry.get("crv"):
        case "RSA", _:
            return "RS256"
        case "EC", "P-256":
            return "ES256"
    return None
