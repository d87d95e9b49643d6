"""Instances that have registered themselves, until their leases end. Pure: time is an argument."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.services.definition import Endpoint, ServiceSpec

MOST: Final = 1000
MOST_OF_A_SERVICE: Final = 100
"""The most leases at a time. Assumed values: far more than the instances of such a gateway."""

FOR_EVER: Final = math.inf
"""The end of a lease that the store ends."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One instance, which its service knows by `id`, and its address, for `ttl_s` seconds."""

    service: str
    id: str
    endpoint: Endpoint
    ttl_s: float

    @property
    def name(self) -> tuple[str, str]:
        """The name that identifies it: its service and its id."""
        return self.service, self.id


class Leases:
    """All current leases. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], tuple[Lease, float]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Lease]:
        return (lease for lease, _ in self._held.values())

    def __contains__(self, name: tuple[str, str]) -> bool:
        return name in self._held

    def has_room(self, service: str) -> bool:
        """Whether a service may have one more lease."""
        own = sum(lease.service == service for lease in self)
        return len(self) < MOST and own < MOST_OF_A_SERVICE

    def put(self, lease: Lease, now: float) -> bool:
        """Let a lease hold from now on, for its `ttl_s`. Returns whether its address changed."""
        before = self._held.get(lease.name)
        self._held[lease.name] = lease, now + lease.ttl_s
        return before is None or before[0].endpoint != lease.endpoint

    def drop(self, service: str, id: str) -> bool:
        """End a lease. Returns whether there was one."""
        return self._held.pop((service, id), None) is not None

    def expire(self, now: float) -> list[Lease]:
        """End the leases whose time is over, and return them."""
        over = [lease for lease, until in self._held.values() if until <= now]
        for lease in over:
            del self._held[lease.name]
        return over

    def next_end(self) -> float | None:
        """When the next lease ends by its time, None if none does."""
        until = min((until for _, until in self._held.values()), default=FOR_EVER)
        return None if until == FOR_EVER else until

    def have(self, stored: Sequence[Lease]) -> bool:
        """Hold exactly these leases, which the store keeps and ends.

        Returns whether a lease has come, gone, or changed its address.
        """
        held = {lease.name: (lease, FOR_EVER) for lease in stored[:MOST]}
        places = {name: lease.endpoint for name, (lease, _) in self._held.items()}
        changed = places != {name: lease.endpoint for name, (lease, _) in held.items()}
        self._held = held
        return changed

    def merged(self, specs: Mapping[str, ServiceSpec]) -> dict[str, ServiceSpec]:
        """The services with these instances beside their own. A service that only leases name has
        the defaults."""
        found = dict(specs)
        for lease in sorted(self, key=lambda one: one.name):
            spec = found.get(lease.service) or ServiceSpec(name=lease.service, instances=())
            if all(lease.endpoint.authority != one.authority for one in spec.instances):
                spec = replace(spec, instances=(*spec.instances, lease.endpoint))
            found[lease.service] = spec
        return found
