"""Probes of the providers, made in the background: no request waits for a server."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from gateway.refreshed import Refreshed
from pipeline.frames import Slot
from stages.third_party import describe

logger = logging.getLogger("parley.engine")

PROBE_S = 1.5
"""The limit of one probe. Providers should keep a limit of 1 s themselves."""

ROUND_S = 2.0
"""The limit of a round. All providers are asked at once, so `PROBE_S` ends a round earlier."""

CACHE_S = 5.0

Place = tuple[Slot, str]
"""A slot and the name of a provider in it."""


TRIAL_S = 6.0
"""The limit of one trial. Providers should keep a limit of 5 s themselves."""


async def ask(stage: Any) -> str | None:
    """Why a stage would not answer now, in a sentence, or None. Takes `PROBE_S` at most.

    None for a stage without a `probe`. Raises nothing unless it is cancelled.
    """
    return await _answer(stage, "probe", PROBE_S)


async def _answer(stage: Any, method: str, limit_s: float) -> str | None:
    call = getattr(stage, method, None)
    if call is None:
        return None
    try:
        async with asyncio.timeout(limit_s):
            problem: str | None = await call()
    except TimeoutError:
        return f"it does not answer within {limit_s:g} s"
    except Exception as error:  # a third party may raise anything
        return f"its {method} failed: {describe(error)}"
    return problem


async def ask_all(stages: Mapping[Place, Any]) -> dict[Place, str]:
    """The stages that would not answer now, and why; all are asked at once."""
    return await _all(stages, "probe", PROBE_S)


async def try_all(stages: Mapping[Place, Any]) -> dict[Place, str]:
    """The stages that would not do their work, and why, from one small piece of it.

    A stage may have a method `trial` for that. All are asked at once, for `TRIAL_S` at most.
    """
    return await _all(stages, "trial", TRIAL_S)


async def _all(stages: Mapping[Place, Any], method: str, limit_s: float) -> dict[Place, str]:
    answers = await asyncio.gather(*(_answer(stage, method, limit_s) for stage in stages.values()))
    return {
        place: problem
        for place, problem in zip(stages, answers, strict=True)
        if problem is not None
    }


class StageProbes:
    """The latest probes of a process's stages, repeated when they are older than `cache_s`.

    This object owns the round under way; `aclose` cancels it.
    """

    def __init__(self, stages: Mapping[Place, Any], *, cache_s: float = CACHE_S) -> None:
        self._stages = {place: stage for place, stage in stages.items() if hasattr(stage, "probe")}
        self._cache_s = cache_s
        self._problems = Refreshed[dict[Place, str]](
            self._round, {}, limit_s=ROUND_S, changed=self._log
        )

    async def ask(self) -> dict[Place, str]:
        """Probe all stages now, and return their problems. Changes are logged."""
        return await self._problems.refresh()

    def latest(self) -> dict[Place, str]:
        """The problems found by the last round. Never waits; begins the next round if it is due."""
        return self._problems.latest(self._cache_s) if self._stages else {}

    async def aclose(self) -> None:
        """Cancel the round under way."""
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
