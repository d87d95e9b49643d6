"""One call of a client to a service: attempts one after the other, until one has an answer."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, Literal

from gateway.services.forwarding import (
    Framing,
    Headers,
    RefusedAnswer,
    RequestOrigin,
    answer_head,
    length_of,
    request_head,
    retry_after_s,
    target_of,
)
from gateway.services.instances import Admission
from gateway.services.registry import Service, Unavailable
from gateway.services.request_body import RequestBody
from gateway.services.retries import AGAIN, IDEMPOTENT, AttemptFailed, Phase, Retrying
from gateway.services.upstreams import UpstreamAttempt, UpstreamFailed, Upstreams
from pipeline.breaker import Outcome, Transition

logger = logging.getLogger("parley.services")

SLOW_SHARE: Final = 0.5
"""When a client leaves after this share of the limit without an answer, it has waited too long:
that counts against the instance (docs/services.md)."""

Missing = Literal["down", "busy", "failed", "late"]


class NoAnswer(Exception):
    """No instance has answered. `retry_after_s` is when another call makes sense, 0 if that is not
    known; `unseen` says that no instance has got the request."""

    def __init__(
        self,
        missing: Missing,
        reason: str,
        retry_after_s: float = 0.0,
        *,
        unseen: bool = True,
    ) -> None:
        super().__init__(reason)
        self.missing: Missing = missing
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.unseen = unseen


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxiedCall:
    """A client's request, without its body. `budget_s` is how long the client waits for the head of
    an answer, if it says so."""

    method: str
    raw_path: bytes
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    framing: Framing
    origin: RequestOrigin
    budget_s: float | None = None

    def at(self, prefix: bytes, budget_s: float | None) -> "ProxiedCall":
        """The same request for another service's prefix, with what is left of its time."""
        rest = self.raw_path.removeprefix(self.origin.prefix)
        origin = replace(self.origin, prefix=prefix)
        return replace(self, raw_path=prefix + rest, origin=origin, budget_s=budget_s)

    @property
    def idempotent(self) -> bool:
        """Whether repeating the request changes nothing, or its sender says so by a key."""
        return self.method in IDEMPOTENT or any(n == b"idempotency-key" for n, _ in self.headers)


@dataclass(frozen=True, slots=True, eq=False)
class ServiceAnswer:
    """An answer whose head has come.

    `piece` is its next piece, b"" behind the last one; it raises `UpstreamFailed` if the answer
    breaks off. `complete` says that nothing is left.
    """

    status: int
    head: Headers
    piece: Callable[[], Awaitable[bytes]]
    complete: Callable[[], bool]

    async def pieces(self) -> AsyncIterator[bytes]:
        """All pieces of its body. Raises `UpstreamFailed` if the answer breaks off."""
        while piece := await self.piece():
            yield piece


