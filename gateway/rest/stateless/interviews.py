"""Text interviews whose whole state is kept by the client: the stateless desktop API, without HTTP.

Each turn is worded by the first upstream that can: the services of the contract, then chat models,
each behind its circuit breaker, and last the scripted interviewer, which always can. Only
`stages.interview` decides which answer counts, which question is due and when the interview is over
(see `gateway.rest.stateless.proposals`).
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import lru_cache
from typing import Literal, Protocol, TypeVar, cast

from gateway.providers.breakers import breaker
from gateway.rest.stateless.proposals import StatelessTurn
from gateway.rest.stateless.upstreams import Upstream
from pipeline.breaker import BreakerPolicy
from pipeline.errors import PipelineError, StageError
from pipeline.guard import Candidate, Guard, Limits
from pipeline.stage import Message
from stages.interview import (
    InterviewConfig,
    InterviewSession,
    Step,
    bank_for,
    respond,
    start,
    summary_of,
)

logger = logging.getLogger("parley.desktop")

T = TypeVar("T")

Operation = Literal["start", "respond", "summary"]

TOTAL_S = 4.25
"""How long all upstreams may take together: the contract's 5 s less the quarter of a second that
the guard gives a stream to close, the first request for the models, and a reserve."""

LEAST_S = 0.2
"""With less time left no further upstream is asked."""

SERVICE_LIMITS = Limits(first_s=3.0, slow_first_s=2.0, total_s=3.0)
"""The contract gives the interview service 3 s."""

CHAT_LIMITS = Limits(first_s=4.0, slow_first_s=3.0, total_s=4.0)
"""For a complete turn of a chat model, not its first word."""

POLICY = BreakerPolicy(consecutive_failures=3, open_s=5, open_growth=2, open_max_s=60)
"""Another upstream answers meanwhile, so it costs little to open the breaker soon and to try again
soon: the default addresses of the services often have no server."""

_LINES_KEPT = 2_048
_LONGEST_LINE_KEPT = 1_000


def session_of(
    config: InterviewConfig, messages: Iterable[Message], current: int, complete: bool
) -> InterviewSession:
    """A session that a client sent back; the asked questions are found in its messages.

    Raises `InvalidSession` if `current` is not a valid question number.
    """
    said = tuple(messages)
    asked: dict[str, None] = {}
    for message in said:
        if message.role == "assistant":
            line = message.content
            find = _asked_kept if len(line) <= _LONGEST_LINE_KEPT else _asked
            asked.update(dict.fromkeys(find(config.role, line)))
    return InterviewSession(config, said, current, complete, tuple(asked)[-max(1, current) :])


def _asked(role: str, line: str) -> tuple[str, ...]:
    return bank_for(role).asked_in([line])


_asked_kept = lru_cache(_LINES_KEPT)(_asked)
"""A cache, because every request of an interview repeats all earlier lines."""


class LocalUpstream(Upstream, Protocol):
    """An upstream that can answer only for the models that it has installed."""

    async def can(self, model: str) -> bool: ...


class StatelessInterviews:
    """The three operations. Failures of upstreams raise nothing; each takes at most `TOTAL_S`.

    `services` lists the upstreams of each operation, best first. `chats` gives those that are asked
    after them; it is called with the first requests. `local` is asked last, for the sessions whose
    model it has.
    """

    def __init__(
        self,
        services: Mapping[Operation, Sequence[Upstream]],
        chats: Callable[[], Sequence[Upstream]] = tuple,
        local: LocalUpstream | None = None,
    ) -> None:
        self._services = services
        self._chats = chats
        self._local = local
        self._guards: dict[tuple[Operation, bool], Guard[Upstream] | None] = {}

    async def start(self, config: InterviewConfig) -> InterviewSession:
        """A new interview, with its first question."""
        turn = StatelessTurn(start(config))
        said = await self._first("start", config.model, lambda upstream: upstream.say(turn))
        return turn.step.session if said is None else said

    async def respond(self, session: InterviewSession, message: str) -> InterviewSession:
        """The session after the candidate's message. A complete session is returned unchanged."""
        if session.is_complete:
            return session
        turn = StatelessTurn(
            _verbatim(respond(session, message), session, message), session, message
        )
        model = session.config.model
        said = await self._first("respond", model, lambda upstream: upstream.say(turn))
        return turn.step.session if said is None else said

    async def summary(self, session: InterviewSession) -> str:
        """The summary for the candidate at the end."""
        model = session.config.model
        text = await self._first("summary", model, lambda upstream: upstream.summarise(session))
        if text is None:  # slow for a long interview, so in a thread
            return (await asyncio.to_thread(summary_of, session))["summary"]
        return text

    async def _first(
        self, operation: Operation, model: str, call: Callable[[Upstream], AsyncIterator[T]]
    ) -> T | None:
        """The first usable answer of an upstream; None if none gives one in time."""
        began = asyncio.get_running_loop().time()
        local = self._local is not None and await self._local.can(model)
        guard = self._guard(operation, local)
        if guard is None:
            return None
        left_s = TOTAL_S - (asyncio.get_running_loop().time() - began)
        try:
            async with guard.stream(
                lambda upstream: _logged(operation, upstream.provider, call(upstream)),
                useful=_anything,
                budget_s=left_s,
                min_first_s=LEAST_S,
            ) as answers:
                return await anext(answers)
        except PipelineError:  # logged where it happened
            return None

    def _guard(self, operation: Operation, local: bool) -> Guard[Upstream] | None:
        """The guard of the upstreams for an operation, None without upstreams."""
        if (operation, local) not in self._guards:
            some = [_candidate(u, SERVICE_LIMITS) for u in self._services[operation]]
            some += [_candidate(chat, CHAT_LIMITS) for chat in self._chats()]
            self._guards[operation, False] = Guard("llm", some) if some else None
            if self._local is not None:
                some.append(_candidate(self._local, CHAT_LIMITS))
                self._guards[operation, True] = Guard("llm", some)
        return self._guards[operation, local]


def _verbatim(step: Step, before: InterviewSession, message: str) -> Step:
    """The step with the typed message unchanged, line breaks included, if the step keeps it."""
    at = len(before.messages)
    messages = step.session.messages
    if messages[at].role != "user":
        return step
    typed = (*messages[:at], Message("user", message), *messages[at + 1 :])
    return replace(step, session=replace(step.session, messages=typed))


def _candidate(upstream: Upstream, limits: Limits) -> Candidate[Upstream]:
    return Candidate(upstream.provider, upstream, breaker(POLICY), limits)


def _anything(item: object) -> bool:
    return True


async def _logged(operation: Operation, provider: str, items: AsyncIterator[T]) -> AsyncIterator[T]:
    """The items; a failure is logged, and never shown to the client."""
    began = asyncio.get_running_loop().time()
    try:
        async with aclosing(cast("AsyncGenerator[T, None]", items)):
            async for item in items:
                yield item
    except PipelineError as error:
        # Most deployments have none of these services, so a refused connection is no warning.
        absent = isinstance(error, StageError) and error.phase == "connect"
        logger.log(logging.INFO if absent else logging.WARNING, "%s: %s", operation, error)
        raise
    except asyncio.CancelledError:
        waited_s = asyncio.get_running_loop().time() - began
        logger.warning("%s: %s was given up after %.1f s", operation, provider, waited_s)
        raise
