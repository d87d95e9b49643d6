"""Written interviews: `/api/sessions/{id}/start`, `/next`, `/evaluate`, `/end` and `/report`.

Answers are in `gateway.rest.answering`, events in `gateway.rest.watching`.
"""

from asyncio import to_thread
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.interviews.recordings import recordings_of
from gateway.interviews.service import InterviewService
from gateway.interviews.state import InterviewState, NothingAnswered, answered, question_of
from gateway.reports.page import page
from gateway.rest.answering import answer_operations
from gateway.rest.interview_kinds import (
    COMPLETE,
    NOT_STARTED,
    NOTHING_ANSWERED,
    check_version,
    etag,
    refusing,
    wanted_version,
)
from gateway.rest.interview_models import (
    Ended,
    EvaluationBody,
    ReportBody,
    ReportQuery,
    Summary,
    Turn,
    WithAudio,
    with_audio,
)
from gateway.rest.once import Once
from gateway.rest.operation import JSON, HttpReply, Operation, ResponseSpec, negotiate
from gateway.rest.problems import CONFLICT, NO_SUCH_SESSION, SESSION_LIVE, STORE_UNAVAILABLE
from gateway.rest.recordings import Recordings, sound_for_page
from gateway.rest.sending import DOWNLOADS_FULL, Outgoing, Sent
from gateway.rest.session_models import Progress
from gateway.rest.sessions import HOST, TAGS, session_id_of
from gateway.rest.transcript import transcript_operation
from gateway.rest.watching import watch_operation
from gateway.store import Store
from stages.interview import Report, spoken_summary
from stages.interview.markdown import markdown

MARKDOWN, HTML = "text/markdown", "text/html"
FORMS = {"json": JSON, "markdown": MARKDOWN, "html": HTML}

FRAMING = "frame-ancestors 'none'"
"""Browsers accept this in a header only; the rest of its policy is in the page itself."""

STORED = (NO_SUCH_SESSION, STORE_UNAVAILABLE)
CHANGING = (*STORED, SESSION_LIVE, CONFLICT)


