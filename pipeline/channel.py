"""A bounded channel from one task to another: the sender waits for space, the receiver for an item.

Unlike `asyncio.Queue` it can be closed, its bound has any unit, and it reports the items' ages.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline.errors import ChannelClosed

T = TypeVar("T")

Waited = Callable[[str, float], None]
"""Called with a queue's name and the milliseconds that the item taken from it had waited.

A plain call: must neither block nor raise.
"""


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """`depth` is in the bound's unit."""

    depth: int
    oldest_age_s: float


class Channel(Generic[T]):
    """A first-in, first-out channel that holds at most `bound`, in the unit of `size`.

    One task sends and one receives; `offer` and `close` are plain calls from the event loop's
    thread. An item larger than the bound passes alone. Items are taken oldest first: for each one
    `waited`, if given, gets its age. Time is the running loop's.
    """

    def __init__(
        self, name: str, *, bound: int, size: Callable[[T], int], waited: Waited | None = None
    ) -> None:
        self.name = name
        self.bound = bound
        self._size = size
        self._waited = waited
        self._held: deque[tuple[T, float]] = deque()
        self._depth = 0
        self._closed = False
        self._moved = asyncio.Event()  # an item came or left, or the channel was closed

    async def send(self, item: T) -> None:
        """Put an item in, waiting for space if need be.

        Raises `ChannelClosed`. Cancelling: the item was not put in.
        """
        while not self.offer(item):
            await self._move()

    def offer(self, item: T) -> bool:
        """Put an item in without waiting; False if it does not fit. Raises `ChannelClosed`."""
        if self._closed:
            raise ChannelClosed(self.name)
        size = self._size(item)
        if self._held and self._depth + size > self.bound:
            return False
        self._held.append((item, asyncio.get_running_loop().time()))
        self._depth += size
        self._moved.set()
        return True

    async def receive(self) -> T:
        """Take the oldest item, waiting for one if need be.

        Raises `ChannelClosed` when the channel is closed and empty. Cancelling: the item stays in
        the channel.
        """
        while not self._held:
            if self._closed:
                raise ChannelClosed(self.name)
            await self._move()
        age_s = self.stats().oldest_age_s
        item, _ = self._held.popleft()
        self._depth -= self._size(item)
        self._moved.set()
        if self._waited is not None:
            self._waited(self.name, age_s * 1000)
        return item

    def close(self) -> None:
        """Accept no more items. Items inside can still be received; a waiting sender gets
        `ChannelClosed`. Idempotent."""
        self._closed = True
        self._moved.set()

    def stats(self) -> ChannelStats:
        """How full the channel is. Call it on the event loop."""
        age_s = asyncio.get_running_loop().time() - self._held[0][1] if self._held else 0.0
        return ChannelStats(self._depth, age_s)

    async def _move(self) -> None:
        self._moved.clear()
        await self._moved.wait()
