"""One suite for the three carriers of a stage: in this process, in another one, and elsewhere."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from pipeline.errors import StageBusy, StageFailed
from pipeline.frames import Samples, Sentence, Speech, Transcript
from stages._worker import Worker
from stages.fakes import FakeSynthesizer
from stages.stt._recognition import WorkerRecognition
from stages.stt.remote import RemoteTranscriber
from stages.testing import synthesizer_conforms, transcriber_conforms
from stages.tts.remote import RemoteSynthesizer
from tests.support.remote_worker import SECOND, CountingTranscriber, remote_worker

pytestmark = pytest.mark.slow

LIMIT_S = 20.0
NEVER_ANSWERED = np.full(1_600, 99, np.int16)


class ProcessTranscriber:
    """The process carrier, with a recogniser that counts samples."""

    provider = "counting"

    def __init__(self) -> None:
        target = "tests.support.worker_handlers:counting"
        self._worker = Worker(target, {}, stage="stt", provider=self.provider)

    def open(
        self, turn: int, on_partial: Any = None, hints: Any = (), language: str | None = None
    ) -> WorkerRecognition:
        return WorkerRecognition(self._worker, turn, 1_600, on_partial)

    async def aclose(self) -> None:
        await self._worker.aclose()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        yield {slot: stack.enter_context(remote_worker(slot))[1] for slot in ("stt", "tts")}


@pytest.fixture(params=["inline", "process", "remote"])
def transcriber(request: pytest.FixtureRequest) -> Callable[[], Any]:
    if request.param == "inline":
        return CountingTranscriber
    if request.param == "process":
        return ProcessTranscriber
    url = request.getfixturevalue("elsewhere")["stt"]
    return lambda: RemoteTranscriber([url])


@pytest.fixture(params=["inline", "remote"])
def synthesizer(request: pytest.FixtureRequest) -> Callable[[], Any]:
    if request.param == "inline":
        return lambda: FakeSynthesizer(ms_per_word=50)
    url = request.getfixturevalue("elsewhere")["tts"]
    return lambda: RemoteSynthesizer([url], rate_hz=16_000)


async def heard(recognition: Any) -> list[Transcript]:
    async with asyncio.timeout(LIMIT_S):
        return [transcript async for transcript in recognition.finish()]


def joined(pieces: list[Speech]) -> Samples:
    return np.concatenate([piece.pcm for piece in pieces])


async def spoken(stage: Any, text: str) -> list[Speech]:
    async with asyncio.timeout(LIMIT_S):
        return [piece async for piece in stage.speak(Sentence(3, text))]


def test_a_recogniser_keeps_the_contract(transcriber: Callable[[], Any]) -> None:
    transcriber_conforms(transcriber)


def test_a_voice_keeps_the_contract(synthesizer: Callable[[], Any]) -> None:
    synthesizer_conforms(synthesizer)


def test_no_sample_is_lost_on_the_way(transcriber: Callable[[], Any]) -> None:
    async def story() -> None:
        stage = transcriber()
        try:
            recognition = stage.open(4)
            for _ in range(3):
                for at in range(0, len(SECOND), 321):
                    recognition.feed(SECOND[at : at + 321])
            (final,) = await heard(recognition)
            assert (final.turn, final.text, final.final) == (4, "48000", True)
        finally:
            await stage.aclose()

    asyncio.run(story())


def test_what_is_said_is_the_same_wherever_the_voice_is(synthesizer: Callable[[], Any]) -> None:
    async def story() -> None:
        stage, here = synthesizer(), FakeSynthesizer(ms_per_word=50)
        try:
            pieces, wanted = (
                await spoken(stage, "one two three"),
                await spoken(here, "one two three"),
            )
            assert joined(pieces).tolist() == joined(wanted).tolist()
            for name in ("cues", "words"):
                told, meant = (
                    [each for piece in found for each in getattr(piece, name)]
                    for found in (pieces, wanted)
                )
                assert told == meant
        finally:
            await stage.aclose()

    asyncio.run(story())


# --- a worker that is lost ----------------------------------------------------------------------


def lost_after(sent: signal.Signals) -> tuple[float, list[Transcript]]:
    """How long an utterance waits whose worker gets this signal, with another one beside it."""
    with remote_worker("stt") as (first, first_url), remote_worker("stt") as (_, second_url):

        async def story() -> tuple[float, list[Transcript]]:
            stage = RemoteTranscriber([first_url, second_url])
            try:
                assert await stage.probe() is None
                recognition = stage.open(1)
                recognition.feed(SECOND)
                await asyncio.sleep(0.2)
                first.send_signal(sent)
                began = time.perf_counter()
                found = await heard(recognition)
                return time.perf_counter() - began, found
            finally:
                await stage.aclose()

        return asyncio.run(story())


@pytest.mark.parametrize(
    ("sent", "within_s"),
    [
        pytest.param(signal.SIGKILL, 0.25, id="killed"),
        pytest.param(signal.SIGSTOP, 2.5, id="stopped"),
    ],
)
@pytest.mark.realtime
def test_the_utterance_of_a_lost_worker_is_recognised_by_another_in_time(
    sent: signal.Signals, within_s: float
) -> None:
    took_s, (final,) = lost_after(sent)
    print(f"{sent.name}: recognised by another worker after {took_s * 1000:.0f} ms")  # noqa: T201
    assert final.text == "16000"
    assert took_s < within_s


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_without_another_worker_the_call_fails_so_that_the_next_provider_has_it(
    sent: signal.Signals,
) -> None:
    with remote_worker("stt") as (process, url):

        async def story() -> None:
            stage = RemoteTranscriber([url])
            try:
                recognition = stage.open(1)
                recognition.feed(NEVER_ANSWERED)
                waiting = asyncio.create_task(heard(recognition))
                await asyncio.sleep(0.2)
                process.send_signal(sent)
                began = time.perf_counter()
                with pytest.raises(StageFailed) as failed:
                    await waiting
                assert (failed.value.stage, failed.value.provider) == ("stt", "remote")
                assert failed.value.phase == "connect"
                assert time.perf_counter() - began < 5
            finally:
                await stage.aclose()

        asyncio.run(story())


def test_a_worker_that_ends_in_order_finishes_what_it_has_and_is_asked_no_more() -> None:
    with remote_worker("stt") as (first, first_url), remote_worker("stt") as (_, second_url):

        async def story() -> None:
            stage = RemoteTranscriber([first_url, second_url])
            try:
                recognition = stage.open(1)
                recognition.feed(SECOND)
                await asyncio.sleep(0.2)
                first.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.2)
                later = stage.open(2)
                later.feed(SECOND)
                recognition.feed(SECOND)
                assert (await heard(recognition))[0].text == "32000"
                assert (await heard(later))[0].text == "16000"
                async with asyncio.timeout(LIMIT_S):
                    while first.poll() is None:
                        await asyncio.sleep(0.02)
                assert first.returncode == 0
            finally:
                await stage.aclose()

        asyncio.run(story())


def test_a_worker_without_a_place_says_so_and_another_has_the_next_call() -> None:
    with remote_worker("stt", places=1) as (_, url):

        async def story() -> None:
            stage = RemoteTranscriber([url])
            try:
                first = stage.open(1)
                first.feed(SECOND)
                await asyncio.sleep(0.2)
                second = stage.open(2)
                second.feed(SECOND)
                with pytest.raises(StageBusy, match="all places of the worker are taken"):
                    await heard(second)
                assert (await heard(first))[0].text == "16000"
                third = stage.open(3)
                third.feed(SECOND)
                assert (await heard(third))[0].text == "16000"
            finally:
                await stage.aclose()

        asyncio.run(story())
