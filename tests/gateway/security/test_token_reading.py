"""JSON Web Tokens: which hold, for whom, and why the others do not."""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from gateway.security.identities import Identity, TokenRefused, TokenRules, VerifyingKey
from gateway.security.key_sets import keys_in
from gateway.security.roles import ClientRole
from gateway.security.token_reading import head_of, identity_of
from tests.support.tokens import (
    AUDIENCE,
    ISSUER,
    NOW,
    SECRET,
    claims,
    ec_key,
    key_set,
    rsa_key,
    shown,
    token,
)

RULES = TokenRules(ISSUER, AUDIENCE)
SHARED = VerifyingKey("HS256", SECRET.encode())


def key_of(private: Any) -> VerifyingKey:
    return keys_in(key_set(shown(private)))[""]


def read(
    given: str, key: VerifyingKey = SHARED, rules: TokenRules = RULES, now: float = NOW
) -> Identity:
    return identity_of(given, head_of(given), key, rules, now=now)


def reason(
    given: str, key: VerifyingKey = SHARED, rules: TokenRules = RULES, now: float = NOW
) -> str | None:
    """Why a token is refused, None where it holds."""
    try:
        read(given, key, rules, now)
    except TokenRefused as refused:
        return refused.reason
    return None


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_says_who_its_bearer_is_for_each_algorithm() -> None:
    expected = Identity("user-1", ClientRole.INTERVIEWER, NOW + 300)
    assert expected == read(token())
    assert expected == read(token(rsa_key(), "RS256"), key_of(rsa_key()))
    assert expected == read(token(ec_key(), "ES256"), key_of(ec_key()))


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"iss": "https://id.example.org"}, "token_issuer"),
        ({"iss": None}, "token_claim"),
        ({"aud": "somebody-else"}, "token_audience"),
        ({"aud": ["a", AUDIENCE]}, None),
        ({"aud": None}, "token_claim"),
        ({"exp": None}, "token_claim"),
        ({"exp": "tomorrow"}, "token_claim"),
        ({"exp": True}, "token_claim"),
        ({"exp": 1e300}, "token_claim"),
        ({"nbf": "now"}, "token_claim"),
        ({"sub": None}, "token_claim"),
        ({"sub": ""}, "token_claim"),
        ({"sub": 7}, "token_claim"),
        ({"sub": "x" * 257}, "token_claim"),
        ({"role": None}, "token_role"),
        ({"role": "superuser"}, "token_role"),
        ({"role": {"admin": True}}, "token_role"),
        ({"role": ["x", "candidate", "service"]}, None),
        ({"role": "candidate", "session_id": 7}, "token_claim"),
        ({"role": "candidate", "session_id": ""}, "token_claim"),
    ],
)
def test_what_a_token_has_to_say(more: dict[str, Any], why: str | None) -> None:
    assert why == reason(jwt_of(more))


def jwt_of(more: dict[str, Any]) -> str:
    """A token with any claims, also those that PyJWT would not write."""
    said = claims(**more)
    return jwt.api_jws.encode(json.dumps(said).encode(), SECRET, "HS256", {"typ": "JWT"})


@pytest.mark.parametrize(
    ("more", "at", "why"),
    [
        ({}, NOW + 329.9, None),
        ({}, NOW + 330, "token_expired"),
        ({}, NOW - 30, None),
        ({}, NOW - 30.1, "token_not_yet_valid"),
        ({"iat": None, "nbf": NOW + 60}, NOW + 30, None),
        ({"iat": None, "nbf": NOW + 60}, NOW + 29.9, "token_not_yet_valid"),
    ],
)
def test_times_hold_within_the_skew_to_the_moment(
    more: dict[str, Any], at: float, why: str | None
) -> None:
    assert why == reason(token(**more), now=at)


def test_without_skew_an_expired_token_is_refused_at_once() -> None:
    exact = TokenRules(ISSUER, AUDIENCE, skew_s=0)
    assert reason(token(), rules=exact, now=NOW + 299.9) is None
    assert reason(token(), rules=exact, now=NOW + 300) == "token_expired"


def test_a_token_without_a_signature_is_refused() -> None:
    body = part(claims())
    for algorithm in ("none", "None", "NONE", "", None, 5, ["HS256"]):
        unsigned = f"{part({'alg': algorithm, 'typ': 'JWT'})}.{body}."
        assert reason(unsigned) in ("token_algorithm", "token_malformed"), algorithm
    assert reason(jwt.encode(claims(), None, algorithm="none")) == "token_algorithm"
    head, _, _ = token().split(".")
    assert reason(f"{head}.{body}.") == "token_signature"


