"""A client whose line was lost comes back to the same conversation."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.interviews.keys import lease_key
from gateway.interviews.sessions import SessionOwner, load
from gateway.live.calls import Calls
from gateway.live.registry import LiveSessions
from gateway.live.resumption import CONFIRM_S, knows
from gateway.protocols.dialect import CloseCode
from gateway.protocols.request import ResumeRequest
from gateway.store import StoreUnavailable
from stages.fakes import FakeSynthesizer
from tests.support.calls import LocalCalls
from tests.support.client import SPEECH, Client

GRACE_S = 30.0


def seen(client: Client) -> int:
    """The last message that the client has."""
    seq: int = client.messages[-1]["seq"]
    return seq


async def began(client: Client) -> str:
    """Say hello; returns the token."""
    await client.say(type="hello", version=1)
    token: str = (await client.until("ready"))["resume"]
    return token


async def back(client: Client, token: str, seq: int, **fields: Any) -> dict[str, Any]:
    """Come back; returns `ready`."""
    await client.say(type="hello", version=1, resume={"token": token, "seq": seq}, **fields)
    return await client.until("ready")


def test_a_client_goes_on_with_the_same_interview_and_turn(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as first:
            token = await began(first)
            await first.until("reply.done", turn=0)
            await first.speak_live(400, 1000)
            await first.until("interview", currentQuestion=2)
            await asyncio.sleep(1)
            first.lose()
            await asyncio.sleep(5)
            async with local.call() as second:
                ready = await back(second, token, seen(first))
                assert second.types()[0] == "ready"
                assert ready["seq"] == seen(first) + 1
                assert ready["resumed"] == {"kept": True, "complete": True, "texts": 0}
                assert ready["interview"]["currentQuestion"] == 2
                assert ready["resume"] not in (None, token)
                await second.speak_live(400, 1000)
                assert (await second.until("transcript", final=True))["turn"] == 2
                assert "Welcome back" not in str(second.messages)
                await second.say(type="bye")
                assert await second.closed() == (CloseCode.FINISHED, "")

    local.run(story)


def test_it_is_told_how_many_of_its_texts_have_arrived_over_all_its_lines(
    local: LocalCalls,
) -> None:
    """Their transcripts need not be there yet."""

    async def story() -> None:
        async with local.call() as first:
            token = await began(first)
            await first.until("reply.done", turn=0)
            first.burst(*[SPEECH] * 20)  # the text waits behind it
            await first.say(type="text", text="I like tests.")
            first.lose()
            async with local.call() as second:
                ready = await back(second, token, seen(first))
                assert ready["resumed"]["texts"] == 1
                assert second.found("transcript", turn=1, final=True) == []
                await second.say(type="text", text="And types.")
                await second.say(type="text", text="")
                await second.until("error")
                second.lose()
            async with local.call() as third:
                ready = await back(third, ready["resume"], seen(second))
                assert ready["resumed"]["texts"] == 2

    local.run(story)


def test_the_reply_waits_and_goes_on_at_the_word_that_was_cut_off(local: LocalCalls) -> None:
    local.synthesizer = FakeSynthesizer(ms_per_word=200)

    async def story() -> None:
        async with local.call() as first:
            token = await began(first)
            await first.until("reply.started", turn=0)
            await asyncio.sleep(1.1)
            first.lose()
            await asyncio.sleep(10)
            async with local.call() as second:
                await back(second, token, seen(first))
                paused = await second.until("reply.paused", turn=0)
                assert paused["at_ms"] == pytest.approx(1100, abs=20)
                resumed = await second.until("reply.resumed", turn=0)
                assert 0 < paused["at_ms"] - resumed["at_ms"] <= 200
                done = await second.until("reply.done", turn=0)
                texts = [*first.found("reply.text"), *second.found("reply.text")]
                assert done["heard"] == " ".join(text["text"] for text in texts)
                assert not done["interrupted"]

    local.run(story)


def test_what_happened_meanwhile_is_told_and_no_stale_audio_comes(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as first:
            token = await began(first)
            await first.until("reply.done", turn=0)
            await first.speak_live(600, 0)
            await first.until("speech.started", turn=1)
            first.lose()
            await asyncio.sleep(GRACE_S - 1)
            async with local.call() as second:
                ready = await back(second, token, seen(first))
                assert second.found("transcript", final=True)[0]["turn"] == 1
                replies = second.found("reply.started", turn=1)
                assert len(replies) == 1
                numbers = [message["seq"] for message in second.messages]
                assert numbers == list(range(seen(first) + 1, seen(first) + 1 + len(numbers)))
                assert second.types().index("ready") > second.types().index("reply.paused")
                assert ready["resumed"]["complete"] is True
                await second.until("reply.done", turn=1)
                frames = [packet for packet in second.packets if len(packet) == 640]
                words = sum(len(text["text"].split()) for text in second.found("reply.text"))
                assert len(frames) * 20 == pytest.approx(words * 20, abs=20)

    local.run(story)


def test_an_utterance_goes_on_over_the_gap_until_the_commit(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as first:
            manual = {"mode": "manual"}
            await first.say(type="hello", version=1, turn_detection=manual)
            token = (await first.until("ready"))["resume"]
            await first.until("reply.done", turn=0)
            await first.speak_live(600, 0)
            first.lose()
            await asyncio.sleep(3)
            async with local.call() as second:
                await back(second, token, seen(first), turn_detection=manual)
                await second.speak_live(600, 0)
                await second.say(type="commit")
                assert (await second.until("transcript", final=True))["turn"] == 1
                stored = await local.store.read("transcript:test")
                assert sum(b'"user"' in line for _, line in stored) == 1

    local.run(story)


def test_after_the_grace_time_the_session_ends_and_the_token_holds_no_longer(
    local: LocalCalls,
) -> None:
    async def story() -> None:
        async with local.call() as first:
            token = await began(first)
            await first.until("reply.done", turn=0)
            first.lose()
            await asyncio.sleep(GRACE_S + 1)
            assert (await load(local.store, "test"))[0].worker is None
            assert local.calls.live.connections == 0
            async with local.call() as second:
                await refused(second, token, seen(first))
            async with local.call() as third:
                await third.say(type="hello", version=1)
                ready = await third.until("ready")
                assert "resumed" not in ready
                assert ready["seq"] == 1

    local.run(story)


async def refused(client: Client, token: str, seq: int) -> None:
    await client.say(type="hello", version=1, resume={"token": token, "seq": seq})
    assert (await client.until("error", fatal=True))["code"] == "cannot_resume"
    assert (await client.closed())[0] is CloseCode.POLICY


@pytest.mark.parametrize(
    ("given", "seq"), [("x" * 32, 1), ("", 1), ("\ud800", 1), (None, 99), (None, -1)]
)
def test_a_wrong_token_is_refused_and_the_conversation_is_kept(
    local: LocalCalls, given: str | None, seq: int
) -> None:
    async def story() -> None:
        async with local.call() as first:
            token = await began(first)
            await first.until("reply.done", turn=0)
            first.lose()
            await asyncio.sleep(1)
            async with local.call() as second:
                await refused(second, token if given is None else given, seq)
            async with local.call() as third:
                assert (await back(third, token, seen(first)))["resumed"]["kept"]

    local.run(story)


def test_the_token_of_another_session_is_refused(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call("other") as other, local.call() as first:
            foreign = await began(other)
            token = await began(first)
            first.lose()
            await asyncio.sleep(1)
            async with local.call() as second:
                await refused(second, foreign, 1)
            async with local.call() as third:
                assert (await back(third, token, seen(first)))["resumed"]["kept"]

    local.run(story)


def test_an_old_token_is_refused_once_the_client_has_the_new_one(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as first:
            old = await began(first)
            first.lose()
            await asyncio.sleep(1)
            async with local.call() as second:
                await back(second, old, seen(first))
                await asyncio.sleep(CONFIRM_S + 1)
                async with local.call() as thief:
                    await refused(thief, old, 1)
                await second.say(type="ping", t=1)
                await second.until("pong", t=1)

    local.run(story)


def test_a_line_that_breaks_before_the_new_token_came_is_no_harm(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as first:
            token = await began(first)
            first.lose()
            number = seen(first)
            await asyncio.sleep(1)
            async with local.call() as second:
                await back(second, token, number)
                second.lose()
                async with local.call() as third:
                    assert (await back(third, token, number))["resumed"]["kept"]

    local.run(story)


def test_a_token_is_not_used_up_by_a_line_that_breaks_while_it_is_looked_at(
    local: LocalCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        commit = local.store.commit

        async def slowly(*puts: Any) -> Any:
            await asyncio.sleep(1)
            return await commit(*puts)

        async with local.call() as first:
            token = await began(first)
            number = seen(first)
            first.lose()
            await asyncio.sleep(1)
            monkeypatch.setattr(local.store, "commit", slowly)
            async with local.call() as second:
                resume = {"token": token, "seq": number}
                await second.say(type="hello", version=1, resume=resume)
                await asyncio.sleep(0.5)
                second.lose()
                await asyncio.sleep(1)
            async with local.call() as third:
                assert (await back(third, token, number))["resumed"]["kept"]

    local.run(story)


def test_of_two_that_come_back_at_once_with_one_token_one_has_the_session(
    local: LocalCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        commit = local.store.commit

        async def slowly(*puts: Any) -> Any:
            await asyncio.sleep(1)
            return await commit(*puts)

        async with local.call() as first:
            token = await began(first)
            number = seen(first)
            first.lose()
            await asyncio.sleep(1)
            monkeypatch.setattr(local.store, "commit", slowly)
            async with local.call() as second, local.call() as third:
                hello = {"type": "hello", "version": 1, "resume": {"token": token, "seq": number}}
                await second.say(**hello)
                await asyncio.sleep(0.5)
                await third.say(**hello)
                assert (await second.until("error", fatal=True))["code"] == "cannot_resume"
                newest = (await third.until("ready"))["resume"]
                third.lose()
                async with local.call() as fourth:
                    assert (await back(fourth, newest, number))["resumed"]["kept"]

    local.run(story)


def test_a_client_may_come_back_before_the_server_knows_that_its_line_is_lost(
    local: LocalCalls,
) -> None:
    async def story() -> None:
        async with local.call() as first:
            token = await began(first)
            await first.until("reply.done", turn=0)
            async with local.call() as second:
                assert (await back(second, token, seen(first)))["resumed"]["kept"]
                reason = "the client has come back over another connection"
                assert await first.closed() == (CloseCode.POLICY, reason)
                await second.speak_live(400, 1000)
                await second.until("transcript", turn=1, final=True)
                assert local.calls.live.connections == 1

    local.run(story)


def test_another_client_without_the_token_cannot_take_a_live_session_over(
    local: LocalCalls,
) -> None:
    async def story() -> None:
        async with local.call() as first:
            await began(first)
            async with local.call() as second:
                await second.say(type="hello", version=1)
                error = await second.until("error", fatal=True)
                assert error["code"] == "already_connected"
            await first.say(type="ping", t=1)
            await first.until("pong")

    local.run(story)


def test_a_client_without_the_token_joins_a_session_whose_line_is_lost(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as first:
            token = await began(first)
            await first.until("reply.done", turn=0)
            first.lose()
            await asyncio.sleep(1)
            async with local.call() as second:
                await began(second)
                await second.until("reply.text", turn=0)
                assert "Welcome back" in str(second.messages)
                async with local.call() as third:
                    await refused(third, token, 1)

    local.run(story)


def test_messages_that_are_no_longer_there_are_reported(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as first:
            token = await began(first)
            await first.until("reply.done", turn=0)
            for number in range(1100):
                await first.say(type="ping", t=number)
            first.lose()
            await asyncio.sleep(1)
            async with local.call() as second:
                ready = await back(second, token, 1)
                assert ready["resumed"] == {"kept": True, "complete": False, "texts": 0}
                assert ready["interview"]["currentQuestion"] == 1

    local.run(story)


def test_a_restarted_process_knows_the_token_once(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as first:
            token = await began(first)
            await first.until("reply.done", turn=0)
            await local.calls.live.wind_down(1.0)
            assert (await first.closed())[0] is CloseCode.RESTARTING
        local.calls.live.draining = False  # as another process on the same store
        async with local.call() as second:
            ready = await back(second, token, seen(first))
            assert ready["resumed"] == {"kept": False, "complete": False}
            assert ready["interview"]["currentQuestion"] == 1
            await asyncio.sleep(CONFIRM_S + 1)
            async with local.call() as third:
                await refused(third, token, 1)

    local.run(story)


def test_the_audio_may_have_another_format_from_then_on(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as first:
            token = await began(first)
            await first.until("reply.started", turn=0)
            first.lose()
            await asyncio.sleep(1)
            async with local.call() as second:
                wire = {"encoding": "mulaw", "rate": 8000}
                ready = await back(second, token, seen(first), audio_in=wire, audio_out=wire)
                assert ready["audio_in"] == {**wire, "channels": 1}
                assert ready["audio_out"] == wire
                await second.until("reply.done", turn=0)
                assert {len(packet) for packet in second.packets[1:-1]} == {160}

    local.run(story)


def test_what_a_client_says_at_once_is_heard(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as first:
            token = await began(first)
            await first.until("reply.done", turn=0)
            first.lose()
            await asyncio.sleep(1)
            async with local.call() as second:
                second.transport.arrive(
                    f'{{"type":"hello","version":1,"resume":{{"token":"{token}","seq":1}}}}'
                )
                second.transport.arrive('{"type":"text","text":"At once."}')
                assert (await second.until("transcript", final=True))["text"] == "At once."

    local.run(story)


def test_a_line_that_is_lost_while_the_process_ends_is_not_waited_for(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as first:
            await began(first)
            await first.until("reply.done", turn=0)
            first.lose()
            await asyncio.sleep(1)
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            await local.calls.live.wind_down(10.0)
            assert loop.time() == began_s

    local.run(story)


def test_a_token_outlives_a_session_that_lasts_longer_than_its_lifetime(local: LocalCalls) -> None:
    local.settings["session_ttl_s"] = 600

    async def story() -> None:
        resume: dict[str, Any] = {}
        async with local.call() as first:
            resume["token"] = await began(first)
            await first.until("reply.done", turn=0)
            for _ in range(15):
                await asyncio.sleep(100)
                await first.say(type="ping", t=1)
            resume["seq"] = seen(first)
            assert await knows(local.store, "test", ResumeRequest(**resume))
        await asyncio.sleep(10)
        assert not await knows(local.store, "test", ResumeRequest(**resume)), "it is over"

    local.run(story)


def test_a_token_that_cannot_be_renewed_for_once_is_renewed_later(
    local: LocalCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.settings["session_ttl_s"] = 600

    async def story() -> None:
        async with local.call() as first:
            token = await began(first)
            await first.until("reply.done", turn=0)
            commit = local.store.commit

            async def fails(*writes: Any) -> None:
                raise StoreUnavailable("not now")

            monkeypatch.setattr(local.store, "commit", fails)
            await asyncio.sleep(250)
            monkeypatch.setattr(local.store, "commit", commit)
            await asyncio.sleep(1000)
            assert await knows(local.store, "test", ResumeRequest(token, 1))

    local.run(story)


def test_resuming_can_be_switched_off(local: LocalCalls) -> None:
    local.settings["resume_s"] = 0

    async def story() -> None:
        async with local.call() as first:
            assert await began(first) is None
            first.lose()
            await asyncio.sleep(1)
            assert local.calls.live.connections == 0

    local.run(story)


def another_process(local: LocalCalls) -> Calls:
    """A gateway on the same store, which runs beside this one."""
    return replace(local.calls, live=LiveSessions(10), owner=SessionOwner.here())


async def lease(local: LocalCalls, *processes: Calls) -> None:
    """The processes live, as far as the store knows."""
    for process in processes:
        await local.store.put(lease_key(process.owner.token), b"", expect=None)


def test_a_client_goes_on_at_another_process_while_its_own_still_runs(local: LocalCalls) -> None:
    async def story() -> None:
        here, there = local.calls, another_process(local)
        await lease(local, here, there)
        async with local.call() as first:
            token = await began(first)
            await first.until("reply.done", turn=0)
            await first.say(type="text", text="I would measure it first.")
            await first.until("interview", currentQuestion=2)
            first.lose()
            await asyncio.sleep(1)
            local.calls = there
            async with local.call() as second:
                ready = await back(second, token, seen(first))
                assert ready["resumed"] == {"kept": False, "complete": False}
                assert ready["interview"]["currentQuestion"] == 2
                await second.until("reply.done", turn=0)
                await second.say(type="text", text="And then I would ask the others.")
                await second.until("interview", currentQuestion=3)
                await asyncio.sleep(CONFIRM_S)
                async with local.call() as third:
                    await refused(third, token, 1)
                local.calls = here  # which still keeps the session as it was
                async with local.call() as fourth:
                    await refused(fourth, token, 1)
                assert (await load(local.store, "test"))[0].worker == there.owner
                assert second.types()[-1] != "error"

    local.run(story)


def test_a_process_that_has_lost_a_session_stores_nothing_more_and_says_so(
    local: LocalCalls,
) -> None:
    async def story() -> None:
        here, there = local.calls, another_process(local)
        await lease(local, here, there)
        async with local.call() as first:
            token = await began(first)
            await first.until("reply.done", turn=0)
            local.calls = there
            async with local.call() as second:
                await back(second, token, seen(first))
                await second.until("reply.done", turn=0)
                await asyncio.sleep(1)  # it is stored, too
                stored, version = await load(local.store, "test")
                lines = await local.store.read("transcript:test")
                await first.say(type="text", text="Nobody keeps this.")
                error = await first.until("error", fatal=True)
                assert error["code"] == "taken_over"
                await first.closed()
                assert await load(local.store, "test") == (stored, version)
                assert await local.store.read("transcript:test") == lines
                await second.say(type="text", text="This is kept.")
                await second.until("interview", currentQuestion=2)
            local.calls = here

    local.run(story)


@pytest.mark.parametrize("former", [True, False], ids=["the former one", "the new one"])
@pytest.mark.parametrize("noticed", [True, False], ids=["lost", "half open"])
def test_a_line_that_breaks_before_another_process_gave_its_token_is_no_harm(
    local: LocalCalls, former: bool, noticed: bool
) -> None:
    local.settings["resume_s"] = 2

    async def story() -> None:
        here, there = local.calls, another_process(local)
        await lease(local, here, there)
        async with local.call() as first:
            token = await began(first)
            await first.until("reply.done", turn=0)
            first.lose()
            await asyncio.sleep(1)
            local.calls = there
            async with local.call() as second:
                await back(second, token, seen(first))
                await asyncio.sleep(1.5)  # what was kept here has ended meanwhile
                if noticed:
                    second.lose()
                    await asyncio.sleep(0.5)
                local.calls = here if former else there
                async with local.call() as third:
                    ready = await back(third, token, seen(first))
                    assert ready["resumed"] == {"kept": False, "complete": False}
                    await third.until("reply.done", turn=0)
                    await third.say(type="text", text="I would measure it first.")
                    await third.until("interview", currentQuestion=2)
                    await asyncio.sleep(CONFIRM_S)
                    for local.calls in (here, there):
                        async with local.call() as thief:
                            await refused(thief, token, 1)
                    third.lose()
                    await asyncio.sleep(1)
                    local.calls = there if former else here
                    async with local.call() as fourth:
                        ready = await back(fourth, ready["resume"], seen(third))
                        assert ready["interview"]["currentQuestion"] == 2

    local.run(story)


@pytest.mark.parametrize("noticed", [True, False], ids=["lost", "half open"])
def test_a_client_comes_back_to_a_process_that_kept_an_older_state(
    local: LocalCalls, noticed: bool
) -> None:
    """It went on elsewhere meanwhile, as when gateways are restarted one after the other."""

    async def story() -> None:
        here, there = local.calls, another_process(local)
        await lease(local, here, there)
        async with local.call() as first:
            token = await began(first)
            await first.until("reply.done", turn=0)
            if noticed:
                first.lose()
                await asyncio.sleep(1)
            local.calls = there
            async with local.call() as second:
                token = (await back(second, token, seen(first)))["resume"]
                await second.until("reply.done", turn=0)
                await second.say(type="text", text="I would measure it first.")
                await second.until("interview", currentQuestion=2)
                second.lose()
                await asyncio.sleep(1)
                local.calls = here
                async with local.call() as third:
                    ready = await back(third, token, seen(second))
                    assert ready["resumed"] == {"kept": False, "complete": False}
                    assert ready["interview"]["currentQuestion"] == 2
                    await third.until("reply.done", turn=0)
                    await third.say(type="text", text="And then I would ask the others.")
                    await third.until("interview", currentQuestion=3)
                    await asyncio.sleep(GRACE_S + 5)  # what was kept elsewhere ends
                    await third.say(type="text", text="And the third one.")
                    await third.until("interview", currentQuestion=4)

    local.run(story)
