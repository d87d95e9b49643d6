"""Reads JSON Web Tokens (RFC 7519): the identity of the bearer, proved by a key. Pure.

PyJWT checks signatures, issuer and audience; the times are checked here, against the caller's
clock. The algorithm is that of the key: a token must name an allowed algorithm, and only the key's
is tried. So a public key is never used as a shared secret, and `none` is refused.

The fields of a token's head that name or hold keys (`jku`, `jwk`, `x5u`, `x5c`) are ignored.
"""

import math
from collections.abc import Mapping
from typing import Any

import jwt

from gateway.security.identities import (
    ALGORITHMS,
    LONGEST_NAME,
    LONGEST_TOKEN,
    Identity,
    TokenHead,
    TokenRefused,
    TokenRules,
    VerifyingKey,
)
from gateway.security.roles import ClientRole, highest


def head_of(token: str) -> TokenHead:
    """The head of a token. Raises `TokenRefused` for one that no key can prove."""
    if len(token) > LONGEST_TOKEN:
        raise TokenRefused("token_malformed", f"a token has at most {LONGEST_TOKEN} characters")
    try:
        head = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise TokenRefused("token_malformed", "this is no JSON Web Token") from None
    algorithm, key_id = head.get("alg"), head.get("kid", "")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise TokenRefused("token_algorithm", "tokens are signed with HS256, RS256 or ES256")
    if "crit" in head:
        raise TokenRefused("token_malformed", "its head has critical members, which are not known")
    if not isinstance(key_id, str) or len(key_id) > LONGEST_NAME:
        raise TokenRefused("token_malformed", "the id of its key is none")
    return TokenHead(algorithm, key_id)


def identity_of(
    token: str, head: TokenHead, key: VerifyingKey, rules: TokenRules, *, now: float
) -> Identity:
    """The identity of a token's bearer at `now` (a Unix time). Raises `TokenRefused`."""
    if head.algorithm != key.algorithm:
        text = f"the key that it names is for {key.algorithm}"
        raise TokenRefused("token_algorithm", text)
    claims = _verified(token, key, rules)
    expires_at = _time(claims, "exp")
    if expires_at is None:
        raise TokenRefused("token_claim", "exp is missing: a token has to expire")
    if now >= expires_at + rules.skew_s:
        raise TokenRefused("token_expired", "the token has expired")
    for name in ("nbf", "iat"):
        begins_at = _time(claims, name)
        if begins_at is not None and begins_at > now + rules.skew_s:
            raise TokenRefused("token_not_yet_valid", f"its {name} lies in the future")
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_NAME:
        raise TokenRefused("token_claim", "sub has to be a text that is not empty")
    role = highest(_claim(claims, rules.role_claim))
    if role is None:
        known = ", ".join(ClientRole)
        raise TokenRefused("token_role", f"{rules.role_claim} names none of {known}")
    session_id = _claim(claims, rules.session_claim) if role is ClientRole.CANDIDATE else None
    if session_id is not None and (
        not isinstance(session_id, str) or not 0 < len(session_id) <= LONGEST_NAME
    ):
        raise TokenRefused("token_claim", f"{rules.session_claim} is no session's id")
    return Identity(subject, role, math.floor(expires_at), session_id)


def _verified(token: str, key: VerifyingKey, rules: TokenRules) -> dict[str, Any]:
    options: Any = {
        "require": ["exp", "iss", "aud", "sub"],
        "verify_exp": False,
        "verify_nbf": False,
        "verify_iat": False,
        "verify_sub": False,
    }
    try:
        return jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm],
            audience=rules.audience,
            issuer=rules.issuer,
            options=options,
        )
    except jwt.InvalidSignatureError:
        raise TokenRefused("token_signature", "its signature does not fit") from None
    except (jwt.InvalidAlgorithmError, jwt.InvalidKeyError):
        raise TokenRefused("token_algorithm", "it was signed for another key") from None
    except jwt.InvalidIssuerError:
        raise TokenRefused("token_issuer", "it is from another issuer") from None
    except jwt.InvalidAudienceError:
        raise TokenRefused("token_audience", "it is for somebody else") from None
    except jwt.MissingRequiredClaimError as error:
        raise TokenRefused("token_claim", f"{error.claim} is missing") from None
    except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError):
        raise TokenRefused("token_malformed", "this is no JSON Web Token") from None


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    if path in claims:  # a name with dots in it, such as an address
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        raise TokenRefused("token_claim", f"{name} is no time")
    return float(value)
