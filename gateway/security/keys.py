"""The API keys of clients. Pure."""

import hmac
from collections.abc import Iterable, Sequence

SUBPROTOCOL_KEY = "openai-insecure-api-key."
"""A browser cannot set a header on a WebSocket: it offers the key as a subprotocol with this
prefix."""


class ApiKeys:
    """The keys that clients may use; without any, every client is accepted."""

    def __init__(self, *keys: str) -> None:
        self._keys = tuple(key.encode() for key in keys)

    @classmethod
    def parse(cls, text: str) -> "ApiKeys":
        """Keys separated by commas, as in `PARLEY_API_KEYS`."""
        return cls(*(key.strip() for key in text.split(",") if key.strip()))

    @property
    def open(self) -> bool:
        """Whether no key is needed."""
        return not self._keys

    @property
    def first(self) -> str | None:
        """A key to be used by a client that has the same settings; None if none is needed."""
        return self._keys[0].decode() if self._keys else None

    def accepts(self, given: str) -> bool:
        """Whether the key is valid. The time that this takes does not depend on how much of a key
        matches."""
        key = given.encode(errors="replace")
        accepted = self.open
        for known in self._keys:
            accepted |= hmac.compare_digest(key, known)
        return accepted


def presented(authorization: str | None, api_key: str | None) -> str:
    """The credential of a request, "" if there is none: `Authorization: Bearer` or `X-API-Key`."""
    return bearer(authorization) or (api_key or "").strip()


def bearer(authorization: str | None) -> str:
    """The token of an `Authorization` header, "" if there is none (RFC 6750, section 2.1)."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def offered_key(subprotocols: Iterable[str]) -> str:
    """The key among the subprotocols that a browser offers, "" if there is none."""
    for name in subprotocols:
        if name.startswith(SUBPROTOCOL_KEY):
            return name[len(SUBPROTOCOL_KEY) :]
    return ""


def key_of(authorization: str | None, subprotocols: Sequence[str] = ()) -> str:
    """The client's key, from its header or its subprotocols."""
    return bearer(authorization) or offered_key(subprotocols)
