"""The operator's definition of a service: its addresses, its calls and its fallback. Pure.

The names are those of `services.yaml` (docs/services.md).
"""

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

SERVICE_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?")
"""One segment of a path, of characters that are never escaped."""

Scheme = Literal["http", "https"]

LONGEST_BACKOFF_S: Final = 2.0
"""No wait before a retry is longer. Assumed value."""


class Backoff(Enum):
    """How the longest wait before a retry grows: not at all, or doubling each time."""

    FIXED = "fixed"
    EXPONENTIAL = "exponential"


class Balancing(Enum):
    """How a call gets one of several instances."""

    ROUND_ROBIN = "round-robin"
    WEIGHTED_ROUND_ROBIN = "weighted-round-robin"
    LEAST_CONNECTIONS = "least-connections"
    IP_HASH = "ip-hash"
    TWO_CHOICES = "two-choices"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `max_attempts` in all, the first one included."""

    max_attempts: int = 3
    backoff: Backoff = Backoff.EXPONENTIAL
    base_s: float = 0.1

    def longest_wait_s(self, retry: int) -> float:
        """The upper end of the random wait before the retry of this number, from 1 on."""
        growth = 2 ** (retry - 1) if self.backoff is Backoff.EXPONENTIAL else 1
        return float(min(LONGEST_BACKOFF_S, self.base_s * growth))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one instance of a service listens. `weight` is its share of the calls."""

    host: str
    port: int
    protocol: Scheme = "http"
    weight: int = 1

    @property
    def authority(self) -> str:
        """Host and port as they stand in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Its URL without a path."""
        return f"{self.protocol}://{self.authority}"


@dataclass(frozen=True, slots=True)
class StaticFallback:
    """An answer that stands in for a service: `body` is JSON."""

    body: bytes
    status: int = 200


@dataclass(frozen=True, slots=True)
class ServiceFallback:
    """Another service that stands in for one."""

    service: str


Fallback = StaticFallback | ServiceFallback


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """One service. Times are seconds.

    `health_endpoints` are paths, asked in this order, of which one has to answer 200; without any,
    the service is not probed. `base_path` is "" or begins with a slash and ends in none; a path
    that is not below it is put there. `timeout_s` is how long one attempt may take to the head of
    its answer, `idle_timeout_s` the longest pause within a body. `max_websockets` limits the open
    WebSockets of the whole service, `max_message_bytes` the length of one message, and
    `websocket_idle_s` is the longest time without a message.
    """

    name: str
    instances: tuple[Endpoint, ...]
    health_endpoints: tuple[str, ...] = ("/health",)
    base_path: str = ""
    timeout_s: float = 30.0
    connect_timeout_s: float = 3.0
    idle_timeout_s: float = 60.0
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    balancing: Balancing = Balancing.ROUND_ROBIN
    slow_start_s: float = 30.0
    max_connections: int = 256
    max_request_bytes: int = 100_000_000
    max_response_bytes: int = 1_000_000_000
    max_websockets: int = 1000
    max_message_bytes: int = 1_000_000
    websocket_idle_s: float = 300.0
    fallback: Fallback | None = None
