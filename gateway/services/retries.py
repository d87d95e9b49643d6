"""Whether a call that failed is tried again, and when. Pure: time and chance are arguments."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.services.definition import RetryPolicy

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""RFC 9110, section 9.2.2. TRACE is not forwarded."""

AGAIN: Final = frozenset({502, 503, 504})
"""Answers for which another instance, or a later try, may give a better one."""


class Phase(Enum):
    """How far an attempt came before it failed."""

    CONNECT = "connecting"
    SEND = "sending the request"
    HEAD = "waiting for the answer"
    BODY = "receiving the answer"


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """Why an attempt has no answer: `status` is the status of an answer in `AGAIN`, else 0."""

    phase: Phase
    reason: str
    timed_out: bool = False
    status: int = 0
    retry_after_s: float = 0.0
    refused: bool = False
    """Whether the answer is one that the gateway does not pass on although the instance is well."""


class RetryBudget:
    """Allows retries for a tenth of the calls at most, plus a reserve that calls fill up again.

    So a failing service gets 1.1 times its calls and not `max_attempts` times. The values are those
    of gRPC's retry throttling.
    """

    def __init__(self, *, ratio: float = 0.1, reserve: int = 10) -> None:
        self._ratio = ratio
        self._reserve = reserve
        self._left = float(reserve)

    @property
    def left(self) -> float:
        """How many retries are allowed now."""
        return self._left

    def called(self) -> None:
        """A call has begun, which is no retry."""
        self._left = min(self._reserve, self._left + self._ratio)

    def take(self) -> bool:
        """Whether one more retry may be made; counts it if so."""
        if self._left < 1 - 1e-9:
            return False
        self._left = max(0.0, self._left - 1)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """The retries that one call may make. Its caller gives up at `deadline`, by `now`'s clock."""

    policy: RetryPolicy
    idempotent: bool
    deadline: float

    def wait_s(
        self,
        attempts: int,
        failed: AttemptFailed,
        *,
        another: bool,
        now: float,
        chance: float,
    ) -> float | None:
        """Seconds until the next attempt; None: there is none.

        `attempts` have been made. A request that no service has seen is repeated whatever it asks
        for. `another` says that an instance has not been tried yet: it is asked at once. Otherwise
        the wait is random, up to the policy's limit for this retry, but no shorter than the service
        asked for.
        """
        if failed.refused or attempts >= self.policy.max_attempts or now >= self.deadline:
            return None
        if failed.phase is not Phase.CONNECT and not self.idempotent:
            return None
        if another:
            return 0.0
        wait_s = max(failed.retry_after_s, chance * self.policy.longest_wait_s(attempts))
        return wait_s if now + wait_s < self.deadline else None
