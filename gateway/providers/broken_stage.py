"""A stage that an operator has broken on purpose: see `gateway.providers.drills`.

It is the provider's own stage in everything but its calls. So its guard, the breaker and the ladder
of fallbacks do what they would do if the provider itself were broken.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal, TypeVar

from pipeline.candidate import Candidate, Limits
from pipeline.errors import StageFailed
from pipeline.frames import (
    AvatarFrame,
    Samples,
    Sentence,
    Slot,
    Speech,
    TextDelta,
    ToolCall,
    Transcript,
)
from pipeline.stage import Recognition, ReplyRequest, Scene

T = TypeVar("T")

DrillFault = Literal["hang", "error", "slow"]
"""No item comes; every call fails at once; the first item comes so late that the call counts as
slow."""


def slow_by_s(limits: Limits) -> float:
    """The delay of a call that is slow but answers: a quarter of the way from what counts as slow
    to what counts as failed."""
    return limits.slow_first_s + (limits.first_s - limits.slow_first_s) / 4


class BrokenStage:
    """The stage of a candidate in a slot, with a fault in each of its calls.

    All its other members, such as its languages or its rate, are those of the provider's stage.
    """

    def __init__(self, slot: Slot, candidate: Candidate[Any], fault: DrillFault) -> None:
        self.intact: Any = candidate.stage
        self._slot = slot
        self._provider = candidate.provider
        self._fault = fault
        self._delay_s = slow_by_s(candidate.limits)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.intact, name)

    def open(
        self,
        turn: int,
        on_partial: Callable[[Transcript], None] | None = None,
        hints: Sequence[str] = (),
        language: str | None = None,
    ) -> Recognition:
        partials = on_partial if self._fault == "slow" else None
        recognition = self.intact.open(turn, partials, hints, language)
        return _BrokenRecognition(recognition, self)

    def reply(self, request: ReplyRequest) -> AsyncIterator[TextDelta | ToolCall]:
        return self.after(lambda: self.intact.reply(request))

    def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        return self.after(lambda: self.intact.speak(sentence))

    def animate(self, scene: Scene) -> AsyncIterator[AvatarFrame]:
        return self.after(lambda: self.intact.animate(scene))

    def call(self, body: Mapping[str, Any]) -> AsyncIterator[str]:
        return self.after(lambda: self.intact.call(body))

    async def finished(self, audio: Samples) -> float:
        await self.fail()
        answer: float = await self.intact.finished(audio)
        return answer

    async def after(self, call: Callable[[], AsyncIterator[T]]) -> AsyncGenerator[T, None]:
        """The items of a call, once the fault has had its effect. Closing it closes the call."""
        await self.fail()
        items = call()
        try:
            async for item in items:
                yield item
        finally:
            if (aclose := getattr(items, "aclose", None)) is not None:
                await aclose()

    async def fail(self) -> None:
        """Let the fault take effect: return late, or never, or raise `StageFailed`."""
        match self._fault:
            case "slow":
                await asyncio.sleep(self._delay_s)
            case "hang":
                await asyncio.Event().wait()
            case "error":
                raise StageFailed(self._slot, self._provider, "stream", "a drill of the operator")


class _BrokenRecognition:
    """One utterance at a broken recogniser."""

    def __init__(self, intact: Recognition, stage: BrokenStage) -> None:
        self._intact = intact
        self._stage = stage
        self.cancel = intact.cancel
        self.feed = intact.feed

    async def finish(self) -> AsyncIterator[Transcript]:
        try:
            async with aclosing(self._stage.after(self._intact.finish)) as transcripts:
                async for transcript in transcripts:
                    yield transcript
        finally:
            self._intact.cancel()
