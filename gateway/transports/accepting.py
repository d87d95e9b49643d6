"""Sets how many connections are accepted in one turn of the event loop.

libuv, and so uvloop, accepts one connection of each listening socket in a turn. If a turn takes
milliseconds, because many sessions are live, a hundred clients who connect together would wait for
a hundred turns until they are refused. So the loop also listens on duplicates of the socket: each
takes one more connection of the same queue in a turn.
"""

import asyncio
import socket
from collections.abc import Sequence

AT_ONCE = 16
"""How many connections of one socket are accepted in a turn. Accepting and refusing this many takes
some 3 ms of the loop (measured: 0.15 to 0.2 ms each), for which frames wait. A turn in which one
client comes costs 15 more system calls, all of which return at once."""


def duplicates(
    listeners: Sequence[socket.socket], loop: asyncio.AbstractEventLoop
) -> list[socket.socket]:
    """More sockets for the loop to listen on beside these, for `AT_ONCE`; the caller closes them.

    asyncio's own loops need none: they accept all waiting connections.

    No duplicate blocks. All duplicates of a socket, even those in other processes, share one flag
    for that, and `dup` sets it by the timeout of the original: without this, a process that begins
    could make a process that serves wait in `accept`, with all of its calls, for the next client.
    """
    if isinstance(loop, asyncio.BaseEventLoop):
        return []
    for listener in listeners:
        listener.setblocking(False)
    return [listener.dup() for listener in listeners for _ in range(AT_ONCE - 1)]
