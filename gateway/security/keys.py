"""The API keys that clients may come in with. Pure."""

import hmac
from collections.abc import Iterable, Sequence

SUBPROTOCOL_KEY = "openai-insecure-api-key."
"""Browsers set no header on a WebSocket: they offer the key as a subprotocol that begins so."""


class ApiKeys:
    """The keys of `PARLEY_API_KEYS`, with commas between them; without any, every client may."""

    def __init__(self, keys: str) -> None:
        self._keys = tuple(key.strip().encode() for key in keys.split(",") if key.strip())

    @property
    def open(self) -> bool:
        """Whether no key is needed."""
        return not self._keys

    def accepts(self, given: str) -> bool:
        """Whether a key is one of them, in time that does not depend on which or how much of it."""
        key = given.encode(errors="replace")
        accepted = self.open
        for known in self._keys:
            accepted |= hmac.compare_digest(key, known)
        return accepted


def bearer(authorization: str | None) -> str:
    """The token of an `Authorization` header, "" where there is none (RFC 6750, section 2.1)."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def offered_key(subprotocols: Iterable[str]) -> str:
    """The key among the subprotocols that a browser offers, "" where there is none."""
    for name in subprotocols:
        if name.startswith(SUBPROTOCOL_KEY):
            return name[len(SUBPROTOCOL_KEY) :]
    return ""


def key_of(authorization: str | None, subprotocols: Sequence[str] = ()) -> str:
    """The key that a client came with, by header or by subprotocol."""
    return bearer(authorization) or offered_key(subprotocols)
