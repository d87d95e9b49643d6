"""How long a turn waits for one candidate before it asks the next one. Pure.

A provider's earlier calls say how long it may take (`pipeline.pace`); the turn's budget says how
long the person should wait. This module combines the two.
"""

import math
from dataclasses import dataclass
from typing import Any

from pipeline.candidate import Candidate
from pipeline.pace import FLOOR_S

GAP_S = 0.3
"""How far a candidate whose last call failed may fall behind real time, in seconds, if another
one stands by: a gap that a person hears. Assumed value."""


@dataclass(frozen=True, slots=True)
class Soon:
    """The rest of a turn's budget for a stage's first item, in seconds from now.

    With `budget_s` the reply is still heard within the budget, with `late_s` within one and a half
    budgets.
    """

    budget_s: float
    late_s: float


@dataclass(frozen=True, slots=True)
class Patience:
    """Give a candidate up after `first_s` of waiting without a useful item.

    `own`: `first_s` is the candidate's own limit, so a candidate that passes it has failed.
    Otherwise only the turn stops waiting, and the candidate is watched to its own limit. After
    `used_s` it is given up in the same way, even if its first item has come but is not in use.
    """

    first_s: float
    own: bool
    used_s: float = math.inf
    lag_s: float = math.inf
    """How far its media may fall behind real time, in all."""

    def limit(self, *, begun: bool) -> tuple[float, bool]:
        """How long to wait in all, and whether passing that is the candidate's failure. `begun`:
        its first useful item has come."""
        return (self.used_s, False) if begun else (self.first_s, self.own)

    @property
    def watches(self) -> bool:
        """Whether the candidate may be given up before its own limit."""
        return not self.own or self.used_s < math.inf


def patience(candidate: Candidate[Any], soon: Soon, *, stands_by: bool) -> Patience:
    """The patience with a candidate that another one can follow.

    `stands_by` says that one of the others answers at once and costs nothing. Then a candidate
    whose last call failed gets only what is left of the turn's budget. So does one whose pace is
    not known while a call that an earlier turn gave up is still watched: that call is late and has
    not failed yet. Any other candidate of unknown pace gets one and a half budgets. If no other
    stands by, each failure in a row halves the time that the turn waits, and the candidate is
    watched to its own limit.
    """
    cap_s = candidate.limits.first_s
    usual_s = candidate.pace.limit_s(cap_s)
    failed = 0 if candidate.trouble is None else candidate.trouble.times
    own = Patience(cap_s if usual_s is None else usual_s, own=True)
    if not stands_by:
        first_s = max(min(FLOOR_S, cap_s), min(own.first_s, cap_s / 2.0**failed))
        return Patience(first_s, own=first_s == own.first_s)
    if failed:
        due_s = max(0.0, soon.budget_s)
        first_s, fails = min(own.first_s, due_s), own.first_s < due_s
        return Patience(first_s, own=fails, used_s=due_s, lag_s=GAP_S)
    if usual_s is None:
        first_s = max(0.0, soon.budget_s) if candidate.watched else max(FLOOR_S, soon.late_s)
        if first_s < cap_s:
            return Patience(first_s, own=False)
    return own
