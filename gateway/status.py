"""What the parts of the gateway report about themselves; any of them may import this module."""

from dataclasses import dataclass
from typing import Literal

Readiness = Literal["ready", "draining", "full", "starting"]
"""Whether new sessions should be sent here, and why not."""


@dataclass(frozen=True, slots=True)
class StageReport:
    """Which provider answers in a slot, how it is, and why it was chosen.

    `note` is what a person should know about it, such as demo quality; empty for nothing.
    """

    slot: str
    provider: str
    status: str
    why: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class ProviderReport:
    """A provider that could answer in a slot, and what its circuit breaker has seen."""

    slot: str
    provider: str
    breaker: str


@dataclass(frozen=True, slots=True)
class QueueReport:
    """Work that all sessions share: what is under way or waits, in `unit`. `bound` is how much
    there may be; null where only the places bound it.
    """

    name: str
    unit: str
    depth: int
    bound: int | None = None


@dataclass(frozen=True, slots=True)
class StoreReport:
    """Which store is in use and whether it answered when it was last asked. Holds no address."""

    kind: str
    status: Literal["online", "offline"]
