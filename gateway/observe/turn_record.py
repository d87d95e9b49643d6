"""One turn as an operator sees it, put together from the outputs of its session. Pure.

No audio and no text is kept. A turn that ends without figures, because its words went into the next
turn, leaves no record; the number of such turns that are kept is bounded.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.budget import STAGES
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
from pipeline.ladder import CANNED, ON_DECISION, PASSED_OVER
from pipeline.stage import Observed

TurnOutcome = Literal["answered", "interrupted", "canned", "text", "none"]
"""How a turn ended: its reply was heard to the end; it was stopped; a canned line stood for it; it
was only shown; there was none."""

NOBODY = "none"
"""Used in place of a stage if nothing was heard and no stage is to blame."""

MOST_OPEN = 8
"""The most turns of a session that are followed at once; beyond that the oldest is dropped."""

MOST_DEGRADED = 16
"""The most degradations that are kept for a turn."""


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """A turn that is over. `ended_at` is the end of the person's speech (loop time, seconds).

    `spoken`: the person spoke; otherwise they typed, or the interviewer began by itself.
    """

    turn: int
    outcome: TurnOutcome
    spoken: bool
    ended_at: float
    budget_ms: int
    voice_to_voice_ms: float | None
    stages: tuple[StageSpan, ...]
    degraded: tuple[Degraded, ...]
    shares: tuple[StageShare, ...] = ()

    @property
    def over_budget(self) -> bool:
        """Whether the reply began later than the budget allows, or never did."""
        late = self.voice_to_voice_ms
        return self.outcome != "interrupted" if late is None else late > self.budget_ms

    @property
    def overspent(self) -> str | None:
        """The stage that made the reply late; None if it was in time.

        That is endpointing where it alone took longer than the budget, else the stage with the
        largest part of the rest. If nothing was heard, it is the last stage that stepped down
        because it failed, or `NOBODY`.
        """
        if not self.over_budget:
            return None
        if self.voice_to_voice_ms is None:
            failed = [
                step.stage
                for step in self.degraded
                if step.target != ON_DECISION and not step.reason.startswith(PASSED_OVER)
            ]
            return failed[-1] if failed else NOBODY
        took: dict[str, float] = {}
        for share in self.shares:
            took[share.stage] = took.get(share.stage, 0.0) + share.ms
        waited_ms = took.pop(STAGES[0], 0.0)
        return (
            STAGES[0] if waited_ms > self.budget_ms or not took else max(took, key=took.__getitem__)
        )

    def fields(self) -> dict[str, Any]:
        """The record as the fields of a log line; milliseconds, without words of the conversation.

        A stage's `first_ms` and `total_ms` count from its start.
        """
        return {
            "turn": self.turn,
            "outcome": self.outcome,
            "spoken": self.spoken,
            "voice_to_voice_ms": self.voice_to_voice_ms,
            "budget_ms": self.budget_ms,
            "overspent": self.overspent,
            "stages": {
                span.stage: {
                    "provider": span.provider,
                    "first_ms": first_ms(span),
                    "total_ms": total_ms(span),
                }
                for span in self.stages
            },
            "shares": [
                {
                    "stage": share.stage,
                    "provider": share.provider,
                    "ms": share.ms,
                    "failed": share.failed,
                }
                for share in self.shares
            ],
            "degraded": [
                {
                    "stage": step.stage,
                    "from": step.source,
                    "to": step.target,
                    "reason": step.reason,
                }
                for step in self.degraded
            ],
        }


def first_ms(span: StageSpan) -> float | None:
    """From a stage's start to its first useful item; None if none came."""
    return None if span.first is None else round(span.first - span.start, 1)


def total_ms(span: StageSpan) -> float | None:
    """From a stage's start to its end; None if it did not end."""
    return None if span.end is None else round(span.end - span.start, 1)


@dataclass(slots=True)
class _Open:
    """A turn that is not over: `decided_at` and `began_at` are loop times."""

    decided_at: float | None = None
    began_at: float | None = None
    spoken: bool = False
    shown: bool = False
    interrupted: bool = False
    degraded: list[Degraded] = field(default_factory=list)


class TurnRecorder:
    """Follows the turns of one session."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}

    def handle(self, output: Observed, now: float) -> TurnRecord | None:
        """Take an output of the session at `now`; returns the record of a turn that it ends."""
        match output:
            case SpeechStopped(turn):
                self._of(turn).spoken = True
            case AvatarState(turn, "thinking"):
                found = self._of(turn)  # it comes again after a line that fills the wait
                found.decided_at = now if found.decided_at is None else found.decided_at
            case ReplyStarted(turn):
                self._of(turn).began_at = now
            case ReplyText(turn):
                self._of(turn).shown = True
            case ReplyDone(turn, interrupted):
                self._of(turn).interrupted = interrupted
            case Degraded(turn):
                if len(steps := self._of(turn).degraded) < MOST_DEGRADED:
                    steps.append(output)
            case TurnMetrics(turn):
                return _record(output, self._open.pop(turn, _Open()), now)
        return None

    def _of(self, turn: int) -> _Open:
        found = self._open.get(turn)
        if found is None:
            if len(self._open) == MOST_OPEN:
                del self._open[next(iter(self._open))]
            found = self._open[turn] = _Open()
        return found


def _record(metrics: TurnMetrics, turn: _Open, now: float) -> TurnRecord:
    return TurnRecord(
        metrics.turn,
        _outcome(metrics, turn),
        turn.spoken,
        _ended_at(metrics, turn, now),
        metrics.budget_ms,
        metrics.voice_to_voice_ms,
        metrics.stages,
        tuple(turn.degraded),
        metrics.shares,
    )


def _outcome(metrics: TurnMetrics, turn: _Open) -> TurnOutcome:
    if turn.interrupted:
        return "interrupted"
    if any(step.target == CANNED for step in turn.degraded):
        return "canned"
    if metrics.voice_to_voice_ms is not None:
        return "answered"
    return "text" if turn.shown else "none"


def _ended_at(metrics: TurnMetrics, turn: _Open, now: float) -> float:
    """The end of speech, from which all of `metrics` counts, by the moment that is known best."""
    if turn.began_at is not None and metrics.voice_to_voice_ms is not None:
        return turn.began_at - metrics.voice_to_voice_ms / 1000
    decided_ms = next((s.end for s in metrics.stages if s.stage == "endpointing"), None)
    if turn.decided_at is not None and decided_ms is not None:
        return turn.decided_at - decided_ms / 1000
    last_ms = max((s.end or s.first or s.start for s in metrics.stages), default=0.0)
    return now - last_ms / 1000
