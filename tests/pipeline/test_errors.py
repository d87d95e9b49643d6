import pytest

from pipeline.errors import (
    BudgetExceeded,
    CallerError,
    ChannelClosed,
    PipelineError,
    StageBusy,
    StageError,
    StageFailed,
    StageTimeout,
    StageUnavailable,
)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (StageTimeout("llm", "ollama", "first"), "llm provider 'ollama': first"),
        (
            StageFailed("tts", "piper", "stream", "OSError: reset"),
            "tts provider 'piper': stream: OSError: reset",
        ),
        (
            StageBusy("stt", "whisper", "3 waiting", retry_after_s=2.0),
            "stt provider 'whisper': connect: 3 waiting",
        ),
        (
            CallerError("llm", "ollama", "protocol", "400 bad request"),
            "llm provider 'ollama': protocol: 400 bad request",
        ),
        (
            StageFailed("stt", "whisper", "connect", "HTTP 500", reason="server error (HTTP 500)"),
            "stt provider 'whisper': server error (HTTP 500)",
        ),
        (StageUnavailable("tts"), "tts: every provider's circuit breaker is open"),
        (
            StageUnavailable(
                "llm", (StageTimeout("llm", "a", "first"), StageFailed("llm", "b", "empty"))
            ),
            "llm provider 'a': first; llm provider 'b': empty",
        ),
        (BudgetExceeded("llm", 0.0504), "llm: 50 ms of the turn's budget left"),
        (ChannelClosed("sentences"), "sentences"),
    ],
)
def test_an_error_says_what_happened(error: PipelineError, text: str) -> None:
    assert str(error) == text


def test_a_stage_error_carries_where_it_happened() -> None:
    error = StageFailed("tts", "piper", "stream", "reset", partial=True)
    assert (error.stage, error.provider, error.phase, error.detail, error.partial) == (
        "tts",
        "piper",
        "stream",
        "reset",
        True,
    )


def test_a_failure_is_not_partial_unless_it_says_so() -> None:
    assert not StageFailed("tts", "piper", "connect").partial


def test_a_busy_provider_says_when_to_come_back() -> None:
    assert StageBusy("stt", "whisper", retry_after_s=2.5).retry_after_s == 2.5
    assert StageBusy("stt", "whisper").retry_after_s == 0.0


def test_an_unavailable_stage_carries_its_causes_in_order() -> None:
    causes = (StageTimeout("llm", "a", "first"), StageFailed("llm", "b", "empty"))
    error = StageUnavailable("llm", causes)
    assert (error.stage, error.causes) == ("llm", causes)


def test_an_exceeded_budget_carries_what_was_left() -> None:
    error = BudgetExceeded("llm", 0.05)
    assert (error.stage, error.left_s) == ("llm", 0.05)


@pytest.mark.parametrize("kind", [StageTimeout, StageFailed, StageBusy, CallerError])
def test_what_a_provider_does_wrong_is_one_kind_of_error(kind: type[StageError]) -> None:
    assert issubclass(kind, StageError)


@pytest.mark.parametrize("kind", [StageError, StageUnavailable, BudgetExceeded, ChannelClosed])
def test_every_error_of_the_engine_has_one_base(kind: type[PipelineError]) -> None:
    assert issubclass(kind, PipelineError)
