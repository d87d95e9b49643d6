"""The state of a written interview between two requests, and the outcome of an answer.

::

    OutOfOrder            code
    ├── NotStarted        the interview has no first question yet
    ├── Completed         the interview is over
    ├── NothingAnswered   there is no answer to evaluate
    └── TooManyTurns      the interview has reached the greatest number of messages
"""

from dataclasses import dataclass

from gateway.interviews.sessions import SessionRecord
from gateway.interviews.transcripts import Via
from stages.interview import (
    AnswerEvaluation,
    AnswerSpeech,
    Intent,
    InterviewSession,
    answers_of,
    resume,
)
from stages.interview.bank import is_follow_up

MOST_MESSAGES = 300
"""The most messages of an interview: enough for fifteen answers and many requests to repeat."""

COUNTED: tuple[Intent, ...] = ("ask", "follow_up", "skip", "close")
"""The interviewer's intents after words that count as an answer."""


class OutOfOrder(Exception):
    """The request does not fit the interview's current state. `code` is for programs."""

    code = "out_of_order"


class NotStarted(OutOfOrder):
    code = "not_started"

    def __str__(self) -> str:
        return "The interview has not been started"


class Completed(OutOfOrder):
    code = "interview_complete"

    def __str__(self) -> str:
        return "The interview is over"


class NothingAnswered(OutOfOrder):
    code = "nothing_answered"

    def __str__(self) -> str:
        return "No question has been answered yet"


class TooManyTurns(OutOfOrder):
    code = "too_many_turns"

    def __str__(self) -> str:
        return f"The interview has come to {MOST_MESSAGES} messages: end it"


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """The question that waits for an answer. `number` counts from 1.

    `said` is the interviewer's whole message, with the greeting or a remark on the last answer.
    """

    number: int
    text: str
    said: str
    prompt_id: str | None
    follow_up: bool


@dataclass(frozen=True, slots=True)
class Given:
    """An answer: typed, or recognised from an upload; recognition took `latency_ms`.

    `truncated`: the end of the upload was missing. `lost_ms`: so much of it could not be read, not
    counting the end.
    """

    text: str
    speech: AnswerSpeech | None = None
    latency_ms: float | None = None
    truncated: bool = False
    lost_ms: int = 0

    @property
    def via(self) -> Via:
        return "typed" if self.speech is None else "upload"


@dataclass(frozen=True, slots=True)
class InterviewState:
    """A stored session with its version. `interview` is None until the first question."""

    record: SessionRecord
    version: int
    interview: InterviewSession | None

    @property
    def begun(self) -> InterviewSession:
        """The interview. Raises `NotStarted`."""
        if self.interview is None:
            raise NotStarted
        return self.interview


@dataclass(frozen=True, slots=True)
class Submitted:
    """The outcome of a submitted answer.

    `number` is the number of the answered question, `intent` what the interviewer decided to do,
    and `reply` its words.
    """

    state: InterviewState
    given: Given
    number: int
    intent: Intent
    reply: str

    @property
    def counted(self) -> bool:
        """Whether the words were an answer rather than, say, a request to repeat the question."""
        return self.intent in COUNTED


@dataclass(frozen=True, slots=True)
class SubmitOutcome:
    """A submitted answer and, if the session evaluates answers at once, its evaluation."""

    submitted: Submitted
    evaluation: AnswerEvaluation | None = None


def answered(state: InterviewState) -> bool:
    """Whether a question has been answered or skipped. Raises `NotStarted`."""
    interview = state.begun
    return interview.current_question > 1 or bool(interview.is_complete and answers_of(interview))


def question_of(state: InterviewState) -> AskedQuestion | None:
    """The question that waits for an answer, None if the interview is over.

    Raises `NotStarted`.
    """
    interview = state.begun
    if interview.is_complete:
        return None
    text = resume(interview).say[-1]
    last = interview.messages[-1] if interview.messages else None
    said = last.content if last is not None and last.role == "assistant" else ""
    known = len(interview.asked) == interview.current_question
    prompt_id = interview.asked[-1] if known else None
    return AskedQuestion(
        interview.current_question,
        text,
        said if text in said else text,
        prompt_id,
        prompt_id is not None and is_follow_up(prompt_id),
    )
