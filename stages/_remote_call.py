"""One call to a worker elsewhere: what is sent for it, and what comes back."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipeline.errors import StageError, StageFailed
from pipeline.frames import Samples
from stages._remote_protocol import Fields

MOST_REPLIES = 1024
MOST_REPLY_BYTES = 16 * 1024 * 1024
"""What may wait of one call's replies for who reads them; a call with more has failed."""

NO_SOUND = np.zeros(0, np.int16)


@dataclass(frozen=True, slots=True)
class RemoteReply:
    """A message of the worker, with the sound that came behind it; `last` ends the call."""

    kind: str
    fields: Fields
    pcm: Samples
    last: bool


class CallHolder(Protocol):
    """The connection that has a call."""

    def send(self, call: "RemoteCall", kind: str, fields: Fields) -> None: ...

    def send_sound(self, call: "RemoteCall", pcm: Samples) -> None: ...

    def release(self, call: "RemoteCall", *, tell: bool) -> None:
        """The call is over; `tell` the worker where it does not know."""


class RemoteCall:
    """Iterate to get the replies, the last one included; awaiting them raises `StageError`s.

    All else are plain calls that never raise. `on_reply` takes every reply but the last, which then
    is all that iterating yields. `on_lost` is called once where the connection broke before the
    call was over.
    """

    def __init__(
        self,
        stage: str,
        provider: str,
        on_reply: Callable[[RemoteReply], None] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self._stage = stage
        self._provider = provider
        self._on_reply = on_reply
        self._on_lost = on_lost
        self.epoch = 0
        self.holder: CallHolder | None = None
        """The connection that has it; None once it is over."""
        self.lost = False
        """Its connection broke before it was over, or there was none."""
        self._replies: deque[RemoteReply] = deque()
        self._bytes = 0
        self._error: StageError | None = None
        self._over = False
        self._cancelled = False
        self._waiter: asyncio.Future[None] | None = None

    def send(self, kind: str, **fields: object) -> None:
        """Tell the worker."""
        if self.holder is not None:
            self.holder.send(self, kind, fields)

    def send_sound(self, pcm: Samples) -> None:
        """Send samples."""
        if self.holder is not None:
            self.holder.send_sound(self, pcm)

    def cancel(self) -> None:
        """Drop the call with all that waits of it. Idempotent."""
        self._cancelled = True
        self._replies.clear()
        if not self._over:
            self._end(tell=True)

    def __aiter__(self) -> "RemoteCall":
        return self

    async def __anext__(self) -> RemoteReply:
        while not self._replies:
            if self._error is not None:
                raise self._error
            if self._over:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            except asyncio.CancelledError:
                self.cancel()
                raise
        reply = self._replies.popleft()
        self._bytes -= reply.pcm.nbytes
        return reply

    async def result(self) -> RemoteReply:
        """The last reply. Raises as iterating does, and `StageFailed` where it was cancelled."""
        async for reply in self:
            if reply.last:
                return reply
        raise StageFailed(self._stage, self._provider, "stream", "the call was cancelled")

    # --- what its connection calls ------------------------------------------------------------

    def receive(self, reply: RemoteReply) -> None:
        """Take a reply."""
        if reply.last or self._on_reply is None:
            self._replies.append(reply)
            self._bytes += reply.pcm.nbytes
        else:
            # By way of the loop, so that an exception harms no connection.
            asyncio.get_running_loop().call_soon(self._report, self._on_reply, reply)
        if reply.last:
            self._end(tell=False)
        elif len(self._replies) > MOST_REPLIES or self._bytes > MOST_REPLY_BYTES:
            detail = "nobody reads its replies"
            self.fail(StageFailed(self._stage, self._provider, "stream", detail), tell=True)
        else:
            self._wake()

    def fail(self, error: StageError, *, tell: bool = False) -> None:
        """End the call with an error."""
        if not self._over:
            self._error = error
            self._end(tell=tell)

    def lose(self, error: StageError) -> None:
        """End the call because its connection broke."""
        self.lost = True
        self.fail(error)
        if self._on_lost is not None and not self._cancelled:
            asyncio.get_running_loop().call_soon(self._on_lost)

    def _report(self, on_reply: Callable[[RemoteReply], None], reply: RemoteReply) -> None:
        if not self._cancelled:
            on_reply(reply)

    def _end(self, *, tell: bool) -> None:
        self._over = True
        holder, self.holder = self.holder, None
        if holder is not None:
            holder.release(self, tell=tell)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
