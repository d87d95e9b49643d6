"""`POST /admin/drain`: the operator drains the gateway, as SIGTERM does."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from pydantic import BaseModel, Field
from starlette.requests import Request

from gateway.rest.operation import HttpReply, Operation, ResponseSpec
from gateway.rest.operator_access import ADMIN_KEY_REQUIRED, ADMIN_OFF, OperatorAccess
from gateway.rest.problems import Kind

logger = logging.getLogger("parley.operator")

CANNOT_DRAIN = Kind("cannot_drain", 409, "This gateway does not end itself")


class Draining(BaseModel):
    """The gateway has begun to end."""

    status: Literal["draining"] = "draining"
    within_s: Annotated[
        int, Field(description="how long live conversations may take to finish a sentence")
    ]


@dataclass(frozen=True, slots=True)
class DrainSources:
    """`end` gives the function that begins the end, or None if the process was not started by
    `parley serve`; `draining` tells whether it has begun."""

    end: Callable[[], Callable[[], None] | None]
    draining: Callable[[], bool]
    within_s: int


def drain_operation(sources: DrainSources, access: OperatorAccess) -> Operation:
    """The endpoint. It answers before anything ends."""

    async def drain(request: Request) -> HttpReply:
        end = sources.end()
        if end is None:
            raise CANNOT_DRAIN("it was not started by `parley serve`: end its process")
        if not sources.draining():
            logger.warning("the operator asked the gateway to end")
            end()
        return HttpReply(Draining(within_s=sources.within_s), 202)

    described = partial(Operation, tags=("operation",), guard=access.admin)
    return described(
        method="POST",
        path="/admin/drain",
        name="drainGateway",
        handler=drain,
        summary="End the gateway in order, with all of its processes",
        description="As SIGTERM does: no further session begins, live ones are told that the"
        " gateway goes away and end where nothing is cut off. Asked again, it changes nothing.",
        answers={202: ResponseSpec("It has begun", Draining)},
        errors=(ADMIN_KEY_REQUIRED, ADMIN_OFF, CANNOT_DRAIN),
    )
