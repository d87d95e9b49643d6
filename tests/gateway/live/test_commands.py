"""What `Connection` does with commands that Parley's own dialect cannot say. In virtual time."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from gateway.live.calls import Calls
from gateway.media.format import AudioFormat
from gateway.protocols.dialect import (
    AudioMessage,
    ClearAudio,
    Command,
    CommitTurn,
    InterruptReply,
    Leave,
    PressKey,
    ProtocolError,
    Reconfigure,
    ReportPlayed,
    RespondOutOfBand,
    Send,
    Start,
    Truncate,
    TypedText,
)
from gateway.protocols.request import (
    AssistantRequest,
    InterviewRequest,
    SessionRequest,
    TurnRequest,
)
from gateway.protocols.tool_wish import ToolWish
from pipeline.frames import Spoken
from pipeline.stage import Observed
from stages.fakes import FakeResponder, FakeSynthesizer, FakeTranscriber
from tests.support.calls import LocalCalls
from tests.support.client import SILENCE, SPEECH
from tests.support.commands import CommandDialect
from tests.support.faces import OwnFace
from tests.support.listener import Listener

MANUAL = SessionRequest(turns=TurnRequest(mode="manual"))
MULAW = AudioFormat("mulaw", 8000)
LOUD, QUIET = b"\x90" * 160, b"\xff" * 160
"""20 ms of mu-law at 8 kHz."""


TOOLS = (ToolWish(name="open", description="Opens a page"),)
"""A function that a client runs itself."""


async def typed(local: LocalCalls) -> list[str]:
    """The person's words in the store."""
    lines = [json.loads(line) for _, line in await local.store.read("transcript:test")]
    return [line["text"] for line in lines if line["role"] == "user"]


# --- order -----------------------------------------------------------------------------------


