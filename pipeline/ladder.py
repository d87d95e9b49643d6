"""The ladder: what a conversation does without, in a fixed order, so that it goes on. Pure.

Its upper steps are the process's (`Ladder`). All sessions take them together, one step at a time,
when the machine is strained, and take them back one at a time once it has been calm for a while:

=================  =============================================  ==============================
step               what it does without                           taken where
=================  =============================================  ==============================
fewer pictures     half of the pictures of faces                  the machine is strained, or the
small pictures     most of their pixels                           pictures are late, refused, or
no pictures        pictures: the client draws the mouth shapes    cost too much
nothing ahead      replies that are prepared before their turn    the machine is strained
                   is decided, and the probes beside them
lighter first      the better providers, where the operator has   the machine is strained
                   named lighter ones
=================  =============================================  ==============================

The lower steps are a turn's. Where its stages do not give in time what it needs, it makes do with
the target of `Degraded` that stands here, and the next turn begins without them:

=================  =============================================  ==============================
filler             silence: a line is said, and the reply         nothing of the reply is heard
                   follows at its end                             by `TurnBudget.filler_due`
holding line       the words of the answer, which follow          the recogniser outlasts the
                                                                  turn's limit
due line           the rest of a reply: the question follows      a responder breaks off
canned line        a reply, or the words of the answer            every provider failed, or none
                                                                  gave words by the turn's limit
text               sound: the reply is shown                      no voice could say it
no text            the words of an answer without a reply         every recogniser failed
=================  =============================================  ==============================

A stage that fails ahead of its turn's decision takes no step: see `steps_down`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Protocol

from pipeline.budget import TurnBudget

FILLER = "filler"
HOLDING = "holding line"
DUE = "the line that is due"
CANNED = "canned line"
TEXT = "text"
NO_TEXT = "no text"

GAP = "gap"
"""The target of a `Degraded` for an answer of which a part was not kept: it was too long."""

PASSED_OVER = "lighter first: "
"""The beginning of the reason of a `Degraded` from a provider that was not asked, since lighter
ones are asked first. What follows is why."""

AHEAD, ON_DECISION = "ahead of the decision", "after the decision"
"""The source and the target of a `Degraded` in a turn whose reply is not prepared any more."""

TARGETS: Mapping[str, str] = MappingProxyType(
    {
        ON_DECISION: ON_DECISION,
        FILLER: FILLER,
        HOLDING: HOLDING,
        GAP: GAP,
        DUE: "due line",
        CANNED: CANNED,
        TEXT: TEXT,
        NO_TEXT: TEXT,
    }
)
"""The targets of a `Degraded` that are no providers, and the label of each in metrics."""

PRESSED_S = 3.0
"""How long the ladder waits under strain after a step down, to see whether the step has helped.
Assumed: the load is measured twice a second, and counts after two high samples."""

RISE_S = 10.0
MAX_RISE_S = 320.0
RELAPSE_S = 30.0
"""A rise that does not hold for this long doubles the wait for the next one."""


class LadderStep(IntEnum):
    """The step of a process on the ladder."""

    EVERYTHING = 0
    FEWER_PICTURES = 1
    SMALL_PICTURES = 2
    NO_PICTURES = 3
    NOTHING_AHEAD = 4
    LIGHTER_FIRST = 5

    @property
    def label(self) -> str:
        """The step's name for people and in metrics."""
        return self.name.lower().replace("_", " ")


OnStep = Callable[[LadderStep, LadderStep, str], None]
"""Called with the step before, the one after, and why. A plain call that must not raise."""


@dataclass(frozen=True, slots=True)
class PictureVerdict:
    """The verdict on the pictures of faces `since` a time: too much to draw (`bad` says why), calm
    enough for the step above, or neither."""

    since: float
    bad: str | None = None
    calm: bool = True


