"""Calls over WebRTC against a real server: aiortc has the media, openai-python makes the call."""

import asyncio
from typing import Any

import pytest
from openai import NotFoundError

from stages.fakes import FakeSynthesizer
from tests.support.openai_peer import STORY
from tests.support.realtime import RealtimeGateway, server_vad
from tests.support.realtime_call import Call, call
from tests.support.webrtc import emptied

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("patience")]

SAID = "I like to build things that last"


async def interrupted(made: Call) -> None:
    """Return when the interruption has been told, and check that it was told in order."""
    cleared = await made.until("output_audio_buffer.cleared")
    truncated = await made.until("conversation.item.truncated")
    done = next(event for event in made.messages if event["type"] == "response.done")
    assert cleared["response_id"] == done["response"]["id"]
    [message] = done["response"]["output"]
    assert truncated["item_id"] == message["id"]
    assert 600 < truncated["audio_end_ms"] < 12 * 300
    heard = message["content"][0]["transcript"]
    assert STORY.startswith(heard)
    assert 0 < len(heard) < len(STORY)


def test_a_call_is_spoken_and_heard(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with call(realtime, model="assistant") as (made, _):
            created = await made.until("session.created")
            assert created["session"]["model"] == "assistant"
            made.say(type="session.update", session=server_vad())
            updated = (await made.until("session.updated"))["session"]
            assert updated["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 200
            made.microphone.speak(500)
            kind = "conversation.item.input_audio_transcription.completed"
            assert (await made.until(kind))["transcript"] == SAID
            started = await made.until("output_audio_buffer.started")
            done = (await made.until("response.done"))["response"]
            assert done["status"] == "completed"
            assert done["output"][0]["content"][0]["transcript"] == f"You said {SAID}."
            stopped = await made.until("output_audio_buffer.stopped")
            assert started["response_id"] == stopped["response_id"] == done["id"]
            assert "response.output_audio.delta" not in made.types()
            assert max(peak for _, peak in made.loudness) > 3000
        assert realtime.asked() == [[{"role": "user", "content": SAID}]]
        await emptied(realtime)

    realtime.run(story)


def test_speech_interrupts_a_call_and_the_server_truncates(realtime: RealtimeGateway) -> None:
    realtime.chat("story")
    realtime.synthesizer = FakeSynthesizer(ms_per_word=300)

    async def story() -> None:
        async with call(realtime, model="assistant") as (made, _):
            await made.until("session.created")
            made.say(type="session.update", session=server_vad())
            made.microphone.speak(500)
            await made.until("output_audio_buffer.started")
            await asyncio.sleep(1)  # three words are heard
            made.microphone.speak(1200)
            await interrupted(made)
            await made.until("response.created")
            await made.until("response.output_item.added")
        asked = realtime.asked()[-1]
        assert [line["role"] for line in asked] == ["user", "assistant", "user"]
        assert STORY.startswith(asked[1]["content"])
        assert len(asked[1]["content"]) < len(STORY)

    realtime.run(story)


def test_a_call_is_cancelled_and_cleared_by_hand(realtime: RealtimeGateway) -> None:
    realtime.chat("story")
    realtime.synthesizer = FakeSynthesizer(ms_per_word=300)

    async def story() -> None:
        async with call(realtime, model="assistant") as (made, _):
            await made.until("session.created")
            content = [{"type": "input_text", "text": "Tell me a story"}]
            item = {"type": "message", "role": "user", "content": content}
            made.say(type="output_audio_buffer.clear")  # clients do so whether or not it plays
            made.say(type="conversation.item.create", item=item)
            made.say(type="response.create")
            await made.until("response.output_audio_transcript.delta")
            await made.until("output_audio_buffer.started")
            made.say(type="response.cancel")
            made.say(type="output_audio_buffer.clear")
            done = (await made.until("response.done"))["response"]
            assert done["status_details"]["reason"] == "client_cancelled"
            await made.until("output_audio_buffer.cleared")
            assert "error" not in made.types()
            made.say(type="input_audio_buffer.append", audio="AAAA", event_id="mine")
            error = (await made.until("error"))["error"]
            assert (error["code"], error["event_id"]) == ("invalid_event", "mine")

    realtime.run(story)


def test_openai_python_makes_a_call_by_a_form_and_hangs_up(realtime: RealtimeGateway) -> None:
    async def story() -> None:
        made = Call(realtime)
        try:
            async with realtime.client() as client:
                session: Any = {"type": "realtime", "model": "mine", "instructions": "Be brief."}
                answer = await client.realtime.calls.create(sdp=await made.offer(), session=session)
                assert answer.response.status_code == 201
                assert answer.response.headers["content-type"].startswith("application/sdp")
                call_id = answer.response.headers["location"].rpartition("/")[2]
                assert call_id.startswith("rtc_")
                await made.answered(answer.text)
                created = (await made.until("session.created"))["session"]
                assert (created["model"], created["instructions"]) == ("mine", "Be brief.")
                await client.realtime.calls.hangup(call_id)
                await made.closed.wait()
                await emptied(realtime)
                with pytest.raises(NotFoundError, match="no such call"):
                    await client.realtime.calls.hangup(call_id)
        finally:
            await made.close()

    realtime.run(story)


def test_a_client_secret_brings_its_session_into_a_call(realtime: RealtimeGateway) -> None:
    realtime.settings["api_keys"] = "a-key-of-ours"
    realtime.key = "a-key-of-ours"

    async def story() -> None:
        async with realtime.client() as client:
            session: Any = {"type": "realtime", "model": "mine", "instructions": "Be brief."}
            secret = await client.realtime.client_secrets.create(session=session)
        async with call(realtime, key=secret.value) as (made, _):
            created = (await made.until("session.created"))["session"]
            assert (created["model"], created["instructions"]) == ("mine", "Be brief.")

    realtime.run(story)


def test_an_interview_is_called(realtime: RealtimeGateway) -> None:
    async def story() -> None:
        async with call(realtime, model="interview", session_id="by-phone") as (made, _):
            created = (await made.until("session.created"))["session"]
            assert created["id"] == "by-phone"
            assert (await made.until("response.done"))["response"]["status"] == "completed"

    realtime.run(story)
