"""The process is about to end: each conversation comes to an end that cuts nothing off."""

import asyncio

import pytest

from gateway.interviews.sessions import load
from gateway.live.registry import LAST_WORDS_S, STORE_S
from gateway.protocols.dialect import CloseCode
from pipeline.guard import Limits
from stages.fakes import FakeSynthesizer, FakeTranscriber, Script
from tests.support.calls import LocalCalls
from tests.support.client import SPEECH, Client

RESTARTS = (CloseCode.RESTARTING, "the server restarts")
GRACE_S = 10.0
PATIENT = Limits(first_s=60.0, slow_first_s=60.0, total_s=60.0)


def test_a_session_in_which_nobody_speaks_ends_at_once(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.until("reply.done", turn=0)
            await asyncio.sleep(1)
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            await local.calls.live.wind_down(GRACE_S)
            assert loop.time() == began_s
            assert await client.closed() == RESTARTS
            assert client.found("going_away") == [
                {"type": "going_away", "seq": len(client.messages), "in_ms": 10_000}
            ]

    local.run(story)


def test_the_sentence_that_is_spoken_is_heard_to_its_end(local: LocalCalls) -> None:
    local.synthesizer = FakeSynthesizer(ms_per_word=200)

    async def story() -> None:
        async with local.call() as client:
            await client.until("reply.text", turn=0)
            await asyncio.sleep(0.5)
            await local.calls.live.wind_down(GRACE_S)
            assert await client.closed() == RESTARTS
            sentence = client.found("reply.text")[0]["text"]
            done = await client.until("reply.done", turn=0)
            assert done["heard"] == sentence
            spoken_s = len(sentence.split()) * 0.2
            assert client.when("reply.done") - client.when("reply.started") == pytest.approx(
                spoken_s, abs=0.002
            )

    local.run(story)


def test_the_grace_time_ends_a_longer_sentence(local: LocalCalls) -> None:
    local.synthesizer = FakeSynthesizer(ms_per_word=200)

    async def story() -> None:
        async with local.call() as client:
            await client.until("reply.started", turn=0)
            await asyncio.sleep(0.2)
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            await local.calls.live.wind_down(0.5)
            assert loop.time() - began_s == pytest.approx(0.5, abs=0.002)
            assert (await client.until("reply.done", turn=0))["interrupted"] is True
            assert await client.closed() == RESTARTS

    local.run(story)


async def answering(client: Client) -> None:
    """The person is in the middle of an answer."""
    await client.until("reply.done", turn=0)
    await client.speak_live(600, 0)
    await client.until("speech.started", turn=1)


def test_an_answer_is_finished_recognised_and_stored(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as client:
            await answering(client)
            ending = asyncio.create_task(local.calls.live.wind_down(GRACE_S))
            await client.speak_live(600, 1000)
            await ending
            assert await client.closed() == RESTARTS
            (transcript,) = client.found("transcript", final=True)
            assert transcript["text"] == "I like to build things that last"
            stored = await local.store.read("transcript:test")
            assert any(b"I like to build things" in line for _, line in stored)

    local.run(story)


def test_an_answer_without_an_end_is_stored_when_the_time_is_over(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as client:
            await answering(client)
            ending = asyncio.create_task(local.calls.live.wind_down(1.0))
            await client.speak_live(1500, 0)
            await ending
            assert await client.closed() == RESTARTS
            stored = await local.store.read("transcript:test")
            assert any(b"I like to build things" in line for _, line in stored)

    local.run(story)


def test_audio_that_came_ahead_of_time_is_heard_first(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.until("reply.done", turn=0)
            client.burst(*[SPEECH] * 100, *[bytes(640)] * 60)
            await local.calls.live.wind_down(GRACE_S)
            assert await client.closed() == RESTARTS
            assert [each["turn"] for each in client.found("transcript", final=True)] == [1]

    local.run(story)


def test_a_client_that_leaves_meanwhile_is_not_waited_for(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as client:
            await answering(client)
            ending = asyncio.create_task(local.calls.live.wind_down(GRACE_S))
            await asyncio.sleep(0.1)
            began_s = asyncio.get_running_loop().time()
            client.leave()
            await ending
            assert asyncio.get_running_loop().time() - began_s < 1

    local.run(story)


def test_a_session_that_does_not_come_to_an_end_is_left(local: LocalCalls) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        with local.calls.live.connected():
            began_s = loop.time()
            await local.calls.live.wind_down(1.0)
            assert loop.time() - began_s == pytest.approx(1.0 + LAST_WORDS_S + STORE_S)

    local.run(story)


def test_a_slow_recogniser_is_waited_for_within_the_grace_time(local: LocalCalls) -> None:
    local.transcriber = FakeTranscriber(Script(first_s=0.8), texts=("the answer",))

    async def story() -> None:
        async with local.call() as client:
            await client.until("reply.done", turn=0)
            await client.speak_live(600, 1000)
            await client.until("speech.stopped", turn=1)
            await local.calls.live.wind_down(GRACE_S)
            assert [each["text"] for each in client.found("transcript", final=True)] == [
                "the answer"
            ]
            assert await client.closed() == RESTARTS

    local.run(story)


def ends_while_it_recognises(local: LocalCalls, first_s: float, grace_s: float) -> list[float]:
    """The process ends during an answer that takes `first_s` to recognise.

    Returns how long that took, and how long the client waited for its end, in seconds.
    """
    local.hearing = PATIENT
    local.transcriber = FakeTranscriber(Script(first_s=first_s), texts=("the answer",))
    took: list[float] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()
        async with local.call() as client:
            await client.until("reply.done", turn=0)
            await client.speak_live(600, 1000)
            await client.until("speech.stopped", turn=1)
            began_s = loop.time()
            await local.calls.live.wind_down(grace_s)
            took.append(loop.time() - began_s)
            assert await client.closed() == RESTARTS
            record, _ = await load(local.store, "test")
            assert record.worker is None, "another process may have it"
            stored = await local.store.read("transcript:test")
            took.append(sum(b"the answer" in line for _, line in stored))

    local.run(story)
    return took


@pytest.mark.parametrize(
    ("first_s", "grace_s"),
    [(12.0, 20.0), (4.0, 1.0)],
    ids=["within the grace time", "a little longer"],
)
def test_last_words_are_recognised_as_far_as_the_grace_time_says(
    local: LocalCalls, first_s: float, grace_s: float
) -> None:
    took_s, stored = ends_while_it_recognises(local, first_s, grace_s)
    assert took_s < grace_s + LAST_WORDS_S
    assert stored == 1


def test_last_words_that_take_longer_are_lost_and_the_log_says_so(
    local: LocalCalls, caplog: pytest.LogCaptureFixture
) -> None:
    took_s, stored = ends_while_it_recognises(local, 20.0, 1.0)
    assert took_s == pytest.approx(1.0 + LAST_WORDS_S, abs=0.01)
    assert stored == 0
    [lost] = [each.getMessage() for each in caplog.records if "last words" in each.message]
    assert lost == "the last words of the session, 0.9 s, were not recognised: the time was up"


def test_a_client_that_left_before_does_not_keep_the_process_longer(
    local: LocalCalls, caplog: pytest.LogCaptureFixture
) -> None:
    local.hearing = PATIENT
    local.transcriber = FakeTranscriber(Script(first_s=20.0), texts=("the answer",))

    async def story() -> None:
        loop = asyncio.get_running_loop()
        async with local.call() as client:
            await client.until("reply.done", turn=0)
            await client.speak_live(600, 1000)
            await client.until("speech.stopped", turn=1)
            await client.say(type="bye")
            await asyncio.sleep(1.0)
            began_s = loop.time()
            await local.calls.live.wind_down(1.0)
            assert loop.time() - began_s == pytest.approx(1.0 + LAST_WORDS_S, abs=0.01)

    local.run(story)
    assert "were not recognised: the time was up" in caplog.text
