"""`GET /admin/limits`: the limits of requests and of tokens, and what they have refused."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, Field
from starlette.requests import Request

from gateway.limits.limiter import Limiter
from gateway.limits.token_limiter import TokenLimiter
from gateway.rest.operation import Operation, ResponseSpec
from gateway.rest.operator_access import ADMIN_KEY_REQUIRED, ADMIN_OFF, OperatorAccess

EXAMPLE: dict[str, Any] = {
    "limits": [
        {"policy": "key", "most": 120, "window_s": 120, "refused": 3},
        {"policy": "day", "most": 500, "window_s": 86_400, "refused": 0},
        {"policy": "tokens-day", "most": 200_000, "window_s": 86_400, "refused": 1},
    ],
    "counting": True,
}


class LimitReport(BaseModel):
    """One limit: `most` requests in `window_s` seconds, as the RateLimit headers have it."""

    policy: Annotated[
        str,
        Field(
            description="whose requests it counts: address, key, service, or day for a key; with"
            " tokens-day, tokens-month and tokens-session the tokens of chat models"
        ),
    ]
    most: int
    window_s: Annotated[int, Field(description="of tokens-month the length of this month")]
    refused: Annotated[int, Field(description="requests that it has refused, since the start")]


class AdminLimits(BaseModel):
    """The limits; `counting` is false while requests or tokens cannot be counted."""

    limits: list[LimitReport]
    counting: bool


def limits_operation(
    limiter: Limiter | None, tokens: TokenLimiter, access: OperatorAccess
) -> Operation:
    """The endpoint; `limiter` is None if no requests are limited."""

    def reports() -> Iterator[LimitReport]:
        if limiter is not None:
            for policy, most, window_s in limiter.rules:
                yield LimitReport(
                    policy=policy, most=most, window_s=window_s, refused=limiter.refused[policy]
                )
        for quota in tokens.quotas():
            yield LimitReport(
                policy=quota.policy,
                most=quota.most,
                window_s=tokens.window_s(quota),
                refused=tokens.refused[quota.policy],
            )

    async def limits(request: Request) -> AdminLimits:
        counting = tokens.counts and (limiter is None or limiter.counts)
        return AdminLimits(limits=[*reports()], counting=counting)

    return Operation(
        method="GET",
        path="/admin/limits",
        name="adminLimits",
        handler=limits,
        summary="The limits of requests and tokens, and how many requests each has refused",
        tags=("operation",),
        guard=access.admin,
        answers={200: ResponseSpec("They", AdminLimits, EXAMPLE)},
        errors=(ADMIN_KEY_REQUIRED, ADMIN_OFF),
    )
