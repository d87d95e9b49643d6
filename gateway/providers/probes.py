"""What providers say of themselves, asked in the background: nobody waits for servers."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.frames import Slot
from stages.third_party import describe

logger = logging.getLogger("parley.engine")

PROBE_S = 1.5
"""A provider's own limit is 1 s; this one is for those that keep none."""

CACHE_S = 5.0

Place = tuple[Slot, str]
"""A slot and the name of a provider in it."""


async def ask(stage: Any) -> str | None:
    """Why a stage would not answer now, in a sentence, or None. Takes `PROBE_S` at most.

    A stage without a `probe` has nothing to say. Never raises but when it is cancelled.
    """
    probe = getattr(stage, "probe", None)
    if probe is None:
        return None
    try:
        async with asyncio.timeout(PROBE_S):
            problem: str | None = await probe()
    except TimeoutError:
        return f"it does not answer within {PROBE_S:g} s"
    except Exception as error:  # a third party's; whatever it raises is a reason
        return f"its probe failed: {describe(error)}"
    return problem


async def ask_all(stages: Mapping[Place, Any]) -> dict[Place, str]:
    """Those of the stages that would not answer now, and why; all are asked at once."""
    answers = await asyncio.gather(*(ask(stage) for stage in stages.values()))
    return {
        place: problem
        for place, problem in zip(stages, answers, strict=True)
        if problem is not None
    }


class StageProbes:
    """The latest answers of a process's stages, asked again when they are older than `cache_s`.

    It owns the round under way: `aclose` ends it.
    """

    def __init__(
        self,
        stages: Mapping[Place, Any],
        *,
        cache_s: float = CACHE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stages = {place: stage for place, stage in stages.items() if hasattr(stage, "probe")}
        self._cache_s = cache_s
        self._clock = clock
        self._asked_at = -math.inf
        self._problems: dict[Place, str] = {}
        self._round: asyncio.Task[dict[Place, str]] | None = None

    async def ask(self) -> dict[Place, str]:
        """Ask all of them now, and return what keeps them from answering. Changes are logged."""
        self._asked_at = self._clock()
        before, self._problems = self._problems, await ask_all(self._stages)
        for place in self._stages:
            if place in self._problems.keys() - before.keys():
                logger.warning("%s: %s would not answer now: %s", *place, self._problems[place])
            elif place in before.keys() - self._problems.keys():
                logger.info("%s: %s answers again", *place)
        return self._problems

    def latest(self) -> dict[Place, str]:
        """What the last round found. A plain call; it begins the next round when that is due."""
        due = self._clock() - self._asked_at >= self._cache_s
        if self._stages and due and (self._round is None or self._round.done()):
            self._round = asyncio.create_task(self.ask())
        return self._problems

    async def aclose(self) -> None:
        """End the round under way."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.wait({self._round})
