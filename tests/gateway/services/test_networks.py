"""Where instances may be that register themselves."""

import pytest

from gateway.services.networks import AllowedNetworks

INSIDE = (
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "fe80::1%eth0",
)
NO_ADDRESSES = ("localhost", "", "1", "127.1", "0x7f.1", "2130706433", "010.0.0.1", "8.8.8.8:80")


@pytest.mark.parametrize("text", ["", "public"], ids=["nothing", "public"])
@pytest.mark.parametrize("host", INSIDE)
def test_no_address_inside_is_allowed_unless_it_is_named(host: str, text: str) -> None:
    assert AllowedNetworks.parse(text).allowed(host) is None


@pytest.mark.parametrize("host", NO_ADDRESSES)
def test_what_is_no_address_is_never_allowed(host: str) -> None:
    assert AllowedNetworks.parse("public, 0.0.0.0/0, ::/0").allowed(host) is None


def test_what_is_named_is_allowed_and_nothing_beside_it() -> None:
    networks = AllowedNetworks.parse("10.1.0.0/16, fd00::/8")
    allowed = {host: networks.allowed(host) for host in ("10.1.2.3", "::ffff:10.1.2.3", "FD00::1")}
    assert allowed == {
        "10.1.2.3": "10.1.2.3",
        "::ffff:10.1.2.3": "10.1.2.3",
        "FD00::1": "fd00::1",
    }
    assert [networks.allowed(host) for host in ("10.2.0.1", "8.8.8.8", "fe80::1")] == [None] * 3


def test_public_is_the_internet() -> None:
    networks = AllowedNetworks.parse("Public")
    assert [networks.allowed(host) for host in ("8.8.8.8", "2606:4700::1111")] == [
        "8.8.8.8",
        "2606:4700::1111",
    ]
    assert (bool(networks), bool(AllowedNetworks.parse(" , "))) == (True, False)


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="has host bits set"):
        AllowedNetworks.parse("10.0.0.1/8")
