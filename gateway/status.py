"""Status reports of the parts of the gateway; any part may import this module."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field


def _empty(value: Any) -> bool:
    return not value


Readiness = Literal["ready", "draining", "full", "overloaded", "starting", "failed"]
"""Whether new sessions should be sent here, and why not. While models load ("starting") sessions
are served all the same; "failed": in some slot no provider could start."""


@dataclass(frozen=True, slots=True)
class StageReport:
    """The provider that answers in a slot, its status, and why it was chosen.

    `note` is a remark for people, such as demo quality, or empty. `detail` says what the provider
    has loaded or will load, such as its model and how fast that is here.
    """

    slot: str
    provider: str
    status: str
    why: str
    note: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ProviderReport:
    """A candidate of a slot, and the state of its circuit breaker: "closed", "open" or "half_open",
    or "forced-open" or "disabled" where an operator has made it so.

    `problem` says why its latest calls failed, and `learned` what it was found to do differently
    from other servers; both are left out where there is nothing to say.
    """

    slot: str
    provider: str
    breaker: str
    problem: Annotated[str, Field(exclude_if=_empty)] = ""
    learned: Annotated[tuple[str, ...], Field(exclude_if=_empty)] = ()


@dataclass(frozen=True, slots=True)
class BreakerReport:
    """The circuit breaker of a slot's provider; its `name` is "slot.provider".

    `state` is "closed", "open" or "half-open", or what an operator has made of it: "forced-open"
    (every call is refused) or "disabled" (every call passes, and none is counted). `transitions`
    counts its changes of state. `retry_after_s` is the time until calls or a probe may pass.
    """

    name: str
    slot: str
    provider: str
    state: str
    transitions: int
    retry_after_s: float


@dataclass(frozen=True, slots=True)
class ServiceBreakers:
    """The circuit breakers of a service's instances: how many are in each state, by its name, and
    how often one has changed since the process began."""

    service: str
    states: Mapping[str, int]
    transitions: int


@dataclass(frozen=True, slots=True)
class DrillReport:
    """A provider ("slot.provider") that the operator has broken: how, and for how long yet."""

    name: str
    fault: Literal["hang", "error", "slow"]
    seconds_left: float


@dataclass(frozen=True, slots=True)
class MediaCounts:
    """Input media since the start: RTP packets `lost` and `late`, how much sound was concealed in
    their place, and chunks that voice detection `dropped`."""

    lost: int = 0
    late: int = 0
    dropped: int = 0
    concealed_ms: int = 0

    def __add__(self, other: "MediaCounts") -> "MediaCounts":
        return MediaCounts(
            self.lost + other.lost,
            self.late + other.late,
            self.dropped + other.dropped,
            self.concealed_ms + other.concealed_ms,
        )


@dataclass(frozen=True, slots=True)
class QueueReport:
    """Shared work of all sessions: how much is under way or waits, in `unit`. `bound` is its limit;
    null if only the number of sessions limits it.
    """

    name: str
    unit: str
    depth: int
    bound: int | None = None


@dataclass(frozen=True, slots=True)
class PressureReport:
    """The load of the process in the last half second.

    `refuses`: the sessions that are refused because of it, by "voice" or "text"; `why` is for
    people. A figure is 0 where it was not measured.

    `loop_lag_ms`: the latest timer; `busy`: the share of a core; `uplink_ms`: the shortest wait of
    input audio for voice detection; `recognition_queue_ms`: that of utterances for a recogniser on
    this machine; `recogniser`: the share of the time in which that decodes; `recognition_ms` and
    `turn_factor`: the best of the last turns, the latter in budgets; `memory`: the share in use.
    """

    refuses: list[str]
    why: list[str]
    loop_lag_ms: float
    busy: float
    uplink_ms: float
    recognition_queue_ms: float
    recogniser: float
    recognition_ms: float
    turn_factor: float
    memory: float


@dataclass(frozen=True, slots=True)
class LanguageReport:
    """The codes of the languages that the interviewer, the recognisers and the voices know; null
    where a provider takes any."""

    interviewer: tuple[str, ...]
    recogniser: tuple[str, ...] | None
    voice: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class StoreReport:
    """The kind of the store in use, and whether it answered the last probe. Has no address."""

    kind: str
    status: Literal["online", "offline"]
