import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from benchmarks.caller import CallEnded, Caller
from benchmarks.tally import Tally


class Socket:
    """A connection on which everything has already come, and which then closes."""

    def __init__(self, *messages: dict[str, Any] | bytes, close_code: int = 1000) -> None:
        self._messages = messages
        self.close_code = close_code

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        for message in self._messages:
            yield message if isinstance(message, bytes) else json.dumps(message)


READY = {"type": "ready", "audio_out": {"encoding": "pcm_s16le", "rate": 8_000}}
FRAME = bytes(320)  # 20 ms at 8 kHz


def heard(*messages: dict[str, Any] | bytes) -> Caller:
    caller = Caller(Socket(READY, *messages))
    asyncio.run(caller.listen())
    return caller


def test_reply_audio_belongs_to_the_turn_that_was_announced():
    caller = heard({"type": "reply.started", "turn": 0}, FRAME, FRAME, FRAME)
    assert list(caller.turns[0].positions_ms) == [0.0, 20.0, 40.0]
    assert len(caller.turns[0].arrivals) == 3
    assert caller.faults == []


def test_audio_that_no_reply_announced_is_a_fault():
    caller = heard(FRAME)
    assert caller.faults == [{"type": "error", "code": "client.audio_without_reply"}]
    tally = Tally()
    tally.add(caller)
    assert tally.faults == {"client.audio_without_reply": 1}


@pytest.mark.parametrize(
    ("at_ms", "frame"),
    [(1, 0), (20, 0), (21, 1), (40, 1), (160, 7)],
    ids=["first", "first frame's end", "second", "second frame's end", "eighth frame's end"],
)
def test_speech_ended_in_the_frame_that_has_its_last_sample(at_ms: int, frame: int) -> None:
    caller = Caller(Socket(READY, {"type": "speech.stopped", "turn": 1, "at_ms": at_ms}))
    caller.sent_at.extend(float(number) for number in range(100))
    asyncio.run(caller.listen())
    assert caller.turns[1].ended_at == float(frame)


def test_old_audio_after_clear_is_counted_until_the_next_reply():
    caller = heard(
        {"type": "reply.started", "turn": 1},
        FRAME,
        {"type": "clear", "turn": 1, "at_ms": 10},
        FRAME,
        {"type": "reply.done", "turn": 1, "interrupted": True, "heard": ""},
        {"type": "reply.started", "turn": 2},
        FRAME,
    )
    assert caller.turns[1].frames_after_clear == 1
    assert caller.turns[1].interrupted
    assert caller.turns[2].frames_after_clear == 0


def test_only_the_final_transcript_is_kept():
    caller = heard(
        {"type": "speech.started", "turn": 1, "at_ms": 0},
        {"type": "transcript", "turn": 1, "text": "hello", "final": False},
        {"type": "transcript", "turn": 1, "text": "hello there", "final": True},
    )
    assert caller.turns[1].transcript == "hello there"
    assert caller.newest == 1


def test_waiting_ends_when_the_server_hangs_up():
    async def wait() -> None:
        caller = Caller(Socket(READY, close_code=1013))
        await caller.listen()
        await caller.until(lambda: False, timeout_s=60)

    with pytest.raises(CallEnded) as ended:
        asyncio.run(wait())
    assert ended.value.code == 1013


def test_speech_is_queued_in_order_of_the_input_frames():
    caller = Caller(Socket())
    assert caller.say([FRAME, FRAME]) == 0
    assert caller.say([FRAME]) == 2
    assert caller.speaking
