"""Which of several instances gets a call. Pure: chance is an argument.

Weighted round robin is the smooth one that nginx made known: each turn adds everyone's weight to
what it has in hand, the one with most is chosen and pays the sum. IP hash is weighted rendezvous
hashing: an instance that comes or goes moves only its own clients.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from gateway.services.definition import Balancing


@dataclass(frozen=True, slots=True)
class Contender:
    """An instance that may get the call. `share` is below 1 while it starts slowly."""

    key: str
    weight: int = 1
    share: float = 1.0
    in_flight: int = 0

    @property
    def load(self) -> float:
        """Calls under way in relation to the weight."""
        return self.in_flight / (self.weight * self.share)


class Balancer(Protocol):
    """A way to choose. `contenders` are never empty, and keep their order."""

    def choose(self, contenders: Sequence[Contender], client: str) -> Contender:
        """The contender that gets a call of the client with this address."""
        ...


class RoundRobin:
    """Chooses one after the other; if `weighted`, as often as their weights say."""

    def __init__(self, *, weighted: bool) -> None:
        self._weighted = weighted
        self._in_hand: dict[str, float] = {}

    def choose(self, contenders: Sequence[Contender], client: str) -> Contender:
        best, most, paid = contenders[0], -math.inf, 0.0
        for one in contenders:
            weight = one.share * (one.weight if self._weighted else 1)
            paid += weight
            has = self._in_hand.get(one.key, 0.0) + weight
            self._in_hand[one.key] = has
            if has > most + 1e-9:  # the first of equals, whatever was rounded
                best, most = one, has
        self._in_hand[best.key] -= paid
        return best


class LeastConnections:
    """Chooses the one with the fewest calls under way for its weight; if several do, in turn."""

    def __init__(self) -> None:
        self._in_turn = RoundRobin(weighted=True)

    def choose(self, contenders: Sequence[Contender], client: str) -> Contender:
        least = min(one.load for one in contenders)
        return self._in_turn.choose([one for one in contenders if one.load == least], client)


class IpHash:
    """Chooses the same instance for the same client, as long as that is available."""

    def choose(self, contenders: Sequence[Contender], client: str) -> Contender:
        return max(contenders, key=lambda one: _rendezvous(one, client))


class TwoChoices:
    """Picks two at random, by their weights, and chooses the one with less to do."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance

    def choose(self, contenders: Sequence[Contender], client: str) -> Contender:
        total = sum(one.weight * one.share for one in contenders)
        return min((self._drawn(contenders, total) for _ in range(2)), key=lambda one: one.load)

    def _drawn(self, contenders: Sequence[Contender], total: float) -> Contender:
        left = self._chance() * total
        for one in contenders:
            left -= one.weight * one.share
            if left < 0:
                return one
        return contenders[-1]


def balancer(kind: Balancing, chance: Callable[[], float]) -> Balancer:
    """A way to choose, with nothing chosen yet. `chance` gives numbers from 0 up to 1."""
    match kind:
        case Balancing.ROUND_ROBIN:
            return RoundRobin(weighted=False)
        case Balancing.WEIGHTED_ROUND_ROBIN:
            return RoundRobin(weighted=True)
        case Balancing.LEAST_CONNECTIONS:
            return LeastConnections()
        case Balancing.IP_HASH:
            return IpHash()
        case Balancing.TWO_CHOICES:
            return TwoChoices(chance)


def _rendezvous(one: Contender, client: str) -> float:
    digest = blake2b(f"{client}\0{one.key}".encode(), digest_size=8).digest()
    drawn = (int.from_bytes(digest, "big") + 0.5) / 2**64
    return -one.weight / math.log(drawn)
