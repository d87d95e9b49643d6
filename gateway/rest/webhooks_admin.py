"""`/admin/webhooks` for the operator: the webhooks, and the events that were not delivered."""

import logging
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request

from gateway.events.dead_letters import DeadLetter, find_letter, newest_letters
from gateway.events.webhook_progress import WebhookProgress, progress_of, switch_on
from gateway.events.webhooks import Webhooks
from gateway.events.webhooks_file import Webhook
from gateway.rest.operation import Operation, ResponseSpec
from gateway.rest.operator_access import ADMIN_KEY_REQUIRED, ADMIN_OFF, OperatorAccess
from gateway.rest.problems import CONFLICT, STORE_UNAVAILABLE, Kind
from gateway.rest.service_probe import iso
from gateway.store import Store

logger = logging.getLogger("parley.operator")

NO_SUCH_LETTER = Kind("no_such_dead_letter", 404, "There is no dead letter of this id")
NOT_TAKEN = Kind("not_taken", 502, "The receiver did not take the event")
NO_SUCH_WEBHOOK = Kind("no_such_webhook", 409, "The file of webhooks does not name it any more")
UNKNOWN_WEBHOOK = Kind("unknown_webhook", 404, "The file of webhooks names none like this")

TAGS = ("operation",)
ERRORS = (ADMIN_KEY_REQUIRED, ADMIN_OFF, STORE_UNAVAILABLE)
MOST_SHOWN = 100
LONGEST_ID = 128

LETTER: dict[str, Any] = {
    "id": "hr.evt_5d0f3c6b9a7e4d2f8c1b6a90",
    "webhook": "hr",
    "event": "evt_5d0f3c6b9a7e4d2f8c1b6a90",
    "type": "interview.completed",
    "sessionId": "ab833f01317275c74cd3b24d44861093",
    "number": 6,
    "happened": "2026-11-29T21:40:02Z",
    "givenUp": "2026-11-30T08:12:44Z",
    "tries": 40,
    "reason": "HTTP 500",
}
HOOK: dict[str, Any] = {
    "name": "hr",
    "url": "https://hr.example.org/parley",
    "events": ["interview.completed", "report.ready"],
    "waiting": 0,
    "delivered": 118,
    "failures": 41,
    "givenUp": 1,
    "lastDelivered": "2026-11-30T08:15:01Z",
    "lastFailed": "2026-11-30T08:12:44Z",
    "lastProblem": "HTTP 500",
    "off": None,
}


class WebhookStatus(BaseModel):
    """One receiver. `waiting` events have been read and not been taken yet; `failures` counts
    attempts, `givenUp` events. `off` says why nothing is sent to it. Times are UTC."""

    name: str
    url: str
    events: list[str]
    waiting: int
    delivered: int
    failures: int
    givenUp: int
    lastDelivered: str | None
    lastFailed: str | None
    lastProblem: str | None
    off: str | None


class ShownLetter(BaseModel):
    """An event that was given up, and why."""

    id: str
    webhook: str
    event: str
    type: str
    sessionId: str | None
    number: int | None
    happened: str
    givenUp: str
    tries: int
    reason: str


class AdminWebhooks(BaseModel):
    """The receivers, and the newest 100 dead letters of all of them."""

    webhooks: list[WebhookStatus]
    deadLetters: list[ShownLetter]


class TakenLetter(BaseModel):
    """A dead letter that was taken, and is none any more."""

    id: str
    event: str


