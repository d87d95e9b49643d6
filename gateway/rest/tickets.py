"""Tickets and passes, for clients that should not have an API key: `/api/tickets`."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from starlette.requests import Request

from gateway.interviews import sessions
from gateway.rest.access import ACCESS_DENIED, ACCESS_REQUIRED, Credential, with_pass
from gateway.rest.operation import HttpReply, Operation, ResponseSpec
from gateway.rest.problems import (
    INVALID_FIELD,
    NO_SUCH_SESSION,
    STORE_UNAVAILABLE,
    InvalidField,
    invalid,
)
from gateway.rest.reading import Body
from gateway.rest.sessions import session_id_of
from gateway.security import Access
from gateway.security.tickets import MOST_USES
from gateway.store import Store

TAGS = ("access",)

LIFETIME_S = 60
LONGEST_S = 3600
LONGEST_LINK_S = 30 * 24 * 3600
"""The longest lifetime of a ticket for a session that exists: the link that a candidate gets."""
LONGEST_CALL_S = 24 * 3600

SESSION_ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"


FOR_A_NEW_SESSION: JsonDict = {"uses": {"maximum": 1}, "expires_in": {"maximum": LONGEST_S}}


class NewTicket(Body):
    """The ticket that is wanted."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"session_id": {"type": "string"}}, "required": ["session_id"]},
                {"properties": FOR_A_NEW_SESSION},
            ]
        }
    )

    session_id: Annotated[
        str | None,
        Field(pattern=SESSION_ID_PATTERN, description="left out, it is for one new session"),
    ] = None
    expires_in: Annotated[
        int,
        Field(
            ge=5,
            le=LONGEST_LINK_S,
            description="seconds in which it can be used; without session_id 3600 at most",
        ),
    ] = LIFETIME_S
    uses: Annotated[
        int,
        Field(ge=1, le=MOST_USES, description="how often it can be used; more needs session_id"),
    ] = 1
    lasts_s: Annotated[
        int | None,
        Field(
            ge=60,
            le=LONGEST_CALL_S,
            description="seconds after which what it opens ends: a live session, or a pass",
        ),
    ] = None


class NewObserver(Body):
    """The token that is wanted."""

    expires_in: Annotated[
        int, Field(ge=60, le=LONGEST_CALL_S, description="seconds in which it lets listen")
    ] = LONGEST_S


class MadeTicket(Credential):
    """A ticket that can be used once."""

    session_id: Annotated[str | None, Field(description="null for one new session")]


class SessionPass(BaseModel):
    """A pass or a token for a session; null where the gateway wants no keys."""

    session_id: str
    access: Credential | None


def ticket_operations(store: Store, access: Access) -> list[Operation]:
    """The endpoints."""

    async def make(request: Request, wanted: NewTicket) -> MadeTicket:
        if wanted.session_id is not None:
            await sessions.load(store, wanted.session_id)
        elif wanted.uses > 1 or wanted.expires_in > LONGEST_S:
            detail = "needs session_id: a ticket for a new session is used once, within an hour"
            pointer = "/uses" if wanted.uses > 1 else "/expires_in"
            raise invalid(INVALID_FIELD, [InvalidField(detail=detail, pointer=pointer)])
        made = await access.ticket(
            wanted.session_id, wanted.expires_in, wanted.lasts_s, wanted.uses
        )
        return MadeTicket(
            value=made.value, expires_at=made.expires_at, session_id=wanted.session_id
        )

    async def observer(request: Request, wanted: NewObserver) -> SessionPass:
        session_id = session_id_of(request)
        await sessions.load(store, session_id)
        if access.open:
            return SessionPass(session_id=session_id, access=None)
        made = await access.observer_token(session_id, wanted.expires_in)
        shown = Credential(value=made.value, expires_at=made.expires_at)
        return SessionPass(session_id=session_id, access=shown)

    async def give(request: Request) -> HttpReply:
        session_id = session_id_of(request)
        await sessions.load(store, session_id)
        return await with_pass(
            request, HttpReply(SessionPass(session_id=session_id, access=None)), session_id
        )

    example = {"value": "pt_0f3a…", "expires_at": 1795943278, "session_id": None}
    return [
        Operation(
            method="POST",
            path="/api/tickets",
            name="makeTicket",
            handler=make,
            summary="Make a ticket",
            description="For a client that should not have an API key. It opens one session, once:"
            " in `hello` over a WebSocket, as `Authorization: Bearer` elsewhere. One for a session"
            " that exists may have more `uses`, and last for 30 days: a link for its candidate.",
            tags=TAGS,
            body=NewTicket,
            body_example={"expires_in": LIFETIME_S},
            answers={201: ResponseSpec("The ticket", MadeTicket, example)},
            errors=(NO_SUCH_SESSION, STORE_UNAVAILABLE, ACCESS_REQUIRED, ACCESS_DENIED),
        ),
        Operation(
            method="POST",
            path="/api/sessions/{id}/pass",
            name="makePass",
            handler=give,
            summary="Exchange a ticket for a pass",
            description="A pass holds for this session alone, until it expires, and is sent like"
            " a ticket. It comes as a cookie, too, for links to what is read.",
            tags=TAGS,
            answers={200: ResponseSpec("The pass", SessionPass)},
            errors=(NO_SUCH_SESSION, STORE_UNAVAILABLE, ACCESS_REQUIRED),
        ),
        Operation(
            method="POST",
            path="/api/sessions/{id}/observers",
            name="makeObserver",
            handler=observer,
            summary="Let somebody listen to a session",
            description="With the token its holder may listen to this session by `/whep/{id}` until"
            " it expires, and do nothing else. It is sent as `Authorization: Bearer`.",
            tags=TAGS,
            body=NewObserver,
            body_example={"expires_in": LONGEST_S},
            answers={201: ResponseSpec("The token", SessionPass)},
            errors=(NO_SUCH_SESSION, STORE_UNAVAILABLE, ACCESS_REQUIRED, ACCESS_DENIED),
        ),
    ]
