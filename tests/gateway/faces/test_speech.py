"""Speech waits for no picture, not for a microsecond of virtual time, whatever a server does."""

import asyncio
from typing import Any

import numpy as np
import pytest

from gateway.faces.animation import Animation
from gateway.faces.loops import Loops
from gateway.faces.stream import FRAME_MS, FaceStream
from pipeline.breaker import Breaker
from pipeline.errors import StageBusy, StageFailed
from pipeline.frames import AvatarFrame, ReplyAudio, Samples
from pipeline.guard import Candidate, Guard, Limits
from pipeline.ladder import Ladder
from pipeline.pacer import Pacer
from pipeline.session import Session, SessionPolicy, Stages
from pipeline.stage import Brief, Converter, Observed, ToolRequest
from pipeline.testing import Script, run_virtual
from stages.fakes import (
    FakeAnimator,
    FakeDetector,
    FakeResponder,
    FakeSynthesizer,
    FakeTranscriber,
)

LIMITS = Limits(first_s=2.0, slow_first_s=1.0, stall_s=1.0)
LINE = "Well, tell me more about that, and then about what you did next."


class Host:
    hints: tuple[str, ...] = ()

    def brief(self, turn: int, text: str) -> Brief:
        return Brief((LINE, LINE))

    async def accept(self, turn: int, text: str, heard: Any = None) -> None: ...

    async def commit(
        self, turn: int, user_text: str, heard_text: str, calls: tuple[ToolRequest, ...] = ()
    ) -> None: ...

    async def correct(self, turn: int, heard_text: str) -> None: ...

    def prompt(self, turn: int, times: int) -> str:
        return ""

    def time_is_up(self) -> None: ...

    def farewell(self) -> str:
        return ""


class Plain:
    def push(self, pcm: Samples) -> Samples:
        return pcm

    def flush(self) -> Samples:
        return np.zeros(0, np.int16)


def plain(source_hz: int, target_hz: int) -> Converter:
    return Plain()


Sent = list[tuple[float, int, int]]


def speech(animator: Any = None) -> tuple[Sent, list[tuple[float, AvatarFrame]]]:
    """When each frame of audio left, of an opening and two replies, the second one interrupted; and
    the pictures.
    """
    audio: Sent = []
    pictures: list[tuple[float, AvatarFrame]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        pacer = Pacer()
        stages = Stages(
            FakeDetector(),
            *(
                Guard(slot, [Candidate(stage.provider, stage, Breaker(), LIMITS)])
                for slot, stage in (
                    ("stt", FakeTranscriber()),
                    ("llm", FakeResponder()),
                    ("tts", FakeSynthesizer(Script(gap_s=0.05))),
                )
            ),  # type: ignore[arg-type]
        )
        guard = Guard(
            "avatar", [Candidate("fake-avatar", animator or FakeAnimator(), Breaker(), LIMITS)]
        )
        loops = Loops(guard, FRAME_MS)
        animation = Animation(
            guard, loops, face="mira", size=320, frame_ms=FRAME_MS, gave_way=lambda *told: None
        )
        stream = FaceStream(
            animation,
            show=lambda frame: pictures.append((round(loop.time(), 6), frame)),
            room=lambda: True,
            pacer=pacer,
            rate_hz=16_000,
            ladder=Ladder(),
            stepped=lambda *told: None,
        )

        class Client:
            def observe(self, frame: Observed, now: float) -> None:
                if isinstance(frame, ReplyAudio):
                    audio.append((round(now, 6), frame.turn, frame.at_ms))

        session = Session(
            stages,
            Host(),
            observers=(Client(),) if animator is None else (stream, Client()),
            pacer=pacer,
            convert=plain,
            policy=SessionPolicy(speculate=False),
        )
        async with animation.running():
            running = asyncio.create_task(session.run())
            if animator is not None:
                stream.start()
            await asyncio.sleep(8)
            session.typed("one")
            await asyncio.sleep(8)
            session.typed("two")
            await asyncio.sleep(1.5)
            session.interrupt()
            await asyncio.sleep(1)
            session.end()
            await running
            stream.close()
        await loops.aclose()

    run_virtual(main())
    return audio, pictures


@pytest.mark.parametrize(
    "script",
    [
        Script(),
        Script(first_s=0.3, gap_s=0.05),
        Script(first_s=1.5, gap_s=0.5),
        Script(stall=True),
        Script(after=5, stall=True),
        Script(error=StageFailed("avatar", "fake-avatar", "connect", "refused")),
        Script(error=StageBusy("avatar", "fake-avatar", "full", retry_after_s=3)),
        Script(error=ValueError("what?"), after=7),
        Script(end=True),
    ],
)
def test_audio_leaves_when_it_would_without_a_face(script: Script) -> None:
    expected, _ = speech()
    assert {turn for _, turn, _ in expected} == {0, 1, 2}
    actual, _ = speech(FakeAnimator(script))
    assert actual == expected


def test_pictures_leave_with_their_audio_and_none_after_an_interruption() -> None:
    audio, pictures = speech(FakeAnimator(Script(first_s=0.1, gap_s=0.01)))
    left = {(turn, at_ms): at for at, turn, at_ms in audio}
    spoken = [(at, frame) for at, frame in pictures if frame.at_ms is not None]
    assert len(spoken) > 100
    assert [at for at, _ in spoken] == [left[frame.turn, frame.at_ms] for _, frame in spoken]
    assert {frame.data.split()[0] for _, frame in spoken} == {b"speaking"}
    interrupted_at = max(left.values())
    after = [frame for at, frame in pictures if at > interrupted_at]
    assert after
    assert {frame.at_ms for frame in after} == {None}
