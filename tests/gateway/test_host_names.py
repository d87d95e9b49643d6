"""International names as browsers write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.host_names import ascii_origin, host_of


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("Name.example:8443", "Name.example:8443"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("日本語。jp:80", "xn--wgv71a119e.jp:80"),
        ("Ｎａｍｅ.example", "name.example"),
        ("हिन्दी.example", "xn--j2bd4cyah0f.example"),
        ("ΒΌΛΟΣ.example", "xn--nxasmq6b.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("bücher.example:x", ""),
        ("bücher .example", ""),
        ("bü/cher.example", ""),
        ("bü@cher.example", ""),
        (f"{'ü' * 70}.example", ""),
    ],
)
def test_a_name_has_one_spelling(header: str, host: str) -> None:
    assert host_of(header) == host
    assert host_of(header.encode().decode("latin-1")) == host


@pytest.mark.parametrize(
    ("origin", "spelled"),
    [
        ("https://a.example:8443", "https://a.example:8443"),
        ("https://Bücher.example:8443", "https://xn--bcher-kva.example:8443"),
        ("capacitor://bücher", "capacitor://xn--bcher-kva"),
    ],
)
def test_an_origin_has_one_spelling(origin: str, spelled: str) -> None:
    assert ascii_origin(origin) == spelled


def test_no_name_takes_long() -> None:
    letters = "".join(map(chr, range(0x4E00, 0x9E00)))
    for name in (letters, f"{letters[:253]}", "\ufdfa" * 253, "ü." * 20_000):
        assert host_of(name) == ""


@given(st.text(max_size=40))
def test_any_header_gives_ascii(header: str) -> None:
    host = host_of(header)
    assert host.isascii()
    assert header.isascii() or not set(host) & set("/@?#%[] ")
