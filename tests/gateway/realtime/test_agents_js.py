"""`@openai/agents-realtime` on Node against a real server, over WebSocket."""

import asyncio
from typing import Any

import pytest

from gateway.interviews.sessions import load
from stages.fakes import FakeSynthesizer
from tests.support.agents import IN_CI, MISSING, agent
from tests.support.openai_peer import STORY
from tests.support.realtime import RealtimeGateway, clip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING) and not IN_CI, reason=f"needs {', '.join(MISSING)}"),
]

SAID = "I like to build things that last"
ROLES = ["assistant", "user", "assistant"]


def test_two_turns_of_a_fixture_are_in_the_history_and_the_replies_are_heard(
    realtime: RealtimeGateway,
) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with agent(realtime.port) as client:
            await client.until("connected")
            both = [("user", SAID), ("assistant", f"You said {SAID}.")]
            for turn in (1, 2):
                await client.speak(audio=clip(2, 800))
                await client.history(lambda lines, told=both * turn: lines == told)
                await client.until(
                    "audio_stopped", lambda line, least=48 * 100 * turn: line["heard"] > least
                )
        said, reply = {"role": "user", "content": SAID}, f"You said {SAID}."
        told = [said, {"role": "assistant", "content": reply}, said]
        assert realtime.asked() == [[said], told]
        instructions = realtime.requests()[0]["messages"][0]
        assert instructions == {"role": "system", "content": "Be brief."}
        assert not [line for line in client.lines if line["type"] == "error"]

    realtime.run(story)


def test_speech_interrupts_and_the_client_truncates(realtime: RealtimeGateway) -> None:
    realtime.chat("story")
    realtime.synthesizer = FakeSynthesizer(ms_per_word=300)

    async def story() -> None:
        async with agent(realtime.port) as client:
            await client.until("connected")
            await client.tell(text="Tell me a story")
            await client.event("response.output_audio_transcript.delta")
            await asyncio.sleep(0.8)  # some of it is heard
            await client.speak(1000)
            assert (await client.until("interrupted"))["response"].startswith("resp_")
            cut = await client.event("conversation.item.truncated")
            assert 0 < cut["audio_end_ms"] < 12 * 300
            await client.event("input_audio_buffer.speech_stopped")
            await client.history(lambda lines: ("user", SAID) in lines)
        assert not [line for line in client.lines if line["type"] == "late"]
        asked, heard, said = realtime.asked()[-1]
        assert asked["content"] == "Tell me a story"
        assert STORY.startswith(heard["content"])
        assert 0 < len(heard["content"]) < len(STORY)
        assert said["content"] == SAID
        assert not [line for line in client.lines if line["type"] == "error"]

    realtime.run(story)


def test_a_typed_message_is_answered_and_its_mouth_shapes_reach_the_page(
    realtime: RealtimeGateway,
) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with agent(realtime.port, animation="speech_to_speech") as client:
            await client.until("connected")
            await client.tell(text="Hello")
            lines = [("user", "Hello"), ("assistant", "You said Hello.")]
            await client.history(lambda known: known == lines)
            shapes = await client.event("speech_to_speech.output_audio.visemes")
            assert shapes["visemes"][0]["viseme"] == 2
            await client.until("audio_stopped")
            await client.tell(text="Again")
            await client.history(lambda known: ("assistant", "You said Again.") in known)
        assert [line["content"] for line in realtime.asked()[-1]] == [
            "Hello",
            "You said Hello.",
            "Again",
        ]

    realtime.run(story)


def test_a_tool_is_called_and_its_result_told(realtime: RealtimeGateway) -> None:
    realtime.chat("weather")

    async def story() -> None:
        async with agent(realtime.port) as client:
            await client.until("connected")
            await client.tell(text="How is the weather in Leeds?")
            assert (await client.until("tool"))["input"] == {"place": "Leeds"}
            reply = ("assistant", "It is sunny there.")
            await client.history(lambda lines: reply in lines)
        told = realtime.asked()[-1][-1]
        assert (told["role"], told["content"]) == ("tool", "sunny")

    realtime.run(story)


def test_an_error_is_told_and_the_session_lives(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with agent(realtime.port) as client:
            await client.until("connected")
            await client.tell(raw={"type": "no.such.event", "event_id": "mine"})
            error = (await client.event("error"))["error"]
            assert (error["code"], error["event_id"]) == ("unknown_event", "mine")
            await client.until("error")
            await client.tell(text="Hello")
            await client.history(lambda lines: ("assistant", "You said Hello.") in lines)

    realtime.run(story)


def test_a_reply_is_interrupted_by_the_application(realtime: RealtimeGateway) -> None:
    realtime.chat("story")
    realtime.synthesizer = FakeSynthesizer(ms_per_word=300)

    async def story() -> None:
        async with agent(realtime.port) as client:
            await client.until("connected")
            await client.tell(text="Tell me a story")
            await client.event("response.output_audio_transcript.delta")
            await asyncio.sleep(0.5)  # some of it is heard
            await client.tell(interrupt=True)
            done = await client.event("response.done")
            assert done["response"]["status"] == "cancelled"
            await client.tell(text="Again")
            await client.until("history", lambda line: _twice(line["history"]))

    realtime.run(story)


def _twice(history: list[dict[str, Any]]) -> bool:
    """Both messages are answered."""
    return [item.get("role") for item in history] == ["user", "assistant"] * 2


def test_a_client_that_connects_again_goes_on_with_its_interview(
    realtime: RealtimeGateway,
) -> None:
    realtime.synthesizer = FakeSynthesizer(ms_per_word=20)

    async def story() -> None:
        for text in ("I measure it.", "I ask people."):
            async with agent(realtime.port, model="interview", session_id="mine") as client:
                assert (await client.event("session.created"))["session"]["id"] == "mine"
                await client.until("connected")
                await client.until("audio_stopped")
                await client.tell(text=text)
                await client.history(lambda lines: [role for role, _ in lines] == ROLES)
            while realtime.app.state.runtime.live.connections:
                await asyncio.sleep(0.02)
        record, _ = await load(realtime.app.state.runtime.store, "mine")
        assert record.interview is not None
        told = [line["content"] for line in record.interview["messages"] if line["role"] == "user"]
        assert told[1:] == ["I measure it.", "I ask people."]  # the first asks to begin

    realtime.run(story)


def test_a_wrong_key_is_refused(realtime: RealtimeGateway) -> None:
    realtime.settings["api_keys"] = "right-key,other-key"

    async def story() -> None:
        async with agent(realtime.port, key="wrong-key") as client:
            assert "401" in (await client.until("refused"))["error"]
            assert await client.ended() == 1
        async with agent(realtime.port, key="right-key") as client:
            await client.until("connected")

    realtime.run(story)
