"""openai-python against a real server: turns that are spoken, and replies that are heard."""

import asyncio
from typing import Any

import pytest

from gateway.interviews.sessions import load
from stages.fakes import FakeSynthesizer
from tests.support.openai_peer import STORY
from tests.support.realtime import RealtimeGateway, Talk, clip, loudness, manual, pcm, server_vad

pytestmark = pytest.mark.slow  # spoken in real time

SAID = "I like to build things that last"
"""What the transcriber of these tests understands of any speech."""


def test_a_spoken_turn_is_transcribed_and_answered_aloud(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with realtime.talk(session=server_vad()) as talk:
            await talk.speak()
            done = await talk.done()
            [transcript] = talk.of("conversation.item.input_audio_transcription.completed")
            assert transcript["transcript"] == SAID
            assert done["status"] == "completed"
            [message] = done["output"]
            said = f"You said {SAID}."
            assert message["content"] == [{"type": "output_audio", "transcript": said}]
            assert loudness(bytes(talk.audio)) > 5000
            assert len(talk.audio) / 48 == pytest.approx(9 * 20, abs=80)  # ms: 9 words
            started, stopped = (
                talk.types().index(f"input_audio_buffer.speech_{what}")
                for what in ("started", "stopped")
            )
            assert started < stopped < talk.types().index("response.created")
        assert realtime.asked() == [[{"role": "user", "content": SAID}]]

    realtime.run(story)


def test_every_event_of_a_turn_comes_in_the_documented_order(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")
    together = ("delta", "input_audio_transcription", "speech_", "session.")

    async def story() -> None:
        async with realtime.talk(session=server_vad()) as talk:
            await talk.speak()
            await talk.done()
            kinds = [t for t in talk.types() if not any(word in t for word in together)]
            assert kinds == [
                "input_audio_buffer.committed",
                "conversation.item.added",
                "conversation.item.done",
                "response.created",
                "response.output_item.added",
                "conversation.item.added",
                "response.content_part.added",
                "response.output_audio.done",
                "response.output_audio_transcript.done",
                "response.content_part.done",
                "conversation.item.done",
                "response.output_item.done",
                "response.done",
            ]

    realtime.run(story)


@pytest.mark.slow
def test_speech_interrupts_and_only_what_was_heard_is_remembered(
    realtime: RealtimeGateway,
) -> None:
    realtime.chat("story")
    realtime.synthesizer = FakeSynthesizer(ms_per_word=300)

    async def story() -> None:
        async with realtime.talk(session=server_vad()) as talk:
            await talk.speak()
            await talk.until("response.content_part.added")
            while len(talk.audio) < 48 * 1500:  # 1.5 s: five words
                await talk.until("response.output_audio.delta")
            speaking = asyncio.create_task(talk.speak_live(1000))
            await talk.until("input_audio_buffer.speech_started")
            began = talk.passed
            cut = await talk.done()
            assert (cut["status"], cut["status_details"]["reason"]) == (
                "cancelled",
                "turn_detected",
            )
            item = cut["output"][0]
            await talk.connection.conversation.item.truncate(
                item_id=item["id"], content_index=0, audio_end_ms=700
            )
            truncated = await talk.until("conversation.item.truncated")
            assert truncated["audio_end_ms"] == 700
            await talk.until("response.created")
            await talk.connection.conversation.item.retrieve(item_id=item["id"])
            kept = (await talk.until("conversation.item.retrieved"))["item"]["content"]
            assert kept == [{"type": "output_audio", "transcript": "One two"}]
            await speaking
            await talk.until("response.output_audio.delta")
            late = [event for event in talk.events[began:] if event["type"].endswith("audio.delta")]
            assert late
            assert cut["id"] not in {event["response_id"] for event in late}
        last = realtime.asked()[-1]
        assert last == [
            {"role": "user", "content": SAID},
            {"role": "assistant", "content": "One two"},
            {"role": "user", "content": SAID},
        ]

    realtime.run(story)


def test_an_interruption_without_truncate_is_cut_by_playout(realtime: RealtimeGateway) -> None:
    realtime.chat("story")
    realtime.synthesizer = FakeSynthesizer(ms_per_word=300)

    async def story() -> None:
        async with realtime.talk(session=server_vad()) as talk:
            await talk.speak()
            await talk.until("response.content_part.added")
            while len(talk.audio) < 48 * 1000:
                await talk.until("response.output_audio.delta")
            await talk.speak(1000)
            cut = await talk.done()
            heard = cut["output"][0]["content"][0]["transcript"]
            await talk.until("response.created")
        assert heard
        assert STORY.startswith(heard)
        assert len(heard) < len(STORY)
        assert realtime.asked()[-1][1] == {"role": "assistant", "content": heard}

    realtime.run(story)


def test_a_response_is_cancelled(realtime: RealtimeGateway) -> None:
    realtime.chat("story")
    realtime.synthesizer = FakeSynthesizer(ms_per_word=300)

    async def story() -> None:
        async with realtime.talk() as talk:
            await talk.write("Tell me a story")
            await talk.connection.response.create()
            await talk.until("response.output_audio.delta")
            await talk.connection.response.cancel()
            done = await talk.done()
            assert (done["status"], done["status_details"]["reason"]) == (
                "cancelled",
                "client_cancelled",
            )
            await talk.send("response.cancel", event_id="again")
            error = await talk.refused("response_cancel_not_active")
            assert error["event_id"] == "again"

    realtime.run(story)


def test_a_response_that_waits_behind_audio_is_cancelled(realtime: RealtimeGateway) -> None:
    realtime.chat("story")

    async def story() -> None:
        async with realtime.talk(session=manual()) as talk:
            await talk.append(pcm(1500))  # a second of it is ahead of real time
            await talk.connection.input_audio_buffer.commit()
            await talk.connection.response.create()
            await talk.connection.response.cancel()
            assert (await talk.done())["status"] == "cancelled"
            committed = await talk.until("input_audio_buffer.committed")
            await talk.connection.conversation.item.retrieve(item_id=committed["item_id"])
            await talk.until("conversation.item.retrieved")
            assert len(talk.of("response.created")) == 1
            await talk.write("Are you there?")
            await talk.connection.response.create()
            assert (await talk.done())["status"] == "completed"
            assert talk.of("error") == []
        [answered] = realtime.asked()
        assert {line["content"] for line in answered} == {SAID, "Are you there?"}

    realtime.run(story)


def test_the_client_ends_the_turns(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with realtime.talk(session=manual()) as talk:
            await talk.append(pcm(300, 600))
            await talk.connection.input_audio_buffer.clear()
            await talk.until("input_audio_buffer.cleared")
            await talk.send("input_audio_buffer.commit", event_id="nothing")
            error = await talk.refused("input_audio_buffer_commit_empty")
            assert error["event_id"] == "nothing"
            await talk.append(pcm(400))
            await talk.connection.input_audio_buffer.commit()
            await talk.until("input_audio_buffer.committed")
            await talk.until("conversation.item.input_audio_transcription.completed")
            assert "response.created" not in talk.types()
            await talk.connection.response.create()
            done = await talk.done()
            assert done["output"][0]["content"][0]["transcript"] == f"You said {SAID}."
            assert "input_audio_buffer.speech_started" not in talk.types()
        assert realtime.asked() == [[{"role": "user", "content": SAID}]]

    realtime.run(story)


def test_a_response_is_asked_for_in_the_same_breath(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with realtime.talk(session=manual()) as talk:
            for times in (1, 2):
                await talk.append(pcm(400))
                await talk.connection.input_audio_buffer.commit()
                await talk.connection.response.create()
                done = await talk.done()
                assert done["status"] == "completed"
                assert done["output"][0]["content"][0]["transcript"] == f"You said {SAID}."
                items = [event["item"]["id"] for event in talk.of("conversation.item.added")]
                committed = talk.of("input_audio_buffer.committed")[-1]
                assert items[-2:] == [committed["item_id"], done["output"][0]["id"]]
                kind = "conversation.item.input_audio_transcription.completed"
                understood = [(e["item_id"], e["transcript"]) for e in talk.of(kind)]
                assert understood[-1] == (committed["item_id"], SAID)
                assert len(understood) == len(talk.of("response.done")) == times
            assert talk.of("error") == []
        said, reply = {"role": "user", "content": SAID}, f"You said {SAID}."
        assert realtime.asked() == [
            [said],
            [said, {"role": "assistant", "content": reply}, said],
        ]

    realtime.run(story)


def test_a_turn_without_create_response_waits_for_the_client(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with realtime.talk(session=server_vad(create_response=False)) as talk:
            await talk.speak()
            await talk.until("conversation.item.input_audio_transcription.completed")
            assert "response.created" not in talk.types()
            await talk.connection.response.create()
            assert (await talk.done())["status"] == "completed"

    realtime.run(story)


def test_a_person_who_is_silent_is_spoken_to(realtime: RealtimeGateway) -> None:
    realtime.chat("hello")

    async def story() -> None:
        async with realtime.talk(session=server_vad(idle_timeout_ms=600)) as talk:
            await talk.append(pcm(0, 1500))
            silence = await talk.until("input_audio_buffer.timeout_triggered")
            assert silence["audio_end_ms"] - silence["audio_start_ms"] == 600
            committed = await talk.until("input_audio_buffer.committed")
            assert committed["item_id"] == silence["item_id"]
            done = await talk.done()
            assert done["status"] == "completed"
            assert done["output"][0]["content"][0]["transcript"] == "Hello there."
            assert "input_audio_buffer.speech_started" not in talk.types()
        assert realtime.asked()[0] == []

    realtime.run(story)


@pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma"])
def test_telephone_formats(realtime: RealtimeGateway, kind: str) -> None:
    realtime.chat("parrot")
    silent = {"audio/pcmu": 0xFF, "audio/pcma": 0xD5}[kind]
    loud = {"audio/pcmu": 0x80, "audio/pcma": 0xAA}[kind]
    """The highest sample of each."""

    async def story() -> None:
        session = server_vad()
        session["audio"]["input"]["format"] = {"type": kind}
        session["audio"]["output"] = {"format": {"type": kind}}
        async with realtime.talk(session=session) as talk:
            tone = bytes([loud, silent]) * 1600
            await talk.append(tone + bytes([silent]) * 6400, piece=1600)
            done = await talk.done()
            assert done["audio"]["output"]["format"]["type"] == kind
            assert len(talk.audio) / 8 == pytest.approx(9 * 20, abs=80)
            assert len(set(talk.audio)) > 20  # a tone, not silence
        assert realtime.asked() == [[{"role": "user", "content": SAID}]]

    realtime.run(story)


def test_the_format_changes_in_the_middle(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with realtime.talk(session=server_vad()) as talk:
            await talk.speak()
            await talk.done()
            before = len(talk.audio)
            telephone: Any = {"format": {"type": "audio/pcmu"}}
            change: Any = {"type": "realtime", "audio": {"input": telephone, "output": telephone}}
            await talk.connection.session.update(session=change)
            await talk.until("session.updated")
            tone = bytes([0x80, 0xFF]) * 1600
            await talk.append(tone + b"\xff" * 6400, piece=1600)
            await talk.done()
            assert (len(talk.audio) - before) / 8 == pytest.approx(9 * 20, abs=80)
        assert len(realtime.asked()) == 2

    realtime.run(story)


@pytest.mark.slow
def test_an_interview_goes_on_after_its_line_broke_and_both_answers_are_stored(
    realtime: RealtimeGateway,
) -> None:
    async def answered(talk: Talk) -> None:
        """The interviewer has asked, and the answer is spoken."""
        assert (await talk.done())["status"] == "completed"
        await talk.speak()
        await talk.until("conversation.item.input_audio_transcription.completed")

    async def story() -> None:
        query: Any = {"session_id": "two-questions", "role": "Product Manager"}
        async with realtime.talk("interview", server_vad(), extra_query=query) as talk:
            created = talk.of("session.created")[0]["session"]
            assert created["id"] == "two-questions"
            await answered(talk)
            talk.connection._connection.transport.abort()  # the line breaks
            await talk.reader
        while realtime.app.state.runtime.live.connections:
            await asyncio.sleep(0.02)
        async with realtime.talk("interview", server_vad(), extra_query=query) as talk:
            assert talk.of("session.created")[0]["session"]["id"] == "two-questions"
            await answered(talk)
            assert (await talk.done())["status"] == "completed"
        record, _ = await load(realtime.app.state.runtime.store, "two-questions")
        assert record.role == "Product Manager"
        assert record.interview is not None
        lines = [line for line in record.interview["messages"] if line["role"] == "user"]
        assert [line["content"] for line in lines[1:]] == [SAID, SAID]  # the first asks to begin

    realtime.run(story)


def test_two_turns_of_a_fixture_are_heard_to_their_end(realtime: RealtimeGateway) -> None:
    realtime.chat("parrot")

    async def story() -> None:
        async with realtime.talk(session=server_vad(silence_duration_ms=700)) as talk:
            for turn in range(2):
                await talk.append(clip(4, 1200))
                stopped = await talk.until("input_audio_buffer.speech_stopped")
                assert stopped["audio_end_ms"] > turn * 5200 + 1000
                talk.audio.clear()
                assert (await talk.done())["status"] == "completed"
                assert loudness(bytes(talk.audio)) > 5000
        said, reply = {"role": "user", "content": SAID}, f"You said {SAID}."
        told = [said, {"role": "assistant", "content": reply}, said]
        assert realtime.asked() == [[said], told]

    realtime.run(story)
