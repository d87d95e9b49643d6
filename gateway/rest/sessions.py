"""Creating, showing, listing and erasing sessions: `/api/sessions`."""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

from starlette.requests import Request

from gateway.interviews import sessions
from gateway.interviews.consent import Consent
from gateway.interviews.recordings import recordings_of
from gateway.interviews.sessions import (
    DEFAULT_MODEL,
    SESSION_ID,
    Mode,
    NoSuchSession,
    SessionRecord,
)
from gateway.providers.languages import Notice
from gateway.rest.access import with_pass
from gateway.rest.once import Once
from gateway.rest.operation import HttpReply, Operation, ResponseSpec, claim_of
from gateway.rest.problems import (
    INVALID_COUNT,
    INVALID_HOST,
    NO_PLACE,
    NO_SUCH_SESSION,
    RETRY,
    STORE_UNAVAILABLE,
    UNKNOWN_LANGUAGE,
    UNKNOWN_ROLE,
    Kind,
    of_interview,
)
from gateway.rest.session_models import (
    LanguageNotice,
    MadeSession,
    NewConsent,
    NewSession,
    PageQuery,
    Progress,
    SessionPage,
    SessionSummary,
    ShownConsent,
    ShownSession,
    utc,
)
from gateway.rest.subpath import SUBPATH
from gateway.security.clients import client_identity
from gateway.store import Store
from stages.interview import LANGUAGES, InterviewConfig, InterviewError, InterviewSession
from stages.interview.languages import interviewers, requested

HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")

TAGS = ("sessions",)

RECORDING_NOT_ALLOWED = Kind("recording_not_allowed", 409, "This gateway keeps no recordings")

End = Callable[[str], Awaitable[None]]
IsLive = Callable[[SessionRecord], Awaitable[bool]]
Lacking = Callable[[str], Sequence[Notice]]

EXAMPLE: dict[str, Any] = {
    "session_id": "ab833f01317275c74cd3b24d44861093",
    "role": "Data Analyst",
    "model": "auto",
    "totalQuestions": 3,
    "mode": "voice",
    "created": "2026-11-20T12:19:46Z",
    "language": "en",
}


