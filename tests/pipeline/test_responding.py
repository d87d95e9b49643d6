"""Turns without a reply, and replies on request."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from pipeline.frames import (
    AvatarState,
    Degraded,
    Fault,
    ReplyAudio,
    ReplyDone,
    ReplyStarted,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    TurnMetrics,
)
from pipeline.session import SessionPolicy
from pipeline.turns import TurnPolicy
from stages.fakes import FakeResponder, FakeTranscriber, Script

LINE = "Well, tell me more about that."
QUIET = TurnPolicy(replies=False, opens=False)


@pytest.fixture
def silent(conversation: Any) -> Any:
    """A conversation in which a turn gets a reply only on request."""
    conversation.policy = SessionPolicy(turns=QUIET)
    return conversation


def test_a_turn_without_reply_is_recognised_stored_and_shown(silent: Any) -> None:
    async def story() -> None:
        await silent.speak(1000)
        await silent.until(TurnMetrics, 1)
        await silent.pause(1000)

    silent.run(story)
    kinds = [type(frame) for _, frame in silent.frames]
    assert kinds == [
        *(SpeechStarted, AvatarState, SpeechStopped, AvatarState, Transcript),
        *(TurnMetrics, AvatarState),
    ]
    assert [state.state for state in silent.all(AvatarState)] == ["listening", "thinking", "idle"]
    assert silent.host.log == [("accept", 1, "I like tests"), ("commit", 1, "I like tests", "")]
    assert silent.responders[0].requests == []
    (metrics,) = silent.all(TurnMetrics)
    assert [span.stage for span in metrics.stages] == ["endpointing", "stt"]
    assert metrics.voice_to_voice_ms is None


def test_the_turn_after_one_without_reply_works(silent: Any) -> None:
    async def story() -> None:
        await silent.speak(600)
        await silent.until(TurnMetrics, 1)
        silent.session.typed("typed")
        await silent.until(TurnMetrics, 2)

    silent.run(story)
    assert [entry[:3] for entry in silent.host.log if entry[0] == "accept"] == [
        ("accept", 1, "I like tests"),
        ("accept", 2, "typed"),
    ]
    assert silent.all(ReplyDone) == []


@pytest.mark.parametrize(
    ("text", "script", "reason"),
    [
        ("", Script(), "nothing was recognised"),
        ("words", Script(error=OSError("gone")), "broke off"),
    ],
)
def test_where_nothing_was_recognised_without_reply_no_canned_line_is_said(
    silent: Any, text: str, script: Script, reason: str
) -> None:
    silent.transcribers = [FakeTranscriber(script, texts=(text,))]

    async def story() -> None:
        await silent.speak(600)
        await silent.until(TurnMetrics, 1)
        await silent.pause(2000)

    silent.run(story)
    (degraded,) = silent.all(Degraded)
    assert (degraded.stage, degraded.source, degraded.target) == ("stt", "fake-stt", "no text")
    assert reason in degraded.reason
    assert (silent.all(ReplyStarted), silent.all(ReplyAudio), silent.all(Transcript)) == ([],) * 3
    assert silent.host.log == [("commit", 1, "", "")]


def test_without_reply_the_client_learns_that_the_answer_was_not_stored(silent: Any) -> None:
    silent.host.error = OSError("disk full")

    async def story() -> None:
        silent.session.typed("typed")
        await silent.until(TurnMetrics, 1)
        await silent.pause(1000)

    silent.run(story)
    assert [fault.code for fault in silent.all(Fault)] == ["not_stored", "not_stored"]
    assert (silent.all(ReplyStarted), silent.all(Transcript)) == ([], [])


def test_what_was_said_in_a_turn_without_reply_that_is_cut_off_is_carried(silent: Any) -> None:
    silent.transcribers = [FakeTranscriber(Script(first_s=1.0), texts=("all of it",))]

    async def story() -> None:
        await silent.speak(600)
        await silent.until(SpeechStopped, 1)
        await silent.speak(600)
        await silent.until(TurnMetrics, 2)

    silent.run(story)
    assert silent.host.log == [("accept", 2, "all of it"), ("commit", 2, "all of it", "")]


# --- respond ---------------------------------------------------------------------------------


def test_a_reply_that_is_asked_for_is_spoken_whatever_the_policy_says(silent: Any) -> None:
    async def story() -> None:
        silent.session.typed("typed")
        await silent.until(TurnMetrics, 1)
        silent.session.respond()
        await silent.until(ReplyDone, 2)

    silent.run(story)
    assert silent.all(ReplyDone) == [ReplyDone(2, interrupted=False, heard=LINE)]
    assert silent.host.log == [
        ("accept", 1, "typed"),
        ("commit", 1, "typed", ""),
        ("commit", 2, "", LINE),
    ]
    (request,) = silent.responders[0].requests
    assert (request.turn, request.text) == (2, "")


def test_a_reply_that_is_asked_for_while_the_turn_is_recognised_follows_it(silent: Any) -> None:
    silent.transcribers = [FakeTranscriber(Script(first_s=0.5), texts=("slowly",))]

    async def story() -> None:
        await silent.speak(600)
        await silent.until(SpeechStopped, 1)
        silent.session.respond()
        await silent.until(ReplyDone, 2)

    silent.run(story)
    assert silent.all(Fault) == []
    assert silent.host.log == [
        ("accept", 1, "slowly"),
        ("commit", 1, "slowly", ""),
        ("commit", 2, "", LINE),
    ]


def test_a_reply_that_is_asked_for_during_another_is_refused(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        conversation.session.respond()
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    (fault,) = conversation.all(Fault)
    assert (fault.turn, fault.code, fault.fatal) == (0, "reply_under_way", False)
    assert conversation.all(ReplyDone) == [ReplyDone(0, interrupted=False, heard=LINE)]


def test_a_reply_that_waits_for_another_is_made_also_where_nothing_was_committed_before_it(
    conversation: Any,
) -> None:
    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        conversation.session.commit()
        conversation.session.respond(waits=True)
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert [fault.code for fault in conversation.all(Fault)] == ["nothing_to_commit"]
    assert conversation.all(ReplyDone) == [
        ReplyDone(0, interrupted=False, heard=LINE),
        ReplyDone(1, interrupted=False, heard=LINE),
    ]


def test_a_reply_that_is_asked_for_while_the_person_speaks_is_refused(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(500)
        conversation.session.respond()
        await conversation.speak(500)
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    (fault,) = conversation.all(Fault)
    assert (fault.turn, fault.code) == (1, "person_speaks")
    assert ("accept", 1, "I like tests") in conversation.host.log


def test_asking_for_replies_faster_than_storage_writes_is_refused(silent: Any) -> None:
    silent.host.commit_s = 1.0

    async def story() -> None:
        for _ in range(20):
            silent.session.respond()
            silent.session.interrupt()
        await silent.pause(30_000)

    silent.run(story)
    refused = [fault for fault in silent.all(Fault) if fault.code == "too_many_turns"]
    assert len(refused) + len(silent.host.log) == 20
    assert refused


# --- another policy --------------------------------------------------------------------------


def test_another_policy_holds_from_the_next_silence_on(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        await conversation.pause(400)
        assert conversation.all(SpeechStopped) == []
        conversation.session.reconfigure(TurnPolicy(silence_ms=300))
        await conversation.pause(40)
        assert len(conversation.all(SpeechStopped)) == 1
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert conversation.session.policy.turns == TurnPolicy(silence_ms=300)


def test_without_audio_the_new_policys_deadline_holds(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        conversation.session.reconfigure(TurnPolicy(silence_ms=200, grace_ms=100))
        await asyncio.sleep(0.35)
        assert len(conversation.all(SpeechStopped)) == 1

    conversation.run(story)


def test_turning_replies_off_in_mid_turn_stops_what_was_prepared(conversation: Any) -> None:
    conversation.policy = SessionPolicy()

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        await conversation.pause(400)
        assert len(conversation.responders[0].requests) == 2
        conversation.session.reconfigure(TurnPolicy(replies=False))
        await conversation.until(TurnMetrics, 1)
        await conversation.pause(2000)

    conversation.run(story)
    assert [done.turn for done in conversation.all(ReplyDone)] == [0]
    assert conversation.host.log[1:] == [
        ("accept", 1, "I like tests"),
        ("commit", 1, "I like tests", ""),
    ]


def test_a_policy_that_is_changed_before_the_session_runs_decides_on_its_opening(
    conversation: Any,
) -> None:
    async def story() -> None:
        await conversation.pause(500)
        assert conversation.frames == []
        conversation.session.respond()
        await conversation.until(ReplyDone, 1)

    conversation.early = lambda: conversation.session.reconfigure(replace(QUIET, silence_ms=500))
    conversation.run(story)


def test_a_longer_pre_roll_is_there_for_the_next_utterance(conversation: Any) -> None:
    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        turns = conversation.policy.turns
        conversation.session.reconfigure(replace(turns, prefix_ms=3000))
        await conversation.pause(4000)
        await conversation.speak(600)
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    (heard,) = conversation.host.heard
    (started,) = conversation.all(SpeechStarted)
    assert started.at_ms - heard.start_ms == 3000


def test_a_session_that_has_ended_is_not_reconfigured(conversation: Any) -> None:
    before = conversation.policy.turns

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        conversation.session.end()
        conversation.session.reconfigure(QUIET)

    conversation.run(story)
    assert conversation.session.policy.turns == before


def test_a_reply_that_may_not_be_interrupted_is_spoken_to_its_end(conversation: Any) -> None:
    conversation.policy = SessionPolicy(turns=TurnPolicy(interruptible=False), speculate=False)
    conversation.responders = [FakeResponder()]

    async def story() -> None:
        await conversation.until(ReplyStarted, 0)
        await conversation.speak(900)
        await conversation.until(ReplyDone, 0)

    conversation.run(story)
    assert conversation.all(ReplyDone) == [ReplyDone(0, interrupted=False, heard=LINE)]
