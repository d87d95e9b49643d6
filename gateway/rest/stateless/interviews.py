"""Text interviews whose whole state is with the client: the stateless desktop API, without HTTP.

Whoever is first able to words each turn: the services of the contract, then chat models, each
behind its circuit breaker, and always the scripted interviewer. What counts, which question is due
and when it is over is decided by `stages.interview` alone (see `gateway.rest.stateless.proposals`).
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import lru_cache
from typing import Literal, Protocol, TypeVar, cast

from gateway.rest.stateless.proposals import StatelessTurn
from gateway.rest.stateless.upstreams import Upstream
from pipeline.breaker import Breaker, BreakerPolicy
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
"""What all who are asked may take together. The contract's 5 s less the quarter of a second that
the guard gives a stream to close, the first look at the models, and a reserve."""

LEAST_S = 0.2
"""With less time left nobody is asked any more."""

SERVICE_LIMITS = Limits(first_s=3.0, slow_first_s=2.0, total_s=3.0)
"""The contract gives the interview service 3 s."""

CHAT_LIMITS = Limits(first_s=4.0, slow_first_s=3.0, total_s=4.0)
"""A whole turn of a chat model, not its first word."""

POLICY = BreakerPolicy(consecutive_failures=3, open_s=5, open_growth=2, open_max_s=60)
"""Somebody else answers meanwhile, so little is lost by trying again soon, or by giving up soon:
the defaults of the services' addresses point at ports where often nobody listens."""

_LINES_KEPT = 2_048
_LONGEST_LINE_KEPT = 1_000


def session_of(
    config: InterviewConfig, messages: Iterable[Message], current: int, complete: bool
) -> InterviewSession:
    """A session that a client sent back; what was asked is found in what the interviewer said.

    Raises `InvalidSession` for a `current` question that cannot be.
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
"""Every request of an interview has all lines of those before."""


class LocalUpstream(Upstream, Protocol):
    """Somebody who can answer only for the models that are installed."""

    async def can(self, model: str) -> bool: ...


class StatelessInterviews:
    """The three operations. They never raise for what upstreams do, and take `TOTAL_S` at most.

    `services` lists, for each operation, who is asked, best first. `chats` gives those to be asked
    after them; it is called when the first requests come. `local` is asked last, for the sessions
    that it can answer for.
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
        """The session after the candidate's message. One that is complete stays as it is."""
        if session.is_complete:
            return session
        turn = StatelessTurn(
            _verbatim(respond(session, message), session, message), session, message
        )
        model = session.config.model
        said = await self._first("respond", model, lambda upstream: upstream.say(turn))
        return turn.step.session if said is None else said

    async def summary(self, session: InterviewSession) -> str:
        """What to tell the candidate at the end."""
        model = session.config.model
        text = await self._first("summary", model, lambda upstream: upstream.summarise(session))
        if text is None:  # of a long interview this takes a while
            return (await asyncio.to_thread(summary_of, session))["summary"]
        return text

    async def _first(
        self, operation: Operation, model: str, call: Callable[[Upstream], AsyncIterator[T]]
    ) -> T | None:
        """The first usable answer; None where nobody gives one in time."""
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
        """Who is asked, in order; None for nobody."""
        if (operation, local) not in self._guards:
            some = [_candidate(u, SERVICE_LIMITS) for u in self._services[operation]]
            some += [_candidate(chat, CHAT_LIMITS) for chat in self._chats()]
            self._guards[operation, False] = Guard("llm", some) if some else None
            if self._local is not None:
                some.append(_candidate(self._local, CHAT_LIMITS))
                self._guards[operation, True] = Guard("llm", some)
        return self._guards[operation, local]


def _verbatim(step: Step, before: InterviewSession, message: str) -> Step:
    """The step with what was typed as it was typed, line breaks included, where it is kept."""
    at = len(before.messages)
    messages = step.session.messages
    if messages[at].role != "user":
        return step
    typed = (*messages[:at], Message("user", message), *messages[at + 1 :])
    return replace(step, session=replace(step.session, messages=typed))


def _candidate(upstream: Upstream, limits: Limits) -> Candidate[Upstream]:
    return Candidate(upstream.provider, upstream, Breaker(POLICY), limits)


def _anything(item: object) -> bool:
    return True


async def _logged(operation: Operation, provider: str, items: AsyncIterator[T]) -> AsyncIterator[T]:
    """The items; who gave none is told to whoever reads the log, never to the client."""
    began = asyncio.get_running_loop().time()
    try:
        async with aclosing(cast("AsyncGenerator[T, None]", items)):
            async for item in items:
                yield item
    except PipelineError as error:
        # Most deployments have none of these services: that nobody listens there is no event.
        absent = isinstance(error, StageError) and error.phase == "connect"
        logger.log(logging.INFO if absent else logging.WARNING, "%s: %s", operation, error)
        raise
    except asyncio.CancelledError:
        waited_s = asyncio.get_running_loop().time() - began
        logger.warning("%s: %s was given up after %.1f s", operation, provider, waited_s)
        raise
