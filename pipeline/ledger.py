"""A turn's ledger: what the person waited for, moment by moment, and which provider took it. Pure.

At every moment between the end of speech and the first sound the person waits for one thing:

=============  ====================================================================================
endpointing    the decision that they have finished; what stages do ahead of it takes no time
stt            the words
llm            the first words of the reply
sentence       the rest of its first sentence
tts            the first audio of that sentence
transport      that audio, which leaves once the answer is stored
filler         a filler that is due, and is not there
=============  ====================================================================================

Shares are kept in whole tenths of a millisecond, so that they add up to the total exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.frames import StageShare

FILLER = "filler"
"""The name of a filler among the stages of a turn."""

FOLLOWS: Mapping[str, str] = {"llm": "sentence", "tts": "transport"}
"""The stage for which the person waits after the first item of another one."""

_DONE_BY: Mapping[str, str] = {"sentence": "llm"}
"""The stage whose provider does the work, if that is another stage."""

_PER_S = 10_000


@dataclass(slots=True)
class _Wait:
    """A wait for `stage` that began at `since`; `failed` is the provider that failed in it."""

    stage: str
    since: float
    failed: str | None = None


class Ledger:
    """The ledger of one turn. Times are seconds on one clock; `end_of_speech` is the first."""

    def __init__(self, end_of_speech: float) -> None:
        self._waits = [_Wait("endpointing", end_of_speech)]

    def waits(self, stage: str, now: float) -> None:
        """The person waits for this stage from now on."""
        self._waits.append(_Wait(stage, max(now, self._waits[-1].since)))

    def first(self, stage: str, now: float) -> None:
        """The stage gave its first item; counts if the person waits for this stage."""
        if stage in FOLLOWS and self._waits[-1].stage == stage:
            self.waits(FOLLOWS[stage], now)

    def failed(self, stage: str, provider: str, now: float, *, goes_on: bool) -> None:
        """A provider of the stage failed: the wait since it was asked is charged to it.

        The person goes on to wait for the stage, unless they have heard something.
        """
        waited = False
        for wait in reversed(self._waits):
            if wait.failed is not None or _DONE_BY.get(wait.stage, wait.stage) != stage:
                break
            wait.failed = provider
            waited = True
        if waited and goes_on:
            self.waits(stage, now)

    def shares(
        self,
        until: float,
        *,
        providers: Mapping[str, str],
        decided: float,
        filler: tuple[str, float] | None = None,
    ) -> tuple[StageShare, ...]:
        """The shares of the time up to `until`, in their order; those that took no time are left
        out.

        `providers` names each stage's latest provider. What came before the turn was `decided` is
        charged to endpointing. `filler` is the voice of the filler that was heard first, and when
        that was due: the time after that is its own.
        """
        origin = self._waits[0].since
        due = until if filler is None else min(max(filler[1], origin), until)
        starts = [origin, *(min(max(wait.since, decided), due) for wait in self._waits[1:])]
        found: list[StageShare] = []
        for wait, start, end in zip(self._waits, starts, [*starts[1:], due], strict=True):
            stage = _DONE_BY.get(wait.stage, wait.stage)
            provider = providers.get(stage, "") if wait.failed is None else wait.failed
            took = _tenths(end - origin) - _tenths(start - origin)
            found.append(StageShare(wait.stage, provider, took / 10, wait.failed is not None))
        if filler is not None:
            took = _tenths(until - origin) - _tenths(due - origin)
            found.append(StageShare(FILLER, filler[0], took / 10))
        return tuple(share for share in found if share.ms > 0)


def _tenths(seconds: float) -> int:
    return round(seconds * _PER_S)


def milliseconds(seconds: float) -> float:
    """In whole tenths, as the shares are."""
    return _tenths(seconds) / 10
