"""Drills: an operator breaks a provider of a running gateway for a while, to see what it does then.

A drill replaces the stage of one candidate, which all sessions share, and puts it back when its
time is over or it is ended. Breakers open in a drill as they do otherwise, and close by their own
rules after it.
"""

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from gateway.providers.broken_stage import BrokenStage, DrillFault
from gateway.status import DrillReport
from pipeline.candidate import Candidate
from pipeline.frames import Slot
from pipeline.guard import Guard

logger = logging.getLogger("parley.operator")

LONGEST_S = 600


class DrillUnderWay(Exception):
    """The provider is in a drill already."""


@dataclass(slots=True)
class _Drill:
    """One drill: `broken` is the candidate's stage until the timer fires."""

    slot: Slot
    candidate: Candidate[Any]
    broken: BrokenStage
    fault: DrillFault
    timer: asyncio.TimerHandle


class Drills:
    """The drills of a process, at most one for each provider. Belongs to the event loop."""

    def __init__(self, guards: Callable[[], list[tuple[Slot, Guard[Any]]]]) -> None:
        self._guards = guards
        self._under_way: dict[str, _Drill] = {}

    def begin(self, name: str, fault: DrillFault, seconds: float) -> DrillReport | None:
        """Break a provider ("llm.openai"), or the first of a slot ("llm"), for `seconds`.

        Returns None if there is no such provider. Raises `DrillUnderWay`, and `ValueError` for a
        time that is not from 0 to `LONGEST_S`.
        """
        if not 0 < seconds <= LONGEST_S:
            raise ValueError(f"a drill lasts up to {LONGEST_S} seconds")
        found = self._find(name)
        if found is None:
            return None
        slot, candidate = found
        whole = f"{slot}.{candidate.provider}"
        if whole in self._under_way:
            raise DrillUnderWay(whole)
        broken = BrokenStage(slot, candidate, fault)
        # The context of no request: what the timer logs has no cause but the time.
        timer = asyncio.get_running_loop().call_later(seconds, self.end, whole, context=Context())
        drill = self._under_way[whole] = _Drill(slot, candidate, broken, fault, timer)
        candidate.stage = broken
        logger.warning("drill: %s has the fault %s for %g s", whole, fault, seconds)
        return _report(whole, drill)

    def end(self, name: str) -> bool:
        """End the drill of a provider ("llm.openai"); False if there is none."""
        drill = self._under_way.pop(name, None)
        if drill is None:
            return False
        drill.timer.cancel()
        drill.candidate.stage = drill.broken.intact
        logger.warning("drill: %s is whole again", name)
        return True

    def reports(self) -> list[DrillReport]:
        """The drills under way."""
        return [_report(name, drill) for name, drill in self._under_way.items()]

    def close(self) -> None:
        """End all drills."""
        for name in [*self._under_way]:
            self.end(name)

    def _find(self, name: str) -> tuple[Slot, Candidate[Any]] | None:
        wanted, _, provider = name.partition(".")
        for slot, guard in self._guards():
            for candidate in guard.candidates if slot == wanted else ():
                if provider in ("", candidate.provider):
                    return slot, candidate
        return None


def _report(name: str, drill: _Drill) -> DrillReport:
    left_s = drill.timer.when() - asyncio.get_running_loop().time()
    return DrillReport(name, drill.fault, round(max(0.0, left_s), 1))
