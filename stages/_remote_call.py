"""One call to a remote worker: the messages that it sends, and the replies."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipeline.errors import StageError, StageFailed
from pipeline.frames import Samples
from stages._remote_protocol import Fields
from stages._work_replies import WorkReplies

MOST_REPLIES = 1024
MOST_REPLY_BYTES = 16 * 1024 * 1024
"""The most unread replies of a call, and the most bytes of their sound. A call with more fails."""

NO_SOUND = np.zeros(0, np.int16)


@dataclass(frozen=True, slots=True)
class RemoteReply:
    """A message of the worker, with the sound that came after it; `last` ends the call."""

    kind: str
    fields: Fields
    pcm: Samples
    last: bool


class CallHolder(Protocol):
    """The connection that has a call."""

    def send(self, call: "RemoteCall", kind: str, fields: Fields) -> None: ...

    def send_sound(self, call: "RemoteCall", pcm: Samples) -> None: ...

    def release(self, call: "RemoteCall", *, tell: bool) -> None:
        """The call is over; `tell` the worker if it does not know."""


class RemoteCall(WorkReplies[RemoteReply]):
    """Iterate to get the replies, the last one included; awaiting them raises `StageError`s.

    All other methods are plain calls that never raise. If `on_reply` is given, it takes every reply
    but the last, and iterating yields only the last. `on_lost` is called once if the connection
    breaks before the call is over.
    """

    def __init__(
        self,
        stage: str,
        provider: str,
        on_reply: Callable[[RemoteReply], None] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(on_reply, on_lost)
        self._stage = stage
        self._provider = provider
        self.epoch = 0
        self.holder: CallHolder | None = None
        """The connection that has the call; None once the call is over."""
        self._bytes = 0

    def send(self, kind: str, **fields: object) -> None:
        """Tell the worker."""
        if self.holder is not None:
            self.holder.send(self, kind, fields)

    def send_sound(self, pcm: Samples) -> None:
        """Send samples."""
        if self.holder is not None:
            self.holder.send_sound(self, pcm)

    async def __anext__(self) -> RemoteReply:
        reply = await super().__anext__()
        self._bytes -= reply.pcm.nbytes
        return reply

    # --- what its connection calls ------------------------------------------------------------

    def receive(self, reply: RemoteReply) -> None:
        """Take a reply."""
        if reply.last or self._on_reply is None:
            self._replies.append(reply)
            self._bytes += reply.pcm.nbytes
        else:
            self._report(self._on_reply, reply)
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

    def _end(self, *, tell: bool) -> None:
        self._over = True
        holder, self.holder = self.holder, None
        if holder is not None:
            holder.release(self, tell=tell)
        self._wake()

    def _no_reply(self) -> StageFailed:
        return StageFailed(self._stage, self._provider, "stream", "the call was cancelled")
