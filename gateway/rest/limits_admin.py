"""`GET /admin/limits`: which limits of requests there are, and what they have refused."""

from typing import Annotated, Any

from pydantic import BaseModel, Field
from starlette.requests import Request

from gateway.limits.limiter import Limiter
from gateway.rest.operation import Operation, ResponseSpec
from gateway.rest.operator_access import ADMIN_KEY_REQUIRED, ADMIN_OFF, OperatorAccess

EXAMPLE: dict[str, Any] = {
    "limits": [
        {"policy": "key", "most": 120, "window_s": 120, "refused": 3},
        {"policy": "day", "most": 500, "window_s": 86_400, "refused": 0},
    ],
    "counting": True,
}


class LimitReport(BaseModel):
    """One limit: `most` requests in `window_s` seconds, as the RateLimit headers have it."""

    policy: Annotated[
        str, Field(description="whose requests it counts: address, key, service, or day for a key")
    ]
    most: int
    window_s: int
    refused: Annotated[int, Field(description="requests that it has refused, since the start")]


class AdminLimits(BaseModel):
    """The limits of requests; `counting` is false while requests cannot be counted."""

    limits: list[LimitReport]
    counting: bool


def limits_operation(limiter: Limiter | None, access: OperatorAccess) -> Operation:
    """The endpoint; `limiter` is None where nothing is limited."""

    async def limits(request: Request) -> AdminLimits:
        if limiter is None:
            return AdminLimits(limits=[], counting=True)
        reports = [
            LimitReport(
                policy=policy, most=most, window_s=window_s, refused=limiter.refused[policy]
            )
            for policy, most, window_s in limiter.rules
        ]
        return AdminLimits(limits=reports, counting=limiter.counts)

    return Operation(
        method="GET",
        path="/admin/limits",
        name="adminLimits",
        handler=limits,
        summary="The limits of requests, and how many each has refused",
        tags=("operation",),
        guard=access.admin,
        answers={200: ResponseSpec("They", AdminLimits, EXAMPLE)},
        errors=(ADMIN_KEY_REQUIRED, ADMIN_OFF),
    )