def test_commands_before_the_session_stands_are_done_in_order_once_it_does(
    local: LocalCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.transcriber = listener = Listener()
    host = Calls.host

    @asynccontextmanager
    async def slow(*args: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(0.4)
        async with host(*args) as made:
            yield made

    monkeypatch.setattr(Calls, "host", slow)
    dialect = CommandDialect()

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            audio = [AudioMessage(SPEECH)] * 20
            await client.send(dialect.message(Start(MANUAL), *audio, CommitTurn()))
            await client.send(dialect.message(Send('{"type":"at once"}'), TypedText("and typed")))
            assert client.types() == ["at once"]
            await client.until("ReplyDone", turn=2)
            assert client.when("SessionReady") == 0.4
            # The typed words go on with what was spoken: no reply to that had begun.
            words = f"{listener.text} and typed"
            [transcript] = client.found("Transcript")
            assert (transcript["text"], client.when("Transcript")) == (words, 0.4)
            assert client.found("SpeechStopped")[0]["at_ms"] == 384  # whole chunks of 32 ms
        assert await typed(local) == [words]

    local.run(story)


def test_a_goodbye_before_the_session_stands_ends_it_once_it_does(local: LocalCalls) -> None:
    dialect = CommandDialect(Start(SessionRequest()), Leave())

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            assert await client.closed() == (1000, "")
            assert client.found("SessionReady") != []

    local.run(story)


def test_a_session_that_a_dialect_starts_on_connecting_waits_for_no_message(
    local: LocalCalls,
) -> None:
    async def story() -> None:
        async with local.call(dialect=CommandDialect(Start(SessionRequest()))) as client:
            await client.until("ReplyDone", turn=0)
            assert client.when("SessionReady") == 0.0

    local.run(story)


def test_a_second_start_is_refused(local: LocalCalls) -> None:
    dialect = CommandDialect(Start(MANUAL))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.send(dialect.message(Start(SessionRequest(audio_out=MULAW))))
            await client.until("refused", code="unexpected_hello")
            assert len(client.transport.agreed) == 2  # the defaults, and what was asked at first

    local.run(story)


def test_commands_that_follow_audio_wait_until_it_has_been_fed(local: LocalCalls) -> None:
    local.transcriber = listener = Listener()
    dialect = CommandDialect(Start(MANUAL))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until("ReplyDone", turn=0)
            sent_s = asyncio.get_running_loop().time()
            await client.send(dialect.message(*[AudioMessage(SPEECH)] * 100, CommitTurn()))
            assert client.transport.paused
            await client.until("Transcript", turn=1)
            # Of 2 s of audio 500 ms may run ahead of real time.
            assert client.when("Transcript", turn=1) - sent_s == pytest.approx(1.5, abs=0.03)
            assert listener.samples == 100 * 320

    local.run(story)


def test_a_goodbye_that_follows_audio_waits_for_it_and_nothing_after_it_counts(
    local: LocalCalls,
) -> None:
    local.transcriber = listener = Listener()
    dialect = CommandDialect(Start(MANUAL))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until("ReplyDone", turn=0)
            sent_s = asyncio.get_running_loop().time()
            audio = [AudioMessage(SPEECH)] * 100
            client.transport.arrive(dialect.message(*audio, Leave(), TypedText("too late")))
            client.transport.arrive(dialect.message(TypedText("later still")))
            assert await client.closed() == (1000, "")
            ended_s = asyncio.get_running_loop().time()
            assert ended_s - sent_s == pytest.approx(1.5, abs=0.03)
            assert listener.samples == 100 * 320
        assert await typed(local) == [listener.text]

    local.run(story)


def test_commands_that_are_about_the_reply_do_not_wait_for_audio(local: LocalCalls) -> None:
    local.synthesizer = FakeSynthesizer(ms_per_word=400)
    dialect = CommandDialect(Start(MANUAL))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until_audio(packets=60)
            sent_s = asyncio.get_running_loop().time()
            commands: list[Command] = [ReportPlayed(0, 800), InterruptReply()]
            await client.send(dialect.message(*[AudioMessage(SILENCE)] * 100, *commands))
            done = await client.until("ReplyDone", turn=0, interrupted=True)
            assert client.when("ReplyDone", turn=0) == round(sent_s, 3)
            assert len(done["heard"].split()) == 2  # at 400 ms a word

    local.run(story)


def test_an_interruption_that_overtakes_does_not_wait_for_the_text_behind_the_audio(
    local: LocalCalls,
) -> None:
    local.synthesizer = FakeSynthesizer(ms_per_word=400)
    dialect = CommandDialect(Start(MANUAL))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until_audio(packets=60)
            sent_s = asyncio.get_running_loop().time()
            audio = [AudioMessage(SILENCE)] * 100
            interruption = InterruptReply(overtakes=True)
            await client.send(dialect.message(*audio, TypedText("and then?"), interruption))
            await client.until("ReplyDone", turn=0, interrupted=True)
            assert client.when("ReplyDone", turn=0) == round(sent_s, 3)
            await client.until("ReplyDone", turn=1, interrupted=False)

    local.run(story)


def test_a_truncated_reply_is_remembered_as_far_as_it_was_heard(local: LocalCalls) -> None:
    dialect = CommandDialect(Start(SessionRequest()))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            done = await client.until("ReplyDone", turn=0)
            await client.until("InterviewProgress")
            await client.send(dialect.message(Truncate(0, 100)))
            await asyncio.sleep(0.1)
            lines = [json.loads(line) for _, line in await local.store.read("transcript:test")]
            heard = [line["text"] for line in lines if line["role"] == "assistant"][-1]
            assert heard == " ".join(done["heard"].split()[:5])  # at 20 ms a word

    local.run(story)


def test_audio_that_the_client_takes_back_is_no_turn(local: LocalCalls) -> None:
    dialect = CommandDialect(Start(MANUAL))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until("ReplyDone", turn=0)
            await client.send(dialect.message(*[AudioMessage(SPEECH)] * 50, ClearAudio()))
            await client.until("SpeechStarted", turn=1)
            await asyncio.sleep(1)
            await client.send(dialect.message(CommitTurn()))
            assert (await client.until("Fault"))["code"] == "nothing_to_commit"
        assert await typed(local) == []

    local.run(story)


def test_commands_after_the_session_has_ended_by_itself_are_ignored(local: LocalCalls) -> None:
    asked = AssistantRequest(history=lambda turn: ())
    request = SessionRequest(interview=InterviewRequest("Data Analyst", total_questions=1))
    dialect = CommandDialect(Start(request))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until("ReplyDone", turn=0)
            await client.send(dialect.message(TypedText("I would look at the raw numbers first")))
            assert await client.closed() == (1000, "")
            seen = client.types()
            late = dialect.message(RespondOutOfBand("late", asked), TypedText("late"), CommitTurn())
            client.transport.arrive(late)
            await asyncio.sleep(1)
            assert client.types() == seen

    local.run(story)


# --- another request in mid-call -------------------------------------------------------------


def test_turn_detection_changes_in_mid_call(local: LocalCalls) -> None:
    dialect = CommandDialect(Start(MANUAL))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until("ReplyDone", turn=0)
            await client.speak_live(ms=400, silence_ms=1000)
            assert client.found("SpeechStopped") == []
            await client.send(dialect.message(CommitTurn()))
            await client.until("ReplyDone", turn=1)
            automatic = TurnRequest(adaptive=False, silence_ms=200)
            await client.send(dialect.message(Reconfigure(replace(MANUAL, turns=automatic))))
            await client.speak_live(ms=400, silence_ms=400)
            await client.until("ReplyDone", turn=2)

    local.run(story)


def test_audio_formats_change_in_mid_call_for_what_comes_after(local: LocalCalls) -> None:
    local.transcriber = listener = Listener()
    dialect = CommandDialect(Start(SessionRequest()))
    changed = SessionRequest(audio_in=MULAW, audio_out=MULAW)

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            opening = await client.until("ReplyDone", turn=0)
            assert len(client.audio) == len(opening["heard"].split()) * 20 * 32
            # The first second waits for its time while the second comes in other bytes.
            before, after = (
                [AudioMessage(SPEECH)] * 50,
                [AudioMessage(LOUD)] * 50 + [AudioMessage(QUIET)] * 40,
            )
            await client.send(dialect.message(*before, Reconfigure(changed), *after))
            sent = len(client.audio)
            reply = await client.until("ReplyDone", turn=1)
            ms = len(reply["heard"].split()) * 20
            assert len(client.audio) - sent == pytest.approx(ms * 8, abs=4 * 8)
            started = client.found("SpeechStarted", turn=1)[0]["at_ms"]
            stopped = client.found("SpeechStopped", turn=1)[0]["at_ms"]
            assert stopped - started == pytest.approx(2000, abs=64)
            assert 2000 + 200 <= listener.samples // 16 <= 2000 + 900
            await client.send(dialect.message(InterruptReply(), TypedText("the same again")))
            sent = len(client.audio)
            reply = await client.until("ReplyDone", turn=2)
            ms = len(reply["heard"].split()) * 20
            assert len(client.audio) - sent == pytest.approx(ms * 8, abs=4 * 8)

    local.run(story)


def test_audio_that_waits_when_the_client_goes_is_read_in_the_format_that_it_has(
    local: LocalCalls,
) -> None:
    local.transcriber = listener = Listener()
    dialect = CommandDialect(Start(MANUAL))
    changed = Reconfigure(replace(MANUAL, audio_in=MULAW))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until("ReplyDone", turn=0)
            before, after = [AudioMessage(SPEECH)] * 50, [AudioMessage(LOUD)] * 50
            await client.send(dialect.message(*before, changed, *after))
            await client.until("SpeechStarted", turn=1)
            client.leave()
            await client.closed()
            assert listener.samples // 16 == pytest.approx(2000, abs=2)

    local.run(story)


def test_a_reply_that_is_interrupted_leaves_nothing_to_be_converted(local: LocalCalls) -> None:
    local.synthesizer = FakeSynthesizer(ms_per_word=400)
    dialect = CommandDialect(Start(SessionRequest()))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until_audio(packets=20)
            changed = SessionRequest(audio_out=AudioFormat("pcm_s16le", 24_000))
            await client.send(dialect.message(Reconfigure(changed)))
            await client.until_audio(packets=40)
            assert {len(packet) for packet in client.packets[22:]} == {20 * 48}
            await client.send(dialect.message(InterruptReply()))
            await client.until("Clear", turn=0)
            assert client.transport.cleared == 1
            await client.send(dialect.message(TypedText("let us go on")))
            await client.until("ReplyStarted", turn=1)

    local.run(story)


def test_turns_change_only_after_the_audio_before_the_request(local: LocalCalls) -> None:
    local.transcriber = FakeTranscriber(texts=("spoken at once",))
    automatic = SessionRequest(turns=TurnRequest(adaptive=False, silence_ms=200))
    dialect = CommandDialect(Start(automatic))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until("ReplyDone", turn=0)
            audio = [AudioMessage(SPEECH)] * 50 + [AudioMessage(SILENCE)] * 20
            await client.send(dialect.message(*audio, Reconfigure(MANUAL)))
            await client.until("ReplyDone", turn=1)
            await client.speak_live(ms=400, silence_ms=1000)
            assert client.found("SpeechStarted", turn=2) != []
            assert client.found("SpeechStopped", turn=2) == []

    local.run(story)


# --- the face of a transport -----------------------------------------------------------------


def test_a_face_of_the_transport_takes_the_place_of_pictures_in_messages(
    local: LocalCalls,
) -> None:
    own = OwnFace(ProtocolError("unknown_face", "face: 'nobody' is not one of mira"))
    request = SessionRequest(avatar="frames", face="nobody")

    async def story() -> None:
        dialect = CommandDialect(Start(request))
        async with local.call(dialect=dialect, own=own.running()) as client:
            assert (await client.until("SessionReady"))["providers"]["avatar"] == "own"
            await client.until("refused", code="unknown_face")
            await client.until("ReplyDone", turn=0)
            assert own.shown
        await client.closed()
        assert client.found("AvatarFrame") == client.found("Degraded") == []
        assert not own.shown
        spoken: list[Observed] = [seen for seen in own.seen if isinstance(seen, Spoken)]
        assert spoken != []

    local.run(story)


# --- keys ------------------------------------------------------------------------------------


def test_a_key_has_the_question_asked_again_and_others_do_nothing(local: LocalCalls) -> None:
    dialect = CommandDialect(Start(SessionRequest()))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until("ReplyDone", turn=0)
            question = client.found("ReplyText", turn=0)[-1]["text"]
            await client.send(dialect.message(PressKey("0"), PressKey("D"), PressKey("1")))
            await client.until("ReplyDone", turn=1)
            asked = client.found("ReplyText", turn=1)[-1]["text"]
            assert asked != ""
            assert asked in question
        assert await typed(local) == ["Could you repeat the question?"]

    local.run(story)


def test_a_key_that_follows_audio_waits_until_it_has_been_fed(local: LocalCalls) -> None:
    dialect = CommandDialect(Start(MANUAL))

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until("ReplyDone", turn=0)
            sent_s = asyncio.get_running_loop().time()
            audio = [AudioMessage(bytes(len(SPEECH)))] * 100
            await client.send(dialect.message(*audio, PressKey("1")))
            await client.until("Transcript")
            assert client.when("Transcript") - sent_s == pytest.approx(1.5, abs=0.03)

    local.run(story)


@pytest.mark.parametrize("runs", [True, False], ids=["runs", "runs not"])
def test_a_clients_functions_are_offered_only_where_its_dialect_can_call_them(
    local: LocalCalls, runs: bool
) -> None:
    local.responder = responder = FakeResponder(text="Go on.")
    dialect = CommandDialect(Start(SessionRequest(tools=TOOLS)))
    dialect.runs_tools = runs

    async def story() -> None:
        async with local.call(dialect=dialect) as client:
            await client.until("ReplyDone", turn=0)

    local.run(story)
    offered = [tool.name for tool in responder.requests[0].brief.tools]
    assert offered == (["open"] if runs else [])
