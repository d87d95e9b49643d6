"""What providers say of themselves, asked in the background: no request waits for a server."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from gateway.refreshed import Refreshed
from pipeline.frames import Slot
from stages.third_party import describe

logger = logging.getLogger("parley.engine")

PROBE_S = 1.5
"""A provider's own limit is 1 s; this one is for those that keep none."""

ROUND_S = 2.0
"""For all of them, which are asked at once; `PROBE_S` ends a round before this does."""

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

    def __init__(self, stages: Mapping[Place, Any], *, cache_s: float = CACHE_S) -> None:
        self._stages = {place: stage for place, stage in stages.items() if hasattr(stage, "probe")}
        self._cache_s = cache_s
        self._problems = Refreshed[dict[Place, str]](
            self._round, {}, limit_s=ROUND_S, changed=self._log
        )

    async def ask(self) -> dict[Place, str]:
        """Ask all of them now, and return what keeps them from answering. Changes are logged."""
        return await self._problems.refresh()

    def latest(self) -> dict[Place, str]:
        """What the last round found. A plain call; it begins the next round when that is due."""
        return self._problems.latest(self._cache_s) if self._stages else {}

    async def aclose(self) -> None:
        """End the round under way."""
        await self._problems.aclose()

    async def _round(self) -> dict[Place, str]:
        before, problems = self._problems.value, await ask_all(self._stages)
        for place in self._stages:
            if place in problems.keys() - before.keys():
                logger.warning("%s: %s would not answer now: %s", *place, problems[place])
            elif place in before.keys() - problems.keys():
                logger.info("%s: %s answers again", *place)
        return problems

    def _log(self, error: Exception | None) -> None:
        if error is not None:
            logger.error("the providers cannot be asked how they are: %s", describe(error))
