"""A live call from the client's side, in virtual time: what it is told, and when."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gateway.interviews.leases import renew
from gateway.interviews.sessions import SessionOwner, delete, load
from gateway.live.client_output import MOST_UNSENT_BYTES
from gateway.live.pressure import Pressure
from gateway.live.starts import SpacedStarts
from pipeline.decisions import Chunk
from pipeline.frames import SpeechStarted
from pipeline.input_speech import CHUNK_MS
from pipeline.replay import replay
from stages.fakes import FakeSynthesizer, FakeTranscriber
from tests.support.calls import LocalCalls
from tests.support.client import SILENCE, SPEECH, spoken
from tests.support.listener import Listener

ANSWER = "I like to build things that last"


async def said(local: LocalCalls, session_id: str = "test") -> list[tuple[int, str]]:
    """What the store holds of the person's words, with their turns."""
    lines = [json.loads(line) for _, line in await local.store.read(f"transcript:{session_id}")]
    return [(line["turn"], line["text"]) for line in lines if line["role"] == "user"]


def test_a_client_that_sends_nothing_but_pcm_gets_a_conversation(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.send(SILENCE)
            ready = await client.until("ready")
            assert ready == {
                "type": "ready",
                "seq": 1,
                "version": 1,
                "session_id": "test",
                "audio_in": {"encoding": "pcm_s16le", "rate": 16000, "channels": 1},
                "audio_out": {"encoding": "pcm_s16le", "rate": 16000},
                "providers": {
                    "vad": "fake",
                    "stt": "fake-stt",
                    "llm": "scripted",
                    "tts": "fake-tts",
                    "avatar": "visemes",
                },
                "resume": ready["resume"],
                "interview": {
                    "role": "Software Engineer",
                    "model": "auto",
                    "currentQuestion": 1,
                    "totalQuestions": 5,
                    "isComplete": False,
                },
                "language": "en",
                "notices": [],
            }
            done = await client.until("reply.done", turn=0)
            assert "Question 1" in done["heard"]
            await client.speak_live()
            transcript = await client.until("transcript", turn=1)
            assert (transcript["text"], transcript["final"]) == (ANSWER, True)
            assert (await client.until("reply.done", turn=1))["interrupted"] is False
            interview = await client.until("interview", currentQuestion=2)
            assert interview["isComplete"] is False
            assert await client.until("turn.metrics", turn=1)
            assert [m["seq"] for m in client.messages] == list(range(1, len(client.messages) + 1))

    local.run(story)


def test_a_reply_comes_when_the_silence_is_long_enough_and_lasts_as_long_as_its_words(
    local: LocalCalls,
) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1, turn_detection={"adaptive": False})
            opening = await client.until("reply.done", turn=0)
            words = len(opening["heard"].split())
            assert client.when("ready") == client.when("reply.started", turn=0) == 0.0
            assert client.when("reply.done", turn=0) == pytest.approx(words * 0.02, abs=0.002)
            assert len(client.audio) == words * 20 * 32
            await client.speak_live(ms=400)
            reply = await client.until("reply.done", turn=1)
            spoke_until = client.when("reply.done", turn=0) + 0.4
            # The detector judges chunks of 32 ms; 300 ms of silence end the turn.
            started_s = client.when("reply.started", turn=1)
            assert 0.3 <= started_s - spoke_until <= 0.3 + 2 * 0.032
            words = len(reply["heard"].split())
            spoken_s = client.when("reply.done", turn=1) - started_s
            assert spoken_s == pytest.approx(words * 0.02, abs=0.002)

    local.run(story)


def test_ready_comes_a_second_after_connecting_to_a_client_that_says_nothing(
    local: LocalCalls,
) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.until("ready")
            assert client.when("ready") == 1.0

    local.run(story)


def test_an_interview_is_complete_when_answer_n_is_accepted_and_the_gateway_closes(
    local: LocalCalls,
) -> None:
    async def story() -> None:
        interview = {"role": "data analyst", "totalQuestions": 2}
        async with local.call() as client:
            await client.say(type="hello", version=1, interview=interview)
            ready = await client.until("ready")
            assert ready["interview"]["role"] == "Data Analyst"
            await client.until("reply.done", turn=0)
            await client.say(type="text", text="I would look at the raw numbers first of all")
            await client.until("interview", currentQuestion=2, isComplete=False)
            await client.say(type="text", text="I would talk to the people who asked for it")
            await client.until("interview", isComplete=True)
            assert await client.closed() == (1000, "")

    local.run(story)


