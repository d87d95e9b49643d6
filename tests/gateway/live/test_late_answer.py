"""A real recogniser on a machine that is too busy for it: the answer comes late, and counts."""

import asyncio
import os
import signal
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from benchmarks.wer import word_errors, words
from pipeline.canned import CannedLines
from tests.support.gateway import SILENCE, Gateway
from tests.support.paths import AUDIO

pytestmark = [pytest.mark.slow, pytest.mark.realtime]

BUDGET_MS = 500
HARD_S = 3.0
LINES = CannedLines()
SAID = (
    "I spent the last four years building web services for a large online shop. Most of my work"
    " was making the checkout faster and easier to test."
)


@asynccontextmanager
async def starved(pid: int) -> AsyncIterator[None]:
    """Let a process run for a hundredth of the time only, as on a machine with much else to do."""

    async def starve() -> None:
        while True:
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(0.5)
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(0.005)

    starving = asyncio.create_task(starve())
    try:
        yield
    finally:
        starving.cancel()
        await asyncio.wait([starving])
        os.kill(pid, signal.SIGCONT)


def test_an_answer_that_whisper_gives_long_after_the_limit_is_stored(gateway: Gateway) -> None:
    pytest.importorskip("faster_whisper")
    gateway.configured = True
    gateway.settings |= {
        **{"stt": "whisper", "tts": "espeak-ng", "llm": "scripted", "budget_ms": BUDGET_MS},
    }
    with wave.open(str(AUDIO / "software-engineer-1.wav")) as file:
        clip = file.readframes(file.getnframes())
    took: list[float] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()
        stages = gateway.app.state.runtime.lineup().stages
        whisper = stages.transcribers.candidates[0].stage
        await whisper.start()
        async with gateway.call("late") as caller:
            await caller.until("reply.done", turn=0)
            for start in range(0, len(clip), 640):
                await caller.socket.send(clip[start : start + 640])
            await caller.until("speech.started", turn=1)
            async with starved(whisper.stats().pid):
                for _ in range(150):
                    await caller.socket.send(SILENCE)
                await caller.until("speech.stopped", turn=1)
                stopped = loop.time()
                await caller.until("reply.text", turn=1, text=LINES.listening)
                took.append(loop.time() - stopped)
                await asyncio.sleep(3 * HARD_S - took[0])
            final = await caller.until("transcript", turn=1, final=True)
            took.append(loop.time() - stopped)
            await caller.until("reply.done", turn=1)
            said = [m["text"] for m in caller.messages if m["type"] == "reply.text"]
            assert LINES.unheard not in said
            assert word_errors(words(SAID), words(final["text"])) <= 3
            assert caller.messages[-1]["type"] != "error"

    gateway.run(story)
    assert took[0] <= HARD_S
    assert took[1] >= 3 * HARD_S
