"""`GET /admin/usage`: the tokens of models, for the operator."""

import time
from typing import Annotated, Any

from pydantic import BaseModel, Field
from starlette.requests import Request

from gateway.models.usage import UsageLedger, UsageTotal
from gateway.rest.operation import Operation, ResponseSpec
from gateway.rest.operator_access import ADMIN_KEY_REQUIRED, ADMIN_OFF, OperatorAccess
from gateway.rest.service_probe import iso

TOKENS: dict[str, Any] = {
    "requests": 12,
    "prompt_tokens": 9000,
    "completion_tokens": 1800,
    "estimated_tokens": 0,
    "escalated": 2,
}


class UsageEntry(BaseModel):
    """The tokens that calls have taken. `estimated_tokens` are those of both kinds that no server
    has told; `escalated` are replies after which another model was asked."""

    name: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    estimated_tokens: int
    escalated: int


class SessionUsage(UsageEntry):
    """The usage of one session; `key` is the id of its key, or a digest."""

    key: str


class UsageReport(BaseModel):
    """The usage of keys, sessions and models, the latest thousand of each. `since` is UTC."""

    since: str
    keys: Annotated[list[UsageEntry], Field(description="by the id of a key, or by a digest")]
    sessions: Annotated[list[SessionUsage], Field(description="by X-Session-ID")]
    models: list[UsageEntry]


EXAMPLE: dict[str, Any] = {
    "since": "2026-11-29T21:40:02Z",
    "keys": [{"name": "0f3a5c7e9b1d", **TOKENS}],
    "sessions": [{"name": "s-17", "key": "0f3a5c7e9b1d", **TOKENS}],
    "models": [{"name": "interviewer", **TOKENS}],
}


def usage_operation(ledger: UsageLedger, access: OperatorAccess) -> Operation:
    """The endpoint; figures are of this process, from now on."""
    since = iso(time.time())

    async def usage(request: Request) -> UsageReport:
        return UsageReport(
            since=since,
            keys=[UsageEntry(name=name, **_figures(total)) for name, total in ledger.of_keys()],
            sessions=[
                SessionUsage(name=session, key=key, **_figures(total))
                for (key, session), total in ledger.of_sessions()
            ],
            models=[UsageEntry(name=name, **_figures(total)) for name, total in ledger.of_models()],
        )

    return Operation(
        method="GET",
        path="/admin/usage",
        name="adminUsage",
        handler=usage,
        summary="The tokens of models: of each key, session and model",
        tags=("operation",),
        guard=access.admin,
        answers={200: ResponseSpec("They", UsageReport, EXAMPLE)},
        errors=(ADMIN_KEY_REQUIRED, ADMIN_OFF),
    )


def _figures(total: UsageTotal) -> dict[str, int]:
    return {
        "requests": total.requests,
        "prompt_tokens": total.prompt,
        "completion_tokens": total.completion,
        "estimated_tokens": total.estimated,
        "escalated": total.escalated,
    }
