"""`@openai/agents-realtime` on Node against a real server, over WebSocket."""

import asyncio
from typing import Any

import pytest

from stages.fakes import FakeSynthesizer
from tests.support.agents import IN_CI, MISSING, agent
from tests.support.openai_peer import STORY
from tests.support.realtime import RealtimeGateway

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING) and not IN_CI, reason=f"needs {', '.join(MISSING)}"),
]

SAID = "I like to build things that last"


def test_speech_is_in_the_history_and_the_reply_is_heard(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with agent(realtime.port) as client:
            await client.until("connected")
            await client.speak()
            reply = ("assistant", f"You said {SAID}.")
            await client.history(lambda lines: lines == [("user", SAID), reply])
            assert (await client.until("audio_stopped"))["heard"] > 48 * 100
        assert realtime.asked() == [[{"role": "user", "content": SAID}]]
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
            await client.until("interrupted")
            cut = await client.event("conversation.item.truncated")
            assert 0 < cut["audio_end_ms"] < 12 * 300
            await client.event("input_audio_buffer.speech_stopped")
            await client.history(lambda lines: ("user", SAID) in lines)
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


def test_a_wrong_key_is_refused(realtime: RealtimeGateway) -> None:
    realtime.settings["api_keys"] = "right-key,other-key"

    async def story() -> None:
        async with agent(realtime.port, key="wrong-key") as client:
            assert "401" in (await client.until("refused"))["error"]
            assert await client.ended() == 1
        async with agent(realtime.port, key="right-key") as client:
            await client.until("connected")

    realtime.run(story)
