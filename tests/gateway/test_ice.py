"""Configured addresses and ICE servers."""

import pytest

from gateway.ice import (
    Addresses,
    IceServer,
    links,
    parse_addresses,
    parse_ice_servers,
    split,
    with_public,
)
from gateway.settings import Settings, SettingsError

HOST = "a=candidate:f 1 udp 2130706431 10.0.0.5 41000 typ host"


def test_this_machines_addresses_are_separated_from_the_nats() -> None:
    assert split(parse_addresses("127.0.0.1, 203.0.113.9")) == Addresses(
        ("127.0.0.1",), "203.0.113.9"
    )
    with pytest.raises(ValueError, match=r"203\.0\.113\.9, 203\.0\.113\.10 none"):
        split(("203.0.113.9", "203.0.113.10"))


@pytest.mark.parametrize(
    ("addresses", "public"),
    [
        (Addresses(), False),
        (Addresses(("10.0.0.5",)), False),
        (Addresses(("8.8.8.8",)), True),
        (Addresses((), "8.8.8.8"), True),
    ],
)
def test_whether_the_server_is_on_the_internet(addresses: Addresses, public: bool) -> None:
    assert addresses.is_public is public


def test_the_nats_address_is_offered_in_place_of_the_machines() -> None:
    six = HOST.replace("10.0.0.5", "fd00::5")
    relay = HOST.replace("host", "relay")
    answer = "\r\n".join([HOST, six, relay, ""])
    assert with_public(answer, "203.0.113.9").split("\r\n") == [
        HOST.replace("10.0.0.5", "203.0.113.9"),
        six,
        relay,
        "",
    ]
    assert with_public(answer, None) == answer


def test_ice_servers_with_and_without_an_account() -> None:
    servers = parse_ice_servers(
        'stun:stun.example.org, turn:me:s3"cret@turn.example.org:3478?transport=udp,'
        "turns:[::1]:5349"
    )
    assert servers == (
        IceServer("stun:stun.example.org"),
        IceServer("turn:turn.example.org:3478?transport=udp", "me", 's3"cret'),
        IceServer("turns:[::1]:5349"),
    )
    assert "s3" not in repr(servers)
    assert links(servers)[:2] == [
        '<stun:stun.example.org>; rel="ice-server"',
        '<turn:turn.example.org:3478?transport=udp>; rel="ice-server"; username="me";'
        ' credential="s3\\"cret"; credential-type="password"',
    ]


@pytest.mark.parametrize(
    "text",
    ["http://x", "turn:", "turn:me:secret@", "stun:me:secret@x", "stun:x?transport=udp"],
)
def test_an_ice_server_that_cannot_be_is_refused_without_its_password(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLEY_ICE_SERVERS", text)
    with pytest.raises(SettingsError, match="PARLEY_ICE_SERVERS must") as refused:
        Settings.load(None)
    assert "secret" not in str(refused.value)


def test_an_address_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_WEBRTC_ADDRESSES", "example.org")
    with pytest.raises(SettingsError, match="PARLEY_WEBRTC_ADDRESSES must be IP addresses"):
        Settings.load(None)
