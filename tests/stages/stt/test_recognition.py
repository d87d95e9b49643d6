"""An utterance in a worker process, and what becomes of it when the process dies."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from pipeline.errors import StageFailed
from stages._worker import Worker
from stages.stt._recognition import WorkerRecognition
from stages.stt.recogniser_load import RecogniserLoad

MESSAGE = 1600
DEADLY, BAD = 13, 7


@pytest.fixture(autouse=True)
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process is always old enough for the next one to start at once."""
    monkeypatch.setattr("stages._worker._YOUNG_S", 0.0)


def play(scene: Callable[[Worker], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        worker = Worker("tests.support.worker_handlers:counting", {}, stage="stt", provider="x")
        try:
            async with asyncio.timeout(20):
                await worker.start()
                await scene(worker)
        finally:
            await worker.aclose()

    asyncio.run(main())


def speak(recognition: WorkerRecognition, pieces: int, first: int = 0) -> None:
    for _ in range(pieces):
        pcm = np.zeros(MESSAGE, np.int16)
        pcm[0] = first
        recognition.feed(pcm)


async def text(recognition: WorkerRecognition) -> str:
    return (await anext(recognition.finish())).text


async def killed(worker: Worker) -> None:
    """Kill the process; return when that is noticed."""
    pid = worker.stats().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    for _ in itertools.count():
        if worker.stats().pid != pid:
            return
        await asyncio.sleep(0)


def test_the_work_of_the_process_is_told_and_nothing_of_it_is_left_waiting() -> None:
    async def scene(worker: Worker) -> None:
        load = RecogniserLoad()
        load.finished("another person", time.monotonic())
        recognitions = [WorkerRecognition(worker, turn, MESSAGE, load=load) for turn in range(3)]
        assert await text(recognitions[0]) == "0"
        assert load.factor(time.monotonic()) == pytest.approx(0.15)
        waiting = asyncio.ensure_future(text(recognitions[1]))
        await asyncio.sleep(0)
        recognitions[1].cancel()
        with pytest.raises(StageFailed):
            await waiting
        recognitions[2].cancel()
        assert list(load._asked) == ["another person"]

    play(scene)


def test_what_was_said_before_the_process_died_is_recognised_again() -> None:
    async def scene(worker: Worker) -> None:
        recognition = WorkerRecognition(worker, 1, MESSAGE)
        speak(recognition, 5)
        recognition.feed(np.zeros(100, np.int16))  # not sent yet
        await killed(worker)
        await asyncio.sleep(0)
        assert worker.stats().starts == 2  # at once, while the person speaks
        speak(recognition, 3)
        assert await text(recognition) == str(8 * MESSAGE + 100)

    play(scene)


def test_a_process_that_dies_after_the_end_of_the_speech_is_replaced() -> None:
    async def scene(worker: Worker) -> None:
        recognition = WorkerRecognition(worker, 1, MESSAGE)
        speak(recognition, 5)
        pid = worker.stats().pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # so that it cannot answer before it is killed
        waiting = asyncio.ensure_future(text(recognition))
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        assert (await waiting, worker.stats().starts) == (str(5 * MESSAGE), 2)

    play(scene)


def test_an_utterance_that_kills_its_recogniser_kills_no_third_one() -> None:
    async def scene(worker: Worker) -> None:
        recognition = WorkerRecognition(worker, 1, MESSAGE)
        speak(recognition, 1, DEADLY)
        with pytest.raises(StageFailed, match="the worker process died"):
            await text(recognition)
        assert worker.stats().starts == 2

    play(scene)


def test_what_the_recogniser_refuses_is_not_said_to_it_again() -> None:
    async def scene(worker: Worker) -> None:
        recognition = WorkerRecognition(worker, 1, MESSAGE)
        speak(recognition, 1, BAD)
        with pytest.raises(StageFailed, match="no such sound"):
            await text(recognition)
        assert worker.stats().starts == 1

    play(scene)


def test_a_cancelled_utterance_starts_no_process() -> None:
    async def scene(worker: Worker) -> None:
        recognition = WorkerRecognition(worker, 1, MESSAGE)
        speak(recognition, 1)
        recognition.cancel()
        await killed(worker)
        await asyncio.sleep(0)
        assert worker.stats().starts == 1

    play(scene)


def test_where_the_next_process_must_wait_the_end_of_the_speech_tries_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene(worker: Worker) -> None:
        recognition = WorkerRecognition(worker, 1, MESSAGE)
        speak(recognition, 2)
        await killed(worker)
        await asyncio.sleep(0)
        assert worker.stats().starts == 1
        speak(recognition, 2)
        worker._not_before = 0.0  # the time has come
        assert (await text(recognition), worker.stats().starts) == (str(4 * MESSAGE), 2)

    monkeypatch.setattr("stages._worker._YOUNG_S", 3600.0)
    monkeypatch.setattr("stages._worker._FIRST_DELAY_S", 3600.0)
    monkeypatch.setattr("stages._worker._MAX_DELAY_S", 3600.0)
    play(scene)
