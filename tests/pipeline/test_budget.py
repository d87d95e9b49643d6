import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.budget import STAGES, TurnBudget
from pipeline.frames import StageShare, StageSpan, TurnMetrics

MINIMUMS = {"stt": 0.25, "llm": 0.5, "tts": 0.25, "transport": 0.125}


def answered() -> TurnBudget:
    """Speech ended at 100; recognition, reply and synthesis followed one another."""
    budget = TurnBudget(100.0, minimums=MINIMUMS)
    budget.start("stt", "whisper", 100.25)
    budget.end("stt", 100.5)
    budget.start("llm", "ollama", 100.5)
    budget.first("llm", 100.75)
    budget.start("tts", "piper", 101.0)
    budget.first("tts", 101.125)
    budget.audio_out(101.25)
    return budget


# --- what is left ----------------------------------------------------------------------------


def test_a_stage_may_take_what_remains_less_the_later_minimums() -> None:
    budget = TurnBudget(100.0, hard_s=4.0, minimums={**MINIMUMS, "tts": 1.25})
    assert budget.allow("endpointing", 100.0) == 1.875
    assert budget.allow("stt", 100.0) == 2.125
    assert budget.allow("llm", 100.0) == 2.625
    assert budget.allow("tts", 100.0) == 3.875
    assert budget.allow("transport", 100.0) == 4.0


@pytest.mark.parametrize(("hard_s", "left_s"), [(4.0, 1.25), (1.5, 0.75), (1.0, 0.5)])
def test_the_end_of_the_budget_is_left_to_the_canned_line(hard_s: float, left_s: float) -> None:
    budget = TurnBudget(100.0, target_s=1.0, hard_s=hard_s, minimums=MINIMUMS)
    assert budget.allow("llm", 100.0) == hard_s - left_s - MINIMUMS["transport"]
    assert budget.allow("tts", 100.0) == hard_s - MINIMUMS["transport"]


@pytest.mark.parametrize("decided_s", [0.0, 0.75, 30.0])
def test_the_hard_limit_counts_from_the_decision(decided_s: float) -> None:
    budget = TurnBudget(100.0, hard_s=4.0, minimums=MINIMUMS)
    budget.release(100.0 + decided_s)
    assert budget.remaining(101.0 + decided_s) == 3.0
    budget.audio_out(101.0 + decided_s)
    assert budget.voice_to_voice_s == 1.0 + decided_s


def test_what_a_stage_leaves_unused_rolls_forward() -> None:
    budget = TurnBudget(100.0, minimums=MINIMUMS)
    assert budget.allow("llm", 101.0) == 1.625
    assert budget.allow("llm", 102.0) == 0.625


def test_nothing_is_allowed_after_the_hard_deadline() -> None:
    budget = TurnBudget(100.0, minimums=MINIMUMS)
    assert budget.allow("llm", 200.0) == 0.0
    assert budget.remaining(200.0) == 0.0


def test_remaining_counts_down_to_the_hard_deadline() -> None:
    assert TurnBudget(100.0, hard_s=2.5).remaining(101.0) == 1.5


def test_a_stage_is_not_worth_starting_with_less_than_its_minimum() -> None:
    budget = TurnBudget(100.0, minimums=MINIMUMS)
    assert (budget.least("llm"), budget.least("endpointing")) == (0.5, 0.0)
    with pytest.raises(ValueError, match="'asr'"):
        budget.least("asr")


def test_once_the_first_audio_is_out_the_hard_deadline_no_longer_applies() -> None:
    budget = answered()
    assert budget.allow("tts", 500.0) == math.inf
    assert budget.remaining(500.0) == math.inf


def test_minimums_that_are_not_named_keep_their_values() -> None:
    named, standard = TurnBudget(0.0, minimums={"tts": 1.5}), TurnBudget(0.0)
    assert named.allow("tts", 0.0) == standard.allow("tts", 0.0) < 4.0
    assert named.allow("llm", 0.0) < standard.allow("llm", 0.0)


# --- where it went ---------------------------------------------------------------------------


def test_every_stage_is_charged_until_the_next_one_starts() -> None:
    budget = answered()
    assert budget.voice_to_voice_s == 1.25
    assert budget.shares() == (
        StageShare("endpointing", "", 250.0),
        StageShare("stt", "whisper", 250.0),
        StageShare("llm", "ollama", 250.0),
        StageShare("sentence", "ollama", 250.0),
        StageShare("tts", "piper", 125.0),
        StageShare("transport", "", 125.0),
    )


def test_without_audio_there_is_no_latency_to_share() -> None:
    budget = TurnBudget(100.0)
    budget.start("stt", "whisper", 100.5)
    assert budget.voice_to_voice_s is None
    assert budget.shares() == ()


