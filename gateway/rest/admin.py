"""`/admin`: the operator sees and changes a running gateway.

All of it needs the operator's key; without one it is off. No answer contains words of a
conversation or the address of a server.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from starlette.requests import Request

from gateway.providers.broken_stage import DrillFault
from gateway.providers.drills import LONGEST_S, Drills, DrillUnderWay
from gateway.rest.operation import Handler, HttpReply, Operation, ResponseSpec
from gateway.rest.operator_access import ADMIN_KEY_REQUIRED, ADMIN_OFF, OperatorAccess
from gateway.rest.problems import Kind
from gateway.rest.reading import Body
from gateway.status import BreakerReport, DrillReport, ProviderReport, QueueReport, StageReport

logger = logging.getLogger("parley.operator")

BreakerChange = Literal["reset", "force-open", "disable"]

NO_SUCH_BREAKER = Kind("no_such_breaker", 404, "No provider has a circuit breaker of this name")

DRILLS_OFF = Kind("drills_off", 403, "Drills are not allowed here")
DRILL_UNDER_WAY = Kind("drill_under_way", 409, "This provider is in a drill already")
NO_SUCH_STAGE = Kind("no_such_stage", 404, "There is no such stage, or none that can be broken")
NO_SUCH_DRILL = Kind("no_such_drill", 404, "There is no such drill, or it is over")

TAGS = ("operation",)
ERRORS = (ADMIN_KEY_REQUIRED, ADMIN_OFF)

EXAMPLE_BREAKER: dict[str, Any] = {
    "name": "llm.openai",
    "slot": "llm",
    "provider": "openai",
    "state": "open",
    "transitions": 1,
    "retry_after_s": 4.2,
}


class AdminStages(BaseModel):
    """The stages of the process."""

    stages: Annotated[list[StageReport], Field(description="the provider of each slot")]
    providers: Annotated[list[ProviderReport], Field(description="the candidates, in order")]
    queues: Annotated[list[QueueReport], Field(description="what is under way or waits")]


class AdminBreakers(BaseModel):
    """The circuit breakers of the process."""

    breakers: list[BreakerReport]


class AdminDrills(BaseModel):
    """Providers that the operator has broken."""

    drills: list[DrillReport]


class NewDrill(Body):
    """A provider to break, as "slot.provider", or "slot" for its first one, and for how long."""

    stage: Annotated[str, Field(pattern=r"^[a-z]+(\.[^/\s]{1,64})?$")]
    fault: DrillFault
    seconds: Annotated[int, Field(ge=1, le=LONGEST_S)] = 30


class ChangedBreaker(BaseModel):
    """A circuit breaker after a change by the operator."""

    breaker: BreakerReport


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSources:
    """Where the admin API gets its state, and what it may do; each function returns at once.

    `change_breaker` returns the breaker after the change, None if none has the name. `drills`
    are None if the settings do not allow any.
    """

    stages: Callable[[], Sequence[StageReport]]
    providers: Callable[[], Sequence[ProviderReport]]
    queues: Callable[[], Sequence[QueueReport]]
    breakers: Callable[[], Sequence[BreakerReport]]
    change_breaker: Callable[[str, BreakerChange], BreakerReport | None]
    drills: Drills | None


def admin_operations(sources: AdminSources, access: OperatorAccess) -> list[Operation]:
    """The endpoints of the operator."""

    async def stages(request: Request) -> AdminStages:
        return AdminStages(
            stages=[*sources.stages()],
            providers=[*sources.providers()],
            queues=[*sources.queues()],
        )

    async def breakers(request: Request) -> AdminBreakers:
        return AdminBreakers(breakers=[*sources.breakers()])

    def changing(change: BreakerChange) -> Handler:
        async def changed(request: Request) -> ChangedBreaker:
            report = sources.change_breaker(request.path_params["breaker"], change)
            if report is None:
                names = ", ".join(breaker.name for breaker in sources.breakers())
                raise NO_SUCH_BREAKER(f"There are {names}")
            logger.warning("the operator asked for %s of breaker %s", change, report.name)
            return ChangedBreaker(breaker=report)

        return changed

    described = partial(Operation, tags=TAGS, guard=access.admin)
    look = partial(described, method="GET", errors=ERRORS)
    act = partial(
        described,
        method="POST",
        answers={200: ResponseSpec("It now", ChangedBreaker, {"breaker": EXAMPLE_BREAKER})},
        errors=(*ERRORS, NO_SUCH_BREAKER),
    )
    return [
        look(
            path="/admin/stages",
            name="adminStages",
            handler=stages,
            summary="The providers of each slot, and their queues",
            answers={200: ResponseSpec("They", AdminStages)},
        ),
        look(
            path="/admin/breakers",
            name="adminBreakers",
            handler=breakers,
            summary="The circuit breakers",
            answers={200: ResponseSpec("They", AdminBreakers, {"breakers": [EXAMPLE_BREAKER]})},
        ),
        act(
            path="/admin/breakers/{breaker}/reset",
            name="resetBreaker",
            handler=changing("reset"),
            summary="Close a breaker, forget its failures, and let it work by its rules",
        ),
        act(
            path="/admin/breakers/{breaker}/force-open",
            name="forceBreakerOpen",
            handler=changing("force-open"),
            summary="Ask this provider nothing more, until a reset",
        ),
        act(
            path="/admin/breakers/{breaker}/disable",
            name="disableBreaker",
            handler=changing("disable"),
            summary="Let every call pass, whatever fails, until a reset",
        ),
        *drill_operations(sources.drills, access),
    ]


def drill_operations(drills: Drills | None, access: OperatorAccess) -> list[Operation]:
    """The endpoints with which `parley drill` breaks a provider and makes it whole again."""

    def allowed() -> Drills:
        if drills is None:
            raise DRILLS_OFF("PARLEY_DRILLS=allowed allows them")
        return drills

    async def listed(request: Request) -> AdminDrills:
        return AdminDrills(drills=[] if drills is None else drills.reports())

    async def begin(request: Request, wanted: NewDrill) -> HttpReply:
        try:
            report = allowed().begin(wanted.stage, wanted.fault, wanted.seconds)
        except DrillUnderWay as error:
            raise DRILL_UNDER_WAY(f"{error} is in a drill; end that first") from None
        if report is None:
            raise NO_SUCH_STAGE("GET /admin/breakers names them: a slot, or slot.provider")
        return HttpReply(AdminDrills(drills=[report]), 201)

    async def end(request: Request) -> HttpReply:
        if not allowed().end(request.path_params["drill"]):
            raise NO_SUCH_DRILL()
        return HttpReply(status=204)

    described = partial(Operation, tags=TAGS, guard=access.admin)
    return [
        described(
            method="GET",
            path="/admin/drills",
            name="adminDrills",
            handler=listed,
            summary="The drills under way",
            answers={200: ResponseSpec("They", AdminDrills)},
            errors=ERRORS,
        ),
        described(
            method="POST",
            path="/admin/drills",
            name="beginDrill",
            handler=begin,
            summary="Break a provider for a while",
            description="All sessions notice, live ones included: this is for trying out what"
            " happens then.",
            body=NewDrill,
            body_example={"stage": "llm", "fault": "hang", "seconds": 30},
            answers={201: ResponseSpec("It is broken now", AdminDrills)},
            errors=(*ERRORS, DRILLS_OFF, DRILL_UNDER_WAY, NO_SUCH_STAGE),
        ),
        described(
            method="DELETE",
            path="/admin/drills/{drill}",
            name="endDrill",
            handler=end,
            summary="Make the provider whole again now",
            answers={204: ResponseSpec("It is")},
            errors=(*ERRORS, DRILLS_OFF, NO_SUCH_DRILL),
        ),
    ]
