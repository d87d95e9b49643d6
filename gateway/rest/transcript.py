"""The transcript of a session so far: `GET /api/sessions/{id}/transcript`."""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, Field
from starlette.requests import Request

from gateway.interviews.service import InterviewService
from gateway.rest.interview_kinds import etag, refusing
from gateway.rest.operation import HttpReply, Operation, ResponseSpec
from gateway.rest.problems import NO_SUCH_SESSION, STORE_UNAVAILABLE
from gateway.rest.sessions import TAGS, session_id_of
from stages.interview.report import transcript_of


class ShownLine(BaseModel):
    """One speaker's words, as far as they were heard. `interrupted`: they were cut off there."""

    speaker: Literal["interviewer", "candidate"]
    text: str
    interrupted: bool


class ShownTranscript(BaseModel):
    """The conversation of a session, oldest line first; without lines if it has not begun."""

    session_id: str
    version: Annotated[int, Field(description="the session's")]
    lines: list[ShownLine]


def transcript_operation(interviews: Callable[[], InterviewService]) -> Operation:
    """The endpoint, served by the interview service of the process."""

    async def transcript(request: Request) -> HttpReply:
        with refusing():
            state = await interviews().written.state(session_id_of(request))
        said = () if state.interview is None else transcript_of(state.interview)
        lines = [
            ShownLine(speaker=line.speaker, text=line.text, interrupted=line.interrupted)
            for line in said
        ]
        body = ShownTranscript(session_id=state.record.id, version=state.version, lines=lines)
        return HttpReply(body, 200, etag(state.version))

    return Operation(
        method="GET",
        path="/api/sessions/{id}/transcript",
        name="getTranscript",
        handler=transcript,
        summary="Get what was said so far",
        description="Also while the session is live: a client that has lost its line sees here"
        " which answers have arrived.",
        tags=TAGS,
        answers={200: ResponseSpec("The lines", ShownTranscript, headers={"ETag": "the version"})},
        errors=(NO_SUCH_SESSION, STORE_UNAVAILABLE),
    )
