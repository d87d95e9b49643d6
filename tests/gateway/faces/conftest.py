"""What a face stream needs, in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import pytest

from gateway.faces.pictures import PictureCache
from gateway.faces.stream import FaceStream
from pipeline.frames import AvatarFrame, Output, ReplyAudio, ReplyStarted, Viseme, Visemes
from pipeline.ladder import Ladder
from pipeline.pacer import Pacer
from pipeline.testing import run_virtual
from stages.avatar.timeline import Pose

RATE_HZ = 8000
AUDIO = np.zeros(RATE_HZ // 50, np.int16)


class Inline(Executor):
    def submit(self, do: Any, /, *args: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(do(*args, **named))
        return future


def draw(pose: Pose) -> bytes:
    """Which shapes the mouth shows; then everything else, in words."""
    mouth = "+".join(shape for shape, _ in pose.mouth)
    return f"{mouth} {pose.eyes} {pose.brows} {pose.head}".encode()


class StreamHarness:
    """A face stream, what it shows, and audio at the pace of playout."""

    def __init__(self) -> None:
        self.room = True
        self.ladder = Ladder()
        self.steps: list[tuple[int, str, str, str]] = []
        self.sent: list[tuple[float, AvatarFrame | Output]] = []
        self.pacer: Pacer
        self.stream: FaceStream
        self.cache: PictureCache | None = None

    def hold(self, story: Callable[[], Coroutine[Any, Any, None]], *, drawn: bool = True) -> None:
        async def main() -> None:
            self.pacer = Pacer()
            self.cache = PictureCache(draw, Inline()) if drawn else None
            await story()

        run_virtual(main())

    def open(self) -> FaceStream:
        """Open a stream and start it."""
        self.stream = FaceStream(
            None,
            show=self.note,
            room=lambda: self.room,
            pacer=self.pacer,
            rate_hz=RATE_HZ,
            ladder=self.ladder,
            stepped=lambda turn, old, new, why: self.steps.append((turn, old.name, new.name, why)),
        )
        self.stream.pictures = self.cache
        self.stream.start()
        return self.stream

    def note(self, frame: AvatarFrame | Output) -> None:
        self.sent.append((round(asyncio.get_running_loop().time(), 3), frame))

    def send(self, frame: Output) -> None:
        """What a connection does with a frame."""
        self.stream.observe(frame, asyncio.get_running_loop().time())
        self.note(frame)

    async def speak(self, turn: int, ms: int, *, start_ms: int = 0, cues: bool = True) -> None:
        """Reply audio as playout sends it: 200 ms at once, then in real time, and to its end."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if not start_ms:
            self.send(ReplyStarted(turn))
            if cues:
                mouth = [Viseme(at, 240, ("aa", "PP")[at // 240 % 2]) for at in range(0, ms, 240)]
                self.send(Visemes(turn, 0, tuple(mouth)))
        for at_ms in range(start_ms, start_ms + ms, 20):
            early = begun + (at_ms - start_ms - 180) / 1000 - loop.time()
            if early > 0:
                await asyncio.sleep(early)
            self.send(ReplyAudio(turn, AUDIO, at_ms))
        await asyncio.sleep(begun + ms / 1000 - loop.time())

    def pictures(self) -> list[AvatarFrame]:
        return [frame for _, frame in self.sent if isinstance(frame, AvatarFrame)]

    def spoken(self, turn: int) -> list[AvatarFrame]:
        return [f for f in self.pictures() if f.turn == turn and f.at_ms is not None]


@pytest.fixture
def harness() -> StreamHarness:
    return StreamHarness()
