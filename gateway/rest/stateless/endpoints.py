"""The endpoints of text interviews whose state is kept by the client: `/api/v1/interviews/…`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request

from gateway.interviews.sessions import DEFAULT_MODEL
from gateway.rest.operation import Operation, ResponseSpec
from gateway.rest.problems import INVALID_COUNT, INVALID_SESSION, UNKNOWN_ROLE, of_interview
from gateway.rest.stateless import StatelessInterviews, session_of
from pipeline.stage import Message
from stages.interview import (
    InterviewConfig,
    InterviewError,
    InterviewSession,
    respond,
    start,
    summary_of,
)
from stages.interview.bank import roles
from stages.interview.model import DEFAULT_QUESTIONS, FEWEST_QUESTIONS, MOST_QUESTIONS

TAGS = ("desktop",)

MAX_SESSION_BYTES = 256 * 1024
"""The most bytes of a session and its message: fifteen answers of two thousand words each."""

MAX_MESSAGES = 200
MAX_MESSAGE = 16_000
"""Characters of one message: an answer of twenty minutes."""

Text = Annotated[str, StringConstraints(max_length=MAX_MESSAGE)]
ModelId = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,128}$")]
Role = Annotated[str, Field(description="in any case", json_schema_extra={"enum": [*roles()]})]
Count = Annotated[
    int, Field(json_schema_extra={"minimum": FEWEST_QUESTIONS, "maximum": MOST_QUESTIONS})
]


_OPENED = start(InterviewConfig("Software Engineer", "vetta-granite-2b-gguf-v4", 5)).session
_ANSWER = "I traced it to a lock in the database, and moved the slow query out of the transaction."
_ANSWERED = respond(_OPENED, _ANSWER).session
EXAMPLE = _OPENED.to_contract()


class Lenient(BaseModel):
    """Base of what desktop clients send: unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class StartRequest(Lenient):
    """The interview to be held."""

    role: Role
    model: ModelId = DEFAULT_MODEL
    totalQuestions: Count = DEFAULT_QUESTIONS


class ContractConfig(Lenient):
    """The subject of an interview."""

    role: Role
    model: ModelId
    totalQuestions: Count


class ContractMessage(Lenient):
    """One message."""

    role: Literal["system", "user", "assistant"]
    content: Text


class ContractSession(Lenient):
    """An interview after some turns. `currentQuestion` counts from 1 to `totalQuestions`."""

    config: ContractConfig
    messages: Annotated[list[ContractMessage], Field(max_length=MAX_MESSAGES)]
    currentQuestion: Annotated[
        int, Field(json_schema_extra={"minimum": 1, "maximum": MOST_QUESTIONS})
    ]
    isComplete: bool


class RespondRequest(Lenient):
    """A session as the client last received it, and the candidate's message."""

    session: ContractSession
    message: Text


class SummaryRequest(Lenient):
    """A session as the client last received it."""

    session: ContractSession


class ContractSummary(BaseModel):
    """A text for the candidate."""

    summary: str


def stateless_operations(interviews: StatelessInterviews) -> list[Operation]:
    """`start`, `respond` and `summary`. Nothing is stored: each request has the whole session."""

    async def open_one(request: Request, body: StartRequest) -> ContractSession:
        return _contract_session(await interviews.start(_config(body)))

    async def answer_in(request: Request, body: RespondRequest) -> ContractSession:
        if len(body.session.messages) > MAX_MESSAGES - 2 and not body.session.isComplete:
            raise INVALID_SESSION(f"messages: an interview has {MAX_MESSAGES} at most")
        answered = await interviews.respond(_session(body.session), body.message)
        return _contract_session(answered, body.session)

    async def sum_up(request: Request, body: SummaryRequest) -> ContractSummary:
        return ContractSummary(summary=await interviews.summary(_session(body.session)))

    return [
        Operation(
            method="POST",
            path="/api/v1/interviews/start",
            name="startDesktopInterview",
            handler=open_one,
            summary="Begin an interview",
            description="Answers within 5 s with a session and its first question, whatever"
            " services are there.",
            tags=TAGS,
            body=StartRequest,
            body_example=EXAMPLE["config"],
            answers={200: ResponseSpec("The session", ContractSession, EXAMPLE)},
            errors=(UNKNOWN_ROLE, INVALID_COUNT),
        ),
        Operation(
            method="POST",
            path="/api/v1/interviews/respond",
            name="respondInInterview",
            handler=answer_in,
            summary="Say something in an interview",
            description="Answers within 5 s with the session after it. A session that is complete"
            " comes back as it was.",
            tags=TAGS,
            body=RespondRequest,
            body_example={"session": EXAMPLE, "message": _ANSWER},
            max_body_bytes=MAX_SESSION_BYTES,
            answers={
                200: ResponseSpec("The session after it", ContractSession, _ANSWERED.to_contract())
            },
            errors=(UNKNOWN_ROLE, INVALID_COUNT, INVALID_SESSION),
        ),
        Operation(
            method="POST",
            path="/api/v1/interviews/summary",
            name="summariseInterview",
            handler=sum_up,
            summary="Sum an interview up",
            tags=TAGS,
            body=SummaryRequest,
            body_example={"session": _ANSWERED.to_contract()},
            max_body_bytes=MAX_SESSION_BYTES,
            answers={200: ResponseSpec("The summary", ContractSummary, summary_of(_ANSWERED))},
            errors=(UNKNOWN_ROLE, INVALID_COUNT, INVALID_SESSION),
        ),
    ]


def _config(sent: StartRequest | ContractConfig) -> InterviewConfig:
    try:
        return InterviewConfig(sent.role, sent.model, sent.totalQuestions)
    except InterviewError as error:
        raise of_interview(error) from None


def _session(sent: ContractSession) -> InterviewSession:
    config = _config(sent.config)
    messages = [Message(line.role, line.content) for line in sent.messages]
    try:
        return session_of(config, messages, sent.currentQuestion, sent.isComplete)
    except InterviewError as error:
        raise of_interview(error) from None


def _contract_session(
    session: InterviewSession, sent: ContractSession | None = None
) -> ContractSession:
    """The session for the client. The messages of the session `sent` are reused."""
    known = [] if sent is None else sent.messages
    new = session.messages[len(known) :]
    config = session.config
    return ContractSession.model_construct(
        config=ContractConfig.model_construct(
            role=config.role, model=config.model, totalQuestions=config.total_questions
        ),
        messages=[
            *known,
            *(ContractMessage.model_construct(role=m.role, content=m.content) for m in new),
        ],
        currentQuestion=session.current_question,
        isComplete=session.is_complete,
    )
