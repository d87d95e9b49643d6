"""What a session's answers were worth, and its report: by a chat model where one is configured.

The model is asked through a guard and a circuit breaker of its own: a whole answer takes longer
than the first word of a reply, so one says little about the other. Everything together has one
deadline. Answers are judged side by side; what the model has not judged by then, or judges wrongly,
the offline heuristic does, and the report says so. Without a model the heuristic does all of it.

Nothing here reads or writes the store: sessions come in as values, reports go out as values.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ParamSpec, Protocol, TypeVar

from gateway.providers.build import options, wanted
from gateway.settings import OPENAI, Settings
from pipeline.breaker import Breaker, BreakerPolicy
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
from stages.interview.evaluation import HEURISTIC, combined
from stages.llm.chat import ChatModel
from stages.registry import choose

logger = logging.getLogger("parley.assessor")

P = ParamSpec("P")
T = TypeVar("T")

DEADLINE_S = 20.0
"""How long the chat model may take for one call of `Assessor`, all its questions together."""

PER_REPORT = 3
"""So many answers of one interview are judged at a time."""

AT_ONCE = 12
"""So many questions are before the model at a time, from all sessions of the process."""

LIMITS = Limits(first_s=15.0, slow_first_s=10.0, stall_s=1.0, total_s=15.0)
"""Of one question. The answer comes as one item, so only its first and total time count."""

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
    """What is asked: `stages.llm.chat.ChatModel`, or a test's."""

    async def complete(self, messages: Sequence[Message], schema: Mapping[str, Any]) -> str:
        """One answer, which should be JSON by `schema`. Raises `StageError`."""

    async def aclose(self) -> None:
        """Give up what it holds."""


class NoOpinion(PipelineError):
    """The model was not asked, or did not answer. `phase` says why, in words for a report."""

    def __init__(self, phase: str) -> None:
        super().__init__(phase)
        self.phase = phase


class Assessor:
    """Evaluates, tells and reports. One for the process; any number of callers share it.

    `model` stands behind `name` and goes by that name in sources, "model:<name>"; without it all is
    heuristic. `deadline_s` is for one call of a method here.
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
            self._guard = Guard("llm", [Candidate(provider, model, Breaker(POLICY), limits)])

    @classmethod
    def of(cls, settings: Settings) -> "Assessor":
        """The one that the settings ask for: whoever words the replies also judges the answers.

        A provider of another package only words replies; then, and with the scripted one, the
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
        """Where scores come from if all goes well: "model:<name>" or "heuristic"."""
        return HEURISTIC if self._model is None else f"model:{self._name}"

    async def evaluate(
        self,
        role: str,
        answers: Sequence[InterviewAnswer],
        *,
        known: Mapping[int, AnswerEvaluation] | None = None,
    ) -> Evaluation:
        """Evaluate the answers, those in `known` (by their number, from 1) excepted: they stay.

        Raises `UnknownRole`. Cancelling cancels what the model is asked.
        """
        return await self._evaluate(self._judge(), role, answers, known or {})

    async def assess(
        self,
        role: str,
        answers: Sequence[InterviewAnswer],
        *,
        known: Mapping[int, AnswerEvaluation] | None = None,
    ) -> tuple[Evaluation, InterviewFeedback]:
        """Evaluate the answers as `evaluate` does, and say what to make of it."""
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

        `speech` and `latencies_ms` are for `answers_of`, `known` for `evaluate`, the rest for
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
        """A few sentences of the model's, for `summary_of`. None where it gives none."""
        judge = self._judge()
        return None if judge is None else await judge.summary(role, answers, evaluation)

    async def aclose(self) -> None:
        """Close the connections to the model. What is under way becomes heuristic."""
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
            return combined([known.get(entry.number, entry) for entry in found])
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
        return combined([task.result() for task in tasks])

    def _judge(self) -> Judge | None:
        """A judge who has from now until the deadline. None without a model."""
        if self._guard is None:
            return None
        until = asyncio.get_running_loop().time() + self._deadline_s
        return Judge(
            _JudgeCall(self._guard, self._at_once, self._recovery, until).complete, self._name
        )


class _JudgeCall:
    """What is asked of the model for one call of the assessor, until a deadline.

    Once the model cannot be reached it is not asked again: what it would cost is the wait.
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
        """One answer of the model's. Raises `NoOpinion`."""
        try:
            async with asyncio.timeout_at(self._until), self._at_once:
                if self._recovering():
                    # One question finds out for all of them, instead of their being refused.
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
    """Why there was no answer, without what a server said: that is for the log."""
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
        case StageError():
            return _REASONS[error.phase]
    return "unavailable"


async def _in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do pure work in a thread: an interview of the greatest length takes half a second."""
    return await asyncio.to_thread(work, *args, **kwargs)