class Exchange:
    """Makes the attempts of one call. `answer` is to be used once.

    `chance` gives numbers from 0 up to 1.
    """

    def __init__(
        self,
        service: Service,
        upstreams: Upstreams,
        call: ProxiedCall,
        body: RequestBody,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._service = service
        self._upstreams = upstreams
        self._call = call
        self._body = body
        self._chance = chance
        spec = service.spec
        self._target = target_of(call.raw_path, call.query, spec, call.origin.prefix)
        self._now = asyncio.get_running_loop().time
        longest_s = spec.timeout_s * spec.retry_policy.max_attempts
        budget_s = longest_s if call.budget_s is None else min(call.budget_s, longest_s)
        self._deadline = self._now() + budget_s

    @asynccontextmanager
    async def answer(self) -> AsyncIterator[ServiceAnswer]:
        """The answer of an instance, while the block lasts; leaving it gives the connection back.

        Raises `NoAnswer`, `RefusedRequest`, and what reading the client's body raises.
        """
        self._service.budget.called()
        attempt, admission = await self._attempts()
        outcome = Outcome.NEUTRAL
        try:
            outcome = outcome_of(attempt.status)
            if admission.probe:
                # A stream may go on for hours, and this tells that the instance answers again.
                self._settle(admission, outcome, retry_after_s(attempt.headers))
            yield self._answered(attempt)
        except UpstreamFailed as error:
            logger.warning(
                "%s at %s: %s", self._service.name, admission.instance.key, error.failed.reason
            )
            if error.failed.timed_out:
                outcome = Outcome.NEUTRAL  # a stream may be quiet for longer than is waited here
            else:
                outcome = Outcome.FAILURE
                if admission.permit.settled:
                    tell(self._service.name, admission.instance.broke_off(self._now()))
            raise
        finally:
            self._settle(admission, outcome, retry_after_s(attempt.headers))
            admission.instance.left()
            attempt.close()

    def _answered(self, attempt: UpstreamAttempt) -> ServiceAnswer:
        return ServiceAnswer(attempt.status, self._head, attempt.piece, lambda: attempt.complete)

    async def _attempts(self) -> tuple[UpstreamAttempt, Admission]:
        service, call = self._service, self._call
        retrying = Retrying(
            policy=service.spec.retry_policy, idempotent=call.idempotent, deadline=self._deadline
        )
        tried: dict[str, AttemptFailed] = {}
        for attempts in range(1, service.spec.retry_policy.max_attempts + 1):
            admission = service.choose(
                call.origin.client, self._now(), tried=tried, probe=call.idempotent
            )
            if isinstance(admission, Unavailable):
                raise missing(admission, tried)
            attempt, failed = await self._tried(admission)
            if failed is None:
                return attempt, admission
            tried[admission.instance.key] = failed
            wait_s = self._wait_s(retrying, attempts, failed, tried)
            if wait_s is None:
                if failed.status:  # what the service says itself is better than what we say of it
                    return attempt, admission
                raise given_up(failed)
            if failed.status:
                self._settle(admission, Outcome.FAILURE, failed.retry_after_s)
                admission.instance.left()
                attempt.close()
            await asyncio.sleep(wait_s)
        raise AssertionError("the policy allows no further attempt")

    def _wait_s(
        self,
        retrying: Retrying,
        attempts: int,
        failed: AttemptFailed,
        tried: dict[str, AttemptFailed],
    ) -> float | None:
        now = self._now()
        wait_s = retrying.wait_s(
            attempts,
            failed,
            another=self._service.untried(tried, now),
            now=now,
            chance=self._chance(),
        )
        if wait_s is None or not self._body.repeatable or not self._service.budget.take():
            return None
        return wait_s

    async def _tried(self, admission: Admission) -> tuple[UpstreamAttempt, AttemptFailed | None]:
        """Make one attempt. It is settled if it has no answer, and not settled if it has one."""
        outcome, attempt, answered = Outcome.NEUTRAL, None, False
        try:
            attempt = self._attempt(admission)
            await attempt.head()
            self._head = self._checked(attempt, admission)
            answered = True
        except UpstreamFailed as error:
            assert attempt is not None
            outcome = self._failure(error.failed, attempt)
            return attempt, error.failed
        except asyncio.CancelledError:
            outcome = self._left_waiting(attempt)
            raise
        finally:
            if not answered:
                self._settle(admission, outcome)
                admission.instance.left()
                if attempt is not None:
                    attempt.close()
        if attempt.status not in AGAIN:
            return attempt, None
        failed = AttemptFailed(
            Phase.HEAD,
            f"HTTP {attempt.status}",
            status=attempt.status,
            retry_after_s=retry_after_s(attempt.headers),
        )
        return attempt, failed

    def _failure(self, failed: AttemptFailed, attempt: UpstreamAttempt) -> Outcome:
        """The outcome of a failed attempt; neutral if the client left it too little time."""
        if failed.refused:
            return Outcome.NEUTRAL
        spec = self._service.spec
        limits = {Phase.CONNECT: spec.connect_timeout_s, Phase.HEAD: spec.timeout_s}
        own_s = limits.get(failed.phase)
        if failed.timed_out and own_s is not None and attempt.waited_s <= SLOW_SHARE * own_s:
            return Outcome.NEUTRAL
        return Outcome.FAILURE

    def _left_waiting(self, attempt: UpstreamAttempt | None) -> Outcome:
        """The outcome for an instance whose client leaves before there is an answer."""
        if attempt is None or attempt.phase is not Phase.HEAD:
            return Outcome.NEUTRAL
        waited_s = self._now() - attempt.asked_at
        long = waited_s > SLOW_SHARE * self._service.spec.timeout_s
        return Outcome.SLOW if long else Outcome.NEUTRAL

    def _attempt(self, admission: Admission) -> UpstreamAttempt:
        spec, endpoint = self._service.spec, admission.instance.endpoint
        call = self._call
        limit_s = max(0.001, min(spec.timeout_s, self._deadline - self._now()))
        return UpstreamAttempt(
            self._upstreams.pool(endpoint),
            spec,
            method=call.method,
            target=self._target,
            framing=call.framing,
            headers=request_head(
                call.headers,
                call.method,
                call.framing,
                call.origin,
                endpoint,
                round(limit_s * 1000),
            ),
            body=self._body,
            limit_s=limit_s,
        )

    def _checked(self, attempt: UpstreamAttempt, admission: Admission) -> Headers:
        spec = self._service.spec
        try:
            head = answer_head(
                attempt.headers,
                self._call.method,
                attempt.status,
                admission.instance.endpoint,
                self._call.origin.prefix,
            )
            if (length_of(head) or 0) > spec.max_response_bytes and self._call.method != "HEAD":
                reason = "the answer is longer than max_response_mb"
                raise UpstreamFailed(AttemptFailed(Phase.BODY, reason, refused=True))
        except RefusedAnswer as error:
            raise UpstreamFailed(AttemptFailed(Phase.BODY, str(error))) from None
        return head

    def _settle(self, admission: Admission, outcome: Outcome, after_s: float = 0.0) -> None:
        changed = admission.instance.settle(admission, outcome, self._now(), retry_after_s=after_s)
        tell(f"{self._service.name} at {admission.instance.key}", changed)


def outcome_of(status: int) -> Outcome:
    """The outcome of an answer with this status. A client can cause a 500, so it takes no instance
    out of use; servers answer 502 to 504 when they cannot serve."""
    if status in AGAIN:
        return Outcome.FAILURE
    return Outcome.NEUTRAL if status >= 500 else Outcome.SUCCESS


def missing(found: Unavailable, tried: Mapping[str, AttemptFailed]) -> NoAnswer:
    """The `NoAnswer` of a call that no instance takes, or only instances that it has `tried`."""
    if tried:
        return given_up([*tried.values()][-1])
    reason = "every instance is out of use" if found.reason == "down" else "too many calls"
    return NoAnswer(found.reason, reason, found.retry_after_s)


def given_up(failed: AttemptFailed) -> NoAnswer:
    """The `NoAnswer` of a call whose last attempt failed in this way."""
    why: Missing = "late" if failed.timed_out else "failed"
    unseen = failed.phase is Phase.CONNECT
    return NoAnswer(why, failed.reason, failed.retry_after_s, unseen=unseen)


def tell(name: str, transitions: list[Transition]) -> None:
    """Log the transitions of a breaker."""
    for one in transitions:
        logger.warning(
            "breaker of %s: from %s to %s: %s", name, one.old.value, one.new.value, one.reason
        )
