"""What a reply puts out: kept until the turn's answer is accepted."""

import asyncio
from collections.abc import Callable

from pipeline.frames import Degraded, Output, Slot, ToolCall
from pipeline.stage import ToolRequest


class ReplyOutputs:
    """One reply's outputs: sent in their order once the answer is accepted, and kept until then.

    The reply owns them; its voice sends through them and waits for acceptance. `emit` takes what is
    sent, and must neither block nor raise.
    """

    def __init__(self, turn: int, emit: Callable[[Output], None]) -> None:
        self.turn = turn
        self._emit = emit
        self._accepted = asyncio.Event()
        self._kept: list[Output] = []
        self.calls: tuple[ToolRequest, ...] = ()
        """The functions that the client has been asked to run."""
        self.ahead = False
        """This attempt began before its turn was decided: where it fails, it may be made again.

        No longer once a function was called: it would be called twice.
        """

    def begin(self, *, ahead: bool) -> None:
        """A new attempt at the reply, which waits for acceptance again."""
        self.ahead = ahead
        self._accepted.clear()

    @property
    def accepted(self) -> bool:
        return self._accepted.is_set()

    async def wait(self) -> None:
        """Return once the answer is accepted. May be cancelled."""
        await self._accepted.wait()

    def accept(self) -> None:
        """The answer is accepted: send what was kept, and keep nothing from here on."""
        self._accepted.set()
        kept, self._kept = self._kept, []
        for output in kept:
            self.send(output)

    def send(self, output: Output) -> None:
        """Send an output, or keep it where the answer is not accepted yet."""
        if not self._accepted.is_set():
            self._kept.append(output)
            return
        if isinstance(output, ToolCall):
            self.ahead = False
            self.calls += (ToolRequest(output.call_id, output.name, output.arguments),)
        self._emit(output)

    def degraded(self, slot: Slot, source: str, target: str, reason: str) -> None:
        """A stage took a step down. Kept only ahead of the decision: the attempt may be void."""
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
        """Forget what is kept, from output number `first` on."""
        del self._kept[first:]
