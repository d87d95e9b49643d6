"""Which stage and which provider took the time of a conversation's turns."""

import math
from typing import Any

import pytest

from pipeline.frames import ReplyDone, StageShare, Transcript, TurnMetrics
from pipeline.ledger import Ledger
from pipeline.session import SessionPolicy
from stages.fakes import FakeResponder, FakeSynthesizer, FakeTranscriber, Script


def shares_of(conversation: Any) -> tuple[StageShare, ...]:
    """The shares of the spoken turn, which add up to its voice-to-voice time."""

    async def story() -> None:
        await conversation.until(ReplyDone, 0)
        await conversation.speak(1000)
        await conversation.until(TurnMetrics, 1)

    conversation.run(story)
    for metrics in conversation.all(TurnMetrics):
        told_ms = math.fsum(share.ms for share in metrics.shares)
        assert round(told_ms, 1) == metrics.voice_to_voice_ms
    shares: tuple[StageShare, ...] = conversation.all(TurnMetrics)[1].shares
    return shares


def took(shares: tuple[StageShare, ...], stage: str, *, failed: bool) -> dict[str, float]:
    return {
        share.provider: share.ms
        for share in shares
        if (share.stage, share.failed) == (stage, failed)
    }


@pytest.mark.parametrize("speculate", [False, True])
def test_a_reply_without_a_fault_has_lost_nothing(conversation: Any, speculate: bool) -> None:
    conversation.policy = SessionPolicy(speculate=speculate)
    conversation.responders = [FakeResponder(Script(first_s=0.1, gap_s=0.02))]
    shares = shares_of(conversation)
    assert [share for share in shares if share.failed] == []
    assert shares[0].stage == "endpointing"
    if not speculate:
        assert took(shares, "llm", failed=False) == {"fake-llm": pytest.approx(100, abs=1)}
        assert took(shares, "sentence", failed=False)["fake-llm"] > 0


def test_a_chat_model_that_stalls_is_told_apart_from_the_one_behind_it(conversation: Any) -> None:
    conversation.policy = SessionPolicy(speculate=False)
    conversation.responders = [
        FakeResponder(Script(first_s=0.2, after=1, stall=True), provider="stalls"),
        FakeResponder(Script(first_s=0.05), provider="well"),
    ]
    shares = shares_of(conversation)
    assert took(shares, "llm", failed=True) == {"stalls": pytest.approx(200, abs=1)}
    assert took(shares, "sentence", failed=True)["stalls"] > 200
    assert took(shares, "llm", failed=False) == {"well": pytest.approx(50, abs=1)}


def test_the_time_before_a_canned_line_is_the_chat_models_that_failed(conversation: Any) -> None:
    conversation.policy = SessionPolicy(speculate=False)
    conversation.responders = [FakeResponder(Script(stall=True), provider="broken")]
    assert list(took(shares_of(conversation), "llm", failed=True)) == ["broken"]


def test_a_recogniser_and_a_voice_that_fail_are_told_apart(conversation: Any) -> None:
    conversation.policy = SessionPolicy(speculate=False)
    conversation.transcribers = [
        FakeTranscriber(Script(stall=True), provider="deaf"),
        FakeTranscriber(Script(first_s=0.1), texts=("I like tests",), provider="well"),
    ]
    conversation.synthesizers = [
        FakeSynthesizer(Script(), Script(stall=True), provider="dumb"),
        FakeSynthesizer(Script(first_s=0.05), provider="loud"),
    ]
    shares = shares_of(conversation)
    assert [frame.text for frame in conversation.all(Transcript) if frame.final] == ["I like tests"]
    assert list(took(shares, "stt", failed=True)) == ["deaf"]
    assert list(took(shares, "stt", failed=False)) == ["well"]
    assert list(took(shares, "tts", failed=True)) == ["dumb"]
    assert list(took(shares, "tts", failed=False)) == ["loud"]


def test_what_is_told_late_or_out_of_order_takes_no_time_twice() -> None:
    ledger = Ledger(10.0)
    ledger.waits("stt", 11.0)
    ledger.waits("llm", 10.5)  # a clock that went back
    ledger.first("tts", 11.5)  # not what is waited for
    ledger.failed("tts", "nobody", 11.5, goes_on=True)
    assert ledger.shares(12.0, providers={"llm": "a"}, decided=0.0) == (
        StageShare("endpointing", "", 1000.0),
        StageShare("llm", "a", 1000.0),
    )


def test_the_stages_of_a_failed_provider_are_its_own_until_the_one_before() -> None:
    ledger = Ledger(10.0)
    ledger.waits("llm", 10.0)
    ledger.failed("llm", "a", 10.5, goes_on=True)
    ledger.failed("llm", "b", 11.0, goes_on=False)
    assert ledger.shares(12.0, providers={"llm": "c"}, decided=0.0) == (
        StageShare("llm", "a", 500.0, failed=True),
        StageShare("llm", "b", 1500.0, failed=True),
    )


def test_a_detector_that_fails_has_lost_the_time_so_far() -> None:
    ledger = Ledger(10.0)
    ledger.failed("endpointing", "silero", 10.5, goes_on=True)
    assert ledger.shares(11.0, providers={"endpointing": "energy"}, decided=0.0) == (
        StageShare("endpointing", "silero", 500.0, failed=True),
        StageShare("endpointing", "energy", 500.0),
    )
