"""A call of a function is a useful item of a reply: the guard waits for no text before it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from pipeline.frames import Degraded, ReplyDone, TextDelta, ToolCall
from pipeline.stage import ReplyRequest


class Calling:
    """Calls a function after 1.5 s and speaks 0.75 s later: too late for its first item."""

    provider = "calling"

    async def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta | ToolCall]:
        await asyncio.sleep(1.5)
        yield ToolCall(request.turn, "call_1", "look_up", "{}")
        await asyncio.sleep(0.75)
        yield TextDelta(request.turn, "I have looked it up.")

    async def aclose(self) -> None: ...


def test_a_call_counts_as_the_first_item_and_the_text_after_it_is_spoken(room: Any) -> None:
    room.responders = [Calling()]

    async def story() -> None:
        done = await room.until(ReplyDone, 0)
        assert done.heard == "I have looked it up."
        assert room.all(Degraded) == []

    room.hold(story)
