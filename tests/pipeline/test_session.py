"""A whole conversation under virtual time: what the client sees and what the host remembers."""

import asyncio
from typing import Any

import numpy as np
import pytest

from pipeline.frames import (
    AvatarState,
    Clear,
    Degraded,
    Fault,
    ReplyAudio,
    ReplyDone,
    ReplyStarted,
    ReplyText,
    Speech,
    SpeechStarted,
    SpeechStopped,
    TextDelta,
    Transcript,
    TurnMetrics,
    Visemes,
)
from pipeline.session import SessionPolicy
from pipeline.turns import TurnPolicy
from stages.fakes import FakeResponder, FakeSynthesizer, FakeTranscriber, Script

LINE = "Well, tell me more about that."
HEARD_MS = 6 * 200


def test_the_interviewer_speaks_first_and_the_opening_is_remembered(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    assert conversation.all(ReplyStarted) == [ReplyStarted(0)]
    assert conversation.all(ReplyText) == [ReplyText(0, LINE)]
    assert conversation.audio_ms(0) == HEARD_MS
    assert conversation.all(ReplyDone) == [ReplyDone(0, interrupted=False, heard=LINE)]
    assert conversation.host.log == [("commit", 0, "", LINE)]


def test_a_spoken_turn_is_recognised_stored_and_answered(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(1000)
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    (started,) = conversation.all(SpeechStarted)
    (stopped,) = conversation.all(SpeechStopped)
    assert (started.turn, stopped.turn) == (1, 1)
    assert 980 <= stopped.at_ms - started.at_ms <= 1024
    (transcript,) = conversation.all(Transcript)
    assert (transcript.turn, transcript.text, transcript.final) == (1, "I like tests", True)
    assert conversation.host.log == [
        ("commit", 0, "", LINE),
        ("accept", 1, "I like tests"),
        ("commit", 1, "I like tests", LINE),
    ]
    assert [state.state for state in conversation.all(AvatarState)] == [
        *("thinking", "speaking", "idle"),
        *("listening", "thinking", "speaking", "idle"),
    ]


def test_the_reply_follows_the_decision_at_once_and_never_runs_more_than_200_ms_ahead(
    conversation: Any,
) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    (stopped,) = conversation.all(SpeechStopped)
    frames = [(at, frame) for at, frame in conversation.frames if isinstance(frame, ReplyAudio)]
    first = next(at for at, frame in frames if frame.turn == 1)
    assert first == conversation.at(stopped)
    for at, frame in frames:
        if frame.turn == 1:
            end_s = frame.at_ms / 1000 + len(frame.pcm) / 16_000
            assert end_s - (at - first) <= 0.2011


def test_visemes_come_before_the_audio_they_describe(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    described_ms = 0
    for _, frame in conversation.frames:
        if isinstance(frame, Visemes):
            described_ms = max(cue.at_ms + cue.duration_ms for cue in frame.cues)
        elif isinstance(frame, ReplyAudio):
            assert frame.at_ms < described_ms
    assert described_ms == HEARD_MS


def test_metrics_tell_where_the_time_of_a_turn_went(conversation: Any) -> None:
    conversation.transcribers = [FakeTranscriber(Script(first_s=0.3), texts=("slowly",))]
    conversation.responders = [FakeResponder(Script(first_s=0.2))]
    conversation.synthesizers = [FakeSynthesizer(Script(first_s=0.1))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    metrics = next(frame for frame in conversation.all(TurnMetrics) if frame.turn == 1)
    spans = {span.stage: span for span in metrics.stages}
    assert list(spans) == ["endpointing", "stt", "llm", "tts"]
    assert spans["stt"].provider == "fake-stt"
    assert spans["llm"].first - spans["llm"].start == pytest.approx(200, abs=1)
    assert spans["tts"].first - spans["tts"].start == pytest.approx(100, abs=1)
    endpointing_ms = spans["endpointing"].end
    assert metrics.voice_to_voice_ms == pytest.approx(endpointing_ms + 600, abs=2)
    assert metrics.budget_ms == 1000


# --- barge-in --------------------------------------------------------------------------------


def test_a_barge_in_silences_the_reply_in_the_same_instant(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.pause(100)
        await conversation.speak(1000)
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    (clear,) = conversation.all(Clear)
    assert clear.turn == 0
    index = [frame for _, frame in conversation.frames].index(clear)
    assert not any(
        isinstance(frame, ReplyAudio) and frame.turn == 0
        for _, frame in conversation.frames[index:]
    )
    done = next(frame for frame in conversation.all(ReplyDone) if frame.turn == 0)
    assert done == ReplyDone(0, interrupted=True, heard="Well,")
    assert conversation.host.log[0] == ("commit", 0, "", "Well,")


def test_an_interrupt_stops_the_reply_and_the_next_turn_works(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.pause(300)
        conversation.session.interrupt()
        await conversation.pause(500)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    first, second = conversation.all(ReplyDone)
    assert first.interrupted
    assert not second.interrupted
    moods = [frame.state for frame in conversation.all(AvatarState)]
    assert moods[:4] == ["thinking", "speaking", "idle", "listening"]


def test_going_on_while_recognition_works_makes_one_utterance_of_it(conversation: Any) -> None:
    heard: list[int] = []

    class Listener(FakeTranscriber):
        def open(
            self, turn: int, on_partial: Any = None, hints: Any = (), language: Any = None
        ) -> Any:
            recognition = super().open(turn, on_partial)
            samples = 0

            def feed(pcm: Any) -> None:
                nonlocal samples
                samples += len(pcm)

            finish = recognition.finish
            recognition.feed = feed
            recognition.finish = lambda: (heard.append(samples * 1000 // 16_000), finish())[1]
            return recognition

    conversation.transcribers = [Listener(Script(first_s=1.5), texts=("one whole answer",))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(1000)
        await conversation.until(SpeechStopped, 1)
        await conversation.pause(100)
        await conversation.speak(1000)
        await conversation.until(ReplyDone, 2)

    conversation.run(story)
    assert heard[0] >= 1700
    assert heard[1] >= 3500
    assert [entry for entry in conversation.host.log if entry[0] == "accept"] == [
        ("accept", 2, "one whole answer")
    ]
    assert conversation.all(ReplyStarted) == [ReplyStarted(0), ReplyStarted(2)]


def test_what_was_accepted_stays_accepted_when_the_person_goes_on(conversation: Any) -> None:
    conversation.responders = [FakeResponder(Script(), Script(first_s=1.0), Script())]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(Transcript, 1)
        await conversation.speak()
        await conversation.until(ReplyDone, 2)

    conversation.run(story)
    assert conversation.host.log[1:] == [
        ("accept", 1, "I like tests"),
        ("commit", 1, "I like tests", ""),
        ("accept", 2, "I like tests"),
        ("commit", 2, "I like tests", LINE),
    ]


def test_a_slow_store_keeps_the_order_of_turns(conversation: Any) -> None:
    conversation.host.accept_s = 0.7

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(SpeechStopped, 1)
        await conversation.speak(400)
        await conversation.until(ReplyDone, 2)

    conversation.run(story)
    assert [entry[:2] for entry in conversation.host.log] == [
        ("commit", 0),
        ("accept", 1),
        ("commit", 1),
        ("accept", 2),
        ("commit", 2),
    ]


def test_nothing_was_heard_of_a_reply_that_was_stopped_before_it_began(conversation: Any) -> None:
    conversation.host.commit_s = 1.0

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.typed("first")
        await conversation.pause(100)
        conversation.session.interrupt()
        conversation.session.typed("second")
        await conversation.until(ReplyDone, 2)

    conversation.run(story)
    assert conversation.host.log == [
        ("commit", 0, "", LINE),
        ("accept", 1, "first"),
        ("commit", 1, "first", ""),
        ("accept", 2, "second"),
        ("commit", 2, "second", LINE),
    ]


def test_what_was_typed_along_with_speech_is_carried_with_it(conversation: Any) -> None:
    conversation.transcribers = [FakeTranscriber(Script(first_s=1.5), texts=("spoken",))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        conversation.session.typed("typed")
        await conversation.pause(100)
        await conversation.speak(600)
        conversation.session.typed("more")
        await conversation.until(ReplyDone, 2)

    conversation.run(story)
    assert ("accept", 2, "spoken typed more") in conversation.host.log
    assert len([entry for entry in conversation.host.log if entry[0] == "accept"]) == 1


# --- typed turns, push to talk ---------------------------------------------------------------


def test_the_host_learns_how_spoken_words_were_heard(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(1000)
        await conversation.until(ReplyDone, 1)
        conversation.session.typed("I type")
        await conversation.until(ReplyDone, 2)

    conversation.run(story)
    (started,) = conversation.all(SpeechStarted)
    spoken, typed = conversation.host.heard
    assert typed is None
    assert (spoken.provider, spoken.transcript.text) == ("fake-stt", "I like tests")
    assert spoken.transcript.confidence == 0.9
    assert 0 <= started.at_ms - spoken.start_ms <= 500  # what came just before belongs to it
    assert 1000 <= spoken.duration_ms <= 2500
    assert len(spoken.audio) * 1000 // 16_000 == spoken.duration_ms
    assert spoken.audio.any()


def test_a_typed_answer_is_a_turn(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.typed("  I type  ")
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert conversation.all(Transcript) == [Transcript(1, "I type", final=True)]
    assert conversation.host.log[1:] == [("accept", 1, "I type"), ("commit", 1, "I type", LINE)]


def test_typing_while_speaking_joins_both(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        conversation.session.typed("and I type")
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert ("accept", 1, "I like tests and I type") in conversation.host.log


def test_commit_without_speech_is_an_error_that_ends_nothing(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.commit()
        await conversation.pause(200)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    (fault,) = conversation.all(Fault)
    assert (fault.code, fault.fatal) == ("nothing_to_commit", False)


def test_push_to_talk_ends_the_turn_at_commit(conversation: Any) -> None:
    conversation.policy = SessionPolicy(turns=TurnPolicy(mode="manual"), speculate=False)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        await conversation.pause(3000)
        assert conversation.all(SpeechStopped) == []
        conversation.session.commit()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)


def test_audio_that_stops_in_the_middle_ends_the_turn(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        await asyncio.sleep(5)

    conversation.run(story)
    assert len(conversation.all(SpeechStopped)) == 1
    assert ("accept", 1, "I like tests") in conversation.host.log


def test_audio_that_stops_after_a_finished_sentence_ends_the_turn_soon(conversation: Any) -> None:
    """Although the endpointing delay was longer a moment before."""
    heard: list[Any] = []

    class Dictated(FakeTranscriber):
        def open(
            self, turn: int, on_partial: Any = None, hints: Any = (), language: Any = None
        ) -> Any:
            heard.append(on_partial)
            return super().open(turn, on_partial)

    conversation.transcribers = [Dictated()]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(400)
        heard[0](Transcript(1, "let me think", final=False))
        await conversation.pause(1500)
        await conversation.speak(320)
        heard[0](Transcript(1, "let me think yes that was it", final=False))
        await asyncio.sleep(8)

    conversation.run(story)
    partial = conversation.all(Transcript)[1]
    waited_s = conversation.at(conversation.all(SpeechStopped)[0]) - conversation.at(partial)
    assert 0.6 * 0.8 < waited_s <= 0.6 * 0.8 + 0.25


def test_the_clients_own_playback_position_decides_what_was_heard(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.pause(900)
        conversation.session.played(7, 9999)
        conversation.session.played(0, 250)
        conversation.session.interrupt()

    conversation.run(story)
    assert conversation.all(ReplyDone) == [ReplyDone(0, interrupted=True, heard="Well,")]


# --- the end ---------------------------------------------------------------------------------


def test_a_closing_reply_ends_the_session_by_itself(conversation: Any) -> None:
    conversation.host.closes = True

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.typed("my last answer")
        await asyncio.sleep(30)
        assert conversation.all(ReplyDone)[-1].turn == 1
        conversation.session.typed("nobody listens any more")
        conversation.session.feed(np.zeros(320, np.int16))

    conversation.run(story)
    assert [entry[:2] for entry in conversation.host.log] == [
        ("commit", 0),
        ("accept", 1),
        ("commit", 1),
    ]


def test_what_was_being_said_when_the_client_left_is_stored(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)

    conversation.run(story)
    assert conversation.host.log[1:] == [
        ("accept", 1, "I like tests"),
        ("commit", 1, "I like tests", ""),
    ]


def test_what_was_not_yet_recognised_when_the_client_left_is_stored(conversation: Any) -> None:
    conversation.transcribers = [FakeTranscriber(Script(first_s=1.0), texts=("too late",))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        await conversation.until(SpeechStopped, 1)

    conversation.run(story)
    assert conversation.host.log[1:] == [("accept", 1, "too late"), ("commit", 1, "too late", "")]


def test_last_words_that_nobody_can_recognise_do_not_hold_the_session(conversation: Any) -> None:
    conversation.transcribers = [FakeTranscriber(Script(stall=True))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)

    conversation.run(story)
    assert conversation.host.log == [("commit", 0, "", LINE)]


def test_last_words_that_cannot_be_stored_do_not_hold_the_session(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        conversation.host.error = OSError("disk full")

    conversation.run(story)
    assert conversation.host.log == [("commit", 0, "", LINE)]


def test_leaving_during_the_opening_remembers_what_was_heard_of_it(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.pause(500)

    conversation.run(story)
    assert conversation.host.log == [("commit", 0, "", "Well, tell")]


@pytest.mark.parametrize("when", ["listening", "thinking", "speaking"])
def test_a_cancelled_session_leaves_nothing_running(conversation: Any, when: str) -> None:
    conversation.responders = [FakeResponder(Script(), Script(first_s=1.0))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        if when == "thinking":
            await conversation.until(Transcript, 1)
        elif when == "speaking":
            await conversation.until(ReplyStarted, 1)
        conversation.running.cancel()
        await asyncio.wait([conversation.running])

    conversation.run(story)
    assert conversation.transcribers[0].open_now == 0
    assert conversation.running.cancelled()


# --- failure ---------------------------------------------------------------------------------

UNHEARD = "Sorry, I did not catch that. Could you please say it again?"
SPEECHLESS = "Sorry, I lost my thread for a moment. Please go on."


@pytest.mark.parametrize(
    "script",
    [
        Script(error=RuntimeError("boom")),
        Script(stall=True),
        Script(end=True),
    ],
    ids=["raises", "stalls", "returns nothing"],
)
class TestAFaultyStage:
    def test_recognition(self, conversation: Any, script: Script) -> None:
        conversation.transcribers = [FakeTranscriber(script, Script(), texts=("again",))]
        self.talk(conversation)
        (degraded,) = conversation.all(Degraded)
        assert (degraded.turn, degraded.stage, degraded.target) == (1, "stt", "canned line")
        assert conversation.all(ReplyDone)[1] == ReplyDone(1, interrupted=False, heard=UNHEARD)
        assert ("accept", 2, "again") in conversation.host.log

    def test_reply(self, conversation: Any, script: Script) -> None:
        conversation.responders = [FakeResponder(Script(), script, Script())]
        self.talk(conversation)
        (degraded,) = conversation.all(Degraded)
        assert (degraded.turn, degraded.stage, degraded.target) == (1, "llm", "canned line")
        assert conversation.all(ReplyDone)[1] == ReplyDone(1, interrupted=False, heard=SPEECHLESS)
        assert conversation.host.log[1:3] == [
            ("accept", 1, "I like tests"),
            ("commit", 1, "I like tests", ""),
        ]

    def test_synthesis(self, conversation: Any, script: Script) -> None:
        conversation.synthesizers = [FakeSynthesizer(Script(), script, Script())]
        self.talk(conversation)
        (degraded,) = conversation.all(Degraded)
        assert (degraded.turn, degraded.stage, degraded.target) == (1, "tts", "text")
        assert ReplyText(1, LINE) in conversation.all(ReplyText)
        assert conversation.all(ReplyDone)[1] == ReplyDone(1, interrupted=False, heard=LINE)
        assert conversation.audio_ms(1) == 0

    def talk(self, conversation: Any) -> None:
        async def story() -> None:
            await conversation.until(ReplyDone, 0)
            await conversation.speak()
            await conversation.until(ReplyDone, 1)
            await conversation.speak()
            await conversation.until(ReplyDone, 2)

        conversation.run(story)
        assert conversation.all(ReplyDone)[2].heard == LINE
        assert conversation.audio_ms(2) == HEARD_MS


def test_what_was_typed_along_survives_a_failed_recognition(conversation: Any) -> None:
    conversation.transcribers = [FakeTranscriber(Script(error=OSError("gone")))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        conversation.session.typed("typed")
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert conversation.host.log[1:] == [("accept", 1, "typed"), ("commit", 1, "typed", LINE)]
    assert conversation.host.heard == [None]
    assert [(d.stage, d.target) for d in conversation.all(Degraded)] == [("stt", "canned line")]


def test_another_recogniser_gets_the_whole_utterance(conversation: Any) -> None:
    second = FakeTranscriber(texts=("from the second",), provider="second")
    conversation.transcribers = [FakeTranscriber(Script(error=OSError("gone"))), second]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert conversation.all(Degraded) == [Degraded(1, "stt", "fake-stt", "second", "broke off")]
    assert ("accept", 1, "from the second") in conversation.host.log


def test_a_reply_that_breaks_off_is_closed_with_the_canned_line(conversation: Any) -> None:
    conversation.host.say = ("This is a first sentence of some length.", "This is the second one.")
    broken = Script(after=10, error=OSError("gone"))
    conversation.responders = [FakeResponder(Script(), broken)]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    done = conversation.all(ReplyDone)[1]
    assert done.heard == f"This is a first sentence of some length. {SPEECHLESS}"


def test_synthesis_that_breaks_off_keeps_what_was_spoken(conversation: Any) -> None:
    conversation.synthesizers = [FakeSynthesizer(Script(), Script(after=3, error=OSError("gone")))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert conversation.audio_ms(1) == 600
    assert [d.stage for d in conversation.all(Degraded)] == ["tts"]


def test_silence_that_was_taken_for_speech_gets_a_canned_line(conversation: Any) -> None:
    conversation.transcribers = [FakeTranscriber(texts=("",))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert [d.reason for d in conversation.all(Degraded)] == ["nothing was recognised"]
    assert conversation.all(ReplyDone)[1].heard == UNHEARD
    assert conversation.all(Transcript) == []


@pytest.mark.parametrize("speculate", [False, True])
def test_an_answer_that_cannot_be_stored_is_not_answered(
    conversation: Any, speculate: bool
) -> None:
    conversation.policy = SessionPolicy(speculate=speculate)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.pause(100)
        conversation.host.error = OSError("disk full")
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert {fault.code for fault in conversation.all(Fault)} == {"not_stored"}
    assert "could not save" in conversation.all(ReplyDone)[1].heard
    assert conversation.all(Transcript) == []


def test_an_answer_reported_as_not_stored_is_not_stored_later(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.pause(100)
        conversation.host.error = OSError("disk full")
        conversation.session.typed("lost")
        await conversation.until(ReplyStarted, 1)  # of the line that says so
        conversation.host.error = None
        conversation.session.interrupt()
        await conversation.pause(500)

    conversation.run(story)
    assert conversation.host.log == [("commit", 0, "", LINE), ("commit", 1, "", "")]


def test_an_answer_neither_stored_nor_spoken_to_gets_a_written_line(conversation: Any) -> None:
    conversation.policy = SessionPolicy()

    class Hoarse(FakeSynthesizer):
        async def speak(self, sentence: Any) -> Any:
            if sentence.text.startswith("Sorry"):
                raise OSError("gone")
            async for speech in super().speak(sentence):
                yield speech

    conversation.synthesizers = [Hoarse()]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.pause(100)
        conversation.host.error = OSError("disk full")
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert "could not save" in conversation.all(ReplyDone)[1].heard
    assert [(d.stage, d.target) for d in conversation.all(Degraded)] == [("tts", "text")]


class Unstoppable(FakeResponder):
    """A stream that in turn 1 does not end, and takes long to close."""

    async def reply(self, request: Any) -> Any:
        yield TextDelta(request.turn, f"{LINE} And then? ")
        if request.turn == 1:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.2)


def test_a_turn_that_is_stopped_while_its_reply_fails_says_nothing_more(conversation: Any) -> None:
    conversation.responders = [Unstoppable()]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.pause(100)
        conversation.host.error = OSError("disk full")
        conversation.host.accept_s = 0.3
        await conversation.speak()
        await conversation.until(Fault, 1)
        conversation.host.error = None
        conversation.session.typed("again")
        await conversation.until(ReplyDone, 2)

    conversation.run(story)
    assert conversation.all(ReplyStarted) == [ReplyStarted(0), ReplyStarted(2)]
    texts = [LINE, "And then?"]
    assert [text.text for text in conversation.all(ReplyText)] == [*texts, *texts]


def test_a_long_reply_is_synthesised_at_most_five_seconds_ahead(conversation: Any) -> None:
    conversation.host.say = (" ".join(["word"] * 40) + ".", " ".join(["more"] * 40) + ".")

    async def story() -> None:
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    assert conversation.audio_ms(0) == 80 * 200
    sentences = conversation.all(ReplyText)
    assert conversation.at(sentences[1]) >= 2.5


# --- partial transcripts ---------------------------------------------------------------------


def test_partial_transcripts_reach_the_client_while_the_person_speaks(conversation: Any) -> None:
    conversation.transcribers = [FakeTranscriber(texts=("a b c",), partials=True)]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    heard = [(transcript.text, transcript.final) for transcript in conversation.all(Transcript)]
    assert heard == [("a b", False), ("a b c", False), ("a b c", True)]


def test_a_partial_transcript_of_an_older_turn_is_dropped(conversation: Any) -> None:
    late: list[Any] = []

    class Late(FakeTranscriber):
        def open(
            self, turn: int, on_partial: Any = None, hints: Any = (), language: Any = None
        ) -> Any:
            late.append(on_partial)
            return super().open(turn, on_partial)

    conversation.transcribers = [Late()]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)
        late[0](Transcript(1, "too late", final=False))
        await conversation.speak(400)
        late[0](Transcript(1, "much too late", final=False))

    conversation.run(story)
    assert all(transcript.final for transcript in conversation.all(Transcript))


class Batch(FakeTranscriber):
    """Gives a partial transcript with the final one."""

    async def transcripts(self, turn: int) -> Any:
        yield Transcript(turn, "first", final=False)
        yield Transcript(turn, "first and last", final=True)


def test_partials_that_come_with_the_final_are_shown(conversation: Any) -> None:
    conversation.transcribers = [Batch()]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    heard = [(transcript.text, transcript.final) for transcript in conversation.all(Transcript)]
    assert heard == [("first", False), ("first and last", True)]


def test_a_recogniser_that_cannot_even_begin_gives_way(conversation: Any) -> None:
    class Broken(FakeTranscriber):
        def open(
            self, turn: int, on_partial: Any = None, hints: Any = (), language: Any = None
        ) -> Any:
            raise RuntimeError("no memory")

    conversation.transcribers = [Broken(), FakeTranscriber(texts=("fine",), provider="second")]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert ("accept", 1, "fine") in conversation.host.log


def test_with_every_breaker_open_the_utterance_waits_for_a_probe(conversation: Any) -> None:
    conversation.transcribers = [FakeTranscriber(Script(error=OSError("gone")))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        for turn in range(1, 7):
            await conversation.speak(400)
            await conversation.until(ReplyDone, turn)

    conversation.run(story)
    reasons = [degraded.reason for degraded in conversation.all(Degraded)]
    assert "circuit breaker is open" in reasons[-1]
    assert conversation.transcribers[0].open_now == 0


def test_the_last_words_of_a_reply_need_no_full_stop(conversation: Any) -> None:
    conversation.host.say = ("One sentence here. and a tail without a full stop",)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    assert [text.text for text in conversation.all(ReplyText)] == [
        "One sentence here.",
        "and a tail without a full stop",
    ]


def test_a_synthesizer_without_visemes_is_heard_all_the_same(conversation: Any) -> None:
    class Mute(FakeSynthesizer):
        async def speak(self, sentence: Any) -> Any:
            yield Speech(sentence.turn, np.full(16_000, 99, np.int16))

    conversation.synthesizers = [Mute()]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    assert conversation.audio_ms(0) == 1000
    assert conversation.all(Visemes) == []


def test_synthesis_slower_than_speech_counts_against_its_provider(conversation: Any) -> None:
    conversation.host.say = tuple(f"Sentence number {n} is spoken slowly." for n in range(12))
    conversation.synthesizers = [FakeSynthesizer(Script(gap_s=0.3))]

    async def story() -> None:
        await conversation.until(Degraded, 0)

    conversation.run(story)
    assert "circuit breaker is open" in conversation.all(Degraded)[0].reason


# --- speculation -----------------------------------------------------------------------------


@pytest.fixture
def quick(conversation: Any) -> Any:
    """A conversation that prepares answers ahead of the decision."""
    conversation.policy = SessionPolicy()
    return conversation


def since_decision(conversation: Any, turn: int) -> float:
    """Seconds from the decision of a turn to its first reply audio."""
    stopped = next(
        at for at, f in conversation.frames if isinstance(f, SpeechStopped) and f.turn == turn
    )
    first = next(
        at for at, f in conversation.frames if isinstance(f, ReplyAudio) and f.turn == turn
    )
    return first - stopped


def test_the_endpointing_wait_hides_the_stages(quick: Any) -> None:
    quick.transcribers = [FakeTranscriber(Script(first_s=0.25), texts=("slowly",))]
    quick.responders = [FakeResponder(Script(first_s=0.2))]
    quick.synthesizers = [FakeSynthesizer(Script(first_s=0.1))]

    async def story() -> None:
        await quick.until(ReplyDone, 0)
        await quick.speak()
        await quick.until(ReplyDone, 1)

    quick.run(story)
    assert since_decision(quick, 1) == 0
    metrics = next(frame for frame in quick.all(TurnMetrics) if frame.turn == 1)
    spans = {span.stage: span for span in metrics.stages}
    assert spans["stt"].start < spans["endpointing"].end
    assert metrics.voice_to_voice_ms == spans["endpointing"].end


def test_nothing_is_stored_or_told_before_the_decision(quick: Any) -> None:
    async def story() -> None:
        await quick.until(ReplyDone, 0)
        await quick.pause(100)
        before = len(quick.frames)
        await quick.speak(600)
        await quick.pause(600)
        assert [type(frame) for _, frame in quick.frames[before:]] == [SpeechStarted, AvatarState]
        assert quick.host.log == [("commit", 0, "", LINE)]
        assert len(quick.responders[0].requests) == 2
        await quick.until(ReplyDone, 1)

    quick.run(story)
    kinds = [type(f) for _, f in quick.frames if getattr(f, "turn", 0) == 1]
    assert kinds[:5] == [SpeechStarted, AvatarState, SpeechStopped, AvatarState, Transcript]


def test_a_sentence_that_goes_on_discards_what_was_prepared_unheard(quick: Any) -> None:
    quick.transcribers = [FakeTranscriber(texts=("the first half", "both halves"))]

    async def story() -> None:
        await quick.until(ReplyDone, 0)
        await quick.speak(600)
        await quick.pause(500)
        await quick.speak(600)
        await quick.until(ReplyDone, 1)

    quick.run(story)
    assert [t.text for t in quick.all(Transcript)] == ["both halves"]
    assert quick.host.log[1:] == [("accept", 1, "both halves"), ("commit", 1, "both halves", LINE)]
    assert quick.all(Clear) == []


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
def test_a_failed_preparation_is_tried_again_before_anything_degrades(
    quick: Any, stage: str
) -> None:
    broken = Script(error=OSError("gone"))
    if stage == "stt":
        quick.transcribers = [FakeTranscriber(broken, Script(), texts=("ok",))]
    elif stage == "llm":
        quick.responders = [FakeResponder(Script(), broken, Script())]
    else:
        quick.synthesizers = [FakeSynthesizer(Script(), broken, Script())]

    async def story() -> None:
        await quick.until(ReplyDone, 0)
        await quick.speak()
        await quick.until(ReplyDone, 1)

    quick.run(story)
    assert quick.all(Degraded) == []
    assert [done.heard for done in quick.all(ReplyDone)] == [LINE] * 2
    assert len([entry for entry in quick.host.log if entry[0] == "accept"]) == 1


@pytest.mark.parametrize("stage", ["stt", "llm"])
def test_a_candidate_that_prepared_nothing_is_not_named(quick: Any, stage: str) -> None:
    broken = Script(error=OSError("gone"))
    if stage == "stt":
        quick.transcribers = [
            FakeTranscriber(broken, Script()),
            FakeTranscriber(broken, provider="second"),
        ]
    else:
        quick.responders = [
            FakeResponder(Script(), broken, Script()),
            FakeResponder(broken, provider="second"),
        ]

    async def story() -> None:
        await quick.until(ReplyDone, 0)
        await quick.speak()
        await quick.until(ReplyDone, 1)

    quick.run(story)
    assert quick.all(Degraded) == []
    assert quick.all(ReplyDone)[1].heard == LINE


@pytest.mark.parametrize("how", ["goes on", "types", "is gone"])
def test_a_preparation_that_is_stopped_while_it_fails_does_not_hold_the_session(
    quick: Any, how: str
) -> None:
    failed = asyncio.Event()

    class Fails(FakeSynthesizer):
        async def speak(self, sentence: Any) -> Any:
            if sentence.turn == 1 and not failed.is_set():
                await asyncio.sleep(0.1)
                failed.set()
                raise OSError("gone")
            async for speech in super().speak(sentence):
                yield speech

    quick.responders = [Unstoppable()]
    quick.synthesizers = [Fails()]

    async def story() -> None:
        await quick.until(ReplyDone, 0)
        await quick.speak(600)
        while not failed.is_set():
            await quick.pause(20)
        await quick.pause(40)
        assert quick.all(SpeechStopped) == []
        if how == "goes on":
            await quick.speak(600)
        elif how == "types":
            quick.session.typed("and typed")
        else:
            quick.running.cancel()
        await quick.pause(1000)
        quick.session.end()
        await asyncio.wait([quick.running], timeout=10)
        assert quick.running.done()

    quick.run(story)
    accepted = [entry[1] for entry in quick.host.log if entry[0] == "accept"]
    assert accepted == ([] if how == "is gone" else [1])


@pytest.mark.parametrize("accept_s", [0.0, 0.5], ids=["accepted", "not yet accepted"])
def test_a_preparation_that_fails_only_after_the_decision_is_tried_again_too(
    quick: Any, accept_s: float
) -> None:
    quick.host.accept_s = accept_s
    attempts: list[int] = []

    class Fails(FakeSynthesizer):
        async def speak(self, sentence: Any) -> Any:
            attempts.append(sentence.turn)
            if attempts == [0, 1]:
                await asyncio.sleep(0.8)
                raise OSError("gone")
            async for speech in super().speak(sentence):
                yield speech

    quick.synthesizers = [Fails()]

    async def story() -> None:
        await quick.until(ReplyDone, 0)
        await quick.speak()
        await quick.until(ReplyDone, 1)

    quick.run(story)
    assert [entry for entry in quick.host.log if entry[0] == "accept"] == [
        ("accept", 1, "I like tests")
    ]
    assert len([t for t in quick.all(Transcript) if t.final]) == 1
    assert quick.all(ReplyDone)[1].heard == LINE


def test_silence_taken_for_speech_is_recognised_again_after_the_decision(quick: Any) -> None:
    quick.transcribers = [FakeTranscriber(texts=("", "now I hear you"))]

    async def story() -> None:
        await quick.until(ReplyDone, 0)
        await quick.speak()
        await quick.until(ReplyDone, 1)

    quick.run(story)
    assert [t.text for t in quick.all(Transcript)] == ["now I hear you"]
    assert quick.all(Degraded) == []


def test_typing_in_the_silence_joins_what_was_said(quick: Any) -> None:
    async def story() -> None:
        await quick.until(ReplyDone, 0)
        await quick.speak(600)
        await quick.pause(400)
        quick.session.typed("and typed")
        await quick.until(ReplyDone, 1)

    quick.run(story)
    assert [entry for entry in quick.host.log if entry[0] == "accept"] == [
        ("accept", 1, "I like tests and typed")
    ]


def test_leaving_in_the_silence_stores_what_was_said(quick: Any) -> None:
    async def story() -> None:
        await quick.until(ReplyDone, 0)
        await quick.speak(600)
        await quick.pause(400)

    quick.run(story)
    assert quick.host.log[1:] == [("accept", 1, "I like tests"), ("commit", 1, "I like tests", "")]
    assert quick.transcribers[0].open_now == 0


def test_a_reply_that_takes_longer_than_the_wait_is_late_by_what_is_left_of_it(quick: Any) -> None:
    quick.responders = [FakeResponder(Script(), Script(first_s=0.9))]

    async def story() -> None:
        await quick.until(ReplyDone, 0)
        await quick.speak()
        await quick.until(ReplyDone, 1)

    quick.run(story)
    assert 0.2 < since_decision(quick, 1) < 0.4


def test_another_candidate_that_prepared_the_answer_is_named_when_it_is_heard(quick: Any) -> None:
    quick.synthesizers = [
        FakeSynthesizer(Script(), Script(error=OSError("gone"))),
        FakeSynthesizer(provider="second"),
    ]
    quick.responders = [
        FakeResponder(Script(), Script(error=OSError("gone"))),
        FakeResponder(provider="second"),
    ]

    async def story() -> None:
        await quick.until(ReplyDone, 0)
        await quick.speak()
        await quick.until(ReplyDone, 1)

    quick.run(story)
    told = [(d.stage, d.source, d.target) for d in quick.all(Degraded)]
    assert told == [("llm", "fake-llm", "second"), ("tts", "fake-tts", "second")]


def test_partials_of_a_preparation_are_not_shown(quick: Any) -> None:
    quick.transcribers = [Batch()]

    async def story() -> None:
        await quick.until(ReplyDone, 0)
        await quick.speak()
        await quick.until(ReplyDone, 1)

    quick.run(story)
    assert [t.text for t in quick.all(Transcript)] == ["first and last"]


def test_last_words_without_a_word_are_not_stored(conversation: Any) -> None:
    conversation.transcribers = [FakeTranscriber(texts=("",))]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)

    conversation.run(story)
    assert conversation.host.log == [("commit", 0, "", LINE)]


def test_a_thinking_pause_is_waited_for(quick: Any) -> None:
    quick.transcribers = [FakeTranscriber(texts=("good question let me think", "the whole answer"))]

    async def story() -> None:
        await quick.until(ReplyDone, 0)
        await quick.speak(600)
        await quick.pause(2500)
        await quick.speak(600)
        await quick.until(ReplyDone, 1)

    quick.run(story)
    assert [t.text for t in quick.all(Transcript)] == ["the whole answer"]


def test_a_finished_sentence_is_answered_sooner(quick: Any) -> None:
    quick.transcribers = [FakeTranscriber(texts=("and that was it",), partials=True)]

    async def story() -> None:
        await quick.until(ReplyDone, 0)
        await quick.speak(600)
        await quick.until(ReplyDone, 1)

    quick.run(story)
    metrics = next(frame for frame in quick.all(TurnMetrics) if frame.turn == 1)
    assert 480 <= metrics.voice_to_voice_ms < 540


def test_a_session_needs_no_journal(conversation: Any) -> None:
    conversation.journalled = False

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        await asyncio.sleep(3)

    conversation.run(story)
    assert ("accept", 1, "I like tests") in conversation.host.log


def test_a_commit_waits_for_the_detectors_word_on_a_short_answer(conversation: Any) -> None:
    conversation.policy = SessionPolicy(turns=TurnPolicy(mode="manual"), speculate=False)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(120)
        conversation.session.commit()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert conversation.all(Fault) == []
    assert ("accept", 1, "I like tests") in conversation.host.log


def test_interrupting_the_closing_line_closes_the_conversation(conversation: Any) -> None:
    conversation.host.closes = True

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.typed("my last answer")
        await conversation.until(ReplyStarted, 1)
        conversation.session.interrupt()
        await asyncio.wait([conversation.running], timeout=5)
        assert conversation.running.done()

    conversation.run(story)
    assert [entry[:2] for entry in conversation.host.log] == [
        ("commit", 0),
        ("accept", 1),
        ("commit", 1),
    ]


def test_typing_faster_than_storage_writes_is_refused(conversation: Any) -> None:
    conversation.host.accept_s = 1.0

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.pause(100)
        for number in range(20):
            conversation.session.typed(f"typed {number}")
        await conversation.pause(30_000)

    conversation.run(story)
    refused = [fault for fault in conversation.all(Fault) if fault.code == "too_many_turns"]
    accepted = [entry[2] for entry in conversation.host.log if entry[0] == "accept"]
    assert len(refused) + len(accepted) == 20
    assert accepted == [f"typed {number}" for number in range(len(accepted))]


@pytest.mark.parametrize("rest_ms", [0, 300])
def test_what_was_said_before_typed_words_is_not_recognised_again(
    conversation: Any, rest_ms: int
) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        conversation.session.typed("and coffee")
        await conversation.pause(rest_ms)
        await conversation.speak(1200)
        await conversation.until(ReplyDone, conversation.all(SpeechStarted)[-1].turn)

    conversation.run(story)
    first, second = [speech for speech in conversation.host.heard if speech is not None]
    assert second.start_ms >= first.start_ms + first.duration_ms