class Ladder:
    """The step of a process. `now` is in seconds of any one clock, which all callers share.

    `lighter` says that the operator has named lighter providers. `strained` takes the strain on the
    machine, and `drew` the verdict on its pictures; either may never be called.
    """

    def __init__(self, *, lighter: bool = False) -> None:
        self.step = LadderStep.EVERYTHING
        self.reason = ""
        """Why the step last changed, for people."""
        self.on_step: list[OnStep] = []
        """The callbacks for every change, called in order."""
        self._last = LadderStep.LIGHTER_FIRST if lighter else LadderStep.NOTHING_AHEAD
        self._faces: list[OnStep] = []
        self._strain: str | None = None
        self._restless = False  # the pictures are not calm
        self._calm_from: float | None = None
        self._fell_at = -math.inf
        self._risen_at: float | None = None
        self._rise_s = RISE_S

    @property
    def works_ahead(self) -> bool:
        """Whether replies are prepared before their turns are decided."""
        return self.step < LadderStep.NOTHING_AHEAD

    @property
    def lighter_first(self) -> bool:
        """Whether lighter providers are asked before the others."""
        return self.step >= LadderStep.LIGHTER_FIRST

    def shown(self, on_step: OnStep) -> Callable[[], None]:
        """A client is shown a face: call `on_step` at every change until the returned function is
        called. That may be called more than once."""
        self._faces.append(on_step)

        def forget() -> None:
            if on_step in self._faces:
                self._faces.remove(on_step)

        return forget

    def strained(self, why: str | None, now: float) -> None:
        """Take the present strain on the machine, in words; None if there is none.

        Passes over steps that nobody would notice because no face is shown.
        """
        self._strain = why
        if why is None:
            self._rest(now, now)
            return
        self._calm_from = None
        if now - self._fell_at < PRESSED_S or self.step >= self._last:
            return
        below = LadderStep(self.step + 1)
        self._down(LadderStep.NOTHING_AHEAD if self._unseen(below) else below, why, now)

    def drew(self, pictures: PictureVerdict, now: float) -> None:
        """Take the verdict on the pictures of the last second."""
        self._restless = not pictures.calm
        if pictures.bad is not None:
            self._calm_from = None
            if self.step < LadderStep.NO_PICTURES:
                self._down(LadderStep(self.step + 1), pictures.bad, now)
        elif self._strain is None:
            self._rest(pictures.since, now)

    def _unseen(self, step: LadderStep) -> bool:
        return not self._faces and step <= LadderStep.NO_PICTURES

    def _rest(self, since: float, now: float) -> None:
        """There is no strain: go up if it has been calm for long enough."""
        self._forgive(now)
        if self._restless:
            self._calm_from = None
            return
        if self._calm_from is None:
            self._calm_from = since
        if self.step and now - self._calm_from >= self._rise_s:
            self.reason = f"calm for {self._rise_s:.0f} s"
            self._risen_at, self._calm_from = now, None
            above = LadderStep(self.step - 1)
            self._change(LadderStep.EVERYTHING if self._unseen(above) else above)

    def _down(self, step: LadderStep, reason: str, now: float) -> None:
        self._forgive(now)
        if self._risen_at is not None:
            self._rise_s = min(self._rise_s * 2, MAX_RISE_S)
            self._risen_at = None
        self._fell_at, self.reason = now, reason
        self._change(step)

    def _forgive(self, now: float) -> None:
        if self._risen_at is not None and now - self._risen_at >= RELAPSE_S:
            self._risen_at, self._rise_s = None, RISE_S

    def _change(self, step: LadderStep) -> None:
        before, self.step = self.step, step
        for on_step in (*self.on_step, *self._faces):
            on_step(before, step, self.reason)


class Attempted(Protocol):
    """An attempt at a reply (`pipeline.outputs`), as far as `steps_down` needs it."""

    ahead: bool

    @property
    def accepted(self) -> bool: ...


def steps_down(attempt: Attempted, budget: TurnBudget, now: float, *, begun: bool) -> bool:
    """Whether a failed stage of a turn takes its step down; else it is tried again once the turn is
    decided.

    It takes the step if the turn was decided before the attempt, if the reply has `begun`, or if
    the answer is accepted and the turn's `budget` leaves no time to try again.
    """
    if not attempt.ahead or begun:
        return True
    return attempt.accepted and budget.allow("llm", now) == 0
