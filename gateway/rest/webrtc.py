"""`/api/offer`: a JSON offer of a client over WebRTC."""

import secrets
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from starlette.requests import Request

from gateway.live.epoch import epoch_clock
from gateway.protocols.request import SessionRequest
from gateway.protocols.rtvi import Rtvi
from gateway.rest.access import enter
from gateway.rest.operation import Operation, ResponseSpec
from gateway.rest.problems import NO_PLACE
from gateway.rest.reading import Body
from gateway.rest.signalling import (
    INVALID_OFFER,
    NOT_INSTALLED,
    TOKEN_REQUIRED,
    UNUSABLE_OFFER,
    Signalling,
)
from gateway.rest.whip import OFFERED, TAGS
from gateway.transports.webrtc.offers import MAX_BYTES

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class NewOffer(Body):
    """An SDP offer. `pc_id` names a connection of the same session that this one replaces."""

    sdp: Annotated[str, Field(max_length=MAX_BYTES)]
    type: Literal["offer"]
    pc_id: Id | None = None
    restart_pc: Annotated[
        bool | None, Field(description="sent by Pipecat's clients: the data channel speaks RTVI")
    ] = None
    request_data: Annotated[
        Any, Field(alias="requestData", description="of Pipecat's clients; ignored")
    ] = None
    session_id: Annotated[Id | None, Field(description="a new one where it is left out")] = None


class OfferAnswer(BaseModel):
    """The answer to an offer, with all candidates of the server."""

    sdp: str
    type: Literal["answer"] = "answer"
    pc_id: str
    session_id: str


def offer_operation(signalling: Signalling) -> Operation:
    """The endpoint."""

    async def answer(request: Request, offer: NewOffer) -> OfferAnswer:
        session_id = offer.session_id or secrets.token_hex(16)
        old = signalling.session_of(offer.pc_id)
        if old is not None:
            session_id = old
        await enter(request, session_id, use=False)
        dialect = None
        if offer.restart_pc is not None:
            dialect = Rtvi(SessionRequest(avatar="off"), epoch_clock())
        answered = await signalling.admit(
            request, session_id, offer.sdp, dialect, replaces=old is not None
        )
        if old is not None and offer.pc_id is not None:
            # Only now: a refused offer must not end the connection that works.
            signalling.hang_up(offer.pc_id)
        return OfferAnswer(sdp=answered.sdp, pc_id=answered.id, session_id=session_id)

    return Operation(
        method="POST",
        path="/api/offer",
        name="offer",
        handler=answer,
        summary="Connect over WebRTC",
        description=OFFERED,
        tags=TAGS,
        guard=signalling.guard,
        body=NewOffer,
        answers={200: ResponseSpec("The answer", OfferAnswer)},
        errors=(INVALID_OFFER, UNUSABLE_OFFER, NO_PLACE, NOT_INSTALLED, TOKEN_REQUIRED),
    )