def test_everything_that_was_said_is_in_the_store(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call("kept") as client:
            await client.say(type="text", text="typed before anything was asked")
            await client.until("reply.done", turn=1)
            await client.speak()
            await client.until("reply.done", turn=2)
        assert await said(local, "kept") == [(1, "typed before anything was asked"), (2, ANSWER)]

    local.run(story)


def test_a_client_that_comes_back_is_asked_the_question_that_waits(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call("again") as client:
            await client.say(type="hello", version=1)
            await client.until("reply.done", turn=0)
            await client.say(type="text", text="I would look at the logs before anything else")
            second = (await client.until("reply.done", turn=1))["heard"]
            await client.until("interview", currentQuestion=2)
            await client.say(type="bye")
            assert await client.closed() == (1000, "")
        async with local.call("again") as client:
            await client.say(type="hello", version=1)
            assert (await client.until("ready"))["interview"]["currentQuestion"] == 2
            opening = (await client.until("reply.done", turn=0))["heard"]
            assert opening.startswith("Welcome back.")
            assert opening.split(". ")[-1] in second

    local.run(story)


def test_a_barge_in_clears_and_sends_no_further_byte_of_the_old_turn(local: LocalCalls) -> None:
    local.synthesizer = FakeSynthesizer(ms_per_word=400)

    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1)
            await client.until("reply.started", turn=0)
            await client.speak_live(ms=700, silence_ms=0)
            clear = await client.until("clear", turn=0)
            heard_bytes = len(client.audio)
            done = await client.until("reply.done", turn=0)
            assert done["interrupted"] is True
            assert len(done["heard"]) < 60
            # 200 ms are sent ahead of what is heard.
            assert heard_bytes == pytest.approx((clear["at_ms"] + 200) * 32, abs=20 * 32)
            assert client.transport.cleared == 1
            await client.speak_live(ms=0, silence_ms=340)
            await client.until("reply.started", turn=1)
            assert len(client.audio) - heard_bytes <= 202 * 32

    local.run(story)


@pytest.mark.parametrize(
    ("encoding", "rate", "sample_bytes"),
    [("mulaw", 8000, 1), ("alaw", 8000, 1), ("pcm_s16le", 48_000, 2), ("pcm_s16le", 44_100, 2)],
)
def test_other_encodings_and_rates_both_ways(
    local: LocalCalls, encoding: str, rate: int, sample_bytes: int
) -> None:
    async def story() -> None:
        async with local.call() as client:
            audio = {"encoding": encoding, "rate": rate}
            await client.say(type="hello", version=1, audio_in=audio, audio_out=audio)
            ready = await client.until("ready")
            assert ready["audio_out"] == audio
            done = await client.until("reply.done", turn=0)
            words = len(done["heard"].split())
            seconds = len(client.audio) / sample_bytes / rate
            assert seconds == pytest.approx(words * 0.02, abs=0.01)
            count = rate // 50
            loud = {"mulaw": b"\x90", "alaw": b"\x90"}.get(encoding)
            quiet = {"mulaw": b"\xff", "alaw": b"\xd5"}.get(encoding, bytes(2))
            speech = loud * count if loud else np.full(count, 4000, np.int16).tobytes()
            await client.send(*[speech] * 20, *[quiet * count] * 40)
            stopped = await client.until("speech.stopped", turn=1)
            started = await client.until("speech.started", turn=1)
            assert stopped["at_ms"] - started["at_ms"] == pytest.approx(400, abs=64)

    local.run(story)


def test_avatar_off_sends_no_visemes(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1, avatar="off")
            await client.until("reply.done", turn=0)
            assert not {"visemes", "avatar.state"} & set(client.types())

    local.run(story)


def test_ping_is_answered(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1)
            await client.until("reply.done", turn=0)
            await client.say(type="ping", t=41)
            pong = await client.until("pong")
            assert (pong["t"], pong["now"]) == (41, int(client.when("pong") * 1000))

    local.run(story)


def test_a_ping_begins_the_session_and_is_answered_after_ready(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.say(type="ping", t=41)
            pong = await client.until("pong")
            assert (client.when("ready"), pong["t"]) == (0.0, 41)
            assert client.types()[:2] == ["ready", "pong"]
            assert [message["seq"] for message in client.messages[:2]] == [1, 2]

    local.run(story)


def test_a_hello_that_is_refused_changes_nothing(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1)
            await client.say(type="hello", version=1, avatar="off")
            await client.until("error", code="unexpected_hello")
            await client.until("reply.done", turn=0)
            assert {"visemes", "avatar.state"} <= set(client.types())

    local.run(story)


def test_push_to_talk(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1, turn_detection={"mode": "manual"})
            await client.until("reply.done", turn=0)
            await client.say(type="commit")
            assert (await client.until("error"))["code"] == "nothing_to_commit"
            await client.speak_live(ms=400, silence_ms=600)
            await client.until("speech.started", turn=1)
            assert client.found("speech.stopped") == []
            await client.say(type="commit")
            await client.until("reply.done", turn=1)

    local.run(story)


def test_interrupt_and_played(local: LocalCalls) -> None:
    local.synthesizer = FakeSynthesizer(ms_per_word=400)

    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1)
            await client.until("reply.text", turn=0)
            await client.say(type="played", turn=0, ms=0)
            await client.say(type="interrupt")
            done = await client.until("reply.done", turn=0)
            assert (done["interrupted"], done["heard"]) == (True, "")

    local.run(story)


def test_a_calls_journal_tells_its_decisions_from_its_opening_to_its_end(
    local: LocalCalls, tmp_path: Path
) -> None:
    local.journals = tmp_path
    local.settings["speculate"] = "off"

    async def story() -> None:
        async with local.call("told") as client:
            await client.say(type="hello", version=1)
            await client.until("reply.done", turn=0)
            await client.speak_live()
            await client.until("reply.done", turn=1)

    local.run(story)
    [file] = tmp_path.glob("told-*.jsonl")
    first, *lines = map(json.loads, file.read_text().splitlines())
    assert (first["session"], first["policy"]["silence_ms"]) == ("told", 300)
    told = [line["f"] for line in lines if "f" in line]
    done = [output["ReplyDone"][0] for output in told if "ReplyDone" in output]
    assert done == [0, 1]


def test_positions_in_a_journal_are_those_of_the_audio_beside_it(
    local: LocalCalls, tmp_path: Path
) -> None:
    local.journals = tmp_path

    async def story() -> None:
        async with local.call("told") as client:
            await client.say(type="hello", version=1)
            await client.until("reply.done", turn=0)
            await client.speak_live()
            await client.until("reply.done", turn=1)

    local.run(story)
    [file] = tmp_path.glob("told-*.jsonl")
    pcm, rate_hz = soundfile.read(file.with_suffix(".wav"), dtype="int16")
    replayed = replay(file.read_text().splitlines(keepends=True))
    chunks = [each.cause for each in replayed.decisions if isinstance(each.cause, Chunk)]
    [started] = [each.frame for each in replayed.notes if isinstance(each.frame, SpeechStarted)]
    assert rate_hz == 16_000
    assert 0 <= len(pcm) / 16 - chunks[-1].at_ms < CHUNK_MS
    first = np.flatnonzero(np.abs(pcm) > 1_000)[0] / 16
    assert abs(first - started.at_ms) <= 2 * CHUNK_MS


# --- the end ---------------------------------------------------------------------------------


def test_bye_after_a_recording_sent_at_once_waits_for_it(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call("burst") as client:
            await client.say(type="hello", version=1)
            await client.until("reply.done", turn=0)
            await client.speak(ms=2000, silence_ms=600)
            await client.say(type="bye")
            assert (await client.closed())[0] == 1000
            assert client.found("transcript", turn=1, final=True) != []

    local.run(story)


def test_a_recording_sent_at_once_is_heard_whole(local: LocalCalls) -> None:
    local.transcriber = listener = Listener()

    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1)
            await client.until("reply.done", turn=0)
            await client.speak(ms=3000, silence_ms=600)
            await client.until("reply.done", turn=1)
            assert 3000 + 200 <= listener.samples // 16 <= 3000 + 900

    local.run(story)


def test_a_client_that_vanishes_while_it_speaks_has_its_last_words_stored(
    local: LocalCalls,
) -> None:
    local.transcriber = listener = Listener()

    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1)
            await client.until("reply.done", turn=0)
            await client.speak_live(ms=200, silence_ms=0)
            client.burst(*spoken(ms=1000, silence_ms=0))  # of which half waits for its time
            client.leave()
            await client.closed()
        assert await said(local) == [(1, ANSWER)]
        assert listener.samples // 16 == 1200
        record, _ = await load(local.store, "test")
        assert record.worker is None

    local.run(story)


