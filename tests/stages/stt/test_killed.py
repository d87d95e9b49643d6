"""A recogniser whose process is killed or stopped while a person speaks: nothing is lost."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pipeline.errors import StageFailed
from pipeline.frames import Samples

pytest.importorskip("pocketsphinx")

from stages.stt.pocketsphinx import PocketsphinxTranscriber

pytestmark = [pytest.mark.slow, pytest.mark.realtime]

Clip = Callable[[str], Samples]
NAME = "software-engineer-1"
PATIENCE_S = 180.0
"""The clip is recognised three times, which a busy machine takes a minute for."""


@asynccontextmanager
async def started() -> AsyncIterator[PocketsphinxTranscriber]:
    transcriber = PocketsphinxTranscriber(decoders=1)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await transcriber.start()
            yield transcriber
    finally:
        await transcriber.aclose()


async def say(recognition: Any, audio: Samples) -> None:
    """The audio in frames of 20 ms, ten times as fast as a person speaks."""
    for start in range(0, len(audio), 320):
        recognition.feed(audio[start : start + 320])
        await asyncio.sleep(0.002)


async def text(recognition: Any) -> str:
    words: str = (await anext(recognition.finish())).text
    return words


async def lost_s(transcriber: PocketsphinxTranscriber, how: signal.Signals) -> float:
    """How long it takes until a process that is killed or stopped is replaced."""
    loop = asyncio.get_running_loop()
    pid = transcriber.stats().pid
    assert pid is not None
    since = loop.time()
    os.kill(pid, how)
    while transcriber.stats().pid == pid or transcriber.stats().starts == 1:
        await asyncio.sleep(0.005)
    return loop.time() - since


@pytest.fixture(autouse=True)
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is as old as most are when they die: the next one may start at once."""
    monkeypatch.setattr("stages._worker._YOUNG_S", 0.0)


@pytest.mark.parametrize(
    ("how", "within_s"), [(signal.SIGKILL, 0.25), (signal.SIGSTOP, 2.5)], ids=["killed", "stopped"]
)
def test_what_was_said_before_the_process_was_lost_is_recognised_again(
    clip: Clip, how: signal.Signals, within_s: float
) -> None:
    audio = clip(NAME)
    half = len(audio) // 2

    async def scene() -> None:
        async with started() as transcriber:
            undisturbed = transcriber.open(0)
            await say(undisturbed, audio)
            expected = await text(undisturbed)
            assert len(expected.split()) > 20
            recognition = transcriber.open(1)
            await say(recognition, audio[:half])
            took_s = await lost_s(transcriber, how)
            await say(recognition, audio[half:])
            assert await text(recognition) == expected
            assert transcriber.stats().starts == 2
            assert took_s <= within_s

    asyncio.run(scene())


def test_a_process_that_is_lost_while_it_writes_the_text_is_replaced(clip: Clip) -> None:
    audio = clip(NAME)

    async def scene() -> None:
        async with started() as transcriber:
            recognition = transcriber.open(1)
            recognition.feed(audio)
            waiting = asyncio.ensure_future(text(recognition))
            await asyncio.sleep(0.02)
            await lost_s(transcriber, signal.SIGKILL)
            assert len((await waiting).split()) > 20

    asyncio.run(scene())


def test_an_utterance_that_loses_two_processes_has_failed(clip: Clip) -> None:
    async def scene() -> None:
        async with started() as transcriber:
            recognition = transcriber.open(1)
            await say(recognition, clip(NAME)[:16_000])
            await lost_s(transcriber, signal.SIGKILL)
            await transcriber.start()
            pid = transcriber.stats().pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(StageFailed, match="the worker process died"):
                await text(recognition)

    asyncio.run(scene())


def test_an_utterance_that_is_cancelled_begins_no_other_process(clip: Clip) -> None:
    async def scene() -> None:
        async with started() as transcriber:
            recognition = transcriber.open(1)
            pid = transcriber.stats().pid
            assert pid is not None
            recognition.cancel()
            os.kill(pid, signal.SIGKILL)
            while transcriber.stats().pid is not None:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)
            assert transcriber.stats().starts == 1

    asyncio.run(scene())
