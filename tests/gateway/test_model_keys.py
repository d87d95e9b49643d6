"""The keys of services that have models, as an operator writes them."""

import pytest

from gateway.model_keys import parse_model_keys
from gateway.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("large-llm=sk-1", {"large-llm": "sk-1"}),
        ("a=sk-1,b=x=y=", {"a": "sk-1", "b": "x=y="}),
        (" a = sk-1 , b = sk-2 ", {"a": "sk-1", "b": "sk-2"}),
    ],
    ids=["one", "with equals signs", "with spaces between"],
)
def test_each_service_has_its_key(text: str, keys: dict[str, str]) -> None:
    assert parse_model_keys(text) == keys


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("sk-secret", "entry 1 has no =, and a key must be without commas"),
        ("a=sk-secret,", "entry 2 has no =, and a key must be without commas"),
        ("a=sk-secret,more", "entry 2 has no =, and a key must be without commas"),
        ("=sk-secret", "entry 1 has no name of a service before its ="),
        ("https://sk-secret=x", "entry 1 has no name of a service before its ="),
        ("a=", "the key of a is not printable ASCII without spaces"),
        ("a=sk secret", "the key of a is not printable ASCII without spaces"),
        ("a=sk-secret\r\nX-Evil: 1", "the key of a is not printable ASCII without spaces"),
        ("a=schlüssel-secret", "the key of a is not printable ASCII without spaces"),
        ("a=sk-secret,b=x,a=y", "a comes twice"),
    ],
    ids=[
        "no pair",
        "comma behind",
        "comma in a key",
        "no service",
        "a URL",
        "no key",
        "space",
        "line break",
        "umlaut",
        "twice",
    ],
)
def test_the_start_is_refused_in_words_without_a_key(
    text: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLEY_MODEL_KEYS", text)
    with pytest.raises(SettingsError) as refusal:
        Settings.load(env_file=None)
    said = f"PARLEY_MODEL_KEYS must be like service=key,service=key: {wrong}"
    assert str(refusal.value) == said
    assert "secret" not in said