def test_a_client_that_vanishes_before_its_session_stands_leaves_nothing(
    local: LocalCalls,
) -> None:
    async def story() -> None:
        async with local.call():
            pass
        async with local.call() as client:
            await client.say(type="hello", version=1)
            client.leave()
            await client.closed()
        assert client.messages == []

    local.run(story)


@pytest.mark.parametrize("typed", [False, True], ids=["silent", "typed"])
def test_a_client_that_vanishes_while_its_session_waits_to_begin_gives_its_turn_back(
    local: LocalCalls, typed: bool
) -> None:
    """What it has typed is stored nevertheless."""

    async def story() -> None:
        live, loop = local.calls.live, asyncio.get_running_loop()
        live.pressure, live.starts = Pressure(), SpacedStarts(every_s=5.0)
        await live.starts.turn()
        async with local.call("gone") as client, local.call("stays") as stays:
            await client.say(type="hello", version=1)
            if typed:
                await client.say(type="text", text=ANSWER)
            began = loop.time()
            await asyncio.sleep(0.5)
            await stays.say(type="hello", version=1)
            client.leave()
            await client.closed()
            assert round(loop.time() - began, 1) == (5.0 if typed else 0.5)
            await stays.until("ready")
            assert round(loop.time() - began, 1) == (10.0 if typed else 5.0)
        assert await said(local, "gone") == ([(1, ANSWER)] if typed else [])

    local.run(story)


