"""Loading the providers' models, in the background: the gateway serves meanwhile."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.providers.probes import Place
from pipeline.errors import StageFailed
from pipeline.frames import Slot
from stages.third_party import describe

logger = logging.getLogger("parley.engine")

START_S = 60.0
"""How long one provider may load before the next candidate is asked to load."""

FIRST_RETRY_S = 5.0
LAST_RETRY_S = 60.0
"""A slot in which no candidate has started is tried again after these times, the first doubled
until it is the last."""


class Starts:
    """The start of each slot's providers: the first candidate loads its model, and if it cannot,
    the next one does.

    Behind a server, which loads nothing here, the first one that does is loaded as well: it must be
    able to take over in the middle of a turn. Nothing waits for it.

    `begin` starts a task for every slot, which this object owns; `aclose` cancels them.
    `failed` is called with the slot and the provider that could not start. A slot in which no
    candidate could start is tried again until one can.

    Args:
        stages: The stages of each slot, best first. One without a method `start` is ready.
        failed: Called when a provider could not start.
    """

    def __init__(
        self,
        stages: Mapping[Slot, Sequence[Any]],
        failed: Callable[[Slot, str], None] = lambda slot, provider: None,
    ) -> None:
        self.errors: dict[Place, str] = {}
        """Why a provider could not start; it is removed when it could."""
        self._stages = stages
        self._failed = failed
        self._loading: dict[Slot, str] = {}
        self._lost: set[Slot] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._settled = asyncio.Event()
        self._settled.set()

    def begin(self) -> None:
        """Start loading. A plain call, once, on the event loop."""
        for slot, stages in self._stages.items():
            if not hasattr(stages[0], "start"):
                if (behind := next((s for s in stages if hasattr(s, "start")), None)) is not None:
                    self._tasks.append(asyncio.create_task(self._start_behind(slot, behind)))
            else:
                self._loading[slot] = stages[0].provider
                task = asyncio.create_task(self._start_slot(slot), name=f"start {slot}")
                self._tasks.append(task)
        self._look()

    async def settled(self) -> None:
        """Wait until every slot has a provider that is ready, or none that could start.

        Cancelling the wait changes nothing.
        """
        await self._settled.wait()

    def lost(self) -> list[str]:
        """The slots in which no provider could start, each as a sentence with the reasons."""
        return [
            f"{slot}: {'; '.join(self._reasons(slot))}"
            for slot in self._stages
            if slot in self._lost
        ]

    def _reasons(self, slot: Slot) -> list[str]:
        return [f"{name}: {text}" for (lost, name), text in self.errors.items() if lost == slot]

    def loading(self) -> list[str]:
        """The slots whose provider still loads, each in a sentence."""
        return [f"{slot}: {name} is loading" for slot, name in self._loading.items()]

    async def aclose(self) -> None:
        """Cancel what is still loading, and return when it has ended."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _start_slot(self, slot: Slot) -> None:
        retry_s = FIRST_RETRY_S
        while not await self._start_one_of(slot):
            self._lost.add(slot)
            self._loading.pop(slot, None)
            self._look()
            logger.error("%s: no provider can work; next attempt in %g s", slot, retry_s)
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, LAST_RETRY_S)
        self._lost.discard(slot)
        self._loading.pop(slot, None)
        self._look()

    async def _start_behind(self, slot: Slot, stage: Any) -> None:
        if (problem := await _start(stage)) is not None:
            self.errors[slot, stage.provider] = problem
            logger.warning("%s: %s cannot start: %s", slot, stage.provider, problem)
            self._failed(slot, stage.provider)

    async def _start_one_of(self, slot: Slot) -> bool:
        for stage in self._stages[slot]:
            if slot not in self._lost:
                self._loading[slot] = stage.provider
            problem = await _start(stage)
            if problem is None:
                self.errors.pop((slot, stage.provider), None)
                return True
            self.errors[slot, stage.provider] = problem
            logger.warning("%s: %s cannot start: %s", slot, stage.provider, problem)
            self._failed(slot, stage.provider)
        return False

    def _look(self) -> None:
        if self._loading:
            self._settled.clear()
        else:
            self._settled.set()


async def _start(stage: Any) -> str | None:
    """Load a stage's model before its first call; returns why the stage cannot load it."""
    start = getattr(stage, "start", None)
    if start is None:
        return None
    try:
        async with asyncio.timeout(START_S):
            await start()
    except TimeoutError:
        return f"not ready after {START_S:g} s"
    except StageFailed as error:
        return error.detail
    except Exception as error:  # from a third party
        return describe(error)
    return None
