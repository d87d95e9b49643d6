"""Bounded channels with a named overflow policy, epochs and statistics.

For many senders and a single receiver. What `asyncio.Queue` lacks and a conversation needs: an end,
a bound in any unit, a stated answer to "full", the age of the oldest item, and `flush`, which
makes everything of an interrupted turn disappear at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from pipeline.errors import ChannelClosed, ChannelFull

T = TypeVar("T")


class Policy(Enum):
    """What happens to an item for which there is no room."""

    BLOCK = "block"
    """The sender waits."""
    DROP_OLDEST = "drop-oldest"
    """The oldest items make room."""
    DROP_NEWEST = "drop-newest"
    """The item itself is dropped."""
    LATEST = "latest"
    """There is never more than one item: each replaces the one before."""
    REJECT = "reject"
    """The sender gets `ChannelFull`: losing the item would corrupt state."""


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """`depth` and `peak` are in the bound's unit; `dropped` and `conflated` count items."""

    depth: int
    peak: int
    dropped: int
    conflated: int
    blocked_s: float
    oldest_age_s: float


@dataclass(frozen=True, slots=True)
class _Held(Generic[T]):
    item: T
    size: int
    at: float


class Channel(Generic[T]):
    """A first-in, first-out channel that holds at most `bound` (in the unit of `size`).

    An item larger than the bound passes alone. `epoch` gives an item's turn and is needed for
    `flush`. Time is the running loop's. Every method but `receive` may be called by many tasks.
    """

    def __init__(
        self,
        name: str,
        *,
        bound: int,
        policy: Policy,
        size: Callable[[T], int] = lambda _: 1,
        epoch: Callable[[T], int] | None = None,
    ) -> None:
        if bound < 1:
            raise ValueError(f"channel {name!r}: the bound must be at least 1")
        self.name = name
        self.bound = bound
        self.policy = policy
        self._size = size
        self._epoch_of = epoch
        self._held: deque[_Held[T]] = deque()
        self._depth = 0
        self._closed = False
        # Items of an older epoch are stale: dropped wherever they are met.
        self._epoch: int | None = None
        # The receiver that waits for an item, and the senders that wait for room, in order. A
        # sender stays in line until it has run, so that nobody takes the room it was woken for.
        self._receiver: asyncio.Future[None] | None = None
        self._senders: deque[tuple[asyncio.Future[None], int]] = deque()
        self._peak = 0
        self._dropped = 0
        self._conflated = 0
        self._blocked_s = 0.0

    async def send(self, item: T) -> None:
        """Put an item in. Only a BLOCK channel waits, and its senders are served in order.

        Raises `ChannelClosed`, and `ChannelFull` where the policy is REJECT. Cancelling: the item
        was not put in. A stale item is dropped.
        """
        size = self._size(item)
        if self.policy is Policy.BLOCK and not self._closed and not self._room(size):
            await self._send_in_turn(item, size)
        else:
            self._put(item, size)

    def offer(self, item: T) -> bool:
        """Put an item in without waiting; False if it was not taken.

        That is: the channel is full and its policy is BLOCK or DROP_NEWEST, or the item is stale.
        Raises `ChannelClosed`, and `ChannelFull` where the policy is REJECT.
        """
        size = self._size(item)
        if self.policy is Policy.BLOCK and not self._closed and not self._room(size):
            return False
        return self._put(item, size)

    async def receive(self) -> T:
        """Take the oldest item, waiting for one if need be.

        Raises `ChannelClosed` when the channel is closed and empty, and `RuntimeError` when another
        task is already receiving. Cancelling: the item stays in the channel.
        """
        if self._receiver is not None:
            raise RuntimeError(f"channel {self.name!r}: another task is receiving")
        while not self._held:
            if self._closed:
                raise ChannelClosed(self.name)
            self._receiver = asyncio.get_running_loop().create_future()
            try:
                await self._receiver
            finally:
                self._receiver = None
        held = self._held.popleft()
        self._depth -= held.size
        self._wake_sender()
        return held.item

    def __aiter__(self) -> "Channel[T]":
        return self

    async def __anext__(self) -> T:
        try:
            return await self.receive()
        except ChannelClosed:
            raise StopAsyncIteration from None

    def close(self) -> None:
        """Let nothing more in. What is held can still be received; waiting senders get
        `ChannelClosed`. Idempotent."""
        self._closed = True
        self._wake_receiver()
        for sender, _ in self._senders:
            _wake(sender)

    def flush(self, epoch: int) -> None:
        """Drop every item that is older than `epoch`, now and from now on.

        Raises `ValueError` where items have no epoch.
        """
        if self._epoch_of is None:
            raise ValueError(f"channel {self.name!r}: its items have no epoch")
        self._epoch = epoch if self._epoch is None else max(epoch, self._epoch)
        fresh = deque(held for held in self._held if not self._stale(held.item))
        self._dropped += len(self._held) - len(fresh)
        self._held = fresh
        self._depth = sum(held.size for held in fresh)
        self._wake_sender()

    def stats(self) -> ChannelStats:
        """Numbers for metrics. Call it on the event loop."""
        age = asyncio.get_running_loop().time() - self._held[0].at if self._held else 0.0
        return ChannelStats(
            self._depth, self._peak, self._dropped, self._conflated, self._blocked_s, age
        )

    def _fits(self, size: int) -> bool:
        return not self._held or self._depth + size <= self.bound

    def _room(self, size: int) -> bool:
        return not self._senders and self._fits(size)

    def _stale(self, item: T) -> bool:
        return (
            self._epoch is not None
            and self._epoch_of is not None
            and self._epoch_of(item) < self._epoch
        )

    def _put(self, item: T, size: int) -> bool:
        """Apply the policy; a BLOCK channel has been found to have room."""
        if self._closed:
            raise ChannelClosed(self.name)
        if self._stale(item):
            self._dropped += 1
            return False
        if self.policy is Policy.LATEST:
            self._conflated += len(self._held)
            self._held.clear()
            self._depth = 0
        elif not self._fits(size):
            if self.policy is Policy.REJECT:
                raise ChannelFull(self.name)
            if self.policy is Policy.DROP_NEWEST:
                self._dropped += 1
                return False
            while not self._fits(size):
                self._depth -= self._held.popleft().size
                self._dropped += 1
        self._held.append(_Held(item, size, asyncio.get_running_loop().time()))
        self._depth += size
        self._peak = max(self._peak, self._depth)
        self._wake_receiver()
        return True

    async def _send_in_turn(self, item: T, size: int) -> None:
        loop = asyncio.get_running_loop()
        place = (loop.create_future(), size)
        self._senders.append(place)
        since = loop.time()
        try:
            await place[0]
            self._put(item, size)
        finally:
            self._blocked_s += loop.time() - since
            self._senders.remove(place)
            self._wake_sender()

    def _wake_receiver(self) -> None:
        if self._receiver is not None:
            _wake(self._receiver)

    def _wake_sender(self) -> None:
        if self._senders and self._fits(self._senders[0][1]):
            _wake(self._senders[0][0])


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