def test_the_time_of_a_missing_stage_is_charged_to_the_one_before() -> None:
    budget = TurnBudget(100.0)
    budget.start("endpointing", "silero", 100.0)
    budget.start("stt", "whisper", 100.25)
    budget.start("tts", "piper", 101.0)
    budget.audio_out(101.25)
    assert budget.shares() == (
        StageShare("endpointing", "silero", 250.0),
        StageShare("stt", "whisper", 750.0),
        StageShare("tts", "piper", 250.0),
    )


def test_a_canned_line_after_a_failure_is_charged_to_endpointing() -> None:
    budget = TurnBudget(100.0)
    budget.audio_out(100.5)
    assert budget.shares() == (StageShare("endpointing", "", 500.0),)


def test_transport_begins_when_it_is_started_by_name() -> None:
    budget = TurnBudget(100.0)
    budget.start("tts", "piper", 100.0)
    budget.start("transport", "websocket", 100.5)
    budget.audio_out(101.0)
    assert budget.shares() == (
        StageShare("tts", "piper", 500.0),
        StageShare("transport", "websocket", 500.0),
    )


def test_a_stage_that_began_while_the_person_spoke_is_charged_from_the_end_of_speech() -> None:
    budget = TurnBudget(100.0)
    budget.start("stt", "whisper", 98.0)
    budget.audio_out(101.0)
    assert budget.shares() == (StageShare("stt", "whisper", 1000.0),)


def test_a_stage_that_began_after_the_first_audio_costs_nothing() -> None:
    budget = TurnBudget(100.0)
    budget.start("llm", "ollama", 100.5)
    budget.audio_out(101.0)
    budget.start("tts", "piper", 103.0)
    budget.first("tts", 103.5)
    assert budget.shares() == (
        StageShare("endpointing", "", 500.0),
        StageShare("llm", "ollama", 500.0),
    )


# --- who took it -----------------------------------------------------------------------------


def test_the_time_of_a_provider_that_failed_is_told_apart_from_its_fallback() -> None:
    budget = TurnBudget(100.0)
    budget.start("llm", "", 100.0)
    budget.first("llm", 100.25)  # it stalls before its first sentence is complete
    budget.gave_way("llm", "ollama", 100.75)
    budget.gave_way("llm", "openai", 101.0)
    budget.first("llm", 101.125)
    budget.start("llm", "scripted", 101.125)
    budget.start("tts", "", 101.25)
    budget.gave_way("tts", "piper", 102.25)
    budget.first("tts", 102.5)
    budget.start("tts", "espeak", 102.5)
    budget.audio_out(102.5)
    assert budget.shares() == (
        StageShare("llm", "ollama", 250.0, failed=True),
        StageShare("sentence", "ollama", 500.0, failed=True),
        StageShare("llm", "openai", 250.0, failed=True),
        StageShare("llm", "scripted", 125.0),
        StageShare("sentence", "scripted", 125.0),
        StageShare("tts", "piper", 1000.0, failed=True),
        StageShare("tts", "espeak", 250.0),
    )


def test_a_provider_that_fails_after_the_filler_has_lost_the_time_before_it() -> None:
    budget = filled()
    budget.gave_way("llm", "ollama", 102.0)
    budget.start("llm", "scripted", 102.0)
    budget.start("tts", "piper", 102.0)
    budget.audio_out(102.25)
    budget.gave_way("llm", "scripted", 103.0)
    assert budget.shares()[1] == StageShare("llm", "ollama", 200.0, failed=True)


def test_a_failure_of_a_stage_that_the_person_does_not_wait_for_costs_nothing() -> None:
    budget = TurnBudget(100.0)
    budget.start("llm", "ollama", 100.0)
    budget.start("tts", "piper", 100.5)
    budget.gave_way("llm", "ollama", 100.75)
    budget.audio_out(101.0)
    assert budget.shares() == (
        StageShare("llm", "ollama", 500.0),
        StageShare("tts", "piper", 500.0),
    )


def test_what_was_done_ahead_in_vain_is_done_again_at_its_own_cost() -> None:
    budget = TurnBudget(100.0)
    budget.start("llm", "", 100.125)
    budget.start("tts", "", 100.25)
    budget.gave_way("tts", "piper", 100.375)
    budget.release(100.5)
    budget.repeat("llm", "tts")
    budget.start("llm", "ollama", 100.5)
    budget.start("tts", "piper", 100.75)
    budget.audio_out(101.0)
    assert budget.shares() == (
        StageShare("endpointing", "", 500.0),
        StageShare("llm", "ollama", 250.0),
        StageShare("tts", "piper", 250.0),
    )
    assert budget.metrics(1).stages == (
        StageSpan("llm", "ollama", 500.0, None, None),
        StageSpan("tts", "piper", 750.0, None, None),
    )