def interview_operations(
    interviews: Callable[[], InterviewService], store: Store, ttl_s: int, max_mb: int
) -> list[Operation]:
    """All endpoints of written interviews, served by the interview service of the process."""
    once = Once(store, ttl_s)
    outgoing = Outgoing()

    async def start(request: Request, query: WithAudio) -> HttpReply:
        with refusing():
            wanted = wanted_version(request)
            if wanted is not None:
                check_version(await interviews().written.state(session_id_of(request)), wanted)
            return await _turn(
                interviews(), await interviews().written.start(session_id_of(request)), query
            )

    async def following(request: Request, query: WithAudio) -> HttpReply:
        with refusing():
            return await _turn(
                interviews(), await interviews().written.state(session_id_of(request)), query
            )

    async def evaluate(request: Request) -> HttpReply:
        with refusing():
            state = await interviews().written.state(session_id_of(request))
            if not answered(state):
                raise NothingAnswered
            report = await interviews().reports.report(state)
        found = {key: value for key, value in report.to_json().items() if key != "transcript"}
        return HttpReply(EvaluationBody(found), 200, etag(state.version))

    async def end(request: Request, query: WithAudio) -> HttpReply:
        with refusing():
            state = await interviews().written.state(session_id_of(request))
            check_version(state, wanted_version(request))
            state = await interviews().end(state)
            report = await interviews().reports.report(state)
            report_json = await _report_json(store, state, report)
        ended = Ended(
            session_id=state.record.id,
            version=state.version,
            interview=Progress(**state.begun.state()),
            summary=await _summary(interviews(), report, query.audio),
            report=ReportBody(report_json),
        )
        return HttpReply(ended, 200, etag(state.version))

    async def report(request: Request, query: ReportQuery) -> HttpReply | Response:
        form = FORMS[query.format] if query.format else negotiate(request, tuple(FORMS.values()))
        with refusing():
            state = await interviews().written.state(session_id_of(request))
            made = await interviews().reports.report(state)
            if form == HTML:
                sound = await sound_for_page(store, state, _base(request))
                text = await to_thread(page, made, sound, home="/")
                html = text.encode()
                headers = {**_headers(state), "content-security-policy": FRAMING}
                return Sent(html, 200, headers, form, outgoing.reserve(len(html)))
            if form == MARKDOWN:
                text = await to_thread(markdown, made)
                return Response(text, 200, _headers(state), media_type=form)
            report_json = await _report_json(store, state, made)
        summary = await _summary(interviews(), made, query.audio)
        body = ReportBody({**report_json, "summary": summary.model_dump()})
        return HttpReply(body, 200, etag(state.version))

    return [
        Operation(
            method="POST",
            path="/api/sessions/{id}/start",
            name="startSession",
            handler=start,
            summary="Ask the first question",
            description="If the interview has begun already, here or by voice, the response is the"
            " question that waits.",
            tags=TAGS,
            query=WithAudio,
            answers={200: ResponseSpec("The question", Turn, headers={"ETag": "the version"})},
            errors=(*CHANGING, COMPLETE),
            once=once,
        ),
        *(
            Operation(
                method=method,
                path="/api/sessions/{id}/next",
                name=name,
                handler=following,
                summary="Ask for the question that waits",
                description="Changes nothing: the next question follows from an answer.",
                tags=TAGS,
                query=WithAudio,
                answers={200: ResponseSpec("The question", Turn, headers={"ETag": "the version"})},
                errors=(*STORED, NOT_STARTED),
            )
            for method, name in (("GET", "getQuestion"), ("POST", "nextQuestion"))
        ),
        *answer_operations(interviews, once, max_mb=max_mb),
        Operation(
            method="POST",
            path="/api/sessions/{id}/evaluate",
            name="evaluateSession",
            handler=evaluate,
            summary="Evaluate all answers given so far",
            tags=TAGS,
            answers={200: ResponseSpec("The evaluation", EvaluationBody)},
            errors=(*STORED, NOT_STARTED, NOTHING_ANSWERED),
            once=once,
        ),
        Operation(
            method="POST",
            path="/api/sessions/{id}/end",
            name="endSession",
            handler=end,
            summary="End the interview",
            description="Also before the last answer. The session and its report are kept until"
            " they are deleted.",
            tags=TAGS,
            query=WithAudio,
            answers={200: ResponseSpec("The report", Ended, headers={"ETag": "the version"})},
            errors=(*CHANGING, NOT_STARTED),
            once=once,
        ),
        Operation(
            method="GET",
            path="/api/sessions/{id}/report",
            name="getReport",
            handler=report,
            summary="Get the report",
            description="At any time once the interview has begun.",
            tags=TAGS,
            query=ReportQuery,
            answers={
                200: ResponseSpec(
                    "The report",
                    ReportBody,
                    media=(MARKDOWN, HTML),
                    headers={"ETag": "the version"},
                )
            },
            errors=(*STORED, NOT_STARTED, DOWNLOADS_FULL),
        ),
        transcript_operation(interviews),
        watch_operation(interviews),
    ]


async def _turn(service: InterviewService, state: InterviewState, query: WithAudio) -> HttpReply:
    turn = Turn.of(state, state.version)
    question = question_of(state)
    if query.audio and question is not None:
        await with_audio(service, turn, question.said, state.record.config.language)
    return HttpReply(turn, 200, etag(state.version))


async def _summary(service: InterviewService, report: Report, audio: bool) -> Summary:
    summary = Summary(text=spoken_summary(report))
    if audio:
        await with_audio(service, summary, summary.text, report.language)
    return summary


async def _report_json(store: Store, state: InterviewState, report: Report) -> dict[str, Any]:
    """The report with its recordings, which are null without consent."""
    shown = Recordings.of(state, await recordings_of(store, state.record))
    recording = None if shown.consent is None else shown.model_dump()
    return {**report.to_json(), "recording": recording}


def _base(request: Request) -> str:
    """The base URL with which the client reached this server, "" if its Host header is invalid."""
    host = request.headers.get("host", "")
    return f"{request.scope['scheme']}://{host}" if HOST.fullmatch(host) else ""


def _headers(state: InterviewState) -> dict[str, str]:
    return {
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        **etag(state.version),
    }
