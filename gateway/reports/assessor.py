"""Evaluation of a session's answers, and its report: by a chat model if one is configured.

The model is called through its own guard and circuit breaker: a complete answer takes longer than
the first word of a reply, so the timing of one says little about the other. One deadline holds for
all questions of a call. Answers are evaluated in parallel. The offline heuristic evaluates those
that the model has not evaluated by the deadline, or not usably, and the report says so; without a
model it evaluates all.

This module does not use the store: sessions and reports are values.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ParamSpec, Protocol, TypeVar

from gateway.providers.breakers import breaker
from gateway.providers.build import options, wanted
from gateway.settings import Settings
from gateway.variables import OPENAI
from pipeline.breaker import BreakerPolicy
from pipeline.errors import (
    BudgetExceeded,
    CallerError,
    Phase,
    PipelineError,
    StageBusy,
    StageError,
    StageUnavailable,
)
from pipeline.guard import Candidate, Guard, Limits
from pipeline.stage import Message
from stages.interview import (
    AnswerEvaluation,
    AnswerSpeech,
    Evaluation,
    InterviewAnswer,
    InterviewFeedback,
    InterviewSession,
    Judge,
    Report,
    ReportLine,
    answers_of,
    bank_for,
    evaluate,
    give_feedback,
    make_report,
)
from stages.interview.evaluation import HEURISTIC, combined, language_of
from stages.llm.chat import ChatModel
from stages.registry import choose

logger = logging.getLogger("parley.assessor")

P = ParamSpec("P")
T = TypeVar("T")

DEADLINE_S = 20.0
"""How long the chat model may take for one call of `Assessor`, for all its questions together."""

PER_REPORT = 3
"""Answers of one interview that are evaluated at a time."""

AT_ONCE = 12
"""Questions to the model that are under way at a time, from all sessions of the process."""

LIMITS = Limits(first_s=15.0, slow_first_s=10.0, stall_s=1.0, total_s=15.0)
"""For one question. The answer is one item, so only the first and the total limit matter."""

POLICY = BreakerPolicy(open_s=5, open_growth=2, open_max_s=60)

_TIME_UP = "the time for it was up"
_LATE = "too slow"
_REASONS: dict[Phase, str] = {
    "connect": "no connection",
    "first": _LATE,
    "stall": _LATE,
    "total": _LATE,
    "stream": "it broke off",
    "protocol": "malformed answer",
    "empty": "empty answer",
}


class Completer(Protocol):
    """A client that completes a chat: `stages.llm.chat.ChatModel`, or a test's substitute."""

    async def complete(self, messages: Sequence[Message], schema: Mapping[str, Any]) -> str:
        """One answer, which should be JSON by `schema`. Raises `StageError`."""

    async def aclose(self) -> None:
        """Close its connections."""


class NoOpinion(PipelineError):
    """The model was not asked, or did not answer. `phase` says why, in words for a report."""

    def __init__(self, phase: str) -> None:
        super().__init__(phase)
        self.phase = phase


