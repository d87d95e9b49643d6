"""Making a session and asking about it: `/api/sessions`."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway import sessions
from gateway.rest.problems import Problem, read_json, validated
from gateway.sessions import DEFAULT_MODEL, SESSION_ID, Mode, NoSuchSession, SessionRecord
from gateway.store import Store
from stages.interview import InterviewConfig, InterviewError, InterviewSession
from stages.interview.model import DEFAULT_QUESTIONS

HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


class NewSession(BaseModel):
    """What a client asks for. `totalQuestions` is checked with the role, by the interview."""

    model_config = ConfigDict(extra="forbid")

    role: str
    model: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,128}$")] | None = None
    total_questions: Any = Field(DEFAULT_QUESTIONS, alias="totalQuestions")
    mode: Mode = "voice"


def session_routes(store: Store, ttl_s: int) -> list[Route]:
    """`POST /api/sessions` and `GET /api/sessions/{id}`; sessions are kept for `ttl_s`."""

    async def create(request: Request) -> JSONResponse:
        ws_base = _websocket_base(request)
        wanted = validated(NewSession, await read_json(request))
        try:
            config = InterviewConfig(
                wanted.role, wanted.model or DEFAULT_MODEL, wanted.total_questions
            )
        except InterviewError as error:
            raise Problem(400, error.code, str(error)) from None
        record, _ = await sessions.create(store, config, mode=wanted.mode, ttl_s=ttl_s)
        body = {
            "session_id": record.id,
            "ws_url": f"{ws_base}/ws/{record.id}",
            **_public(record),
            "expires_in": record.ttl_s,
        }
        return JSONResponse(body, 201, headers={"location": f"/api/sessions/{record.id}"})

    async def show(request: Request) -> JSONResponse:
        session_id = request.path_params["id"]
        try:
            if SESSION_ID.fullmatch(session_id) is None:
                raise NoSuchSession(session_id)
            record, _ = await sessions.load(store, session_id)
        except NoSuchSession:
            raise Problem(404, "no_such_session", "There is no session with this id") from None
        state = InterviewSession.from_record(record.interview).state() if record.interview else None
        return JSONResponse(
            {
                "session_id": record.id,
                **_public(record),
                "live": record.worker is not None,
                "interview": state,
            }
        )

    return [
        Route("/api/sessions", create, methods=["POST"]),
        Route("/api/sessions/{id}", show, methods=["GET"]),
    ]


def _public(record: SessionRecord) -> dict[str, Any]:
    created = datetime.fromtimestamp(record.created_at, UTC)
    return {
        "role": record.role,
        "model": record.model,
        "totalQuestions": record.total_questions,
        "mode": record.mode,
        "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _websocket_base(request: Request) -> str:
    """Where the client reached this server, for WebSockets. No forwarded header is believed."""
    host = request.headers.get("host", "")
    if HOST.fullmatch(host) is None:
        raise Problem(400, "invalid_host", "The Host header is missing or is no host name")
    return f"{'wss' if request.scope['scheme'] == 'https' else 'ws'}://{host}"
