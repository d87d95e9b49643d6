"""`/admin`: what the operator of a running gateway sees and changes.

All of it needs the operator's key; without one it is off. It shows no words of a conversation and
no address of a server.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from starlette.requests import Request

from gateway.observe.sessions import ObservedSession
from gateway.rest.operation import Handler, Operation, ResponseSpec
from gateway.rest.operator_access import ADMIN_KEY_REQUIRED, ADMIN_OFF, OperatorAccess
from gateway.rest.problems import Kind
from gateway.rest.service_probe import iso
from gateway.status import BreakerReport, ProviderReport, QueueReport, StageReport

logger = logging.getLogger("parley.operator")

BreakerChange = Literal["reset", "force-open", "disable"]

NO_SUCH_BREAKER = Kind("no_such_breaker", 404, "No provider has a circuit breaker of this name")

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


class AdminSessions(BaseModel):
    """The live sessions of this process, the oldest first."""

    sessions: list[LiveSession]


class AdminBreakers(BaseModel):
    """The circuit breakers of the process."""

    breakers: list[BreakerReport]


class ChangedBreaker(BaseModel):
    """A circuit breaker after a change by the operator."""

    breaker: BreakerReport


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSources:
    """Where the admin API gets its state, and what it may do; each function returns at once.

    `change_breaker` returns the breaker after the change, None where none has the name.
    """

    stages: Callable[[], Sequence[StageReport]]
    providers: Callable[[], Sequence[ProviderReport]]
    queues: Callable[[], Sequence[QueueReport]]
    sessions: Iterable[ObservedSession]
    breakers: Callable[[], Sequence[BreakerReport]]
    change_breaker: Callable[[str, BreakerChange], BreakerReport | None]


def admin_operations(sources: AdminSources, access: OperatorAccess) -> list[Operation]:
    """The endpoints of the operator."""

    async def stages(request: Request) -> AdminStages:
        return AdminStages(
            stages=[*sources.stages()],
            providers=[*sources.providers()],
            queues=[*sources.queues()],
        )

    async def sessions(request: Request) -> AdminSessions:
        now = time.time()
        return AdminSessions(sessions=[_shown(session, now) for session in sources.sessions])

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
            path="/admin/sessions",
            name="adminSessions",
            handler=sessions,
            summary="The live sessions of this process",
            answers={200: ResponseSpec("They", AdminSessions)},
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
    )