def test_a_deleted_session_ends_with_4404_and_nothing_more_of_it_is_stored(
    local: LocalCalls,
) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.until("reply.done")
            await client.speak_live(ms=400, silence_ms=0)
            await delete(local.store, "test")
            local.calls.live.dismiss("test")
            error = await client.until("error")
            assert (error["code"], error["fatal"]) == ("deleted", True)
            assert await client.closed() == (4404, "the session was deleted")
        assert await local.store.read("transcript:test") == []
        assert await local.store.get("session:test") is None

    local.run(story)


def test_the_second_client_of_a_session_is_refused_and_the_first_goes_on(
    local: LocalCalls,
) -> None:
    async def story() -> None:
        async with local.call() as first:
            await first.say(type="hello", version=1)
            await first.until("ready")
            async with local.call() as second:
                await second.say(type="hello", version=1)
                assert (await second.until("error"))["code"] == "already_connected"
                assert (await second.closed())[0] == 1008
            await first.say(type="text", text="I am still here")
            await first.until("reply.done", turn=1)

    local.run(story)


def test_a_session_of_another_process_that_lives_is_refused(local: LocalCalls) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.until("ready")
        await client.closed()
        record, version = await load(local.store, "test")
        elsewhere = SessionOwner(token="another")
        await renew(local.store, elsewhere)
        await local.store.commit(record.with_worker(elsewhere).put(version))
        async with local.call() as client:
            error = await client.until("error", fatal=True)
            assert error["code"] == "already_connected"
            assert (await client.closed())[0] == 1008

    local.run(story)


def test_a_client_that_reads_slowly_gets_no_partial_transcripts_but_the_final_one(
    local: LocalCalls,
) -> None:
    local.transcriber = FakeTranscriber(texts=("I like to build things",), partials=True)

    async def story() -> None:
        async with local.call() as client:
            await client.until("reply.done", turn=0)
            await client.speak_live(1000, 0)
            before = len(client.found("transcript"))
            assert before > 0
            client.stop_reading()
            client.receive(" " * MOST_UNSENT_BYTES)
            await client.speak_live(1000, 1000)
            unread = [each for each in client._unread or () if '"transcript"' in str(each)]
            assert [json.loads(each)["final"] for each in unread] == [True]

    local.run(story)


@pytest.mark.parametrize("speaks", [False, True], ids=["typed alone", "with what is said"])
def test_text_that_waits_behind_audio_is_stored_when_the_client_vanishes(
    local: LocalCalls, speaks: bool
) -> None:
    async def story() -> None:
        async with local.call() as client:
            await client.until("reply.done", turn=0)
            if speaks:
                await client.speak_live(600, 0)
                await client.until("speech.started", turn=1)
            client.burst(*[SPEECH if speaks else SILENCE] * 60)
            receiver = client.transport._receiver  # in the same read, which a pause does not cut
            assert receiver is not None
            for text in ("and coffee", "please"):
                receiver.on_text(json.dumps({"type": "text", "text": text}).encode())
        await asyncio.sleep(1)
        words = f"{ANSWER} and coffee please" if speaks else "and coffee please"
        assert await said(local) == [(1, words)]

    local.run(story)
