"""A reply's outputs are kept until its answer is accepted."""

import asyncio

import pytest

from pipeline.budget import TurnBudget
from pipeline.frames import Degraded, Output, ReplyText, StageShare, ToolCall
from pipeline.outputs import ReplyOutputs
from pipeline.stage import ToolRequest
from pipeline.testing import run_virtual

ONE, TWO = ReplyText(1, "one"), ReplyText(1, "two")
CALL = ToolCall(1, "c1", "weather", '{"city":"Oslo"}')


def test_outputs_are_kept_until_the_answer_is_accepted_and_then_sent_in_order() -> None:
    sent: list[Output] = []
    outputs = ReplyOutputs(1, sent.append)
    outputs.begin(ahead=True)
    outputs.send(ONE)
    outputs.send(TWO)
    assert (sent, outputs.kept, outputs.accepted) == ([], 2, False)
    outputs.accept()
    assert (sent, outputs.kept, outputs.accepted) == ([ONE, TWO], 0, True)
    outputs.send(ONE)
    assert sent == [ONE, TWO, ONE]


def test_what_waits_for_acceptance_goes_on_once_it_is_there() -> None:
    async def scene() -> None:
        outputs = ReplyOutputs(1, lambda output: None)
        waiting = asyncio.create_task(outputs.wait())
        await asyncio.sleep(1)
        assert not waiting.done()
        outputs.accept()
        await waiting

    run_virtual(scene())


def test_dropped_outputs_are_never_sent() -> None:
    sent: list[Output] = []
    outputs = ReplyOutputs(1, sent.append)
    outputs.send(ONE)
    outputs.send(TWO)
    outputs.drop(1)
    outputs.accept()
    assert sent == [ONE]


def test_another_attempt_waits_for_acceptance_again() -> None:
    sent: list[Output] = []
    outputs = ReplyOutputs(1, sent.append)
    outputs.accept()
    outputs.begin(ahead=False)
    outputs.send(ONE)
    assert (sent, outputs.accepted) == ([], False)


def test_a_call_counts_as_made_once_it_is_sent_and_ends_further_attempts() -> None:
    outputs = ReplyOutputs(1, lambda output: None)
    outputs.begin(ahead=True)
    outputs.send(CALL)
    assert (outputs.calls, outputs.ahead) == ((), True)
    outputs.accept()
    assert outputs.calls == (ToolRequest("c1", "weather", '{"city":"Oslo"}'),)
    assert not outputs.ahead


def test_a_step_down_is_reported_at_once_after_the_decision_and_kept_before_it() -> None:
    sent: list[Output] = []
    outputs = ReplyOutputs(1, sent.append)
    outputs.begin(ahead=True)
    outputs.degraded("llm", "first", "second", "stalled")
    assert sent == []
    outputs.begin(ahead=False)
    outputs.degraded("tts", "first", "text", "stalled")
    assert sent == [Degraded(1, "tts", "first", "text", "stalled")]
    outputs.accept()
    assert sent[1:] == [Degraded(1, "llm", "first", "second", "stalled")]


@pytest.mark.parametrize("budget", [None, TurnBudget(0.0)])
def test_a_provider_that_gave_way_is_reported_and_charged(budget: TurnBudget | None) -> None:
    sent: list[Output] = []

    async def main() -> None:
        outputs = ReplyOutputs(1, sent.append, budget)
        if budget is not None:
            budget.start("llm", "", 0.0)
        await asyncio.sleep(0.5)
        outputs.gave_way("llm", "a", "b", "stalled")

    run_virtual(main())
    assert sent == [Degraded(1, "llm", "a", "b", "stalled")]
    if budget is not None:
        budget.audio_out(0.75)
        lost, rest = budget.shares()
        assert lost == StageShare("llm", "a", 500.0, failed=True)
        assert (rest.ms, rest.failed) == (250.0, False)