def test_audio_before_the_end_of_speech_took_no_time() -> None:
    budget = TurnBudget(100.0)
    budget.audio_out(99.0)
    assert budget.voice_to_voice_s == 0.0


def test_the_first_start_first_item_and_audio_count_and_the_latest_end() -> None:
    budget = answered()
    budget.end("tts", 102.0)
    budget.start("tts", "espeak", 103.0)
    budget.first("tts", 103.25)
    budget.end("tts", 104.0)
    budget.audio_out(105.0)
    assert budget.voice_to_voice_s == 1.25
    assert budget.metrics(7).stages[-1] == StageSpan("tts", "espeak", 1000.0, 1125.0, 4000.0)


def test_the_provider_may_be_named_after_the_stage_began() -> None:
    budget = TurnBudget(100.0)
    budget.start("llm", "", 100.25)
    budget.start("llm", "ollama", 100.75)
    budget.start("llm", "", 100.875)
    assert budget.metrics(1).stages == (StageSpan("llm", "ollama", 250.0, None, None),)


def test_metrics_are_milliseconds_from_the_end_of_speech() -> None:
    budget = answered()
    assert budget.metrics(3) == TurnMetrics(
        turn=3,
        budget_ms=1000,
        stages=(
            StageSpan("stt", "whisper", 250.0, None, 500.0),
            StageSpan("llm", "ollama", 500.0, 750.0, None),
            StageSpan("tts", "piper", 1000.0, 1125.0, None),
        ),
        voice_to_voice_ms=1250.0,
        shares=budget.shares(),
    )


def test_metrics_are_rounded_to_a_tenth_of_a_millisecond() -> None:
    budget = TurnBudget(0.0, target_s=0.8)
    budget.start("llm", "ollama", 0.12345678)
    budget.audio_out(0.98765432)
    metrics = budget.metrics(1)
    assert metrics.budget_ms == 800
    assert metrics.stages[0].start == 123.5
    assert metrics.voice_to_voice_ms == 987.7
    assert [share.ms for share in metrics.shares] == [123.5, 864.2]


def test_metrics_of_a_turn_without_a_reply_have_no_latency() -> None:
    assert TurnBudget(0.0).metrics(1) == TurnMetrics(1, 1000, (), None)


# --- a filler --------------------------------------------------------------------------------


def filled() -> TurnBudget:
    """The reply of a turn that was decided at 100.75 came after a filler at 100.95."""
    budget = TurnBudget(100.0, minimums=MINIMUMS)
    budget.start("stt", "whisper", 100.25)
    budget.release(100.75)
    budget.start("llm", "ollama", 100.75)
    budget.filler_out("piper", 101.0)
    return budget


def test_the_filler_is_the_first_sound_and_the_stage_that_is_late_is_charged_up_to_it() -> None:
    budget = filled()
    assert budget.voice_to_voice_s == 1.0
    budget.start("tts", "espeak", 102.0)
    budget.audio_out(102.5)
    budget.filler_out("piper", 103.0)
    assert budget.voice_to_voice_s == 1.0
    assert budget.shares() == (
        StageShare("endpointing", "", 750.0),
        StageShare("llm", "ollama", 200.0),
        StageShare("filler", "piper", 50.0),
    )


def test_a_filler_that_is_not_there_when_it_is_due_has_a_share_of_its_own() -> None:
    budget = TurnBudget(100.0, minimums=MINIMUMS)
    budget.release(100.25)
    budget.start("llm", "ollama", 100.25)
    budget.filler_out("piper", 101.95)
    assert budget.shares()[1:] == (
        StageShare("llm", "ollama", 700.0),
        StageShare("filler", "piper", 1000.0),
    )


def test_the_deadline_of_the_reply_goes_on_behind_a_filler() -> None:
    budget = filled()
    assert budget.remaining(101.75) == 3.0
    budget.audio_out(102.5)
    assert budget.remaining(102.5) == math.inf


def test_the_metrics_end_with_the_filler_and_when_the_reply_was_heard() -> None:
    budget = filled()
    assert budget.metrics(1).stages[-1] == StageSpan("filler", "piper", 1000.0, 1000.0, None)
    budget.audio_out(102.5)
    assert budget.metrics(1).stages[-1] == StageSpan("filler", "piper", 1000.0, 1000.0, 2500.0)


@pytest.mark.parametrize(
    ("target_s", "decided_s", "due_s"),
    [
        (1.0, None, 0.95),
        (1.0, 0.8, 0.95),
        (1.0, 0.9, 1.05),
        (1.0, 1.0, 1.15),
        (1.0, 3.0, 3.5),
        (0.1, 0.0, 0.075),
    ],
)
def test_when_a_filler_is_due(target_s: float, decided_s: float | None, due_s: float) -> None:
    budget = TurnBudget(100.0, target_s=target_s)
    if decided_s is not None:
        budget.release(100.0 + decided_s)
    assert budget.filler_due == pytest.approx(100.0 + due_s)


