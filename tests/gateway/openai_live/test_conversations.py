"""openai-python's Live client against a real server: turns, interruptions, mutes and endings."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from gateway.interviews.sessions import load
from pipeline.frames import Samples, Sentence, Speech
from stages.fakes import FakeSynthesizer
from tests.support.gateway import PATIENCE_S
from tests.support.live import DELTA, LiveTalk, live
from tests.support.openai_peer import STORY
from tests.support.realtime import RealtimeGateway, clip, loudness, pcm

pytestmark = pytest.mark.slow  # spoken in real time

SAID = "I like to build things that last"
"""What the transcriber of these tests understands of any speech."""

REPLY = f"You said {SAID}."


def test_two_turns_of_a_fixture_are_understood_and_answered_aloud(
    realtime: RealtimeGateway,
) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with live(realtime, instructions="Be brief.") as talk:
            for turn in (1, 2):
                await talk.append(clip(2, 1500))
                await talk.until("session.input_transcript.delta")
                await talk.quiet()
                assert talk.understood() == " ".join([SAID] * turn)
                assert talk.said() == " ".join([REPLY] * turn)
            assert loudness(bytes(talk.audio)) > 5000
            assert len(talk.audio) / 48 == pytest.approx(2 * 9 * 20, abs=160)  # ms: 9 words
            await talk.session.close(event_id="bye")
            closed = await talk.until("session.closed", client_event_id="bye")
            assert closed["reason"] == "close_requested"
            assert closed["usage"]["seconds"] >= 2
            assert len(talk.of("session.usage.updated")) == 2
            tokens = [event["event"]["response"]["usage"] for event in talk.of("response.event")]
            assert [used["total_tokens"] for used in tokens] == [11, 11]  # as the server told them
            assert await talk.ended() == (1000, "")
            assert "error" not in talk.types()
        said = {"role": "user", "content": SAID}
        reply = {"role": "assistant", "content": REPLY}
        assert realtime.asked() == [[said], [said, reply, said]]

    realtime.run(story)


def test_transcripts_have_their_place_on_the_sessions_timeline(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")
    realtime.synthesizer = FakeSynthesizer(ms_per_word=100)

    async def story() -> None:
        async with live(realtime) as talk:
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(1)
            spoke_ms = (asyncio.get_running_loop().time() - began) * 1000
            await talk.speak_live(pcm(500, 800))
            await talk.quiet()
            [heard] = talk.of("session.input_transcript.delta")
            # Two clocks on a machine that may be busy; that of the utterance would begin at 0.
            assert heard["start_ms"] == pytest.approx(spoke_ms, abs=400)
            assert heard["end_ms"] - heard["start_ms"] == pytest.approx(500, abs=250)
            words = talk.of("session.output_transcript.delta")
            first_ms = (talk.heard_at[0][0] - began) * 1000
            assert words[0]["start_ms"] == pytest.approx(first_ms, abs=400)
            assert words[-1]["end_ms"] - words[0]["start_ms"] == pytest.approx(900, abs=50)
            places = [(word["start_ms"], word["end_ms"]) for word in words]
            assert places == sorted(places)
            assert all(start < end for start, end in places)

    realtime.run(story)


class Levels(FakeSynthesizer):
    """Speaks as long as the other, every sample of a turn at one level: a step for each turn."""

    STEP = 500

    def speak(self, sentence: Sentence) -> AsyncIterator[Speech]:
        self._level = self.STEP * (sentence.turn + 1)
        return super().speak(sentence)

    def _tone(self, at_ms: int) -> Samples:
        return np.full(self.rate_hz * self._ms_per_word // 1000, self._level, np.int16)


def turns_in(audio: bytes) -> set[int]:
    """The turns whose speech is in it, but for the edges that a resampler makes round."""
    found = np.round(np.frombuffer(audio, "<i2") / Levels.STEP).astype(int) - 1
    values, counts = np.unique(found, return_counts=True)
    return {int(value) for value, count in zip(values, counts, strict=True) if count > 240}


def test_nothing_of_a_reply_comes_after_its_interruption(realtime: RealtimeGateway) -> None:
    realtime.chat("story")
    realtime.synthesizer = Levels(ms_per_word=300)

    async def story() -> None:
        async with live(realtime) as talk:
            await talk.speak()
            await talk.until("session.input_transcript.delta")
            while len(talk.audio) < 48 * 1000:
                await talk.until(DELTA)
            [old] = turns_in(bytes(talk.audio))
            before = talk.said()
            spoke_at = asyncio.get_running_loop().time()
            await talk.speak_live(pcm(1200, 600))
            await talk.until("session.input_transcript.delta")
            cut = sum(size for at, size in talk.heard_at if at < spoke_at + 1.2)
            while len(talk.audio) < cut + 48 * 1000:
                await talk.until(DELTA)
            assert turns_in(bytes(talk.audio[:cut])) == {old}
            [new] = turns_in(bytes(talk.audio[cut:]))
            assert new > old
            first, _, again = talk.said()[3:].partition(" One")
            assert f"One{first}".startswith(before)
            assert STORY.startswith(f"One{first}")
            assert STORY.startswith(f"One{again}")
        heard = realtime.asked()[-1][-2]
        assert heard["role"] == "assistant"
        assert f"One{first}".startswith(heard["content"])  # a word was begun, but not heard

    realtime.run(story)


def test_a_typed_turn_stops_the_reply_and_is_answered(realtime: RealtimeGateway) -> None:
    realtime.chat("story")
    realtime.synthesizer = FakeSynthesizer(ms_per_word=300)

    async def story() -> None:
        history: Any = [
            {"role": "developer", "content": [{"type": "input_text", "text": "Tell stories."}]},
            {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "Hello!"}]},
        ]
        async with live(realtime, input=history) as talk:
            await talk.write("Tell me a story")
            await talk.until(DELTA)
            await asyncio.sleep(0.6)
            await talk.write("Another one")
            while len(realtime.asked()) < 2:
                await asyncio.sleep(0.02)
            await talk.until("session.usage.updated")
            assert "error" not in talk.types()
        first, second = realtime.asked()
        assert [line["content"] for line in first] == ["Hello", "Hello!", "Tell me a story"]
        assert [line["content"] for line in second][-1] == "Another one"
        assert second[-2]["role"] == "assistant"

    realtime.run(story)


def test_two_questions_of_an_interview_and_a_typed_answer_are_stored(
    realtime: RealtimeGateway,
) -> None:
    async def story() -> None:
        query = {"session_id": "two-questions", "role": "Product Manager"}
        async with live(realtime, "interview", query=query) as talk:
            started = talk.of("session.started")[0]["session"]
            assert started["id"] == "two-questions"
            await talk.quiet()
            await talk.speak()
            await talk.quiet()
            await talk.write("I write, too")
            await talk.quiet()
            await talk.speak()
            await asyncio.sleep(0.5)  # it has been said, but the turn may not have ended
            await talk.session.close()
            assert (await talk.until("session.closed"))["reason"] == "close_requested"
        record, _ = await load(realtime.app.state.runtime.store, "two-questions")
        assert record.role == "Product Manager"
        assert record.interview is not None
        lines = [line for line in record.interview["messages"] if line["role"] == "user"]
        assert [line["content"] for line in lines[1:]] == [SAID, "I write, too", SAID]

    realtime.run(story)


def test_who_is_muted_is_not_heard(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with live(realtime) as talk:
            await talk.session.input_audio.mute(event_id="m")
            await talk.until("session.input_audio.muted", client_event_id="m")
            await talk.speak_live(pcm(500, 500))
            await talk.session.input_audio.unmute()
            await talk.until("session.input_audio.unmuted")
            assert talk.types() == [
                "session.started",
                "session.input_audio.muted",
                "session.input_audio.unmuted",
            ]
            await talk.speak_live(pcm(500, 800))
            heard = await talk.until("session.input_transcript.delta")
            assert heard["start_ms"] > 900
            await talk.quiet()

    realtime.run(story)


FORMATS = {
    "pcm-16k": ({"type": "audio/pcm", "rate": 16_000}, 32),
    "mulaw": ({"type": "audio/pcmu", "rate": 8_000}, 8),
    "alaw": ({"type": "audio/pcma", "rate": 8_000}, 8),
}


@pytest.mark.parametrize("name", FORMATS)
def test_other_formats_travel_both_ways(realtime: RealtimeGateway, name: str) -> None:
    realtime.chat("parrot")
    form, bytes_per_ms = FORMATS[name]
    loud, silent = {"mulaw": (0x80, 0xFF), "alaw": (0xAA, 0xD5)}.get(name, (0, 0))

    async def story() -> None:
        async with live(realtime, audio={"format": form}) as talk:
            if name == "pcm-16k":
                await talk.append(pcm(400, 800, 16_000), piece=3200)
            else:
                await talk.append(bytes([loud, silent]) * 1600 + bytes([silent]) * 6400, 800)
            await talk.until("session.input_transcript.delta")
            await talk.quiet()
            assert len(talk.audio) / bytes_per_ms == pytest.approx(9 * 20, abs=80)
            assert len(set(talk.audio)) > 20  # a tone, not silence
            assert talk.of("session.started")[0]["session"]["audio"]["format"] == form

    realtime.run(story)


TOOL: Any = {
    "type": "function",
    "name": "look_up",
    "description": "Looks a word up",
    "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
}


def test_the_client_answers_a_function_call(realtime: RealtimeGateway) -> None:
    realtime.chat("calls")

    async def story() -> None:
        delegation = {"type": "responses", "responses": {"model": realtime.chat_name}}
        delegation["responses"]["tools"] = [TOOL]  # type: ignore[index]
        async with live(realtime, delegation=delegation) as talk:
            await talk.write("What is parley?")
            created = (await talk.until("session.delegation.created"))["delegation"]
            first = await talk.until("response.event", delegation_id=created["id"])
            item = first["event"]["item"]
            assert (item["call_id"], item["name"]) == ("call_a", "look_up")
            assert (await talk.until("response.event"))["event"]["item"]["name"] == "end"
            for call_id in ("call_a", "call_b"):
                result: Any = {"type": "function_call_output", "call_id": call_id, "output": "{}"}
                await talk.connection.response.item.create(item=result)
            await talk.connection.response.create()
            while len(realtime.asked()) < 2:
                await asyncio.sleep(0.02)
        asked = realtime.asked()[1]
        calls = next(line["tool_calls"] for line in asked if line.get("tool_calls"))
        assert [call["id"] for call in calls] == ["call_a", "call_b"]
        results = [line for line in asked if line["role"] == "tool"]
        assert [(line["tool_call_id"], line["content"]) for line in results] == [
            ("call_a", "{}"),
            ("call_b", "{}"),
        ]
        assert [tool["function"]["name"] for tool in realtime.requests()[0]["tools"]] == ["look_up"]

    realtime.run(story)


def test_commentary_is_spoken_of_and_instructions_are_silent(realtime: RealtimeGateway) -> None:
    realtime.chat("hello")

    async def story() -> None:
        async with live(realtime) as talk:
            await talk.session.instructions.append(content="Be kind.", delegation_id=None)
            appended = await talk.until("session.instructions.appended")
            assert appended["start_ms"] == appended["end_ms"]
            await talk.session.thinking.append(content="It rains.", delegation_id=None)
            await talk.until("session.thinking.appended")
            await asyncio.sleep(0.3)
            assert realtime.asked() == []
            await talk.session.commentary.append(content="It is done.", delegation_id=None)
            await talk.until("session.commentary.appended")
            await talk.quiet()
            assert talk.said() == "Hello there."
        [request] = realtime.requests()
        texts = "\n".join(line["content"] for line in request["messages"])
        assert all(text in texts for text in ("Be kind.", "It rains.", "It is done."))

    realtime.run(story)


async def broken(talk: LiveTalk) -> None:
    """The line breaks."""
    talk.connection._connection.transport.abort()
    await talk.reader


def test_a_client_whose_line_breaks_goes_on_with_its_interview(realtime: RealtimeGateway) -> None:
    async def story() -> None:
        query = {"session_id": "mine"}
        async with live(realtime, "interview", query=query) as talk:
            await talk.quiet()
            await talk.speak()
            await talk.quiet()
            await broken(talk)
        while realtime.app.state.runtime.live.connections:
            await asyncio.sleep(0.02)
        async with live(realtime, "interview", query=query) as talk:
            await talk.quiet()
            await talk.speak()
            await talk.quiet()
        record, _ = await load(realtime.app.state.runtime.store, "mine")
        assert record.interview is not None
        lines = [line for line in record.interview["messages"] if line["role"] == "user"]
        assert [line["content"] for line in lines[1:]] == [SAID, SAID]

    realtime.run(story)


def test_the_clients_own_reconnection_begins_the_session_again(realtime: RealtimeGateway) -> None:
    async def story() -> None:
        lost: list[int] = []

        again: list[asyncio.Task[None]] = []

        def on_reconnecting(event: Any) -> None:
            lost.append(event.close_code)
            # What is sent while there is no line is sent over the next one.
            begin = connection.session.start(session={"model": "interview"})
            again.append(asyncio.create_task(begin))

        async with realtime.client() as client:
            manager = client.live.connect(
                extra_query={"session_id": "mine"},
                on_reconnecting=on_reconnecting,
                initial_delay=0.5,
            )
            async with manager as connection:
                await connection.session.start(session={"model": "interview"})
                seen: list[str] = []
                async with asyncio.timeout(PATIENCE_S):
                    async for event in connection:
                        seen.append(event.type)
                        if event.type == "session.started":
                            assert event.session.id == "mine"
                            if lost:
                                break
                            live_sessions = realtime.app.state.runtime.live
                            await live_sessions.wind_down(0)  # its process ends
                            live_sessions.draining = False  # and another begins
                        elif event.type == "session.closed":
                            assert event.reason == "connection_lost"
        await again[0]
        assert lost == [1012]
        assert seen.count("session.closed") == 1

    realtime.run(story)
