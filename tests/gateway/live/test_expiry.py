"""A live session whose time is over: its client's credential says so, or the operator."""

import asyncio

import pytest

from gateway.interviews.sessions import load
from gateway.live.ending import WARN_S
from gateway.live.resumption import knows
from gateway.protocols.dialect import CloseCode
from gateway.protocols.request import ResumeRequest
from stages.fakes import FakeSynthesizer, FakeTranscriber, Script
from tests.support.calls import LocalCalls

EXPIRED = (CloseCode.POLICY, "the session's time is over")

NEAR_S = 0.1
"""The wall clock goes on a little between the making of a credential and its use."""


def now_s() -> float:
    return asyncio.get_running_loop().time()


def test_a_session_ends_with_its_clients_credential_and_says_so_before(local: LocalCalls) -> None:
    async def story() -> None:
        began_s = now_s()
        async with local.call(lasts_s=90) as client:
            assert await client.closed() == EXPIRED
            assert now_s() - began_s == pytest.approx(90, abs=NEAR_S)
            told = client.found("expiring")
            assert [each["in_ms"] for each in told] == [WARN_S * 1000]
            assert client.when("expiring") - began_s == pytest.approx(60, abs=NEAR_S)
            assert client.messages[-1]["type"] == "error"
            assert client.messages[-1] | {"seq": 0} == {
                "type": "error",
                "seq": 0,
                "turn": 0,
                "code": "session_expired",
                "message": "the session's time is over",
                "fatal": True,
            }
        record, _ = await load(local.store, "test")
        assert record.worker is None, "the next client may have it"

    local.run(story)


def test_the_operator_says_how_long_a_session_may_last(local: LocalCalls) -> None:
    local.settings |= {"longest_session_min": 2, "silence_prompt_s": 0}

    async def story() -> None:
        began_s = now_s()
        async with local.call(lasts_s=600) as client:
            await asyncio.sleep(100)
            assert await client.closed() == EXPIRED
            assert now_s() - began_s == pytest.approx(120, abs=NEAR_S)

    local.run(story)


def test_without_a_credential_that_says_more_it_is_an_hour_more_than_the_interview(
    local: LocalCalls,
) -> None:
    async def story() -> None:
        _, left_s = local.calls.session_ends(None)
        assert left_s == pytest.approx(7200)

    local.run(story)


def test_a_session_is_told_at_once_where_little_is_left(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call(lasts_s=10) as client:
            told = await client.until("expiring")
            assert told["in_ms"] == pytest.approx(9000, abs=1000 * NEAR_S)
            assert client.types()[0] == "ready"

    local.run(story)


def test_the_sentence_is_heard_to_its_end(local: LocalCalls) -> None:
    local.synthesizer = FakeSynthesizer(ms_per_word=200)

    async def story() -> None:
        async with local.call(lasts_s=2) as client:
            assert await client.closed() == EXPIRED
            sentence = client.found("reply.text")[0]["text"]
            assert client.found("reply.done", turn=0)[0]["heard"] == sentence

    local.run(story)


def test_an_answer_is_heard_to_its_end_and_stored(local: LocalCalls) -> None:
    local.transcriber = FakeTranscriber(Script(first_s=0.8), texts=("the answer",))

    async def story() -> None:
        async with local.call(lasts_s=3600) as client:
            await client.until("reply.done", turn=0)
        async with local.call(lasts_s=4) as client:
            await client.until("reply.done")
            await asyncio.sleep(3.6 - client.when("reply.done") + client.when("ready") - 1)
            await client.speak_live(1200, 1000)
            assert await client.closed() == EXPIRED
            (transcript,) = client.found("transcript", final=True)
            assert transcript["text"] == "the answer"
            stored = await local.store.read("transcript:test")
            assert any(b"the answer" in line for _, line in stored)

    local.run(story)


def test_who_goes_on_speaking_is_cut_off_after_the_grace_time(local: LocalCalls) -> None:
    local.settings["drain_s"] = 2

    async def story() -> None:
        began_s = now_s()
        async with local.call(lasts_s=5) as client:
            await client.until("reply.done")
            speaking = asyncio.create_task(client.speak_live(20_000, 0))
            assert await client.closed() == EXPIRED
            assert now_s() - began_s == pytest.approx(7, abs=NEAR_S)
            speaking.cancel()

    local.run(story)


def test_a_client_that_comes_back_has_no_more_time(local: LocalCalls) -> None:
    local.settings["silence_prompt_s"] = 0

    async def story() -> None:
        began_s = now_s()
        async with local.call(lasts_s=60) as first:
            await first.say(type="hello", version=1)
            token = (await first.until("ready"))["resume"]
            await first.until("reply.done")
            first.lose()
            await asyncio.sleep(3)
            async with local.call(lasts_s=3600) as second:
                seq = first.messages[-1]["seq"]
                await second.say(type="hello", version=1, resume={"token": token, "seq": seq})
                after = (await second.until("ready"))["resume"]
                ends_at = await knows(local.store, "test", ResumeRequest(after, 0))
                assert ends_at is not None, "a process that begins anew knows it, too"
                assert ends_at - local.calls.session_ends(None)[0] == pytest.approx(
                    60 - 7200, abs=1
                )
                assert await second.closed() == EXPIRED
                assert now_s() - began_s == pytest.approx(60, abs=NEAR_S)
            assert await knows(local.store, "test", ResumeRequest(after, 0)) is None

    local.run(story)


def test_it_has_no_more_time_after_a_restart(local: LocalCalls) -> None:
    local.settings["silence_prompt_s"] = 0

    async def story() -> None:
        async with local.call(lasts_s=60) as first:
            await first.say(type="hello", version=1)
            token = (await first.until("ready"))["resume"]
            await first.until("reply.done")
            await local.calls.live.wind_down(1.0)
        local.calls.live.draining = False  # as another process on the same store
        began_s = now_s()
        async with local.call() as second:  # whose key says nothing of an end
            seq = first.messages[-1]["seq"]
            await second.say(type="hello", version=1, resume={"token": token, "seq": seq})
            assert await second.closed() == EXPIRED
            assert now_s() - began_s == pytest.approx(60, abs=NEAR_S)

    local.run(story)


def test_a_session_whose_client_is_away_ends_in_time(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call(lasts_s=10) as client:
            await client.until("reply.done")
            client.lose()
            await asyncio.sleep(10.5 - now_s())
            assert local.calls.live.connections == 0

    local.run(story)


def test_a_process_that_ends_meanwhile_ends_it_once(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call(lasts_s=5) as client:
            await client.until("reply.done")
            speaking = asyncio.create_task(client.speak_live(20_000, 0))
            await asyncio.sleep(5.2 - now_s())
            await local.calls.live.wind_down(1.0)
            speaking.cancel()
            assert (await client.closed())[0] in (CloseCode.POLICY, CloseCode.RESTARTING)
            assert client.found("going_away") == []

    local.run(story)
