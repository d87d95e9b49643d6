"""What is kept of a turn for the operator."""

import pytest

from gateway.observe.turn_record import MOST_DEGRADED, MOST_OPEN, TurnRecord, TurnRecorder
from pipeline.frames import (
    AvatarState,
    Degraded,
    ReplyDone,
    ReplyStarted,
    ReplyText,
    SpeechStopped,
    StageShare,
    StageSpan,
    TurnMetrics,
)
from pipeline.ladder import PASSED_OVER
from pipeline.stage import Observed

SPANS = (
    StageSpan("endpointing", "silero", 0.0, None, 300.0),
    StageSpan("stt", "whisper", 100.0, None, 340.0),
    StageSpan("llm", "openai", 340.0, 560.5, 900.0),
    StageSpan("tts", "hibari", 600.0, 650.0, None),
)
SHARES = (StageShare("endpointing", "silero", 300.0), StageShare("llm", "openai", 360.0, True))
HEARD = TurnMetrics(1, 1000, SPANS, 660.0, SHARES)
UNHEARD = TurnMetrics(1, 1000, SPANS, None)
CANNED = Degraded(1, "llm", "openai", "canned line", "stalled")


def record(*outputs: Observed, now: float = 20.0) -> TurnRecord:
    """The record of a turn with these outputs, the last of which ends it at `now`."""
    recorder = TurnRecorder()
    *before, last = outputs
    assert [recorder.handle(output, 10.0) for output in before] == [None] * len(before)
    told = recorder.handle(last, now)
    assert told is not None
    return told


@pytest.mark.parametrize(
    ("outputs", "outcome"),
    [
        ((ReplyStarted(1), ReplyDone(1, False, "Yes."), HEARD), "answered"),
        ((ReplyStarted(1), ReplyDone(1, True, "Y"), HEARD), "interrupted"),
        ((CANNED, ReplyDone(1, False, "Sorry."), HEARD), "canned"),
        ((ReplyText(1, "Yes."), UNHEARD), "text"),
        ((UNHEARD,), "none"),
    ],
)
def test_a_turn_has_one_outcome(outputs: tuple[Observed, ...], outcome: str) -> None:
    assert outcome == record(*outputs).outcome


def test_a_line_has_each_stages_first_item_and_total_from_its_own_start() -> None:
    fields = record(SpeechStopped(1, 0), CANNED, HEARD).fields()
    assert fields == {
        "turn": 1,
        "outcome": "canned",
        "spoken": True,
        "voice_to_voice_ms": 660.0,
        "budget_ms": 1000,
        "overspent": None,
        "stages": {
            "endpointing": {"provider": "silero", "first_ms": None, "total_ms": 300.0},
            "stt": {"provider": "whisper", "first_ms": None, "total_ms": 240.0},
            "llm": {"provider": "openai", "first_ms": 220.5, "total_ms": 560.0},
            "tts": {"provider": "hibari", "first_ms": 50.0, "total_ms": None},
        },
        "shares": [
            {"stage": "endpointing", "provider": "silero", "ms": 300.0, "failed": False},
            {"stage": "llm", "provider": "openai", "ms": 360.0, "failed": True},
        ],
        "degraded": [{"stage": "llm", "from": "openai", "to": "canned line", "reason": "stalled"}],
    }


@pytest.mark.parametrize(
    ("outputs", "over"),
    [
        ((HEARD,), False),
        ((TurnMetrics(1, 659, SPANS, 660.0),), True),
        ((UNHEARD,), True),
        ((ReplyDone(1, True, ""), UNHEARD), False),
    ],
)
def test_a_reply_that_comes_late_or_never_is_over_budget(
    outputs: tuple[Observed, ...], over: bool
) -> None:
    assert over == record(*outputs).over_budget


PASSED = Degraded(1, "tts", "good", "quick", f"{PASSED_OVER}the processor is 95% busy")
"""The better voice was not asked: it has failed in nothing."""


def late(*shares: tuple[str, float]) -> TurnMetrics:
    """A turn that was over its budget of a second."""
    told = tuple(StageShare(stage, "", ms) for stage, ms in shares)
    return TurnMetrics(1, 1000, (), sum(ms for _, ms in shares), told)


@pytest.mark.parametrize(
    ("outputs", "stage"),
    [
        ((HEARD,), None),
        ((late(("endpointing", 800.0), ("stt", 100.0), ("llm", 300.0)),), "llm"),
        ((late(("stt", 500.0), ("llm", 300.0), ("sentence", 100.0), ("llm", 300.0)),), "llm"),
        ((late(("endpointing", 1001.0), ("stt", 2000.0)),), "endpointing"),
        ((late(("endpointing", 1001.0)),), "endpointing"),
        ((CANNED, UNHEARD), "llm"),
        ((UNHEARD,), "none"),
        ((PASSED, UNHEARD), "none"),
        ((CANNED, PASSED, UNHEARD), "llm"),
        ((ReplyDone(1, True, ""), UNHEARD), None),
    ],
)
def test_the_stage_that_made_a_reply_late_is_named(
    outputs: tuple[Observed, ...], stage: str | None
) -> None:
    assert stage == record(*outputs).overspent


@pytest.mark.parametrize(
    ("outputs", "ended_at"),
    [
        ((ReplyStarted(1), HEARD), 10.0 - 0.66),
        ((AvatarState(1, "thinking"), UNHEARD), 10.0 - 0.3),
        ((UNHEARD,), 20.0 - 0.9),
        ((TurnMetrics(1, 1000, (), None),), 20.0),
    ],
)
def test_the_end_of_speech_is_told_by_the_moment_that_is_known_best(
    outputs: tuple[Observed, ...], ended_at: float
) -> None:
    assert ended_at == pytest.approx(record(*outputs).ended_at)


def test_turns_that_never_end_and_endless_degradations_are_bounded() -> None:
    recorder = TurnRecorder()
    for turn in range(100):
        recorder.handle(SpeechStopped(turn, 0), 0.0)
    for _ in range(100):
        recorder.handle(Degraded(99, "llm", "a", "b", "c"), 0.0)
    told = [recorder.handle(TurnMetrics(turn, 1000, (), None), 0.0) for turn in range(100)]
    assert [one.turn for one in told if one is not None and one.spoken] == [
        *range(100 - MOST_OPEN, 100)
    ]
    assert told[99] is not None
    assert len(told[99].degraded) == MOST_DEGRADED
