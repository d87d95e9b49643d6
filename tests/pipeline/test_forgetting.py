"""Speech that the client drops before its turn has ended becomes no turn."""

import asyncio
from typing import Any

import pytest

from pipeline.decisions import Abandon, Commit, Discard, DropHeld, Forget, Resume, StartTurn
from pipeline.frames import AvatarState, Fault, ReplyDone, SpeechStarted, Transcript
from pipeline.session import SessionPolicy
from pipeline.turns import TurnPolicy, TurnState
from tests.pipeline.test_turns import NEVER, Talk


def test_forgotten_speech_is_no_turn_and_the_next_speech_is_one() -> None:
    talk = Talk()
    talk.speech(320)
    assert talk.does(Forget()) == [Abandon(1)]
    assert talk.turns.state is TurnState.IDLE
    assert talk.silence(2048) == []
    assert talk.speech(224)[-1:] == [StartTurn(2, 2368, 1868)]


def test_a_reply_prepared_for_forgotten_speech_is_dropped() -> None:
    talk = Talk(TurnPolicy())
    talk.speech(320)
    talk.silence(256)
    assert talk.does(Forget()) == [Discard(1), Abandon(1)]


def test_forgotten_speech_into_a_reply_lets_the_reply_go_on() -> None:
    talk = Talk(TurnPolicy(speculate_ms=NEVER, barge_in_ms=2000), opened=False)
    talk.turns.open(0.0)
    talk.turns.state = TurnState.SPEAKING
    talk.speech(320)
    assert talk.does(Forget()) == [DropHeld(0), Resume(0)]


@pytest.mark.parametrize("ms", [0, 128])
def test_where_nobody_speaks_there_is_nothing_to_forget(ms: int) -> None:
    talk = Talk()
    talk.speech(ms)
    assert talk.does(Forget()) == []
    assert talk.does(Commit())[0].turn == 0, "there is no speech left to commit"


@pytest.mark.parametrize("speculate", [False, True])
def test_a_forgotten_utterance_is_neither_recognised_nor_answered(
    conversation: Any, speculate: bool
) -> None:
    conversation.policy = SessionPolicy(turns=TurnPolicy(silence_ms=900), speculate=speculate)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(600)
        await conversation.pause(400)
        conversation.session.forget()
        await conversation.pause(2000)
        assert conversation.all(Transcript) == []
        await conversation.speak(600)
        await conversation.until(ReplyDone, 2)

    conversation.run(story)
    assert [started.turn for started in conversation.all(SpeechStarted)] == [1, 2]
    states = [(frame.turn, frame.state) for frame in conversation.all(AvatarState)]
    assert states[states.index((1, "listening")) + 1] == (1, "idle")
    assert [entry[:2] for entry in conversation.host.log if entry[0] == "accept"] == [("accept", 2)]


def test_speech_that_is_committed_is_not_forgotten(conversation: Any) -> None:
    conversation.policy = SessionPolicy(turns=TurnPolicy(mode="manual", opens=False))

    async def story() -> None:
        await conversation.speak(160)  # too short for the detector to be sure
        conversation.session.commit()
        conversation.session.forget()
        await asyncio.sleep(5)  # the client pushes to talk: no audio comes

    conversation.run(story)
    assert conversation.all(Fault) == []
    assert conversation.host.log[0] == ("accept", 1, "I like tests")


def test_a_reply_that_is_asked_for_right_after_a_commit_answers_what_was_committed(
    conversation: Any,
) -> None:
    turns = TurnPolicy(mode="manual", replies=False, opens=False)
    conversation.policy = SessionPolicy(turns=turns)

    async def story() -> None:
        await conversation.speak(160)  # too short for the detector to be sure
        conversation.session.commit()
        conversation.session.respond()
        await asyncio.sleep(5)  # the client pushes to talk: no audio comes

    conversation.run(story)
    assert conversation.all(Fault) == []
    assert [started.turn for started in conversation.all(SpeechStarted)] == [1]
    assert [done.turn for done in conversation.all(ReplyDone)] == [2]
    assert conversation.host.log[0] == ("accept", 1, "I like tests")


def test_a_client_that_commits_twice_commits_once(conversation: Any) -> None:
    turns = TurnPolicy(mode="manual", replies=False, opens=False)
    conversation.policy = SessionPolicy(turns=turns)

    async def story() -> None:
        await conversation.speak(160)
        conversation.session.commit()
        conversation.session.commit()
        await asyncio.sleep(2)

    conversation.run(story)
    assert conversation.all(Fault) == []
    assert conversation.host.log[0] == ("accept", 1, "I like tests")


def test_a_commit_that_still_waits_for_the_detector_ends_with_the_session(
    conversation: Any,
) -> None:
    turns = TurnPolicy(mode="manual", replies=False, opens=False)
    conversation.policy = SessionPolicy(turns=turns)

    async def story() -> None:
        await conversation.speak(160)
        conversation.session.commit()
        conversation.session.end()
        await asyncio.sleep(1)

    conversation.run(story)
    assert conversation.all(Fault) == []
    assert conversation.all(SpeechStarted) == []
