"""The way in over WebRTC. What servers answer is in test_command.py."""

import aioice.ice
import pytest

from gateway.commands.call import whip
from gateway.commands.call.server import ServerAddress


def test_a_server_without_a_network_gets_the_setting_named() -> None:
    server = ServerAddress("ws://h", None, None, None)
    assert whip._unreached(server, "v=0\r\n") == (
        "ws://h answered, but no media came over UDP within 10 s. It offered no address: it has no"
        " network, and needs PARLEY_WEBRTC_ADDRESSES; or leave --webrtc out to call over WebSocket"
    )


@pytest.mark.parametrize(
    ("url", "offered"), [("ws://localhost:1", True), ("ws://127.0.0.9", True), ("ws://h", False)]
)
def test_the_loopback_address_is_for_servers_on_this_machine(url: str, offered: bool) -> None:
    with whip._with_loopback(ServerAddress(url, None, None, None)):
        found = aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=False)
    assert ("127.0.0.1" in found) == offered
    assert "127.0.0.1" not in aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=False)
