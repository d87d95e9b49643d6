"""The engine's errors.

::

    PipelineError
    ├── StageError                stage, provider, phase
    │   ├── StageTimeout          first useful item, stall or total limit passed
    │   ├── StageFailed           connection, protocol, stream or empty reply
    │   ├── StageBusy             the provider is at capacity; `retry_after_s`
    │   └── CallerError           the provider refused our request (our fault, not its health)
    ├── StageUnavailable          no candidate of a stage could answer
    ├── BudgetExceeded            the turn's latency budget ran out
    └── ChannelClosed             the channel is closed, and nothing is left to receive
"""

from typing import Literal

Phase = Literal["connect", "first", "stall", "total", "stream", "protocol", "empty"]


class PipelineError(Exception):
    """Base of every error that the engine raises on purpose."""


class StageError(PipelineError):
    """A provider call failed. Carries the stage, the provider and the phase of the call.

    `reason` is for clients, without addresses; if it is "", clients get the words for the phase.
    """

    def __init__(
        self, stage: str, provider: str, phase: Phase, detail: str = "", *, reason: str = ""
    ) -> None:
        super().__init__(stage, provider, phase, detail)
        self.stage = stage
        self.provider = provider
        self.phase: Phase = phase
        self.detail = detail
        self.reason = reason

    def __str__(self) -> str:
        text = f"{self.stage} provider {self.provider!r}"
        if self.reason:
            return f"{text}: {self.reason}"
        return f"{text}: {self.phase}: {self.detail}" if self.detail else f"{text}: {self.phase}"


class StageTimeout(StageError):
    """The first useful item, the next item or the end of the stream came too late."""


class StageFailed(StageError):
    """The provider raised, broke off, sent nonsense or sent nothing.

    `partial` is true when useful items had already been delivered: words may have been spoken, so
    the call must not be repeated. The provider asked for no calls for `retry_after_s` seconds.
    """

    def __init__(
        self,
        stage: str,
        provider: str,
        phase: Phase,
        detail: str = "",
        *,
        partial: bool = False,
        retry_after_s: float = 0.0,
        reason: str = "",
    ) -> None:
        super().__init__(stage, provider, phase, detail, reason=reason)
        self.partial = partial
        self.retry_after_s = retry_after_s


class StageBusy(StageError):
    """The provider is at capacity; it asked for no calls for `retry_after_s` seconds."""

    def __init__(
        self, stage: str, provider: str, detail: str = "", *, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(stage, provider, "connect", detail)
        self.retry_after_s = retry_after_s


class CallerError(StageError):
    """The provider refused our request (HTTP 400, 401, 404, 413, 422 …).

    `trouble` says that it may refuse other requests as well, for the key, the model or their form:
    then `GET /health` shows it. If it refused one text, such as one in another language, `trouble`
    is false.
    """

    def __init__(
        self,
        stage: str,
        provider: str,
        phase: Phase,
        detail: str = "",
        *,
        reason: str = "",
        trouble: bool = False,
    ) -> None:
        super().__init__(stage, provider, phase, detail, reason=reason)
        self.trouble = trouble


class StageUnavailable(PipelineError):
    """No candidate of a stage could answer. `causes` are their errors, in the order tried."""

    def __init__(self, stage: str, causes: tuple[StageError, ...] = ()) -> None:
        super().__init__(stage, causes)
        self.stage = stage
        self.causes = causes

    def __str__(self) -> str:
        if not self.causes:
            return f"{self.stage}: every provider's circuit breaker is open"
        return "; ".join(str(cause) for cause in self.causes)


class BudgetExceeded(PipelineError):
    """The turn's latency budget left too little time to start or to finish a stage."""

    def __init__(self, stage: str, left_s: float) -> None:
        super().__init__(stage, left_s)
        self.stage = stage
        self.left_s = left_s

    def __str__(self) -> str:
        return f"{self.stage}: {self.left_s * 1000:.0f} ms of the turn's budget left"


class ChannelClosed(PipelineError):
    """The channel is closed and holds nothing more."""
