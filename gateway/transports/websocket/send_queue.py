"""A socket's send queue: the data of a connection that has not left for the network."""

import asyncio
import sys

if sys.platform == "linux":
    import fcntl

SIOCOUTQNSD = 0x894B
"""Linux: asks for the bytes in a socket's send queue that TCP has not sent."""


def unsent_bytes(transport: asyncio.Transport) -> int:
    """The bytes that wait, as far as the system reports them. The transport must be open."""
    waiting = transport.get_write_buffer_size()
    raw = transport.get_extra_info("socket")
    if not waiting and raw is not None and sys.platform == "linux":
        try:
            answer = fcntl.ioctl(raw.fileno(), SIOCOUTQNSD, bytes(4))
        except (OSError, ValueError):  # not every Linux has it; or the socket is closed
            return 0
        waiting = int.from_bytes(answer, sys.byteorder)
    return waiting
