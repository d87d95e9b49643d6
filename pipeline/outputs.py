"""The outputs of a reply: kept until the turn's answer is accepted."""

import asyncio
from collections.abc import Callable

from pipeline.budget import TurnBudget
from pipeline.frames import Degraded, Output, Slot, ToolCall
from pipeline.stage import ToolRequest


class ReplyOutputs:
    """One reply's outputs: kept until the answer is accepted, then sent in their order.

    The reply owns the object; its voice sends through it and waits for acceptance. `emit` takes the
    outputs that are sent, and must neither block nor raise. `budget` is the turn's, which records
    the providers that gave way.
    """

    def __init__(
        self, turn: int, emit: Callable[[Output], None], budget: TurnBudget | None = None
    ) -> None:
        self.turn = turn
        self._budget = budget
        self._emit = emit
        self._accepted = asyncio.Event()
        self._kept: list[Output] = []
        self.calls: tuple[ToolRequest, ...] = ()
        """The functions that the client has been asked to run."""
        self.ahead = False
        """Whether this attempt began before its turn was decided and may be repeated if it fails.

        False once a function was called, since a repetition would call it twice.
        """

    def begin(self, *, ahead: bool) -> None:
        """Begin a new attempt at the reply: its outputs are kept until acceptance again."""
        self.ahead = ahead
        self._accepted.clear()

    @property
    def accepted(self) -> bool:
        return self._accepted.is_set()

    async def wait(self) -> None:
        """Return once the answer is accepted. May be cancelled."""
        await self._accepted.wait()

    def accept(self) -> None:
        """The answer is accepted: send the kept outputs, and keep none from here on."""
        self._accepted.set()
        kept, self._kept = self._kept, []
        for output in kept:
            self.send(output)

    def send(self, output: Output) -> None:
        """Send an output, or keep it if the answer is not accepted yet."""
        if not self._accepted.is_set():
            self._kept.append(output)
            return
        if isinstance(output, ToolCall):
            self.ahead = False
            self.calls += (ToolRequest(output.call_id, output.name, output.arguments),)
        self._emit(output)

    def called(self) -> None:
        """A function is about to be run: this attempt is not repeated."""
        self.ahead = False

    def gave_way(self, slot: Slot, source: str, target: str, reason: str) -> None:
        """A provider failed, and the next one is asked: charge it, and report it (`degraded`)."""
        if self._budget is not None:
            self._budget.gave_way(slot, source, asyncio.get_running_loop().time())
        self.degraded(slot, source, target, reason)

    def degraded(self, slot: Slot, source: str, target: str, reason: str) -> None:
        """Report a degraded stage. Kept only ahead of the decision: the attempt may be dropped."""
        output = Degraded(self.turn, slot, source, target, reason)
        if self.ahead:
            self.send(output)
        else:
            self._emit(output)

    @property
    def kept(self) -> int:
        """How many outputs are kept."""
        return len(self._kept)

    def drop(self, first: int = 0) -> None:
        """Drop the kept outputs from number `first` on."""
        del self._kept[first:]
