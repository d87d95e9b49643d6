"""Probes the instances of services: in the background, and on request."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

from gateway.services.failures import duration_text, failure_text
from gateway.services.health import HealthState, Probed
from gateway.services.instances import Instance
from gateway.services.registry import Registry, Service
from gateway.services.upstreams import NO_ANSWER, Upstreams

logger = logging.getLogger("parley.services")

AT_ONCE: Final = 32
"""The most probes at a time."""

FIRST_WITHIN_S: Final = 1.0
"""The first probes of all instances are spread over this time."""

HEADERS: Final = ((b"accept", b"*/*"), (b"user-agent", b"parley-probe"))


class Prober:
    """Probes every instance in its own interval while `running` lasts. One loop, no task for each.

    `chance` gives numbers from 0 up to 1.
    """

    def __init__(
        self,
        registry: Registry,
        upstreams: Upstreams,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._registry = registry
        self._upstreams = upstreams
        self._chance = chance
        self._due: dict[Instance, float] = {}
        self._changed = asyncio.Event()
        self._places = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Probe while the block lasts."""
        probing = asyncio.create_task(self._run())
        try:
            yield
        finally:
            probing.cancel()
            await asyncio.wait([probing])

    def changed(self) -> None:
        """The services have changed: new instances are probed soon."""
        self._changed.set()

    async def ask(self, service: Service) -> None:
        """Probe all instances of a service now. Takes as long as the slowest, 3 s at most."""
        await self._ask_all((service, one) for one in service.instances.values())

    async def _run(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            self._changed.clear()
            known = [
                (service, instance)
                for service in self._registry
                if service.spec.health_endpoints
                for instance in service.instances.values()
            ]
            soon = {one: now() + self._chance() * FIRST_WITHIN_S for _, one in known}
            self._due = {one: self._due.get(one, soon[one]) for _, one in known}
            due = [(service, one) for service, one in known if self._due[one] <= now()]
            await self._ask_all(due)
            for _, one in due:
                self._due[one] = now() + one.health.next_in_s(self._chance())
            wait_s = max(0.0, min(self._due.values()) - now()) if self._due else None
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _ask_all(self, wanted: Iterable[tuple[Service, Instance]]) -> None:
        async with asyncio.TaskGroup() as probes:
            for service, instance in wanted:
                probes.create_task(self._probe(service, instance))

    async def _probe(self, service: Service, instance: Instance) -> None:
        now = asyncio.get_running_loop().time
        async with self._places:
            health, begun = instance.health, now()
            limit_s, before = health.policy.limit_s, health.state
            try:
                async with asyncio.timeout(limit_s):
                    problem = await self._asked(service, instance)
            except TimeoutError:
                problem = f"no answer within {duration_text(limit_s)}"
            except NO_ANSWER as error:
                problem = failure_text(error)
        if instance.health is not health:
            return  # meanwhile it is asked something else, or nothing
        instance.probed(Probed(now(), now() - begun, problem))
        state = instance.health.state
        if state is not before and HealthState.DOWN in (state, before):
            level = logging.WARNING if state is HealthState.DOWN else logging.INFO
            logger.log(level, "%s at %s is %s %s", service.name, instance.key, state.value, problem)

    async def _asked(self, service: Service, instance: Instance) -> str:
        """Why an instance is not healthy, "" if one of its endpoints answers 200."""
        problem, headers = "", [(b"host", instance.key.encode()), *HEADERS]
        for path in service.spec.health_endpoints:
            status = await self._upstreams.status(instance.endpoint, path.encode(), headers)
            if status == 200:
                return ""
            problem = f"HTTP {status}"
        return problem
