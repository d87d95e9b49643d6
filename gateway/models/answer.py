"""A model's answer whose head has come: it passes piece by piece, or is held to be judged."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Final

from gateway.models.replies import ReplyReader
from gateway.models.routing import ModelReply, Reason, ReplyFacts
from gateway.services.exchange import ServiceAnswer
from gateway.services.forwarding import Headers
from gateway.services.upstreams import UpstreamFailed
from stages._sse import MalformedStream

MOST_HELD_BYTES: Final = 1_000_000
"""A reply that is longer than this cannot be judged, and counts as one that failed."""


class ModelAnswer:
    """One model's answer. Use it in an `async with` block; hold it first if needed, read it once.

    `model` gave it; `escalated` is why that model was asked after another. `reader` reads the
    reply, None for an error. `opened` is closed with the answer. It may have `most_bytes`.
    """

    def __init__(
        self,
        model: str,
        escalated: Reason | None,
        answered: ServiceAnswer,
        opened: AsyncExitStack,
        reader: ReplyReader | None,
        before: Iterable[ModelReply],
        *,
        most_bytes: int,
    ) -> None:
        self.model = model
        self.escalated = escalated
        self.status = answered.status
        named = (b"content-type", b"retry-after")
        self.head: Headers = [line for line in answered.head if line[0] in named]
        self._answered: ServiceAnswer | None = answered
        self._opened = opened
        self._reader = reader
        self._before = tuple(before)
        self._own: ModelReply | None = None
        self._most_bytes = most_bytes
        self._held = b""

    @property
    def own(self) -> ModelReply | None:
        """The tokens of its reply so far; None for an error."""
        if self._reader is None:
            return None
        return self._own or ModelReply(self.model, self._reader.usage)

    @property
    def replies(self) -> tuple[ModelReply, ...]:
        """The tokens of all replies so far, those that were not good enough first."""
        return self._before if self.own is None else (*self._before, self.own)

    def stand_in(self, others: Iterable[ModelReply], own: ModelReply) -> None:
        """The answer is given although another model was asked after it; its tokens are `own`."""
        self._before, self._own = tuple(others), own

    async def hold(self, within_s: float) -> ReplyFacts | None:
        """Read all of the answer, and close its connection. None if it is an error, breaks off, or
        is too long or too late."""
        try:
            async with self, asyncio.timeout(within_s):
                whole = await self._take_all()
        except (UpstreamFailed, MalformedStream, TimeoutError):
            whole = False
        self._answered = None
        return self._reader.facts if whole and self._reader is not None else None

    async def _take_all(self) -> bool:
        if self._reader is None or self._answered is None:
            return False
        held, got = bytearray(), 0
        pieces = self._answered.pieces()
        async with aclosing(pieces):  # type: ignore[type-var]
            async for piece in pieces:
                got += len(piece)
                if got > MOST_HELD_BYTES:
                    return False
                held += self._reader.feed(piece)
        held += self._reader.finish()
        self._held = bytes(held)
        return True

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body. Raises `UpstreamFailed` and `MalformedStream` if it breaks off."""
        if self._held:
            yield self._held
        if self._answered is None:
            return
        reader, got = self._reader, 0
        async for piece in self._answered.pieces():
            got += len(piece)
            if got > self._most_bytes:
                raise MalformedStream("the answer is longer than max_response_mb")
            if said := piece if reader is None else reader.feed(piece):
                yield said
        if reader is not None and (said := reader.finish()):
            yield said

    async def __aenter__(self) -> "ModelAnswer":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._opened.__aexit__(kind, error, trace)