def session_operations(
    store: Store,
    ttl_s: int,
    end: End,
    is_live: IsLive,
    lacking: Lacking,
    *,
    language: str = LANGUAGES[0],
    recording_allowed: bool = False,
    tells: bool = False,
    refusal: Callable[[Mode], str | None] = lambda mode: None,
) -> list[Operation]:
    """The sessions in `store`, kept for `ttl_s`; `end` ends one that is live in this process.

    `refusal` says why no further session of a mode can be made now.

    `is_live` says whether a session has an owner that still runs, `lacking` what a language lacks
    here, and `language` is that of sessions whose client asks for none. `tells`: what happens in
    them is written down as events.
    """

    async def create(request: Request, wanted: NewSession) -> HttpReply:
        ws_base = websocket_base(request)
        if (why := refusal(wanted.mode)) is not None:
            raise NO_PLACE(why, headers=RETRY)
        try:
            own = language if wanted.language is None else requested(wanted.language)
            config = InterviewConfig(
                wanted.role,
                wanted.model or DEFAULT_MODEL,
                wanted.total_questions,
                interviewers(own),
            )
        except InterviewError as error:
            raise of_interview(error) from None
        record = sessions.new(
            config,
            mode=wanted.mode,
            ttl_s=ttl_s,
            evaluating=wanted.evaluation,
            recording=_consent(wanted.recording, recording_allowed),
            language=own,
            tools=tuple(wanted.tools),
            tells=tells,
            made_by=client_identity.get(),
        )
        made = MadeSession(
            **_summary(record),
            ws_url=f"{ws_base}/ws/{record.id}",
            expires_in=record.ttl_s,
            notices=[LanguageNotice(**asdict(notice)) for notice in lacking(own)],
        )
        reply = HttpReply(made, 201, {"location": f"/api/sessions/{record.id}"}, about=record.id)
        claim = claim_of(request)
        _, writes = record.made()
        await store.commit(*writes, *([] if claim is None else [claim.write(reply)]))
        return await with_pass(request, reply, record.id)  # which is not stored

    async def listed(request: Request, query: PageQuery) -> SessionPage:
        before = None if query.cursor is None else int(query.cursor)
        records, following = await sessions.page(store, limit=query.limit, before=before)
        return SessionPage(
            sessions=[SessionSummary(**_summary(record)) for record in records],
            next=None if following is None else str(following),
        )

    async def show(request: Request) -> ShownSession:
        record, version = await sessions.load(store, session_id_of(request))
        state = InterviewSession.from_record(record.interview).state() if record.interview else None
        return ShownSession(
            **_summary(record),
            live=await is_live(record),
            finished=record.finished,
            version=version,
            interview=None if state is None else Progress(**state),
            recording=ShownConsent.of(await recordings_of(store, record)),
        )

    async def erase(request: Request) -> HttpReply:
        session_id = session_id_of(request)
        await sessions.delete(store, session_id)
        await end(session_id)
        return HttpReply(status=204)

    made = {**EXAMPLE, "ws_url": f"ws://127.0.0.1:8000/ws/{EXAMPLE['session_id']}"}
    return [
        Operation(
            method="POST",
            path="/api/sessions",
            name="createSession",
            handler=create,
            summary="Make a session",
            description="An interview that is then spoken at `ws_url`, or held over REST.",
            tags=TAGS,
            body=NewSession,
            body_example={"role": "Data Analyst", "totalQuestions": 3},
            answers={
                201: ResponseSpec(
                    "The session was made",
                    MadeSession,
                    {**made, "expires_in": 3600, "notices": []},
                    headers={"Location": "where the session is"},
                )
            },
            errors=(
                UNKNOWN_ROLE,
                UNKNOWN_LANGUAGE,
                INVALID_COUNT,
                INVALID_HOST,
                RECORDING_NOT_ALLOWED,
                NO_PLACE,
                STORE_UNAVAILABLE,
            ),
            once=Once(store, ttl_s),
        ),
        Operation(
            method="GET",
            path="/api/sessions",
            name="listSessions",
            handler=listed,
            summary="List the sessions",
            description="A page may hold fewer than `limit` although others follow.",
            tags=TAGS,
            query=PageQuery,
            answers={
                200: ResponseSpec("A page", SessionPage, {"sessions": [EXAMPLE], "next": "41"}),
            },
            errors=(STORE_UNAVAILABLE,),
        ),
        Operation(
            method="GET",
            path="/api/sessions/{id}",
            name="getSession",
            handler=show,
            summary="Ask about a session",
            tags=TAGS,
            answers={
                200: ResponseSpec(
                    "The session",
                    ShownSession,
                    {
                        **EXAMPLE,
                        "live": True,
                        "finished": False,
                        "version": 7,
                        "interview": {
                            "currentQuestion": 2,
                            "totalQuestions": 3,
                            "isComplete": False,
                        },
                        "recording": None,
                    },
                ),
            },
            errors=(NO_SUCH_SESSION, STORE_UNAVAILABLE),
        ),
        Operation(
            method="DELETE",
            path="/api/sessions/{id}",
            name="deleteSession",
            handler=erase,
            summary="Erase everything about a session",
            description="Record, transcript, answers, recordings and reports. A conversation that"
            " is going on is ended, and nothing more is stored of it.",
            tags=TAGS,
            answers={204: ResponseSpec("It is gone")},
            errors=(NO_SUCH_SESSION, STORE_UNAVAILABLE),
        ),
    ]


def session_id_of(request: Request) -> str:
    """The path's `{id}`. Raises `NoSuchSession` if it is not a valid id."""
    session_id: str = request.path_params["id"]
    if SESSION_ID.fullmatch(session_id) is None:
        raise NoSuchSession(session_id)
    return session_id


def _consent(wanted: NewConsent | None, allowed: bool) -> Consent | None:
    if wanted is None or not wanted.consent:
        return None
    if not allowed:
        raise RECORDING_NOT_ALLOWED("The operator allows it with PARLEY_RECORDING=allowed")
    return Consent(by=wanted.by, at=round(time.time(), 3))


def _summary(record: SessionRecord) -> dict[str, Any]:
    return {
        "session_id": record.id,
        "role": record.role,
        "model": record.model,
        "totalQuestions": record.total_questions,
        "mode": record.mode,
        "created": utc(record.created_at),
        "language": record.language,
    }


def websocket_base(request: Request) -> str:
    """The base of WebSocket URLs, as the client reached this server, without forwarded headers."""
    host = request.headers.get("host", "")
    if HOST.fullmatch(host) is None:
        raise INVALID_HOST()
    scheme = "wss" if request.scope["scheme"] == "https" else "ws"
    return f"{scheme}://{host}{request.scope.get(SUBPATH, '')}"
