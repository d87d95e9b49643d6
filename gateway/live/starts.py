"""Spreads the beginnings of sessions, so that the event loop gets to all else between two of them.

To begin a session takes milliseconds of the loop (`gateway.live.pressure.START_S`). Where many are
let in at once, their steps would alternate, and whatever comes meanwhile would wait for all of
them: the audio of those who are there, and the answers to those who are refused.
"""

import asyncio
import math

EVERY_S = 0.01
"""From one beginning to the next; one takes about a half of it."""


class SpacedStarts:
    """Of one process."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._next = -math.inf
        self._queue = asyncio.Lock()  # fair; who leaves it takes no turn

    async def turn(self) -> None:
        """Return when a session may begin: each in its turn, in the order of the calls."""
        loop = asyncio.get_running_loop()
        async with self._queue:
            if (wait_s := self._next - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            # From now, not from when it was due: a loop that is late must not let in many at once.
            self._next = loop.time() + self._every_s
