"""The backend of an interview in writing: its protocol, and the one in this process.

The local backend uses the store of the settings and the code that serves the requests of `parley
serve`: an interview begun in one can be resumed in the other.
"""

from dataclasses import dataclass
from typing import Protocol

from gateway.commands.terminal import FAILED, CommandFailed
from gateway.interviews.kept_reports import KeptReports
from gateway.interviews.sessions import (
    DEFAULT_MODEL,
    NoSuchSession,
    SessionOwner,
    SessionTaken,
    create,
)
from gateway.interviews.state import Given, InterviewState, OutOfOrder, question_of
from gateway.interviews.written import WrittenInterviews
from gateway.reports.assessor import Assessor
from gateway.settings import Settings
from gateway.store import Conflict, Store, StoreError, store_at
from stages.interview import InterviewConfig, InterviewError, Report
from stages.interview.languages import default_language, interviewers
from stages.interview.model import DEFAULT_QUESTIONS
from stages.registry import NoProvider

DEFAULT_ROLE = "Software Engineer"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The interview that was asked for: a new one, or that of the session `resume`."""

    role: str | None = None
    questions: int | None = None
    model: str | None = None
    resume: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class InterviewView:
    """The state of an interview. `said` is the interviewer's last text.

    Question `number` of `total` waits for an answer, unless the interview `is_complete`.
    """

    session_id: str
    role: str
    number: int
    total: int
    said: str
    is_complete: bool

    @property
    def answered(self) -> int:
        """The number of answered questions, if the interview was not ended early."""
        return self.total if self.is_complete else self.number - 1


class InterviewBackend(Protocol):
    """Holds one interview. Every method raises `CommandFailed` if it cannot go on."""

    @property
    def where(self) -> str:
        """The backend in words, such as "with the gateway at http://127.0.0.1:8000"."""

    @property
    def option(self) -> str:
        """The option with its value that `--resume` needs to find this backend again, or ""."""

    @property
    def judge(self) -> str | None:
        """The name of the evaluator; None if unknown."""

    async def open(self, wanted: Wanted) -> InterviewView:
        """Begin the interview, or go on with it."""

    async def submit(self, text: str) -> InterviewView:
        """Answer the last question."""

    async def report(self) -> Report:
        """End the interview at its present question, evaluate it, and return its report."""

    async def aclose(self) -> None:
        """Release the backend. The session is not changed."""


class LocalBackend:
    """In this process, with the store and the model that the settings name."""

    def __init__(self, settings: Settings, why: str) -> None:
        self._settings = settings
        try:
            self._assessor = Assessor.of(settings)
            self._store: Store = store_at(settings.database, settings.redis_url)
        except (NoProvider, StoreError) as error:
            raise CommandFailed(str(error)) from None
        self._interviews = WrittenInterviews(self._store, SessionOwner.here())
        self._reports = KeptReports(self._store, self._assessor)
        self._state: InterviewState | None = None
        kept = settings.database if settings.redis_url is None else "Redis"
        self.where = f"in this process ({why}); it is kept in {kept}"
        self.option = ""
        self.judge: str | None = self._assessor.source

    async def open(self, wanted: Wanted) -> InterviewView:
        try:
            session_id = wanted.resume or await self._create(wanted)
            state = await self._interviews.state(session_id)
            if state.interview is None or not state.interview.is_complete:
                state = await self._interviews.start(session_id)
        except InterviewError as error:
            raise CommandFailed(str(error)) from None
        except NoSuchSession as error:
            raise CommandFailed(
                f"{error}; unfinished ones are kept for {self._settings.session_ttl_s} s"
            ) from None
        except (SessionTaken, StoreError) as error:
            raise CommandFailed(str(error)) from None
        question = question_of(state)
        said = "" if question is None else question.said
        return self._view(state, said)

    async def submit(self, text: str) -> InterviewView:
        assert self._state is not None
        try:
            submitted = await self._interviews.submit(self._state, Given(text))
        except Conflict:
            raise CommandFailed("somebody else has answered in this session", FAILED) from None
        except (OutOfOrder, SessionTaken, StoreError) as error:
            raise CommandFailed(str(error), FAILED) from None
        return self._view(submitted.state, submitted.reply)

    async def report(self) -> Report:
        assert self._state is not None
        try:
            state = await self._interviews.end(self._state)
            return await self._reports.report(state)
        except Conflict:
            raise CommandFailed("somebody else has gone on with this session", FAILED) from None
        except (SessionTaken, StoreError) as error:
            raise CommandFailed(str(error), FAILED) from None

    async def aclose(self) -> None:
        await self._assessor.aclose()
        await self._store.aclose()

    async def _create(self, wanted: Wanted) -> str:
        language = wanted.language or default_language(self._settings.stt_language)
        config = InterviewConfig(
            wanted.role or DEFAULT_ROLE,
            wanted.model or DEFAULT_MODEL,
            DEFAULT_QUESTIONS if wanted.questions is None else wanted.questions,
            interviewers(language),
        )
        ttl_s = self._settings.session_ttl_s
        record, _ = await create(self._store, config, mode="text", ttl_s=ttl_s, language=language)
        return record.id

    def _view(self, state: InterviewState, said: str) -> InterviewView:
        self._state = state
        interview = state.begun
        return InterviewView(
            state.record.id,
            state.record.role,
            interview.current_question,
            interview.config.total_questions,
            said,
            interview.is_complete,
        )
