"""RFC 7239, as proxies write it and as others try to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transports.forwarded import Hop, hops


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["for=192.0.2.7;proto=https;by=10.0.0.5"], (Hop("192.0.2.7", "https"),)),
        (['For="[2001:db8::17]:4711"; Proto=HTTPS'], (Hop("2001:db8::17", "https"),)),
        (['for="192.0.2.7:4711"'], (Hop("192.0.2.7"),)),
        (['for="192.0.2.7:_port"'], (Hop("192.0.2.7"),)),
        (["for=2001:db8::17"], (Hop("2001:db8::17"),)),
        (["for=192.0.2.7, for=10.0.0.6"], (Hop("192.0.2.7"), Hop("10.0.0.6"))),
        (["for=192.0.2.7", "for=10.0.0.6"], (Hop("192.0.2.7"), Hop("10.0.0.6"))),
        ([" , for=192.0.2.7 ;; , "], (Hop("192.0.2.7"),)),
        (["for=unknown;proto=https"], (Hop("unknown", "https"),)),
        (["for=_hidden"], (Hop("unknown"),)),
        ([f'for="{":" * 99}!"'], (Hop("unknown"),)),
        (["proto=https"], (Hop("unknown", "https"),)),
        (['for="1.1.1.1, 2.2.2.2"'], (Hop("unknown"),)),
        (['for="1.1.1.1\\", for=2.2.2.2'], ()),
        (['for="\\1.1.1.1"'], (Hop("1.1.1.1"),)),
        (["for=1.1.1.1;for=2.2.2.2"], ()),
        (["for=1.1.1.1 for=2.2.2.2"], ()),
        (["1.1.1.1"], ()),
        (["for=1.1.1.1, " * 100], ()),
        ([""], ()),
        ([], ()),
    ],
    ids=[
        *("plain", "ipv6", "port", "hidden port", "no brackets", "list", "lines", "empty"),
        *("unknown", "hidden", "colons", "no address", "two in one", "no end", "escaped", "twice"),
        *("no comma", "no pair", "many", "nothing", "none"),
    ],
)
def test_each_proxy_tells_who_sent_it_the_request(lines: list[str], found: tuple[Hop, ...]) -> None:
    assert hops(lines) == found


@given(st.lists(st.text(alphabet='for=1."\\;,[:] _', max_size=40), max_size=3))
def test_no_line_makes_it_raise_or_gives_a_list_for_an_address(lines: list[str]) -> None:
    assert all("," not in hop.address for hop in hops(lines))


def test_no_line_takes_long() -> None:
    for text in ('"' * 60_000, 'for="' + "\\" * 60_000, "for=" + "1" * 60_000, ";" * 60_000):
        hops([text])
    for mark in (":", ".", "1:", "[", "for=", " "):
        assert hops([f'for="{mark * 30_000}!"']) == (Hop("unknown"),)
