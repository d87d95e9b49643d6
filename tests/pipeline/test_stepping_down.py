"""What a session does at the steps of its process, and when a turn takes its own."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.breaker import Breaker
from pipeline.fillers import Fillers
from pipeline.frames import Degraded, ReplyDone, ReplyText, SpeechStopped, Transcript, TurnMetrics
from pipeline.guard import Candidate, Guard
from pipeline.ladder import PASSED_OVER, LadderStep
from pipeline.session import SessionPolicy, Stages
from stages.fakes import (
    FakeAnimator,
    FakeDetector,
    FakeResponder,
    FakeSynthesizer,
    FakeTranscriber,
    FakeTurnModel,
    Script,
)

BUSY = "the processor is 95% busy"


def told(conversation: Any, turn: int) -> list[tuple[str, str, str, str]]:
    return [
        (d.stage, d.source, d.target, d.reason)
        for d in conversation.all(Degraded)
        if d.turn == turn
    ]


def step(conversation: Any, to: LadderStep) -> None:
    conversation.ladder.reason = BUSY if to else "calm for 10 s"
    conversation.ladder._change(to)


# --- nothing ahead ---------------------------------------------------------------------------


def test_nothing_is_prepared_ahead_of_the_decision_and_the_client_is_told_once_a_turn(
    conversation: Any,
) -> None:
    conversation.policy = SessionPolicy()
    responder = conversation.responders[0] = FakeResponder()
    asked: list[int] = []

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        step(conversation, LadderStep.NOTHING_AHEAD)
        await conversation.speak()
        await conversation.pause(400)  # a reply would be prepared here
        await conversation.speak()
        await conversation.pause(400)  # and here
        asked.append(len(responder.requests))
        await conversation.until(ReplyDone, 1)
        asked.append(len(responder.requests))
        step(conversation, LadderStep.NO_PICTURES)
        await conversation.speak()
        await conversation.pause(400)
        asked.append(len(responder.requests))
        await conversation.until(ReplyDone, 2)

    conversation.run(story)
    assert asked == [1, 2, 3]
    assert told(conversation, 1) == [("llm", "ahead of the decision", "after the decision", BUSY)]
    assert told(conversation, 2) == []


def test_where_nothing_is_ever_prepared_nobody_is_told(conversation: Any) -> None:
    step(conversation, LadderStep.NOTHING_AHEAD)

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak()
        await conversation.until(ReplyDone, 1)

    conversation.run(story)
    assert told(conversation, 1) == []


# --- lighter first ---------------------------------------------------------------------------


@pytest.fixture
def lighter(conversation: Any) -> Any:
    """A conversation with a lighter provider behind the first one of each slot."""
    conversation.transcribers = [
        FakeTranscriber(texts=("the good words",)),
        FakeTranscriber(texts=("the quick words",), provider="quick-stt"),
    ]
    conversation.synthesizers = [FakeSynthesizer(), FakeSynthesizer(provider="quick-tts")]
    conversation.responders = [FakeResponder(), FakeResponder(provider="quick-llm")]
    conversation.lighter = {"quick-stt", "quick-llm", "quick-tts"}
    return conversation


def providers(conversation: Any, turn: int) -> dict[str, str]:
    [metrics] = [each for each in conversation.all(TurnMetrics) if each.turn == turn]
    return {span.stage: span.provider for span in metrics.stages}


def finals(conversation: Any) -> list[str]:
    return [transcript.text for transcript in conversation.all(Transcript) if transcript.final]


def test_lighter_providers_are_asked_first_and_the_client_is_told(lighter: Any) -> None:
    async def story() -> None:
        await lighter.until(ReplyDone, 0)
        for turn, now in enumerate((LadderStep.LIGHTER_FIRST, LadderStep.NOTHING_AHEAD), 1):
            step(lighter, now)
            await lighter.speak()
            await lighter.until(ReplyDone, turn)

    lighter.run(story)
    assert finals(lighter) == ["the quick words", "the good words"]
    assert told(lighter, 1) == [
        (slot, f"fake-{slot}", f"quick-{slot}", PASSED_OVER + BUSY)
        for slot in ("stt", "llm", "tts")
    ]
    assert {stage: name for stage, name in providers(lighter, 1).items() if name[:4] == "quic"} == {
        slot: f"quick-{slot}" for slot in ("stt", "llm", "tts")
    }
    assert told(lighter, 2) == []
    assert providers(lighter, 2)["stt"] == "fake-stt"


def test_the_better_providers_stand_behind_the_lighter_ones(lighter: Any) -> None:
    lighter.transcribers[1] = FakeTranscriber(
        Script(error=OSError("gone"), after=0), provider="quick-stt"
    )
    step(lighter, LadderStep.LIGHTER_FIRST)

    async def story() -> None:
        await lighter.until(ReplyDone, 0)
        await lighter.speak()
        await lighter.until(ReplyDone, 1)

    lighter.run(story)
    assert finals(lighter) == ["the good words"]
    recogniser = [step for step in told(lighter, 1) if step[0] == "stt"]
    assert recogniser == [
        ("stt", "fake-stt", "quick-stt", PASSED_OVER + BUSY),
        ("stt", "quick-stt", "fake-stt", "broke off"),
    ]


def test_a_lighter_provider_whose_circuit_is_open_changes_nothing(lighter: Any) -> None:
    step(lighter, LadderStep.LIGHTER_FIRST)

    async def story() -> None:
        await lighter.until(ReplyDone, 0)
        lighter.breakers["quick-stt"].force_open(0.0)
        await lighter.speak()
        await lighter.until(ReplyDone, 1)

    lighter.run(story)
    assert finals(lighter) == ["the good words"]
    assert [step for step in told(lighter, 1) if step[0] == "stt"] == []


def test_fillers_are_said_by_the_voice_that_says_the_reply(lighter: Any) -> None:
    lighter.fillers = Fillers()
    lighter.responders = [FakeResponder(Script(first_s=1.9))]
    step(lighter, LadderStep.LIGHTER_FIRST)

    async def story() -> None:
        await lighter.until(ReplyDone, 0)
        await lighter.speak()
        await lighter.until(ReplyDone, 1)

    lighter.run(story)
    assert providers(lighter, 1)["filler"] == "quick-tts"
    assert providers(lighter, 1)["tts"] == "quick-tts"


# --- a turn's own steps ----------------------------------------------------------------------


def test_each_turn_takes_its_own_steps_and_the_next_one_begins_without_them(
    conversation: Any,
) -> None:
    """A filler, a canned line, and text; then as if nothing had been."""
    conversation.fillers = Fillers()
    well = Script()
    conversation.responders = [FakeResponder(well, Script(first_s=1.5), Script(stall=True), well)]
    voice = FakeSynthesizer()
    conversation.synthesizers = [voice]

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        for turn in range(1, 5):
            if turn == 3:
                voice._scripts._scripts = [Script(error=OSError("gone"), after=0)]
            await conversation.speak()
            await conversation.until(SpeechStopped, turn)
            await conversation.until(TurnMetrics, turn)
            voice._scripts._scripts = [well]

    conversation.run(story)
    assert [[target for _, _, target, _ in told(conversation, turn)] for turn in range(5)] == [
        [],
        ["filler"],
        ["filler", "canned line"],
        ["text"],
        [],
    ]
    shown = [text.text for text in conversation.all(ReplyText) if text.turn in (3, 4)]
    assert shown == ["Well, tell me more about that."] * 2


def test_the_guards_of_a_process_stand_in_the_order_of_a_turn() -> None:
    def guard(slot: Any, stage: Any) -> Guard[Any]:
        return Guard(slot, [Candidate(stage.provider, stage, Breaker())])

    stages = Stages(
        FakeDetector(),
        guard("stt", FakeTranscriber()),
        guard("llm", FakeResponder()),
        guard("tts", FakeSynthesizer()),
        guard("avatar", FakeAnimator()),
    )
    assert [guard.slot for guard in stages.guards()] == ["stt", "llm", "tts", "avatar"]
    with_turns = replace(stages, animators=None, turn_models=guard("turn", FakeTurnModel()))
    assert [guard.slot for guard in with_turns.guards()] == ["turn", "stt", "llm", "tts"]
