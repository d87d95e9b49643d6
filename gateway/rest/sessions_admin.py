"""`/admin/sessions`: the live sessions, for the operator."""

import logging
import time
from collections.abc import Iterable
from functools import partial
from typing import Annotated

from pydantic import BaseModel, Field
from starlette.requests import Request

from gateway.observe.sessions import ObservedSession
from gateway.rest.operation import HttpReply, Operation, ResponseSpec
from gateway.rest.operator_access import ADMIN_KEY_REQUIRED, ADMIN_OFF, OperatorAccess
from gateway.rest.problems import Kind
from gateway.rest.service_probe import iso

logger = logging.getLogger("parley.operator")

NOT_LIVE = Kind("not_live", 404, "No session of this id is live")

TAGS = ("operation",)
ERRORS = (ADMIN_KEY_REQUIRED, ADMIN_OFF)


class LiveSession(BaseModel):
    """One live session. `voice_to_voice_ms` is of its latest turn that had a reply."""

    session_id: str
    transport: str
    kind: Annotated[str, Field(description="interview or assistant")]
    began: Annotated[str, Field(description="when this connection joined it, in UTC")]
    seconds: Annotated[int, Field(description="since then")]
    turns: Annotated[int, Field(description="turns that are over")]
    degraded: Annotated[int, Field(description="steps down in these turns")]
    voice_to_voice_ms: float | None
    steps: Annotated[
        dict[str, str],
        Field(
            description="what stood in for a provider in the latest turn, by stage; under avatar:"
            " what draws the face, or at which level, once that has changed"
        ),
    ]
    worker: Annotated[int, Field(description="the process that has it, the first is 0")] = 0


class AdminSessions(BaseModel):
    """The live sessions, the oldest first."""

    sessions: list[LiveSession]


def live_session_operations(
    observed: Iterable[ObservedSession], access: OperatorAccess
) -> list[Operation]:
    """The endpoints for live sessions; `observed` are those of the process."""

    async def sessions(request: Request) -> AdminSessions:
        now = time.time()
        return AdminSessions(sessions=[_shown(session, now) for session in observed])

    async def end(request: Request) -> HttpReply:
        session_id = request.path_params["session"]
        found = [one for one in observed if one.session_id == session_id]
        if not found:
            raise NOT_LIVE("GET /admin/sessions lists those that are")
        for session in found:
            session.leave()
        logger.warning("the operator ended session %s", session_id)
        return HttpReply(status=204)

    described = partial(Operation, tags=TAGS, guard=access.admin)
    return [
        described(
            method="GET",
            path="/admin/sessions",
            name="adminSessions",
            handler=sessions,
            summary="The live sessions",
            answers={200: ResponseSpec("They", AdminSessions)},
            errors=ERRORS,
        ),
        described(
            method="DELETE",
            path="/admin/sessions/{session}",
            name="endLiveSession",
            handler=end,
            summary="End a live session",
            description="As if its client had said good-bye: the connection is closed with 1000,"
            " what was said is stored, and the interview can be gone on with, or be reported on."
            " It answers before that is done.",
            answers={204: ResponseSpec("It ends")},
            errors=(*ERRORS, NOT_LIVE),
        ),
    ]


def _shown(session: ObservedSession, now: float) -> LiveSession:
    return LiveSession(
        session_id=session.session_id,
        transport=session.transport,
        kind=session.kind,
        began=iso(session.began_at),
        seconds=max(0, int(now - session.began_at)),
        turns=session.turns,
        degraded=session.degraded,
        voice_to_voice_ms=session.voice_to_voice_ms,
        steps=session.steps,
    )
