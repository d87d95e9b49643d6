"""The networks, listed by the operator, in which an instance may register itself. Pure.

Otherwise a client that may register could make the gateway ask any address that it reaches: the
machine itself, its neighbours, a cloud's metadata service (SSRF). A host name could lead elsewhere
later, so instances register their addresses.
"""

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

PUBLIC: Final = "public"
"""The word that stands for every public address in a list of networks."""

NAT64: Final = ip_network("64:ff9b::/96")


class AllowedNetworks:
    """The allowed networks, and with `public` every public address. Nothing else is allowed."""

    def __init__(self, *networks: IPv4Network | IPv6Network, public: bool = False) -> None:
        self._networks = networks
        self._public = public

    def __bool__(self) -> bool:
        return bool(self._networks) or self._public

    @classmethod
    def parse(cls, text: str) -> "AllowedNetworks":
        """Networks such as 10.0.0.0/8, and `public`, with commas. Raises `ValueError`."""
        words = [word.strip() for word in text.split(",") if word.strip()]
        networks = [ip_network(word) for word in words if word.lower() != PUBLIC]
        return cls(*networks, public=len(networks) < len(words))

    def allowed(self, host: str) -> str | None:
        """The address that a host is written as, None if it is no address or not allowed."""
        try:
            address = ip_address(host)
        except ValueError:
            return None
        if isinstance(address, IPv6Address):
            if address.scope_id is not None:
                return None
            address = address.ipv4_mapped or address
        named = any(address in network for network in self._networks)
        return str(address) if named or (self._public and _is_public(address)) else None


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and (
        address.sixtofour is not None or address.teredo is not None or address in NAT64
    ):
        return False  # another address is in it, which may be anything
    return address.is_global and not address.is_multicast
