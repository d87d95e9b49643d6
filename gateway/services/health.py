"""The health of an instance of a service, as probes find it. Pure.

Calls are judged by the instance's breaker (`pipeline.breaker`), which takes it out of use after
three failures in a row. Probes find what no call has met yet, and bring an instance back.
"""

from dataclasses import dataclass
from enum import Enum


class HealthState(Enum):
    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """How often an instance is asked, in seconds, and how many answers in a row change its state.

    One failed probe takes the instance down; if calls have succeeded since the probe before, it
    takes `falls_in_use` failed probes. `rises` good probes bring it back. Each interval varies by
    the share `jitter`.
    """

    every_s: float = 30.0
    down_every_s: float = 5.0
    limit_s: float = 3.0
    jitter: float = 0.2
    falls: int = 1
    falls_in_use: int = 3
    rises: int = 2

    def __post_init__(self) -> None:
        for name in ("falls", "falls_in_use", "rises"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("every_s", "down_every_s", "limit_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0")
        if not 0 <= self.jitter < 1:
            raise ValueError("jitter must be at least 0 and below 1")


@dataclass(frozen=True, slots=True)
class Probed:
    """One probe: `problem` is why it failed, "" if it did not. Times are in seconds."""

    at: float
    latency_s: float
    problem: str = ""


class InstanceHealth:
    """The state machine of one instance. An UNKNOWN one gets calls, a DOWN one gets none."""

    def __init__(self, policy: HealthPolicy | None = None) -> None:
        self.policy = policy or HealthPolicy()
        self.state = HealthState.UNKNOWN
        self.last: Probed | None = None
        """The latest probe."""
        self.answered: Probed | None = None
        """The latest probe that succeeded."""
        self._falls = 0
        self._rises = 0
        self._in_use = False

    def called(self) -> None:
        """A call has succeeded."""
        self._in_use = True

    def probed(self, probe: Probed) -> bool:
        """Take the result of a probe. Returns whether the instance has come back from DOWN."""
        self.last = probe
        if probe.problem:
            self._rises = 0
            self._falls += 1
            needed = self.policy.falls_in_use if self._in_use else self.policy.falls
            self._in_use = False
            if self.state is not HealthState.DOWN and self._falls >= needed:
                self.state = HealthState.DOWN
            return False
        self._in_use = False
        self._falls = 0
        self._rises += 1
        self.answered = probe
        if self.state is HealthState.DOWN and self._rises < self.policy.rises:
            return False
        back = self.state is HealthState.DOWN
        self.state = HealthState.UP
        return back

    def next_in_s(self, chance: float) -> float:
        """Seconds until the next probe; `chance` is a new number from 0 to 1 each time."""
        down = self.state is HealthState.DOWN
        every_s = self.policy.down_every_s if down else self.policy.every_s
        return every_s * (1 + self.policy.jitter * (2 * chance - 1))
