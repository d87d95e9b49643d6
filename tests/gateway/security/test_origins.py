"""Which pages may open a WebSocket."""

import pytest

from gateway.security import may_connect, names_this_machine

HOST = "localhost:8000"
NAMED = "http://localhost:3000,https://demo.example"


@pytest.mark.parametrize(
    ("origin", "allowed", "expected"),
    [
        (None, NAMED, True),
        (None, "none", True),
        ("http://localhost:8000", "none", True),
        ("https://LOCALHOST:8000", "none", True),
        ("http://localhost:3000", NAMED, True),
        ("https://demo.example", NAMED, True),
        ("https://evil.example", "*", True),
        ("https://evil.example", NAMED, False),
        ("http://localhost:8001", NAMED, False),
        ("http://localhost:8000.evil.example", NAMED, False),
        ("null", NAMED, False),
        ("", NAMED, False),
        ("http://[", NAMED, False),
    ],
)
def test_pages_of_strangers_are_kept_out(origin: str | None, allowed: str, expected: bool) -> None:
    assert may_connect(origin, HOST, allowed) is expected


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("https://name.example", "name.example:443", True),
        ("https://name.example", "NAME.example", True),
        ("http://name.example", "name.example:80", True),
        ("https://name.example:8443", "name.example:8443", True),
        ("https://[2001:db8::1]", "[2001:db8::1]:443", True),
        ("https://name.example", "name.example:8443", False),
        ("https://name.example:8443", "name.example", False),
        ("https://name.example:8443", "name.example:443", False),
        ("http://name.example", "name.example:443", False),
        ("https://name.example", "name.example:80", False),
        ("capacitor://localhost", "localhost", False),
        ("https://name.example", "name.example:x", False),
        ("https://name.example", "evil@name.example", False),
        ("https://name.example", "", False),
    ],
)
def test_the_default_port_may_be_named_and_another_is_another_site(
    origin: str, host: str, expected: bool
) -> None:
    assert may_connect(origin, host, "none") is expected


UTF8 = "bücher.example".encode().decode("latin-1")
"""As a program sends it that does not know better, and as Starlette reads it."""


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("https://xn--bcher-kva.example", "xn--bcher-kva.example", True),
        ("https://xn--bcher-kva.example", "XN--BCHER-KVA.example:443", True),
        ("https://xn--bcher-kva.example", "bücher.example", True),
        ("https://xn--bcher-kva.example", UTF8, True),
        ("https://xn--bcher-kva.example:8443", f"{UTF8}:8443", True),
        ("https://bücher.example", "xn--bcher-kva.example", True),
        ("https://BÜCHER.example", "xn--bcher-kva.example", True),
        ("https://bücher。example", "xn--bcher-kva.example", True),
        ("https://xn--strae-oqa.example", "straße.example", True),
        ("https://name.example.", "name.example", True),
        ("https://.", "", False),
        ("https://strasse.example", "straße.example", False),
        ("https://bucher.example", "bücher.example", False),
        ("https://xn--bcher-kva.example", f"{UTF8}:8443", False),
        ("https://bücher.example", "bücher.example.evil.example", False),
        ("https://name.example", "na\u2100me.example", False),  # "a/c"
        ("https://name.example", "é@name.example", False),
        ("https://name.example", "", False),
    ],
)
def test_an_international_name_is_the_same_in_letters_and_in_ascii(
    origin: str, host: str, expected: bool
) -> None:
    assert may_connect(origin, host, "none") is expected


def test_a_named_page_may_have_an_international_name() -> None:
    named = "https://xn--bcher-kva.example"
    assert may_connect("https://bücher.example", HOST, named) is True
    assert may_connect("https://b\u00b2cher.example", HOST, named) is False
    assert names_this_machine("bücher.example", named) is True
    assert names_this_machine(UTF8, named) is True
    assert names_this_machine("böcher.example", named) is False


def test_an_app_that_is_named_may_connect() -> None:
    assert may_connect("capacitor://localhost", HOST, "capacitor://localhost,file://") is True
    assert may_connect("file://", HOST, "capacitor://localhost,file://") is True
    assert may_connect("ionic://localhost", HOST, "capacitor://localhost,file://") is False
