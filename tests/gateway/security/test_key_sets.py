"""Which keys of a set are used, and which are left out."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.security.key_sets import MOST_KEYS, NoKeySet, keys_in
from tests.support.tokens import ec_key, key_set, rsa_key, shown


def used(*keys: Any) -> dict[str, str]:
    try:
        return {name: key.algorithm for name, key in keys_in(key_set(*keys)).items()}
    except NoKeySet:
        return {}


def test_each_kind_of_key_has_its_one_algorithm() -> None:
    assert used(shown(rsa_key(), "r"), shown(ec_key(), "e")) == {"r": "RS256", "e": "ES256"}
    assert used(shown(rsa_key())) == {"": "RS256"}


ODD: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "for encryption": lambda rsa, ec: rsa | {"use": "enc"},
    "for other operations": lambda rsa, ec: rsa | {"key_ops": ["encrypt"]},
    "operations that are none": lambda rsa, ec: rsa | {"key_ops": 7},
    "of another algorithm": lambda rsa, ec: rsa | {"alg": "RS512"},
    "of a shared secret's algorithm": lambda rsa, ec: rsa | {"alg": "HS256"},
    "of the other kind's algorithm": lambda rsa, ec: ec | {"alg": "RS256"},
    "on another curve": lambda rsa, ec: ec | {"crv": "P-384"},
    "off the curve": lambda rsa, ec: ec | {"x": "AA"},
    "without its number": lambda rsa, ec: {"kty": "RSA", "kid": "r", "e": "AQAB"},
    "of a number that is none": lambda rsa, ec: rsa | {"n": 7},
    "a secret": lambda rsa, ec: {"kty": "oct", "kid": "o", "k": "c2VjcmV0"},
    "of another kind": lambda rsa, ec: {"kty": "OKP", "crv": "Ed25519", "kid": "o", "x": "AA"},
    "too short": lambda rsa, ec: shown(rsa_key("short", 1024), "r"),
    "with an id that is none": lambda rsa, ec: rsa | {"kid": 7},
    "with a long id": lambda rsa, ec: rsa | {"kid": "k" * 300},
    "a text": lambda rsa, ec: "a text",
    "nothing": lambda rsa, ec: None,
}


@pytest.mark.parametrize("what", ODD)
def test_keys_of_other_kinds_are_left_out(what: str) -> None:
    odd = ODD[what](shown(rsa_key(), "r"), shown(ec_key(), "e"))
    good = shown(ec_key("two"), "good")
    assert used(odd, good) == {"good": "ES256"}


def test_keys_for_verifying_are_taken_with_what_they_say_of_themselves() -> None:
    said = {"use": "sig", "alg": "RS256", "key_ops": ["verify"]}
    assert used(shown(rsa_key(), "r") | said) == {"r": "RS256"}


def test_the_first_of_two_keys_with_one_id_counts() -> None:
    assert used(shown(rsa_key(), "r"), shown(ec_key(), "r")) == {"r": "RS256"}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": 7}',
        b"[" * 5000,
        json.dumps({"keys": [{}] * (MOST_KEYS + 1)}).encode(),
    ],
    ids=["empty", "half", "list", "none", "bytes", "object", "no key", "number", "deep", "many"],
)
def test_what_is_no_set_of_keys(document: bytes) -> None:
    with pytest.raises(NoKeySet):
        keys_in(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(max_examples=25)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"kty": st.sampled_from(["RSA", "EC"])},
            optional=dict.fromkeys(
                ("kid", "n", "e", "x", "y", "crv", "alg", "use", "key_ops"), JSON
            ),
        ),
        max_size=3,
    )
)
def test_no_set_whatever_is_in_it_is_a_fault_of_ours(keys: list[dict[str, Any]]) -> None:
    assert used(*keys) == {}
