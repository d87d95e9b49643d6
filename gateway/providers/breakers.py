"""The circuit breakers of the gateway: their open times are spread by chance."""

import random
from collections.abc import Callable

from pipeline.breaker import Breaker, BreakerPolicy

JITTER = 0.1
"""An open time is shorter or longer by up to this share, so that processes which share a provider
do not all probe it at once when it recovers. Assumed value."""

Dice = Callable[[], float]
"""Returns a random number from 0 to 1."""


def breaker(policy: BreakerPolicy, dice: Dice = random.random) -> Breaker:
    """A breaker whose open times are spread by `JITTER`."""
    return Breaker(policy, jitter=lambda: 1 + JITTER * (2 * dice() - 1))
