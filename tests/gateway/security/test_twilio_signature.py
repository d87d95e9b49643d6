"""Twilio's signature of a request."""

import pytest

from gateway.security.twilio_signature import is_signed, signature

# The example of Twilio's documentation (https://www.twilio.com/docs/usage/security).
TOKEN = "12345"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FIELDS = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675309"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
]
SIGNED = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_the_example_of_the_documentation_is_signed() -> None:
    assert signature(TOKEN, URL, FIELDS) == SIGNED
    assert is_signed(SIGNED, TOKEN, URL, FIELDS)
    assert is_signed(SIGNED, TOKEN, URL, FIELDS[::-1]), "the order of the form does not matter"


@pytest.mark.parametrize(
    ("given", "token", "url", "fields"),
    [
        (SIGNED, "12346", URL, FIELDS),
        (SIGNED, TOKEN, URL + "&a=b", FIELDS),
        (SIGNED, TOKEN, URL, [*FIELDS, ("More", "1")]),
        (SIGNED, TOKEN, URL, FIELDS[1:]),
        (SIGNED, TOKEN, URL.replace("https", "http"), FIELDS),
        (SIGNED.lower(), TOKEN, URL, FIELDS),
        (SIGNED + "=", TOKEN, URL, FIELDS),
        ("", TOKEN, URL, FIELDS),
        ("é\ud800", TOKEN, URL, FIELDS),
    ],
    ids=["token", "query", "more", "fewer", "scheme", "case", "longer", "none", "odd"],
)
def test_anything_else_is_not(
    given: str, token: str, url: str, fields: list[tuple[str, str]]
) -> None:
    assert not is_signed(given, token, url, fields)


@pytest.mark.parametrize(
    ("signed", "seen"),
    [
        ("https://a.example/v", "https://a.example:443/v"),
        ("https://a.example:443/v", "https://a.example/v"),
        ("http://a.example:80/v?q=1", "http://a.example/v?q=1"),
        ("https://[::1]:443/v", "https://[::1]/v"),
    ],
)
def test_the_port_that_a_scheme_has_anyway_may_be_there_or_not(signed: str, seen: str) -> None:
    assert is_signed(signature(TOKEN, signed, FIELDS), TOKEN, seen, FIELDS)


def test_another_port_is_another_url() -> None:
    given = signature(TOKEN, "https://a.example/v", FIELDS)
    assert not is_signed(given, TOKEN, "https://a.example:8443/v", FIELDS)
    other = signature(TOKEN, "https://a.example:8443/v", FIELDS)
    assert is_signed(other, TOKEN, "https://a.example:8443/v", FIELDS)


def test_a_field_that_comes_twice_with_one_value_counts_once() -> None:
    # A vector of Twilio's own libraries (RequestValidator, "multiple keys").
    digits = [("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")]
    fields = [("Sid", "CA123"), ("SidAccount", "AC123"), *digits]
    assert signature(TOKEN, URL, fields) == "IK+Dwps556ElfBT0I3Rgjkr1wJU="
