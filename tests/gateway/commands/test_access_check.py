"""What `parley doctor` says of keys and tokens."""

from typing import Any

import pytest

from gateway.commands.access_check import AccessFinding, access_findings
from gateway.settings import Settings
from tests.support.tokens import (
    AUDIENCE,
    ISSUER,
    SECRET,
    ec_key,
    identity_provider,
    key_set,
    rsa_key,
    shown,
)

TOKENS: dict[str, Any] = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}


def states(settings: Settings) -> list[tuple[str, str]]:
    return [(found.subject, found.state) for found in access_findings(settings)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "everybody on this machine"),
        ({"insecure": True}, "Everybody who reaches it"),
        ({"api_keys": "a-key-of-ours"}, "PARLEY_API_KEYS"),
        ({"access": "required"}, "parley keys create"),
        ({"jwt_secret": SECRET, **TOKENS}, f"a token of {ISSUER}"),
    ],
    ids=["local", "insecure", "keys", "required", "tokens"],
)
def test_it_says_who_is_let_in(given: dict[str, Any], words: str) -> None:
    first, *_ = access_findings(Settings(**given))
    assert (first.subject, first.state) == ("clients", "ok")
    assert words in first.detail


def test_the_keys_of_a_provider_are_counted() -> None:
    with identity_provider() as provider:
        provider.document = key_set(shown(rsa_key(), "a"), shown(ec_key(), "b"))
        *_, found = access_findings(Settings(jwt_jwks_url=provider.url, **TOKENS))
    detail = f"{provider.url} has 1 for ES256, 1 for RS256, for parley"
    assert found == AccessFinding("tokens", "ok", detail)


def test_a_provider_that_gives_no_keys_is_a_problem_with_its_reason() -> None:
    with identity_provider() as provider:
        settings = Settings(jwt_jwks_url=provider.url, **TOKENS)
        *_, empty = access_findings(settings)
        provider.status = 404
        *_, missing = access_findings(settings)
    *_, gone = access_findings(settings)
    assert [found.state for found in (empty, missing, gone)] == ["problem"] * 3
    assert "no key for RS256 or ES256" in empty.detail
    assert "answers with 404" in missing.detail
    assert "cannot be reached" in gone.detail


def test_no_password_of_the_providers_address_is_shown() -> None:
    settings = Settings(jwt_jwks_url="http://user:canary@127.0.0.1:9/jwks", **TOKENS)
    *_, found = access_findings(settings)
    assert "canary" not in found.detail + repr(settings)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.security.tokens.find_spec", lambda name: None)
    settings = Settings(jwt_secret=SECRET, **TOKENS)
    assert states(settings) == [("clients", "ok"), ("tokens", "problem")]
    monkeypatch.undo()
    assert states(settings) == [("clients", "ok"), ("tokens", "ok")]
