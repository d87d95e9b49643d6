"""Spaces out sessions that begin, so that the event loop does other work between two of them.

Beginning a session takes milliseconds of the loop (`gateway.live.pressure.START_S`). If many
sessions began at once, their steps would alternate, and all other work would wait for the last of
them: the audio of live sessions, and the answers to clients that are refused.
"""

import asyncio
import math

EVERY_S = 0.01
"""Seconds from one beginning to the next; a beginning takes about half of it."""


class SpacedStarts:
    """Spaces out the beginnings of sessions in one process."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._next = -math.inf
        self._queue = asyncio.Lock()  # fair; who leaves it takes no turn

    async def turn(self) -> None:
        """Return when this caller's session may begin; callers wait in the order of their calls."""
        loop = asyncio.get_running_loop()
        async with self._queue:
            if (wait_s := self._next - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            # From now, not from when it was due: a loop that is late must not let in many at once.
            self._next = loop.time() + self._every_s
