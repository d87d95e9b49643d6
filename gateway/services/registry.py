"""The services that there are, and the instance that a call gets. Pure: time is an argument."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from gateway.services.balancing import balancer
from gateway.services.definition import Endpoint, ServiceSpec
from gateway.services.health import HealthPolicy, HealthState, InstanceHealth
from gateway.services.instances import Admission, Instance
from gateway.services.retries import RetryBudget
from gateway.status import ServiceBreakers
from pipeline.breaker import Breaker, BreakerState

SOONEST_S: Final = 1.0
"""The shortest `retry_after_s` that a caller gets."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No instance takes a call: all are "down", or all that are not are "busy".

    `retry_after_s` is the time, in seconds, after which an instance may take a call.
    """

    reason: Literal["down", "busy"]
    retry_after_s: float


class Service:
    """One service with what the process knows of it."""

    def __init__(
        self,
        spec: ServiceSpec,
        instances: Mapping[str, Instance],
        chance: Callable[[], float],
        gone: Mapping[str, Instance] | None = None,
    ) -> None:
        self.spec = spec
        self.instances = dict(instances)
        self.gone = dict(gone or {})
        """Instances that get no call any more, and had some when they went, by their URLs."""
        self.budget = RetryBudget()
        self._balancer = balancer(spec.balancing, chance)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def websockets(self) -> int:
        """The number of open WebSockets of all instances, those that are gone included."""
        return sum(one.websockets for one in (*self.instances.values(), *self.gone.values()))

    def untried(self, tried: Collection[str], now: float) -> bool:
        """Whether an instance that is usable has not been tried."""
        return any(self._has_place(one) and one.usable(now) for one in self._rest(tried))

    def choose(
        self, client: str, now: float, *, tried: Collection[str] = (), probe: bool = True
    ) -> Admission | Unavailable:
        """The instance for a call of the client with this address, which it has admitted.

        One that was tried gets it only where no other can. Without `probe` the call goes to an
        instance that may still be broken only where no other can have it.
        """
        for rest in (self._rest(tried), list(self.instances.values())):
            placed = [one for one in rest if self._has_place(one)]
            found = (probe and _probe(placed, now)) or self._balanced(placed, client, now)
            if found or (found := _probe(placed, now)):
                return found
        return self._unavailable(now)

    def _rest(self, tried: Collection[str]) -> list[Instance]:
        return [one for key, one in self.instances.items() if key not in tried]

    def _has_place(self, instance: Instance) -> bool:
        return instance.in_flight < self.spec.max_connections

    def _balanced(self, placed: list[Instance], client: str, now: float) -> Admission | None:
        usable = [one for one in placed if one.usable(now)]
        if not usable:
            return None
        contenders = [one.contender(now, self.spec.slow_start_s) for one in usable]
        return self.instances[self._balancer.choose(contenders, client).key].admit(now)

    def _unavailable(self, now: float) -> Unavailable:
        waits = []
        for one in self.instances.values():
            if one.usable(now):
                return Unavailable("busy", SOONEST_S)
            down = one.health.state is HealthState.DOWN
            waits.append(one.health.policy.down_every_s if down else one.breaker.retry_after(now))
        return Unavailable("down", max(SOONEST_S, min(waits, default=SOONEST_S)))


class Registry:
    """All services of a process, by name. `replace` gives it other ones.

    `chance` gives numbers from 0 up to 1, another one every time; `made` makes breakers.
    """

    def __init__(
        self,
        specs: Mapping[str, ServiceSpec],
        *,
        chance: Callable[[], float],
        made: Callable[[], Breaker],
        health: HealthPolicy | None = None,
    ) -> None:
        self._chance = chance
        self._made = made
        self._health = health
        self._services = {name: self._service(spec) for name, spec in specs.items()}
        self._gone: dict[str, dict[str, Instance]] = {}  # of the services that there are no more
        self._past: Counter[str] = Counter()
        """Changes of the breakers of instances that have left their services, by these."""

    def __iter__(self) -> Iterator[Service]:
        return iter(self._services.values())

    def __len__(self) -> int:
        return len(self._services)

    def find(self, name: str) -> Service | None:
        """The service of a name."""
        return self._services.get(name)

    def open_breakers(self) -> Iterator[tuple[str, bool]]:
        """The breakers of the instances by name, and whether each is open, as of its last call."""
        for service in self:
            for instance in service.instances.values():
                breaker = instance.breaker
                yield f"{service.name} {instance.key}", breaker.state is BreakerState.OPEN

    def breakers(self, now: float) -> Iterator[ServiceBreakers]:
        """The breakers of each service as they are now."""
        for service in self:
            states: Counter[str] = Counter()
            changes = self._past[service.name]
            for instance in service.instances.values():
                instance.breaker.poll(now)
                states[instance.breaker.state.value] += 1
                changes += instance.breaker.generation
            yield ServiceBreakers(service.name, states, changes)

    def replace(self, specs: Mapping[str, ServiceSpec], now: float) -> None:
        """Other services from here on. An instance that stays in its service keeps its state; calls
        of one that goes are not broken off; one that comes starts slowly, with the calls that it
        still has from before."""
        before = self._services
        gone = self._gone | {
            name: _busy((*service.gone.values(), *service.instances.values()))
            for name, service in before.items()
        }
        self._services = {
            name: self._replaced(before.get(name), spec, now, gone.get(name, {}))
            for name, spec in specs.items()
        }
        left = {name: _busy(there.values()) for name, there in gone.items() if name not in specs}
        self._gone = {name: there for name, there in left.items() if there}
        self._past = Counter({name: self._left(name, before.get(name)) for name in specs})

    def _left(self, name: str, before: Service | None) -> int:
        """`_past` of a service in place of the one `before`: what leaves takes no change with it,
        and what is back brings none twice."""
        was = {} if before is None else {id(one): one for one in before.instances.values()}
        now = {id(one): one for one in self._services[name].instances.values()}
        left = sum(one.breaker.generation for key, one in was.items() if key not in now)
        back = sum(one.breaker.generation for key, one in now.items() if key not in was)
        return self._past[name] + left - back

    def _service(self, spec: ServiceSpec) -> Service:
        return Service(
            spec, {one.authority: self._instance(one, spec) for one in spec.instances}, self._chance
        )

    def _replaced(
        self, before: Service | None, spec: ServiceSpec, now: float, gone: dict[str, Instance]
    ) -> Service:
        """The service of a specification; `gone` are the instances that have calls of it, by their
        URLs, whether it had, or has, them or not."""
        if before is None and not gone:
            return self._service(spec)
        if before is not None and before.spec == spec:
            before.gone = _busy(before.gone.values())
            return before
        kept: dict[str, Instance] = {}
        for endpoint in spec.instances:
            known = None if before is None else before.instances.get(endpoint.authority)
            if known is None or known.endpoint.protocol != endpoint.protocol:
                known = self._come(endpoint, spec, gone.get(endpoint.url), now)
            elif before is not None and spec.health_endpoints != before.spec.health_endpoints:
                known.health = InstanceHealth(self._health)
            known.endpoint = endpoint
            _give_time(known.breaker, spec)
            kept[known.key] = known
        others = {url: one for url, one in gone.items() if kept.get(one.key) is not one}
        service = Service(spec, kept, self._chance, others)
        if before is not None:
            service.budget = before.budget
        return service

    def _come(
        self, endpoint: Endpoint, spec: ServiceSpec, gone: Instance | None, now: float
    ) -> Instance:
        """An instance that comes, or one that is back while calls of it go on."""
        made = self._instance(endpoint, spec)
        if gone is not None:
            gone.reset(now)
            gone.health = made.health
            made = gone
        made.since = now
        return made

    def _instance(self, endpoint: Endpoint, spec: ServiceSpec) -> Instance:
        breaker = self._made()
        _give_time(breaker, spec)
        return Instance(endpoint, breaker, InstanceHealth(self._health))


def _busy(instances: Iterable[Instance]) -> dict[str, Instance]:
    return {one.endpoint.url: one for one in instances if one.websockets or one.in_flight}


def _give_time(breaker: Breaker, spec: ServiceSpec) -> None:
    """A call that finds out whether an instance is well may take as long as any other."""
    policy = breaker.policy
    longest_s = max(policy.probe_timeout_s, spec.connect_timeout_s + spec.timeout_s + 1)
    breaker.policy = replace(policy, probe_timeout_s=longest_s)


def _probe(placed: list[Instance], now: float) -> Admission | None:
    for one in placed:
        if one.recovering(now) and (admission := one.admit(now)) is not None:
            return admission
    return None