class Assessor:
    """Evaluates answers and makes reports. One for the process; callers may share it.

    Results of `model` have the source "model:<name>"; without a model all are heuristic.
    `deadline_s` holds for one call of a method.
    """

    def __init__(
        self,
        model: Completer | None = None,
        name: str = "",
        *,
        limits: Limits = LIMITS,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._model = model
        self._name = name
        self._deadline_s = deadline_s
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._recovery = asyncio.Lock()
        self._guard: Guard[Completer] | None = None
        if model is not None:
            provider = getattr(model, "provider", name)
            self._guard = Guard("llm", [Candidate(provider, model, breaker(POLICY), limits)])

    @classmethod
    def of(cls, settings: Settings) -> "Assessor":
        """The assessor for these settings: the chat server of the replies also judges the answers.

        With the scripted provider, or one of another package, which can only make replies, the
        assessor is heuristic. Raises `stages.registry.NoProvider`.
        """
        provider_options = options(settings)
        server = provider_options.llm_server
        if (
            choose("llm", wanted(settings)["llm"], provider_options).first.name != OPENAI
            or server is None
        ):
            return cls()
        model = ChatModel(server.url, server.model, api_key=server.key, timeout_s=LIMITS.total_s)
        return cls(model, server.model)

    @property
    def source(self) -> str:
        """The source of scores if the model answers: "model:<name>", else "heuristic"."""
        return HEURISTIC if self._model is None else f"model:{self._name}"

    async def evaluate(
        self,
        role: str,
        answers: Sequence[InterviewAnswer],
        *,
        known: Mapping[int, AnswerEvaluation] | None = None,
    ) -> Evaluation:
        """Evaluate the answers. Those in `known` (by number, from 1) keep their evaluation.

        Raises `UnknownRole`. Cancelling cancels the calls of the model.
        """
        return await self._evaluate(self._judge(), role, answers, known or {})

    async def assess(
        self,
        role: str,
        answers: Sequence[InterviewAnswer],
        *,
        known: Mapping[int, AnswerEvaluation] | None = None,
    ) -> tuple[Evaluation, InterviewFeedback]:
        """Evaluate the answers as `evaluate` does, and give feedback on them."""
        judge = self._judge()
        evaluation = await self._evaluate(judge, role, answers, known or {})
        if judge is None:
            return evaluation, await _in_thread(give_feedback, role, answers, evaluation)
        return evaluation, await judge.feedback(role, answers, evaluation)

    async def report(
        self,
        session: InterviewSession,
        *,
        speech: Mapping[int, AnswerSpeech] | None = None,
        latencies_ms: Mapping[int, float] | None = None,
        known: Mapping[int, AnswerEvaluation] | None = None,
        transcript: Sequence[ReportLine] | None = None,
        notes: Sequence[str] = (),
        candidate: str | None = None,
        session_id: str | None = None,
        created: str | None = None,
    ) -> Report:
        """The report of an interview, finished or not.

        `speech` and `latencies_ms` are passed to `answers_of`, `known` to `evaluate`, the rest to
        `make_report`.
        """
        role = session.config.role
        answers = await _in_thread(answers_of, session, speech, latencies_ms)
        evaluation, feedback = await self.assess(role, answers, known=known)
        return await _in_thread(
            make_report,
            session,
            answers,
            evaluation,
            feedback,
            transcript=transcript,
            notes=notes,
            candidate=candidate,
            session_id=session_id,
            created=created,
        )

    async def summary(
        self, role: str, answers: Sequence[InterviewAnswer], evaluation: Evaluation
    ) -> str | None:
        """A few sentences by the model, for `summary_of`. None if it gives none."""
        judge = self._judge()
        return None if judge is None else await judge.summary(role, answers, evaluation)

    async def aclose(self) -> None:
        """Close the connections to the model. Calls under way fall back to the heuristic."""
        if self._model is not None:
            await self._model.aclose()

    # --- the parts -----------------------------------------------------------------------------

    async def _evaluate(
        self,
        judge: Judge | None,
        role: str,
        answers: Sequence[InterviewAnswer],
        known: Mapping[int, AnswerEvaluation],
    ) -> Evaluation:
        if judge is None:
            found = (await _in_thread(evaluate, role, answers)).answers
            return combined(
                [known.get(entry.number, entry) for entry in found], language_of(answers)
            )
        bank_for(role)
        at_once = asyncio.Semaphore(PER_REPORT)

        async def judged(number: int, answer: InterviewAnswer) -> AnswerEvaluation:
            if number in known:
                return known[number]
            async with at_once:
                [found] = (await judge.evaluate(role, (answer,))).answers
            return replace(found, number=number)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(judged(*entry)) for entry in enumerate(answers, 1)]
        return combined([task.result() for task in tasks], language_of(answers))

    def _judge(self) -> Judge | None:
        """A judge with a deadline of `deadline_s` from now. None without a model."""
        if self._guard is None:
            return None
        until = asyncio.get_running_loop().time() + self._deadline_s
        return Judge(
            _JudgeCall(self._guard, self._at_once, self._recovery, until).complete, self._name
        )


class _JudgeCall:
    """The model's share of one call of the assessor, until a deadline.

    Once the model has failed it is not called again, which would only cost time.
    """

    def __init__(
        self,
        guard: Guard[Completer],
        at_once: asyncio.Semaphore,
        recovery: asyncio.Lock,
        until: float,
    ) -> None:
        self._guard = guard
        self._at_once = at_once
        self._recovery = recovery
        self._until = until
        self._unavailable: str | None = None

    async def complete(self, messages: Sequence[Message], schema: Mapping[str, Any]) -> str:
        """One answer of the model. Raises `NoOpinion`."""
        try:
            async with asyncio.timeout_at(self._until), self._at_once:
                if self._recovering():
                    # One question probes the breaker while the others wait for its outcome.
                    async with self._recovery:
                        if self._recovering():
                            return await self._ask(messages, schema)
                return await self._ask(messages, schema)
        except TimeoutError:
            raise NoOpinion(self._unavailable or _TIME_UP) from None

    def _recovering(self) -> bool:
        [candidate] = self._guard.candidates
        candidate.breaker.poll(asyncio.get_running_loop().time())
        return not candidate.breaker.closed

    async def _ask(self, messages: Sequence[Message], schema: Mapping[str, Any]) -> str:
        if self._unavailable is not None:
            raise NoOpinion(self._unavailable)
        budget_s = self._until - asyncio.get_running_loop().time()
        call = _asking(messages, schema)
        try:
            async with self._guard.stream(call, useful=bool, budget_s=budget_s) as stream:
                return "".join([text async for text in stream])
        except PipelineError as error:
            if self._unavailable is None:
                logger.warning("the heuristic judges in the model's place: %s", error)
                self._unavailable = _why(error)
            raise NoOpinion(self._unavailable) from error


def _asking(
    messages: Sequence[Message], schema: Mapping[str, Any]
) -> Callable[[Completer], AsyncIterator[str]]:
    """A completion as the stream of one item that a guard takes."""

    async def ask(model: Completer) -> AsyncIterator[str]:
        yield await model.complete(messages, schema)

    return ask


def _why(error: PipelineError) -> str:
    """Why there was no answer, without the server's own words, which are only logged."""
    match error:
        case NoOpinion():
            return error.phase
        case BudgetExceeded():
            return _TIME_UP
        case StageUnavailable(causes=()):
            return "it failed too often lately"
        case StageUnavailable():
            return _why(error.causes[-1])
        case StageBusy():
            return "it is at capacity"
        case CallerError():
            return "it refused the request"
        case StageError(phase="connect") if error.reason:
            return "server error"
        case StageError():
            return _REASONS[error.phase]
    return "unavailable"


async def _in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do pure work in a thread: the longest interview takes half a second."""
    return await asyncio.to_thread(work, *args, **kwargs)
