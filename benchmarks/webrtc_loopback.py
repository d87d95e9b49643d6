"""Media over the loopback address, which aiortc leaves out of its candidates."""

from typing import Any

import aioice.ice


def only_loopback() -> None:
    """Offer 127.0.0.1 and nothing else, for the rest of this process."""
    inside: Any = aioice.ice
    inside.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
