"""What is counted of turns, and which labels it gets."""

import pytest

from gateway.observe.metrics import Metrics
from gateway.observe.sessions import ObservedSessions
from pipeline.frames import Degraded, SpeechStopped, StageShare, StageSpan, TurnMetrics
from pipeline.ladder import LadderStep
from pipeline.stage import Observed
from tests.support.calls import LocalCalls

SPANS = (
    StageSpan("stt", "whisper", 100.0, None, 340.0),
    StageSpan("llm", "openai", 340.0, 560.0, 900.0),
)


def counted(*outputs: Observed, providers: tuple[str, ...] = ("whisper", "openai")) -> Metrics:
    metrics = Metrics()
    metrics.know(providers)
    sessions = ObservedSessions(metrics.turn_over)
    with sessions.open("s-1", transport="websocket", kind="interview") as session:
        for output in outputs:
            session.observe(output, 1.0)
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_a_turn_is_counted_with_its_stages_and_its_latency() -> None:
    metrics = counted(SpeechStopped(1, 0), TurnMetrics(1, 1000, SPANS, 660.0))
    assert value(metrics, "parley_turns_total", outcome="answered") == 1
    assert value(metrics, "parley_voice_to_voice_seconds_sum", input="speech") == 0.66
    assert value(metrics, "parley_budget_breaches_total", stage="llm") == 0
    llm = {"stage": "llm", "provider": "openai"}
    assert value(metrics, "parley_stage_first_item_seconds_sum", **llm) == 0.22
    assert value(metrics, "parley_stage_total_seconds_sum", **llm) == 0.56
    stt = {"stage": "stt", "provider": "whisper"}
    assert value(metrics, "parley_stage_first_item_seconds_count", **stt) is None
    assert value(metrics, "parley_stage_total_seconds_sum", **stt) == 0.24


def test_a_late_reply_breaches_the_budget() -> None:
    shares = (StageShare("stt", "whisper", 340.0), StageShare("sentence", "openai", 320.0))
    metrics = counted(
        TurnMetrics(1, 500, SPANS, 660.0, shares),
        Degraded(2, "tts", "hibari", "text", "stalled"),
        TurnMetrics(2, 500, SPANS, None),
        TurnMetrics(3, 500, SPANS, None),
        TurnMetrics(4, 500, SPANS, 660.0, (StageShare("from elsewhere", "", 660.0),)),
    )
    for stage in ("stt", "tts", "none", "other"):
        assert value(metrics, "parley_budget_breaches_total", stage=stage) == 1
    assert value(metrics, "parley_voice_to_voice_seconds_count", input="other") == 2


@pytest.mark.parametrize(
    ("target", "label"),
    [
        ("openai", "openai"),
        ("canned line", "canned line"),
        ("the line that is due", "due line"),
        ("filler", "filler"),
        ("holding line", "holding line"),
        ("after the decision", "after the decision"),
        ("text", "text"),
        ("no text", "text"),
        ("whatever a client may send", "other"),
    ],
)
def test_a_degradation_is_counted_by_stage_and_by_what_took_over(target: str, label: str) -> None:
    step = Degraded(1, "llm", "whisper", target, "stalled")
    metrics = counted(step, TurnMetrics(1, 1000, (), None))
    assert value(metrics, "parley_degradations_total", stage="llm", target=label) == 1


def test_steps_of_the_process_are_counted_down_and_up() -> None:
    metrics = Metrics()

    def steps(step: LadderStep) -> tuple[float | None, ...]:
        return tuple(
            value(metrics, "parley_ladder_steps_total", step=step.label, direction=direction)
            for direction in ("down", "up")
        )

    assert steps(LadderStep.NO_PICTURES) == (0, 0)
    metrics.stepped(LadderStep.EVERYTHING, LadderStep.NOTHING_AHEAD, "busy")
    metrics.stepped(LadderStep.NOTHING_AHEAD, LadderStep.NO_PICTURES, "calm")
    metrics.stepped(LadderStep.NO_PICTURES, LadderStep.SMALL_PICTURES, "calm")
    assert [steps(step) for step in list(LadderStep)[1:]] == [
        (1, 0),
        (1, 0),
        (1, 1),
        (1, 1),
        (0, 0),
    ]


def test_names_that_nobody_configured_share_one_label() -> None:
    spans = [StageSpan(f"stage-{n}", f"provider-{n}", 0.0, 1.0, 2.0) for n in range(50)]
    metrics = counted(TurnMetrics(1, 1000, tuple(spans), 3.0))
    for n in range(50):
        metrics.waited(f"queue-{n}", 1.0)
    for name in ("parley_stage_first_item_seconds", "parley_stage_total_seconds"):
        assert value(metrics, f"{name}_count", stage="other", provider="other") == 50
    assert value(metrics, "parley_queue_wait_seconds_count", queue="other") == 50


def test_the_waits_of_a_conversation_are_counted_by_queue(local: LocalCalls) -> None:
    metrics = Metrics()
    local.observed = ObservedSessions(metrics.turn_over, on_wait=metrics.waited)

    async def story() -> None:
        async with local.call() as client:
            await client.say(type="hello", version=1)
            await client.until("reply.done", turn=0)
            await client.speak_live()
            await client.until("turn.metrics", turn=1)

    local.run(story)
    assert value(metrics, "parley_turns_total", outcome="answered") == 2
    assert value(metrics, "parley_queue_wait_seconds_count", queue="recognition") == 1
    sentences = value(metrics, "parley_queue_wait_seconds_count", queue="synthesis")
    assert sentences is not None
    assert sentences >= 2


def test_a_refused_client_is_counted_by_its_transport() -> None:
    metrics = Metrics()
    metrics.refused("webrtc")
    assert value(metrics, "parley_admissions_refused_total", transport="webrtc") == 1
    assert value(metrics, "parley_admissions_refused_total", transport="websocket") == 0


def test_the_time_that_a_filler_covered_is_a_stage_of_its_own() -> None:
    span = StageSpan("filler", "openai", 900.0, 900.0, 1700.0)
    metrics = counted(TurnMetrics(1, 1000, (span,), 900.0))
    filler = {"stage": "filler", "provider": "openai"}
    assert value(metrics, "parley_stage_total_seconds_sum", **filler) == 0.8
