"""`PacedPlayout`: one session's playout, whose frames leave when they are due."""

import asyncio
from collections.abc import Callable

from pipeline.frames import ReplyAudio
from pipeline.pacer import Pacer
from pipeline.playout import Playout


class PacedPlayout:
    """Gives `emit` each frame of a playout when it is due: at once, inside the call that pushed
    it, or later, when the process's pacer calls. Belongs to the event loop."""

    def __init__(self, playout: Playout, pacer: Pacer, emit: Callable[[ReplyAudio], None]) -> None:
        self._playout = playout
        self._pacer = pacer
        self._emit = emit
        self._moved = asyncio.Event()  # a frame was sent: there may be space
        self.on_frame: Callable[[int, float], None] | None = None
        """Called with the place in the reply, in ms, and the time of each frame that was sent."""

    def pump(self) -> None:
        """Send the frames that are due, and schedule the rest. A plain call."""
        following = self._pump(asyncio.get_running_loop().time())
        if following is not None:
            self._pacer.schedule(self._pump, following)

    def _pump(self, now: float) -> float | None:
        playout = self._playout
        while (frame := playout.take(now)) is not None:
            self._emit(frame)
            if self.on_frame is not None:
                self.on_frame(frame.at_ms, now)
        if playout.room_ms >= 0:  # or the task would wake for every frame only to wait again
            self._moved.set()
        return playout.due

    def hold(self) -> None:
        """Send nothing until the next `pump`. A plain call."""
        self._pacer.cancel(self._pump)

    def go_on(self) -> None:
        """The playout was resumed: send again, and wake `room` and `over`."""
        self.pump()
        self._moved.set()

    async def room(self) -> None:
        """Wait while more audio than the look-ahead waits to be sent."""
        # Without space there are frames waiting, and the pacer sends them.
        while self._playout.room_ms < 0:
            self._moved.clear()
            await self._moved.wait()

    async def over(self) -> None:
        """The reply is complete: return when its last sample has been heard."""
        loop = asyncio.get_running_loop()
        self._playout.finish()
        self.pump()
        # Late frames move the end, so check again when it has come.
        while True:
            over_at = self._playout.over_at
            if over_at is None:  # paused; else the first frame has left, or there is none
                self._moved.clear()
                await self._moved.wait()
            elif over_at <= loop.time():
                break
            else:
                await asyncio.sleep(over_at - loop.time())