def test_what_a_stage_may_take_so_that_the_reply_is_heard_in_time() -> None:
    budget = TurnBudget(100.0, minimums=MINIMUMS)
    soon = budget.soon("llm", 100.25)
    assert (soon.budget_s, soon.late_s) == (pytest.approx(0.45), pytest.approx(0.95))
    assert budget.soon("tts", 102.0).budget_s == pytest.approx(-1.05)


# --- refusals --------------------------------------------------------------------------------


def test_an_unknown_stage_is_refused() -> None:
    budget = TurnBudget(0.0)
    with pytest.raises(ValueError, match="'asr' is not a stage of a turn"):
        budget.start("asr", "whisper", 0.0)
    with pytest.raises(ValueError, match="'asr'"):
        budget.allow("asr", 0.0)
    with pytest.raises(ValueError, match="'asr'"):
        TurnBudget(0.0, minimums={"asr": 1.0})


def test_a_stage_that_never_started_cannot_go_on() -> None:
    budget = TurnBudget(0.0)
    with pytest.raises(KeyError):
        budget.first("tts", 0.0)
    with pytest.raises(KeyError):
        budget.end("tts", 0.0)


@pytest.mark.parametrize(("target_s", "hard_s"), [(0.0, 1.0), (2.0, 1.0)])
def test_a_target_outside_the_hard_limit_is_refused(target_s: float, hard_s: float) -> None:
    with pytest.raises(ValueError, match="target"):
        TurnBudget(0.0, target_s=target_s, hard_s=hard_s)


# --- properties ------------------------------------------------------------------------------

TIMES = st.floats(-5, 60, allow_nan=False)
PARTS = (*STAGES, "sentence", "filler")


@given(
    origin=st.floats(0, 1e6),
    marks=st.lists(
        st.tuples(
            st.sampled_from(["start", "first", "gave way", "repeat"]),
            st.sampled_from(STAGES),
            TIMES,
        ),
        max_size=12,
    ),
    out=TIMES,
    filler=st.none() | TIMES,
    released=st.none() | TIMES,
)
def test_shares_are_never_negative_and_add_up_to_the_latency(
    origin: float,
    marks: list[tuple[str, str, float]],
    out: float,
    filler: float | None,
    released: float | None,
) -> None:
    budget = TurnBudget(origin)
    if released is not None:
        budget.release(origin + released)
    for kind, stage, at in marks:
        budget.start(stage, "any", origin + at)
        if kind == "first":
            budget.first(stage, origin + at)
        elif kind == "gave way":
            budget.gave_way(stage, "broken", origin + at)
        elif kind == "repeat":
            budget.repeat(stage)
        if filler is not None and stage == "tts":
            budget.filler_out("voice", origin + filler)
    budget.audio_out(origin + out)
    metrics = budget.metrics(1)
    assert metrics.voice_to_voice_ms == pytest.approx(
        (budget.voice_to_voice_s or 0) * 1000, abs=0.1
    )
    assert round(math.fsum(share.ms for share in metrics.shares), 1) == metrics.voice_to_voice_ms
    assert sum(Decimal(repr(share.ms)) for share in metrics.shares) == Decimal(
        repr(metrics.voice_to_voice_ms)
    )
    assert all(share.ms > 0 for share in metrics.shares)
    assert {share.stage for share in metrics.shares} <= {*PARTS}
    assert {share.provider for share in metrics.shares if share.failed} <= {"broken"}


def test_what_was_done_before_the_decision_is_charged_to_endpointing() -> None:
    budget = TurnBudget(10.0)
    budget.start("endpointing", "silero", 10.0)
    budget.start("stt", "a", 10.2)
    budget.start("llm", "b", 10.3)
    budget.start("tts", "c", 10.9)
    budget.first("tts", 10.95)
    budget.release(10.8)
    budget.audio_out(11.0)
    shares = {share.stage: share.ms for share in budget.shares()}
    assert shares == {"endpointing": 800.0, "llm": 100.0, "tts": 50.0, "transport": 50.0}


def test_a_turn_that_is_resumed_has_its_hard_limit_again_until_the_voice_begins() -> None:
    budget = TurnBudget(0.0, target_s=1.0, hard_s=6.0)
    budget.release(1.0)
    budget.start("tts", "", 5.0)
    budget.first("tts", 5.0)
    budget.audio_out(5.0)
    assert budget.remaining(6.0) == math.inf
    budget.resume(20.0)
    assert [budget.remaining(at) for at in (20.0, 24.0, 30.0)] == [6.0, 2.0, 0.0]
    budget.first("tts", 24.0)
    assert budget.remaining(25.0) == math.inf
    assert budget.shares() == (StageShare("endpointing", "", 5000.0),)
    assert budget.voice_to_voice_s == 5.0
