"""`/whep/{id}`: somebody, such as a recruiter, listens to another client's session (WHEP).

The listener gets both voices and the interviewer's face, and sends no media.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from starlette.requests import Request

from gateway.interviews import sessions
from gateway.live.audience import Voices
from gateway.rest.problems import RETRY, STORE_UNAVAILABLE, Kind, Problem
from gateway.rest.reading import Query
from gateway.rest.signalling import Signalling
from gateway.rest.whip import Shape
from gateway.runtime import Runtime

if TYPE_CHECKING:  # it needs the extra
    from gateway.transports.webrtc.peers import Answered

NOT_LIVE = Kind("not_live", 409, "Nobody speaks in this session now")
SESSION_OVER = Kind("session_over", 409, "The session is over")


class ListenQuery(Query):
    """The query of a listener: the voices to hear."""

    voices: Annotated[
        Voices | None,
        Field(
            description="whom to hear; without it an observer hears both, and the person of the"
            " session, who listens with its pass, the interviewer"
        ),
    ] = None


def playback(signalling: Signalling, runtime: Runtime) -> Shape:
    """Sound and picture for a listener."""

    async def answer(request: Request, session_id: str, sdp: str, query: ListenQuery) -> "Answered":
        audience = runtime.live.audience(session_id)
        if audience is None:
            raise await _why_not(session_id)
        return await signalling.show(request, session_id, sdp, audience, query.voices)

    async def _why_not(session_id: str) -> Problem:
        record, _ = await sessions.load(runtime.store, session_id)
        if record.finished:
            return SESSION_OVER("Its report has what was said")
        return NOT_LIVE("Come again once it has begun", headers=RETRY)

    return Shape(
        "/whep/{id}",
        "listen",
        "playback",
        "Listen to a live session (WHEP)",
        "Takes an SDP offer with an Opus section that receives, and one of video for the face.",
        answer,
        errors=(NOT_LIVE, SESSION_OVER, STORE_UNAVAILABLE),
        query=ListenQuery,
    )
