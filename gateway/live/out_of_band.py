"""Replies beside the conversation: text of the chat server, neither spoken nor remembered."""

import asyncio
from collections.abc import Callable

from gateway.live.assistant import brief_of
from gateway.protocols.dialect import OutOfBand, ProtocolError
from gateway.protocols.request import AssistantRequest
from pipeline.candidate import client_reason
from pipeline.counted_reply import CountedReply
from pipeline.errors import PipelineError
from pipeline.frames import TextDelta
from pipeline.guard import Guard
from pipeline.stage import ReplyRequest, Responder

MOST_OUT_OF_BAND = 4
"""The most out-of-band replies of one client at the same time."""

FIRST_S = 10.0
"""How long the first words may take; longer than in a turn, where a person waits for them."""

LONGEST_CHARS = 64_000
ALL_HISTORY = 1 << 62
"""A turn later than any: nothing of the conversation is left out."""


class OutOfBandReplies:
    """One client's, as tasks of `group`. `emit` gets their pieces as `OutOfBand`."""

    def __init__(
        self,
        responders: Guard[Responder],
        group: asyncio.TaskGroup,
        emit: Callable[[OutOfBand], None],
    ) -> None:
        self._responders = responders
        self._group = group
        self._emit = emit
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, key: str, asked: AssistantRequest) -> None:
        """Ask for a reply. Raises `ProtocolError` where too many are under way."""
        if len(self._tasks) >= MOST_OUT_OF_BAND:
            text = f"{MOST_OUT_OF_BAND} responses beside the conversation are under way"
            raise ProtocolError("too_many_responses", text)
        task = self._group.create_task(self._run(key, asked))
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._tasks.pop(key, None))

    def stop(self, key: str) -> None:
        """Stop one; harmless where it has ended."""
        if (task := self._tasks.get(key)) is not None:
            task.cancel()

    def stop_all(self) -> None:
        """Stop all of them: the client leaves."""
        for task in tuple(self._tasks.values()):
            task.cancel()

    async def _run(self, key: str, asked: AssistantRequest) -> None:
        request = ReplyRequest(0, "", brief_of(asked, ALL_HISTORY))
        counted = CountedReply(self._responders, request)
        stream = self._responders.stream(
            counted,
            useful=lambda piece: not isinstance(piece, TextDelta) or bool(piece.text.strip()),
            budget_s=FIRST_S,
        )
        left = LONGEST_CHARS
        try:
            async with stream as pieces:
                async for piece in pieces:
                    if isinstance(piece, TextDelta) and left > 0:
                        tokens = counted.by(stream.provider)
                        self._emit(OutOfBand(key, piece.text[:left], tokens=tokens))
                        left -= len(piece.text)
        except PipelineError as error:
            tokens = counted.by(stream.provider)
            self._emit(OutOfBand(key, done=True, failed=client_reason(error), tokens=tokens))
        else:
            self._emit(OutOfBand(key, done=True, tokens=counted.by(stream.provider)))
