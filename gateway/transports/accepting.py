"""How many connections are accepted in one turn of the event loop.

libuv, and so uvloop, accepts one in a turn from each listening socket. Where a turn takes
milliseconds, since many sessions are live, a hundred clients who come together would wait for a
hundred turns until they are refused. Each duplicate of a socket is listened on like the socket
itself, and takes a connection more of the same queue.
"""

import asyncio
import socket
from collections.abc import Sequence

AT_ONCE = 16
"""Connections of one socket in a turn. To accept and to refuse as many takes some 3 ms of the loop
(measured: 0.15 to 0.2 ms each), which frames wait for. A turn in which one client comes costs 15
system calls more, of those that return at once."""


def duplicates(
    listeners: Sequence[socket.socket], loop: asyncio.AbstractEventLoop
) -> list[socket.socket]:
    """More sockets for the loop to listen on beside these, for `AT_ONCE`; the caller closes them.

    asyncio's own loops need none: they accept all that there are.

    None of them waits for a client. Whether a socket does is one flag of all its duplicates, those
    in other processes included, and `dup` sets it by the timeout of the original: a process that
    began let one that served wait in `accept`, and with it all of its calls, for the next client.
    """
    if isinstance(loop, asyncio.BaseEventLoop):
        return []
    for listener in listeners:
        listener.setblocking(False)
    return [listener.dup() for listener in listeners for _ in range(AT_ONCE - 1)]