def test_a_public_key_is_no_shared_secret() -> None:
    """Key confusion: signed with HS256 and what everybody knows, the provider's public key."""
    public = rsa_key().public_key()
    known = (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(shown(rsa_key())).encode(),
    )
    for secret in known:
        forged = signed_by_hand(secret)
        # As it is read with the provider's key, and as PyJWT alone would read it.
        assert reason(forged, key_of(rsa_key())) == "token_algorithm"


def signed_by_hand(secret: bytes) -> str:
    """PyJWT refuses such secrets when it signs: an attacker does it without."""
    import hashlib
    import hmac

    signed = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims())}"
    digest = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def test_a_token_made_by_hand_with_the_right_secret_holds() -> None:
    assert reason(signed_by_hand(SECRET.encode())) is None


def test_another_key_or_algorithm_than_the_keys_own_is_refused() -> None:
    assert reason(token(rsa_key("two"), "RS256"), key_of(rsa_key())) == "token_signature"
    assert reason(token(rsa_key(), "PS256"), key_of(rsa_key())) == "token_algorithm"
    assert reason(token(ec_key(), "ES256"), key_of(rsa_key())) == "token_algorithm"
    assert reason(token(rsa_key(), "RS256"), SHARED) == "token_algorithm"
    assert reason(token("another-secret-of-32-characters!!")) == "token_signature"


def test_the_head_names_no_place_for_keys() -> None:
    """`jwk`, `jku` and `x5u` bring a key of the attacker's own: they are not looked at."""
    own = rsa_key("attacker")
    head = {"jwk": shown(own), "jku": "http://127.0.0.1:9/jwks", "x5u": "http://127.0.0.1:9/x"}
    forged = jwt.encode(claims(), own, algorithm="RS256", headers=head)
    assert reason(forged, key_of(rsa_key())) == "token_signature"


def test_critical_members_are_not_passed_over() -> None:
    signed = jwt.api_jws.encode(
        json.dumps(claims()).encode(), SECRET, "HS256", {"crit": ["exp"], "exp": 1}
    )
    assert reason(signed) == "token_malformed"


@pytest.mark.parametrize(
    "given",
    ["", "eyJ", "eyJ..", "a.b.c", "eyJhbGciOiJIUzI1NiJ9.e30", "x" * 9000, "é.é.é"],
    ids=["empty", "begin", "dots", "letters", "two parts", "too long", "not ascii"],
)
def test_what_is_no_token(given: str) -> None:
    assert reason(given) == "token_malformed"


def test_odd_heads_are_refused() -> None:
    for head in ({"alg": "HS256", "kid": 7}, {"alg": "HS256", "kid": "k" * 300}, [], 7):
        assert reason(f"{part(head)}.{part(claims())}.AAAA") == "token_malformed"
    deep = "[" * 3000 + "]" * 3000
    raw = base64.urlsafe_b64encode(deep.encode()).rstrip(b"=").decode()
    assert reason(f"{raw}.{part(claims())}.AAAA") == "token_malformed"


@given(st.text(max_size=80), st.text(max_size=80), st.binary(max_size=40))
def test_no_token_whatever_is_in_it_does_anything_but_be_refused(
    head: str, body: str, signature: bytes
) -> None:
    tail = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    assert reason(f"{head}.{body}.{tail}") is not None
    assert reason(f"{part({'alg': 'HS256'})}.{part(body)}.{tail}") is not None


def test_every_changed_token_is_refused() -> None:
    whole = token()
    for at in range(0, len(whole), 7):
        changed = whole[:at] + ("A" if whole[at] != "A" else "B") + whole[at + 1 :]
        assert reason(changed) is not None, at


def test_roles_may_lie_deeper_and_under_other_names() -> None:
    deep = TokenRules(ISSUER, AUDIENCE, role_claim="realm_access.roles")
    assert (
        read(token(realm_access={"roles": ["offline", "admin"]}), rules=deep).role
        is ClientRole.ADMIN
    )
    assert reason(token(realm_access=["admin"]), rules=deep) == "token_role"
    named = TokenRules(ISSUER, AUDIENCE, role_claim="https://example.org/role")
    assert (
        read(token(**{"https://example.org/role": "service"}), rules=named).role
        is ClientRole.SERVICE
    )
    scope = TokenRules(ISSUER, AUDIENCE, role_claim="scope")
    assert read(token(scope="openid candidate"), rules=scope).role is ClientRole.CANDIDATE


def test_a_candidates_token_may_be_for_one_session_alone() -> None:
    assert read(token(role="candidate", session_id="s-1")).session_id == "s-1"
    assert read(token(role="candidate")).session_id is None
    # It narrows nothing for others: they have every session.
    assert read(token(role="interviewer", session_id="s-1")).session_id is None
