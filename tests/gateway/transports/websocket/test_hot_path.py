"""What an inbound frame costs: no task, no await, and few calls."""

import asyncio
import inspect
import sys
from types import FrameType
from typing import Any

import pytest

from gateway.transports.websocket.protocol import WebSocketProtocol
from stages.vad.silero import SileroDetector

MOST_CALLS = 10
"""Python calls for a frame of 20 ms from the socket to the detector, without those of asyncio: a
frame that completes a chunk sets a timer, for which uvloop makes none."""

EVENT_LOOP = ("asyncio", "selectors.py")

FRAMES = 100
FRAME = bytes(640)


def test_a_frame_costs_at_most_10_calls_no_await_and_no_task(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime", reason="Silero needs the extra 'offline'")
    gateway.detector = SileroDetector()
    taken = WebSocketProtocol.data_received
    counted: list[int] = []
    begun: list[int] = []
    coroutines: list[str] = []

    def counting(self: WebSocketProtocol, data: bytes) -> None:
        if self.receiver is None or len(data) != len(FRAME) + 8:  # the header of a masked frame
            taken(self, data)
            return
        calls = 0

        def count(frame: FrameType, event: str, arg: object) -> None:
            nonlocal calls
            code = frame.f_code
            if event == "call" and not any(name in code.co_filename for name in EVENT_LOOP):
                calls += 1
                if code.co_flags & inspect.CO_COROUTINE:
                    coroutines.append(code.co_qualname)

        before = len(asyncio.all_tasks())
        sys.setprofile(count)
        try:
            taken(self, data)
        finally:
            sys.setprofile(None)
        counted.append(calls)
        begun.append(len(asyncio.all_tasks()) - before)

    monkeypatch.setattr(WebSocketProtocol, "data_received", counting)

    async def story() -> None:
        async with gateway.call() as caller:
            await caller.say(type="hello", version=1)
            await caller.until("ready")
            for _ in range(FRAMES):
                await caller.socket.send(FRAME)
                await asyncio.sleep(0.02)

    gateway.run(story)
    assert len(counted) > FRAMES // 2, "most frames come alone"
    assert max(counted) <= MOST_CALLS
    assert coroutines == []
    assert set(begun) == {0}
