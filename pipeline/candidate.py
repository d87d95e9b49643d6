"""The candidates of a stage: their limits and their latest failure, with words for it. Pure."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pipeline.breaker import Breaker, BreakerState
from pipeline.errors import (
    CallerError,
    Phase,
    PipelineError,
    StageBusy,
    StageError,
    StageUnavailable,
)
from pipeline.languages import understands
from pipeline.pace import ProviderPace

P = TypeVar("P")

REASONS: dict[Phase, str] = {
    "connect": "no connection",
    "first": "too slow to begin",
    "stall": "stalled",
    "total": "took too long",
    "stream": "broke off",
    "protocol": "malformed answer",
    "empty": "empty answer",
}
"""The words in which clients get a failure in each phase."""

ASSUMED_MEDIA_PACE = 0.5
"""The media pace of a provider that was not measured: half of real time. Assumed."""

FORGETS = 3
"""The failures in a row after which a provider's pace is forgotten. Otherwise a provider that has
become slower, but works, would be given up as late at every call. Assumed value."""

LEAST_MEASURED_S = 1.0
"""Less media than this is not measured: the time for it is mostly overhead."""

_WEIGHT = 0.3
"""The weight of the newest measurement in a media pace."""

_STATUS = re.compile(r"HTTP [1-5]\d\d\b")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one call to a provider may take, in seconds spent waiting for it. Starting values.

    `first_s` to the first useful item (later than `slow_first_s` counts as slow), `stall_s` from
    one useful item to the next, `total_s` for the whole call. A `patient` call goes on past its
    share of a turn's limit while enough time is left for the next candidate: for providers whose
    death is noticed by other means, such as the heartbeat of a worker process.
    """

    first_s: float = 2.0
    slow_first_s: float = 1.0
    stall_s: float = 1.0
    total_s: float = 30.0
    patient: bool = False


@dataclass(frozen=True, slots=True)
class Trouble:
    """The failure of a provider's last call, `at` on the event loop's clock: why, in words without
    addresses, and how many calls have failed since one succeeded."""

    at: float
    words: str
    times: int = 1


@dataclass(slots=True)
class Candidate(Generic[P]):
    """A provider that can fill the stage. All sessions share the stage and its breaker.

    `trouble` is its latest failure, None once a call has succeeded since. A request that its server
    refused counts here, too, although its breaker ignores it; the refusal of one text does not.

    `media_pace` is how many seconds the provider takes for a second of the media that it is given,
    as measured, or None. Work that it did while the media came is not counted.
    """

    provider: str
    stage: P
    breaker: Breaker
    limits: Limits = Limits()
    trouble: Trouble | None = None
    media_pace: float | None = None

    light: bool = False
    """Whether the operator named it as lighter than the others: see `pipeline.ladder`."""

    pace: ProviderPace = field(default_factory=ProviderPace)
    watched: bool = False
    """Whether a call that its turn has left is being watched to its end; at most one is."""

    @property
    def stands_by(self) -> bool:
        """Whether it answers at once and costs nothing, as its stage says by `stands_by`."""
        return bool(getattr(self.stage, "stands_by", False))

    def worked(self, size_s: float, took_s: float) -> None:
        """Note that the provider took `took_s` for `size_s` of media."""
        if size_s < LEAST_MEASURED_S:
            return
        measured, known = took_s / size_s, self.media_pace
        self.media_pace = measured if known is None else known + _WEIGHT * (measured - known)

    def needs_s(self, size_s: float) -> float:
        """The seconds that the provider should take for `size_s` seconds of media."""
        return size_s * (ASSUMED_MEDIA_PACE if self.media_pace is None else self.media_pace)

    def failed(self, words: str, now: float) -> None:
        """Note a failure as the provider's trouble."""
        times = 1 if self.trouble is None else self.trouble.times + 1
        self.trouble = Trouble(now, words, times)
        if times == FORGETS:
            self.pace.forget()


def able(
    candidates: Iterable[Candidate[Any]],
    language: str | None,
    now: float,
    without: Collection[str] = (),
) -> list[str]:
    """The providers that know the language and whose breakers are closed now, in their order."""
    found = []
    for candidate in candidates:
        candidate.breaker.poll(now)
        known = understands(candidate.stage, language)
        if known and candidate.breaker.closed and candidate.provider not in without:
            found.append(candidate.provider)
    return found


def replaceable(
    candidates: Sequence[Candidate[Any]],
    language: str | None,
    now: float,
    without: Collection[str] = (),
) -> bool:
    """Whether another provider could take over from the one that is asked first now, which may be a
    probe of a half-open breaker."""
    for candidate in candidates:
        candidate.breaker.poll(now)
        may_be_asked = candidate.breaker.state is not BreakerState.OPEN
        if (
            may_be_asked
            and candidate.provider not in without
            and understands(candidate.stage, language)
        ):
            return bool(able(candidates, language, now, {*without, candidate.provider}))
    return False


def is_trouble(error: StageError) -> bool:
    """Whether an error is its provider's trouble: all are, but the refusal of one text."""
    return not isinstance(error, CallerError) or error.trouble


def client_reason(error: PipelineError) -> str:
    """The reason of an error, for clients: of a provider's error no more than `problem_of` gives.

    The guard logs the rest for the operator.
    """
    if isinstance(error, StageUnavailable) and error.causes:
        return "; ".join(map(client_reason, error.causes))
    if isinstance(error, StageError):
        return f"{error.stage} provider {error.provider!r}: {problem_of(error)}"
    return str(error)


def problem_of(error: StageError) -> str:
    """The reason, with the status of a server's answer, but none of its words.

    Anybody may read it, and the words may hold addresses, accounts, or what a person said.
    """
    reason = reason_of(error)
    status = _STATUS.match(error.detail)
    return f"{reason.partition(' (HTTP')[0]} ({status[0]})" if status else reason


def reason_of(error: StageError) -> str:
    if error.reason:
        return error.reason
    if isinstance(error, StageBusy):
        return "at capacity"
    if isinstance(error, CallerError):
        return "refused the request"
    return REASONS[error.phase]
