"""A turn's latency budget: how long each stage may take, and how long each took.

The metric of record is voice-to-voice latency: from the end of the person's speech to the moment
the reply's first audio is handed to the transport. The budget holds a deadline (a point in time);
`remaining` turns it into a timeout, which other machines need because clocks differ. Later stages
may use the time that a stage leaves unused; what it overspends is charged to it. Pure: time is an
argument, in monotonic seconds.

The latency counts from the end of speech. The hard limit counts from the decision that the person
has finished, because a person may pause or keep the push-to-talk button pressed before that. The
last part of the hard limit is reserved for a canned line and its synthesis: a reply that earlier
stages have not given by then is dropped.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pipeline.frames import StageShare, StageSpan, TurnMetrics
from pipeline.ledger import FILLER, Ledger, milliseconds
from pipeline.patience import Soon

STAGES = ("endpointing", "stt", "llm", "tts", "transport")
"""The stages of a turn, in order."""

FILLER_LEAD_S = 0.05
"""A filler is sent this long before the end of the target, at most a quarter of it: the transport's
share."""

FILLER_GRACE = 0.15
"""The share of the target that a reply still gets after the decision, before a filler is spoken."""

LATE_GRACE = 0.5
"""The same, if the decision itself came after the end of the target: a person who holds the
push-to-talk button, or a pause in mid-sentence, has used it up."""

MINIMUMS_S: Mapping[str, float] = MappingProxyType(
    {"endpointing": 0.0, "stt": 0.1, "llm": 0.2, "tts": 0.1, "transport": 0.25}
)
"""The least time in which a stage can give its first item; with less it is not started. Assumed
values, to be replaced by measured ones; transport's is the time that the guard gives a stream to
close before the next step."""

LAST_RESORT_S = 1.25
"""The part of the hard limit that is reserved for the canned line, at most half of the limit: a
quarter of a second to close the stream that failed, and a second of synthesis."""


@dataclass(slots=True)
class _Marks:
    """When a stage started, gave its first item and ended."""

    provider: str
    start: float
    first: float | None = None
    end: float | None = None


class TurnBudget:
    """One turn's deadline and its ledger.

    `target_s` is how long the turn should take, counted from `end_of_speech`. `hard_s` is how long
    it may take, counted from its `release`, or from `end_of_speech` until it is released.
    `minimums` replaces `MINIMUMS_S` for the stages that it names. A stage that is not one of
    `STAGES` raises `ValueError`; `first` or `end` of a stage that was never started raises
    `KeyError`.
    """

    def __init__(
        self,
        end_of_speech: float,
        *,
        target_s: float = 1.0,
        hard_s: float = 4.0,
        minimums: Mapping[str, float] = MINIMUMS_S,
    ) -> None:
        if not 0 < target_s <= hard_s:
            raise ValueError("the target must be above 0 and within the hard limit")
        for stage in minimums:
            _position(stage)
        self.end_of_speech = end_of_speech
        self.target_s = target_s
        self.hard_s = hard_s
        self._minimums = {**MINIMUMS_S, **minimums}
        self._last_resort_s = min(LAST_RESORT_S, hard_s / 2)
        self._marks: dict[str, _Marks] = {}
        self._ledger = Ledger(end_of_speech)
        self._audio_out: float | None = None
        self._filler: tuple[str, float] | None = None  # its voice, and when its audio left
        self._released = -math.inf
        self._resumed_at: float | None = None  # while the reply after a filled wait is due

    # --- what happened -----------------------------------------------------------------------

    def start(self, stage: str, provider: str, now: float) -> None:
        """The stage began. Only the first call sets the time; the last provider named counts."""
        _position(stage)
        marks = self._marks.get(stage)
        if marks is None:
            marks = self._marks[stage] = _Marks(provider, now)
            if stage != STAGES[0] and self._first_audio is None:
                self._ledger.waits(stage, now)
        if provider:
            marks.provider = provider

    def first(self, stage: str, now: float) -> None:
        """The stage gave its first useful item. Only the first call counts; in the ledger, the
        first call after a failure."""
        marks = self._marks[stage]
        if self._first_audio is None:
            self._ledger.first(stage, now)
        if stage == "tts":
            self._resumed_at = None
        if marks.first is None:
            marks.first = now

    def end(self, stage: str, now: float) -> None:
        """The stage has finished. The last call counts: a reply has several sentences."""
        self._marks[stage].end = now

    def gave_way(self, stage: str, provider: str, now: float) -> None:
        """A provider of the stage failed. Until the reply's first audio is out, the time that it
        took is charged to it, apart from what its fallback takes."""
        _position(stage)
        if self._audio_out is None:
            heard = self._first_audio is not None
            self._ledger.failed(stage, provider, now, goes_on=not heard)

    def repeat(self, *stages: str) -> None:
        """Forget the work of these stages ahead of the decision: they will begin anew."""
        for stage in stages:
            self._marks.pop(stage, None)

    def release(self, now: float) -> None:
        """The turn was decided: the hard limit counts from here, and earlier work of the stages is
        charged to endpointing."""
        self._released = now

    def resume(self, now: float) -> None:
        """The wait that a line filled is over: the hard limit counts from here.

        It holds until synthesis gives its next first item.
        """
        self._resumed_at = now

    def audio_out(self, now: float) -> None:
        """The reply's first audio was handed to the transport. Only the first call counts."""
        if self._audio_out is None:
            self._audio_out = max(now, self.end_of_speech)

    def filler_out(self, provider: str, now: float) -> None:
        """A filler's first audio was handed to the transport. Only the first call counts.

        The person hears something from here on; the reply itself keeps its deadline.
        """
        if self._filler is None:
            self._filler = provider, max(now, self.end_of_speech)

    # --- what is left ------------------------------------------------------------------------

    def remaining(self, now: float) -> float:
        """Seconds until the hard deadline, at least 0.

        Infinite once the reply's first audio is out: from then on playout's look-ahead is the
        deadline, unless the turn was resumed.
        """
        if self._resumed_at is not None:
            return max(0.0, self._resumed_at + self.hard_s - now)
        if self._audio_out is not None:
            return math.inf
        return max(0.0, max(self.end_of_speech, self._released) + self.hard_s - now)

    def allow(self, stage: str, now: float) -> float:
        """Seconds that the stage may take, at least 0: the rest less the later minimums.

        For a stage before synthesis, synthesis counts with the canned line's reserve instead.
        """
        later = STAGES[_position(stage) + 1 :]
        reserve_s = sum(self._minimums[name] for name in later)
        if "tts" in later:
            reserve_s += max(0.0, self._last_resort_s - self._minimums["tts"])
        return max(0.0, self.remaining(now) - reserve_s)

    def least(self, stage: str) -> float:
        """Seconds without which the stage is not started, but degraded at once."""
        _position(stage)
        return self._minimums[stage]

    @property
    def filler_due(self) -> float:
        """When a filler is to be sent if nothing of the reply has been synthesised by then."""
        target = self.end_of_speech + self.target_s
        grace = FILLER_GRACE if self._released <= target else LATE_GRACE
        lead_s = min(FILLER_LEAD_S, self.target_s / 4)
        return max(target - lead_s, self._released + grace * self.target_s)

    def soon(self, stage: str, now: float) -> Soon:
        """The rest of the target for the stage's first item, less the minimums of all later stages
        but transport; negative if that time is past."""
        later = STAGES[_position(stage) + 1 : -1]
        left_s = self.filler_due - now - sum(self._minimums[name] for name in later)
        return Soon(left_s, left_s + self.target_s / 2)

    # --- where it went -----------------------------------------------------------------------

    @property
    def voice_to_voice_s(self) -> float | None:
        """End of speech to the first audio that the person hears, of a filler or of the reply; None
        before that."""
        first = self._first_audio
        return None if first is None else first - self.end_of_speech

    @property
    def _first_audio(self) -> float | None:
        if self._filler is None:
            return self._audio_out
        return self._filler[1] if self._audio_out is None else min(self._filler[1], self._audio_out)

    def shares(self) -> tuple[StageShare, ...]:
        """The shares of the turn's voice-to-voice latency, which add up to `voice_to_voice_s`; none
        while that is None. See `pipeline.ledger`."""
        first_audio = self._first_audio
        if first_audio is None:
            return ()
        filler = None
        if self._filler is not None and first_audio == self._filler[1]:
            filler = self._filler[0], self.filler_due
        return self._ledger.shares(
            first_audio,
            providers={stage: marks.provider for stage, marks in self._marks.items()},
            decided=self._released,
            filler=filler,
        )

    def metrics(self, turn: int) -> TurnMetrics:
        """The stages that were started, in milliseconds from the end of speech.

        A filler comes last: `provider` is its voice, `first` its first audio, and `end` the reply's
        own first audio, if there was any.
        """
        total_s = self.voice_to_voice_s
        return TurnMetrics(
            turn=turn,
            budget_ms=round(self.target_s * 1000),
            stages=tuple(
                StageSpan(
                    stage,
                    marks.provider,
                    self._ms(marks.start),
                    None if marks.first is None else self._ms(marks.first),
                    None if marks.end is None else self._ms(marks.end),
                )
                for stage in STAGES
                if (marks := self._marks.get(stage)) is not None
            )
            + self._filler_span(),
            voice_to_voice_ms=None if total_s is None else milliseconds(total_s),
            shares=self.shares(),
        )

    def _filler_span(self) -> tuple[StageSpan, ...]:
        if self._filler is None:
            return ()
        provider, out = self._filler
        end = None if self._audio_out is None else self._ms(self._audio_out)
        return (StageSpan(FILLER, provider, self._ms(out), self._ms(out), end),)

    def _ms(self, at: float) -> float:
        return round((at - self.end_of_speech) * 1000, 1)


def _position(stage: str) -> int:
    try:
        return STAGES.index(stage)
    except ValueError:
        raise ValueError(f"{stage!r} is not a stage of a turn ({', '.join(STAGES)})") from None
