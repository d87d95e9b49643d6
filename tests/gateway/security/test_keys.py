"""Who may come in: keys of the settings, and where a client puts its own."""

import pytest

from gateway.security import ApiKeys, bearer, key_of
from gateway.security.keys import offered_key


@pytest.mark.parametrize("keys", ["", " ", ",", " , "])
def test_without_keys_every_client_is_accepted(keys: str) -> None:
    known = ApiKeys.parse(keys)
    assert known.open
    assert known.accepts("")
    assert known.accepts("anything")


def test_each_of_the_keys_is_accepted_and_nothing_else() -> None:
    known = ApiKeys.parse("first-key, second-key,")
    assert not known.open
    assert known.accepts("first-key")
    assert known.accepts("second-key")
    for wrong in ("", " ", "first-ke", "first-keys", "first-key, second-key", "é", "\udcff"):
        assert not known.accepts(wrong)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (None, ""),
        ("", ""),
        ("Bearer", ""),
        ("Bearer mine", "mine"),
        ("bearer  mine ", "mine"),
        ("Basic bWluZQ==", ""),
        ("mine", ""),
    ],
)
def test_the_token_of_a_header(header: str | None, token: str) -> None:
    assert bearer(header) == token


@pytest.mark.parametrize(
    ("offered", "key"),
    [
        ([], ""),
        (["realtime"], ""),
        (["realtime", "openai-insecure-api-key.mine"], "mine"),
        (["openai-insecure-api-key.", "openai-insecure-api-key.late"], ""),
    ],
)
def test_the_key_among_the_subprotocols_of_a_browser(offered: list[str], key: str) -> None:
    assert offered_key(offered) == key


def test_a_header_comes_before_a_subprotocol() -> None:
    offered = ["openai-insecure-api-key.offered"]
    assert key_of("Bearer told", offered) == "told"
    assert key_of(None, offered) == "offered"
    assert key_of(None) == ""
