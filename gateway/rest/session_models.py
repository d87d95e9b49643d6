"""The request and response bodies of the endpoints of sessions."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from gateway.interviews.recordings import RecordingList
from gateway.interviews.sessions import Evaluating, Mode
from gateway.protocols.tool_wish import ToolWishes
from gateway.rest.access import Credential
from gateway.rest.reading import Body, Query
from stages.interview.bank import roles
from stages.interview.model import DEFAULT_QUESTIONS, FEWEST_QUESTIONS, MOST_QUESTIONS

Model = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,128}$")]
Role = Annotated[str, Field(description="in any case", json_schema_extra={"enum": [*roles()]})]

COUNT: dict[str, Any] = {
    "type": "integer",
    "minimum": FEWEST_QUESTIONS,
    "maximum": MOST_QUESTIONS,
}

Language = Annotated[
    str,
    Field(
        description="a language tag such as de or de-DE, or auto to find what is spoken; left out,"
        " the server's language",
        json_schema_extra={"examples": ["de", "auto"]},
    ),
]


class LanguageNotice(BaseModel):
    """Something that the session's language lacks here: speech in it, or an interviewer."""

    code: Literal["no_recogniser", "no_voice", "no_interviewer"]
    message: str


class NewConsent(Body):
    """Whether spoken answers may be kept, and by whose consent."""

    consent: bool
    by: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
        Field(description="the candidate's name, or a note on how consent was given"),
    ]


class NewSession(Body):
    """The interview to be held."""

    role: Role
    model: Annotated[Model | None, Field(description="left out, the gateway chooses")] = None
    total_questions: Annotated[Any, Field(alias="totalQuestions", json_schema_extra=COUNT)] = (
        DEFAULT_QUESTIONS
    )
    mode: Mode = "voice"
    evaluation: Annotated[
        Evaluating, Field(description="collect answers, or evaluate each as it is submitted")
    ] = "collect"
    recording: Annotated[
        NewConsent | None, Field(description="left out, no answer's sound is kept")
    ] = None
    language: Language | None = None
    tools: Annotated[
        ToolWishes, Field(description="functions that replies may call (docs/tools.md)")
    ] = Field(default_factory=list)


class ShownConsent(BaseModel):
    """Consent to recording: by whom, when, and when it was withdrawn, if it was. Times are UTC."""

    by: str
    at: str
    withdrawn: str | None

    @classmethod
    def of(cls, known: RecordingList) -> "ShownConsent | None":
        """The consent for a response, None without one."""
        if known.consent is None:
            return None
        taken_back = known.withdrawn_at
        return cls(
            by=known.consent.by,
            at=utc(known.consent.at),
            withdrawn=None if taken_back is None else utc(taken_back),
        )


class SessionSummary(BaseModel):
    """The subject of a session. `created` is UTC."""

    session_id: str
    role: str
    model: str
    totalQuestions: int
    mode: Mode
    created: str
    language: Annotated[str, Field(description="a code, or auto")]


class MadeSession(SessionSummary):
    """A new session, the URL of its WebSocket, and the seconds that it is kept unused."""

    ws_url: str
    expires_in: int
    notices: Annotated[
        list[LanguageNotice], Field(description="what its language lacks here, usually nothing")
    ]
    access: Annotated[Credential | None, Field(exclude_if=lambda a: a is None)] = None


class Progress(BaseModel):
    """The progress of an interview; questions count from 1."""

    currentQuestion: int
    totalQuestions: int
    isComplete: bool


class ShownSession(SessionSummary):
    """A session. `interview` is null until its first question."""

    live: Annotated[bool, Field(description="whether it is live now")]
    finished: Annotated[bool, Field(description="whether it is kept until it is deleted")]
    version: Annotated[int, Field(description="grows with every change")]
    interview: Progress | None
    recording: Annotated[ShownConsent | None, Field(description="null where no sound is kept")] = (
        None
    )


class SessionPage(BaseModel):
    """Sessions, newest first."""

    sessions: list[SessionSummary]
    next: Annotated[str | None, Field(description="the cursor of the next page, null at the end")]


class PageQuery(Query):
    """The requested part of a list."""

    limit: Annotated[int, Field(ge=1, le=100, description="sessions on a page")] = 20
    cursor: Annotated[
        str | None, Field(pattern=r"^[0-9]{1,18}$", description="`next` of the page before")
    ] = None


def utc(at: float) -> str:
    """Seconds since the epoch as UTC in ISO 8601."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
