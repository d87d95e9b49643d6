"""One instance of a service: its breaker, its health, its calls. Pure."""

from dataclasses import dataclass
from typing import Final

from gateway.services.balancing import Contender
from gateway.services.definition import Endpoint
from gateway.services.health import HealthState, InstanceHealth, Probed
from pipeline.breaker import Breaker, BreakerPolicy, BreakerState, Outcome, Permit, Transition

BREAKER: Final = BreakerPolicy(
    consecutive_failures=3,
    open_s=5.0,
    open_growth=2.0,
    open_grown_s=60.0,
    open_max_s=300.0,
    probe_timeout_s=60.0,
)
"""Three failed calls take an instance out of use. Trying it again soon costs little, because there
are other instances. Assumed values."""

MOST_RETRY_AFTER_S: Final = 10.0
"""The longest pause for an instance that says when to come back, because its time may hold for one
path or one client only. The client gets the instance's time in full."""

SLOWEST_SHARE: Final = 0.1
"""The share of its calls that an instance gets when it has just come back."""


@dataclass(slots=True, eq=False)
class Admission:
    """One call that an instance has admitted. Settle it exactly once."""

    instance: "Instance"
    permit: Permit
    probe: bool
    """Whether the call shows if an instance that failed is well again."""


class Instance:
    """The state of one instance in this process. Times are monotonic, in seconds."""

    def __init__(self, endpoint: Endpoint, breaker: Breaker, health: InstanceHealth) -> None:
        self.endpoint = endpoint
        self.breaker = breaker
        self.health = health
        self.in_flight = 0
        self.websockets = 0
        """The WebSockets that are open. Each counted as a call until it was open."""
        self.calls = 0
        self.failures = 0
        self.since: float | None = None
        """When it came back, or was added; None for one that has always been there."""

    @property
    def key(self) -> str:
        """Its host and port."""
        return self.endpoint.authority

    def usable(self, now: float) -> bool:
        """Whether it may get calls other than probes."""
        self.breaker.poll(now)
        return self.health.state is not HealthState.DOWN and self.breaker.closed

    def recovering(self, now: float) -> bool:
        """Whether its breaker wants a probe."""
        self.breaker.poll(now)
        up = self.health.state is not HealthState.DOWN
        return up and self.breaker.state is BreakerState.HALF_OPEN

    def contender(self, now: float, slow_start_s: float) -> Contender:
        """The instance as a `Contender` for a call."""
        share = 1.0
        if self.since is not None and now < self.since + slow_start_s:
            share = max(SLOWEST_SHARE, (now - self.since) / slow_start_s)
        busy = self.in_flight + self.websockets
        return Contender(self.key, self.endpoint.weight, share, busy)

    def admit(self, now: float) -> Admission | None:
        """Begin a call; None if the instance gets none now."""
        probe = self.recovering(now)
        permit = self.breaker.try_acquire(now)
        if permit is None:
            return None
        self.in_flight += 1
        self.calls += 1
        return Admission(self, permit, probe)

    def settle(
        self, admission: Admission, outcome: Outcome, now: float, *, retry_after_s: float = 0.0
    ) -> list[Transition]:
        """The call's outcome is known. Returns the breaker's transitions."""
        if admission.permit.settled:
            return []
        if outcome is Outcome.FAILURE:
            self.failures += 1
        elif outcome is Outcome.SUCCESS:
            self.health.called()
        retry_after_s = min(retry_after_s, MOST_RETRY_AFTER_S)
        self.breaker.settle(admission.permit, outcome, now, retry_after_s=retry_after_s)
        return self._changed()

    def broke_off(self, now: float) -> list[Transition]:
        """A call that counted as a success has failed after all."""
        self.failures += 1
        if (permit := self.breaker.try_acquire(now, probe=False)) is not None:
            self.breaker.settle(permit, Outcome.FAILURE, now)
        return self._changed()

    def left(self) -> None:
        """A call that the instance admitted is over."""
        self.in_flight -= 1

    def probed(self, probe: Probed) -> list[Transition]:
        """Take the result of a probe. If it ends DOWN, the breaker closes."""
        if self.health.probed(probe):
            self.since = probe.at
            self.breaker.reset(probe.at)
        return self._changed()

    def reset(self, now: float) -> list[Transition]:
        """Close the breaker at an operator's request."""
        self.breaker.reset(now)
        return self._changed()

    def _changed(self) -> list[Transition]:
        transitions = self.breaker.take_transitions()
        for transition in transitions:
            if transition.new is BreakerState.CLOSED:
                self.since = transition.at
        return transitions
