"""A turn model is asked in every pause; its answer in time changes when the turn ends."""

import asyncio
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.decisions import AskTurnModel, Judged
from pipeline.errors import StageBusy, StageFailed
from pipeline.frames import ReplyDone, SpeechStopped
from pipeline.replay import replay
from pipeline.session import SessionPolicy
from pipeline.testing import Script, run_virtual
from pipeline.turn_questions import ANSWER_S, HEARD_S, TurnQuestions
from pipeline.turns import TurnPolicy
from pipeline.utterance import Utterance
from stages.fakes import FakeTurnModel

JUDGED = SessionPolicy(speculate=False, turns=TurnPolicy(judged=True))


def silence_before_the_end(conversation: Any, *, pause_ms: int = 0) -> int:
    """How much silence ended the person's turn of a second's speech, in ms."""

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        started = asyncio.get_running_loop().time()
        await conversation.speak(1000)
        if pause_ms:
            await conversation.pause(pause_ms)
            await conversation.speak(1000)
        stopped = await conversation.until(SpeechStopped, 1)
        spoken_s = 2.0 + pause_ms / 1000 if pause_ms else 1.0
        nonlocal silence_ms
        silence_ms = round((conversation.at(stopped) - started - spoken_s) * 1000)

    silence_ms = 0
    conversation.run(story)
    return silence_ms


@pytest.fixture
def judged(conversation: Any) -> Any:
    conversation.policy = JUDGED
    return conversation


@pytest.fixture
def usual_ms() -> int:
    """The silence that ends a turn without a turn model."""
    from tests.support.session import Conversation

    return silence_before_the_end(Conversation())


def causes(conversation: Any) -> list[Judged]:
    found = replay(conversation.lines).decisions
    return [decision.cause for decision in found if isinstance(decision.cause, Judged)]


def test_a_turn_that_sounds_finished_ends_sooner(judged: Any, usual_ms: int) -> None:
    judged.turn_models = [FakeTurnModel(answers=(0.95,))]
    assert silence_before_the_end(judged) == pytest.approx(0.6 * usual_ms, abs=32)


def test_a_turn_that_sounds_unfinished_ends_later(judged: Any, usual_ms: int) -> None:
    judged.turn_models = [FakeTurnModel(answers=(0.1,))]
    assert silence_before_the_end(judged) == pytest.approx(1.5 * usual_ms, abs=32)


def test_an_answer_that_says_nothing_changes_nothing(judged: Any, usual_ms: int) -> None:
    judged.turn_models = [FakeTurnModel(answers=(0.6,))]
    assert silence_before_the_end(judged) == usual_ms


@pytest.mark.parametrize(
    "script",
    [
        Script(stall=True),
        Script(first_s=ANSWER_S + 0.02),
        Script(error=OSError("gone")),
        Script(error=StageFailed("turn", "fake-turn", "stream", "the process ended")),
        Script(error=StageBusy("turn", "fake-turn", "too many questions")),
        Script(end=True),
    ],
    ids=["hangs", "is late", "raises", "fails", "is busy", "says nothing"],
)
def test_a_model_that_gives_no_answer_costs_nothing(
    judged: Any, usual_ms: int, script: Script
) -> None:
    judged.turn_models = [FakeTurnModel(script)]
    assert silence_before_the_end(judged) == usual_ms
    assert causes(judged) == []


@pytest.mark.parametrize("answer", [math.nan, -0.1, 1.1])
def test_an_answer_that_is_no_probability_is_a_failure(
    judged: Any, usual_ms: int, answer: float
) -> None:
    judged.turn_models = [FakeTurnModel(answers=(answer,))]
    assert silence_before_the_end(judged) == usual_ms
    assert causes(judged) == []


def test_a_model_that_keeps_failing_is_asked_no_more(judged: Any) -> None:
    model = FakeTurnModel(Script(error=OSError("gone")))
    judged.turn_models = [model]

    async def story() -> None:
        await judged.until(ReplyDone, 0)
        for turn in range(1, 9):
            await judged.speak(400)
            await judged.until(ReplyDone, turn)

    judged.run(story)
    assert 0 < len(model.heard) < 8


def test_without_a_policy_that_asks_the_model_hears_nothing(
    conversation: Any, usual_ms: int
) -> None:
    model = FakeTurnModel()
    conversation.turn_models = [model]
    assert silence_before_the_end(conversation) == usual_ms
    assert model.heard == []


def test_a_policy_that_asks_without_a_model_changes_nothing(judged: Any, usual_ms: int) -> None:
    assert silence_before_the_end(judged) == usual_ms


def test_a_fixed_delay_asks_no_model(conversation: Any, usual_ms: int) -> None:
    model = FakeTurnModel()
    conversation.turn_models = [model]
    conversation.policy = replace(JUDGED, turns=TurnPolicy(judged=True, adaptive=False))
    assert silence_before_the_end(conversation) == usual_ms
    assert model.heard == []


def test_each_pause_is_asked_about_and_only_the_last_answer_counts(
    judged: Any, usual_ms: int
) -> None:
    model = FakeTurnModel(answers=(0.1, 0.6))
    judged.turn_models = [model]
    assert silence_before_the_end(judged, pause_ms=400) == usual_ms
    assert len(model.heard) == 2
    assert [answer.probability for answer in causes(judged)] == [0.1, 0.6]


def test_the_model_hears_the_last_8_s_up_to_200_ms_of_silence(judged: Any) -> None:
    model = FakeTurnModel()
    judged.turn_models = [model]

    async def story() -> None:
        await judged.until(ReplyDone, 0)
        await judged.speak(10_000)
        await judged.until(SpeechStopped, 1)

    judged.run(story)
    (heard,) = model.heard
    assert len(heard) == HEARD_S * 16_000
    silent = len(heard) - 1 - int(np.flatnonzero(heard)[-1])
    assert silent / 16 == pytest.approx(224, abs=32)


def test_a_session_that_ends_does_not_wait_for_an_answer(judged: Any) -> None:
    judged.turn_models = [FakeTurnModel(Script(stall=True))]

    async def story() -> None:
        await judged.until(ReplyDone, 0)
        await judged.speak(600)
        await judged.pause(300)
        loop = asyncio.get_running_loop()
        before = loop.time()
        judged.session.end()
        await asyncio.wait([judged.running])
        assert loop.time() - before < 0.05

    judged.run(story)


def test_a_question_without_speech_asks_nothing() -> None:
    async def story() -> None:
        questions = TurnQuestions(None, lambda _: None)
        question = AskTurnModel(1, 1000)
        async with asyncio.TaskGroup() as tasks:
            questions.ask(tasks, question, Utterance(1, np.zeros(160, np.int16), 160, None))
            questions.ask(tasks, question, None)
            questions.ask(None, question, None)
        questions.drop()

    run_virtual(story())
