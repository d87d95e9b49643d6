"""The identity that a provider's token gives a client, and why a token is refused. Pure."""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

from gateway.security.roles import ClientRole

LONGEST_TOKEN = 8 * 1024
LONGEST_NAME = 256
"""The most characters of a key's id, a subject and a session's id."""

Algorithm = Literal["HS256", "RS256", "ES256"]
ALGORITHMS: frozenset[str] = frozenset({"HS256", "RS256", "ES256"})

Reason = Literal[
    "token_malformed",
    "token_algorithm",
    "token_key_unknown",
    "token_keys_unavailable",
    "token_signature",
    "token_expired",
    "token_not_yet_valid",
    "token_issuer",
    "token_audience",
    "token_claim",
    "token_role",
]


class TokenRefused(Exception):
    """A token is not valid here. The text is for its client, and `reason` for programs."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason

    @property
    def unavailable(self) -> bool:
        """Whether the token may be valid, but cannot be checked now."""
        return self.reason == "token_keys_unavailable"


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A key and the one algorithm for which it is used; `key` is PyJWT's, or a shared secret."""

    algorithm: Algorithm
    key: Any


@dataclass(frozen=True, slots=True)
class TokenRules:
    """The claims that a token must have. `skew_s` is how far clocks may differ, in seconds.

    `role_claim` and `session_claim` may name a claim inside another, as in `realm_access.roles`.
    """

    issuer: str
    audience: str
    skew_s: int = 30
    role_claim: str = "role"
    session_claim: str = "session_id"


@dataclass(frozen=True, slots=True)
class Identity:
    """A client's identity until `expires_at` (a Unix time). `session_id` is the one session that
    the token names; None if it names none."""

    subject: str
    role: ClientRole
    expires_at: int
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class TokenHead:
    """The head of a token, not yet proved: its algorithm, and the id of its key ("" for none)."""

    algorithm: str
    key_id: str


def may_be_token(credential: str) -> bool:
    """Whether a credential has the form of a JSON Web Token: three parts, the first a JSON object.

    API keys, tickets and passes of this gateway do not have it.
    """
    return credential.startswith("eyJ") and credential.count(".") == 2


def owner_of(kind: str, subject: str) -> str:
    """A digest that identifies a session's owner; the store does not get the owner's name."""
    return hashlib.sha256(f"{kind}\0{subject}".encode(errors="replace")).hexdigest()
