"""Processes that share a provider do not probe it in step."""

import random
from typing import Any

import pytest

from gateway.providers.breakers import breaker
from gateway.providers.lineup import _guarded
from gateway.reports.assessor import Assessor
from gateway.rest.stateless.interviews import CHAT_LIMITS, _candidate
from pipeline.breaker import Breaker, BreakerPolicy, Outcome
from stages.fakes import (
    FakeAnimator,
    FakeDetector,
    FakeResponder,
    FakeSynthesizer,
    FakeTranscriber,
    FakeTurnModel,
)
from stages.registry import PROVIDERS, Choice


def open_s(tripped: Breaker) -> float:
    """How long it stays open after its first failures."""
    for _ in range(5):
        permit = tripped.try_acquire(0.0)
        if permit is not None:
            tripped.settle(permit, Outcome.FAILURE, 0.0)
    return tripped.retry_after(0.0)


@pytest.mark.parametrize(("number", "expected_s"), [(0.0, 9.0), (0.5, 10.0), (1.0, 11.0)])
def test_an_open_time_is_up_to_a_tenth_shorter_or_longer(number: float, expected_s: float) -> None:
    policy = BreakerPolicy(open_s=10)
    assert open_s(breaker(policy, lambda: number)) == pytest.approx(expected_s)


def lineup() -> list[Breaker]:
    stages: dict[Any, Any] = {
        "vad": [FakeDetector()],
        "turn": [FakeTurnModel()],
        "stt": [FakeTranscriber()],
        "llm": [FakeResponder(), FakeResponder()],
        "tts": [FakeSynthesizer()],
        "avatar": [FakeAnimator()],
    }
    choices = {}
    for slot, built in stages.items():
        providers = [provider for provider in PROVIDERS if provider.slot == slot]
        choices[slot] = Choice(slot, tuple(providers[: len(built)]), "")
    found = _guarded(choices, stages, frozenset())
    guards: Any = (found.transcribers, found.responders, found.synthesizers)
    guards += (found.animators, found.turn_models)
    return [candidate.breaker for guard in guards for candidate in guard.candidates]


def upstream() -> list[Breaker]:
    stage: Any = FakeResponder()
    return [_candidate(stage, CHAT_LIMITS).breaker]


def assessor() -> list[Breaker]:
    model: Any = FakeResponder()
    guard = Assessor(model)._guard
    assert guard is not None
    return [candidate.breaker for candidate in guard.candidates]


@pytest.mark.parametrize(
    ("made", "count"), [(lineup, 6), (upstream, 1), (assessor, 1)], ids=["lineup", "rest", "report"]
)
def test_all_breakers_of_the_gateway_are_spread(made: Any, count: int) -> None:
    random.seed(5)
    times_s = [open_s(tripped) for tripped in made()]
    assert len(times_s) == count
    for time_s in times_s:
        assert 4.5 <= time_s <= 5.5
        assert time_s != 5.0
    assert len(set(times_s)) == count