def webhook_operations(
    store: Store, webhooks: Webhooks | None, access: OperatorAccess
) -> list[Operation]:
    """The endpoints for webhooks; `webhooks` is None where there is no file."""

    async def status(webhook: Webhook) -> WebhookStatus:
        found = await progress_of(store, webhook.name)
        return _status(webhook, WebhookProgress() if found is None else found[0])

    async def shown(request: Request) -> AdminWebhooks:
        hooks = [await status(one) for one in (() if webhooks is None else webhooks.all)]
        letters = await newest_letters(store, MOST_SHOWN)
        return AdminWebhooks(webhooks=hooks, deadLetters=[_letter(one) for one in letters])

    async def switched_on(request: Request) -> WebhookStatus:
        name = request.path_params["webhook"]
        known = () if webhooks is None else webhooks.all
        webhook = next((one for one in known if one.name == name), None)
        if webhook is None:
            raise UNKNOWN_WEBHOOK()
        logger.warning("the operator switches the webhook %s on", webhook.name)
        await switch_on(store, webhook.name)
        return await status(webhook)

    async def replay(request: Request) -> TakenLetter:
        letter = await find_letter(store, request.path_params["letter"][:LONGEST_ID])
        if letter is None:
            raise NO_SUCH_LETTER()
        logger.warning("the operator has %s delivered once more", letter.id)
        sent = None if webhooks is None else await webhooks.replay(store, letter)
        if sent is None:
            raise NO_SUCH_WEBHOOK(letter.webhook)
        if sent.problem:
            raise NOT_TAKEN(sent.problem)
        return TakenLetter(id=letter.id, event=letter.event.id)

    return [
        Operation(
            method="GET",
            path="/admin/webhooks",
            name="adminWebhooks",
            handler=shown,
            summary="Who is told of events, and what could not be delivered",
            tags=TAGS,
            guard=access.admin,
            answers={
                200: ResponseSpec(
                    "They", AdminWebhooks, {"webhooks": [HOOK], "deadLetters": [LETTER]}
                )
            },
            errors=ERRORS,
        ),
        Operation(
            method="POST",
            path="/admin/webhooks/{webhook}/switch-on",
            name="switchOnWebhook",
            handler=switched_on,
            summary="Send events again to a receiver that was gone",
            description="One that answers 410 is switched off. What waits since then is sent.",
            tags=TAGS,
            guard=access.admin,
            answers={200: ResponseSpec("It is on", WebhookStatus, HOOK)},
            errors=(*ERRORS, UNKNOWN_WEBHOOK, CONFLICT),
        ),
        Operation(
            method="POST",
            path="/admin/webhooks/dead-letters/{letter}/replay",
            name="replayDeadLetter",
            handler=replay,
            summary="Deliver a dead letter once more, now",
            tags=TAGS,
            guard=access.admin,
            answers={
                200: ResponseSpec(
                    "It was taken", TakenLetter, {"id": LETTER["id"], "event": LETTER["event"]}
                )
            },
            errors=(*ERRORS, NO_SUCH_LETTER, NO_SUCH_WEBHOOK, NOT_TAKEN),
        ),
    ]


def _status(webhook: Webhook, progress: WebhookProgress) -> WebhookStatus:
    return WebhookStatus(
        name=webhook.name,
        url=webhook.place,
        events=sorted(webhook.types),
        waiting=progress.waiting,
        delivered=progress.delivered,
        failures=progress.failures,
        givenUp=progress.given_up,
        lastDelivered=_at(progress.delivered_at),
        lastFailed=_at(progress.failed_at),
        lastProblem=progress.problem or None,
        off=_off(webhook, progress),
    )


def _letter(letter: DeadLetter) -> ShownLetter:
    event = letter.event
    return ShownLetter(
        id=letter.id,
        webhook=letter.webhook,
        event=event.id,
        type=event.type,
        sessionId=event.session_id,
        number=event.number,
        happened=iso(event.at),
        givenUp=iso(letter.at),
        tries=letter.tries,
        reason=letter.reason,
    )


def _off(webhook: Webhook, progress: WebhookProgress) -> str | None:
    if progress.off_at is None or not progress.off(webhook.url):
        return None
    return (
        f"It answered 410 at {iso(progress.off_at)}, that it is gone. It gets events again once the"
        " file has another url for it, or by POST /admin/webhooks/{name}/switch-on"
    ).replace("{name}", webhook.name)


def _at(moment: float | None) -> str | None:
    return None if moment is None else iso(moment)
