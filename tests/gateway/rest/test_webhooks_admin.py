"""`/admin/webhooks`: what the operator sees of deliveries, and a dead letter that is replayed."""

from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from gateway.events.dead_letters import DeadLetter
from gateway.events.event import EVENT_TYPES, OutboxEvent
from gateway.events.webhook_progress import progress_of
from gateway.events.webhooks import Webhooks, read_webhooks
from gateway.rest.operator_access import OperatorAccess
from gateway.rest.webhooks_admin import webhook_operations
from tests.support.rest import Rest, refused
from tests.support.webhook_receiver import WebhookReceiver, webhooks_file

KEY = "operators-key-0001"
OPERATOR = {"authorization": f"Bearer {KEY}"}
EVENT = OutboxEvent("evt_1", "report.ready", "s", 4, 1764480000.0, {"answers": 3})
LETTER = DeadLetter("hr", EVENT, "HTTP 500", 40, 1764480100.0)
REPLAY = "/admin/webhooks/dead-letters/hr.evt_1/replay"


def run(rest: Rest, webhooks: Webhooks | None, story: Any) -> None:
    table = webhook_operations(rest.store, webhooks, OperatorAccess(SecretStr(KEY)))

    async def told(client: httpx.AsyncClient) -> None:
        if webhooks is None:
            await story(client)
            return
        async with webhooks.delivering(rest.store):
            await story(client)

    rest.run(table, told)


def test_it_is_the_operators_alone(rest: Rest) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        assert refused(await client.get("/admin/webhooks"))[:2] == (401, "admin_key_required")
        assert refused(await client.post(REPLAY))[:2] == (401, "admin_key_required")
        shown = await client.get("/admin/webhooks", headers=OPERATOR)
        assert shown.json() == {"webhooks": [], "deadLetters": []}
        unknown = await client.post(REPLAY, headers=OPERATOR)
        assert refused(unknown)[:2] == (404, "no_such_dead_letter")

    run(rest, None, story)


def test_a_dead_letter_is_shown_and_delivered_once_more(rest: Rest, tmp_path: Path) -> None:
    receiver = WebhookReceiver()

    async def story(client: httpx.AsyncClient) -> None:
        client.headers.update(OPERATOR)
        await LETTER.keep(rest.store)
        shown = (await client.get("/admin/webhooks")).json()
        (hook,) = shown["webhooks"]
        assert (hook["name"], hook["url"]) == ("hr", f"http://127.0.0.1:{port}/hook")
        assert hook["events"] == sorted(EVENT_TYPES)
        assert shown["deadLetters"] == [
            {
                "id": "hr.evt_1",
                "webhook": "hr",
                "event": "evt_1",
                "type": "report.ready",
                "sessionId": "s",
                "number": 4,
                "happened": "2025-11-30T05:20:00Z",
                "givenUp": "2025-11-30T05:21:40Z",
                "tries": 40,
                "reason": "HTTP 500",
            }
        ]
        receiver.status = 500
        assert refused(await client.post(REPLAY)) == (502, "not_taken", "HTTP 500")
        receiver.status = 200
        taken = await client.post(REPLAY)
        assert (taken.status_code, taken.json()) == (200, {"id": "hr.evt_1", "event": "evt_1"})
        assert {headers["webhook-id"] for _, headers, _ in receiver.got} == {"evt_1"}
        assert (await client.post(REPLAY)).status_code == 404
        assert (await client.get("/admin/webhooks")).json()["deadLetters"] == []

    with receiver.running() as port:
        file = read_webhooks(webhooks_file(tmp_path, port))
        run(rest, Webhooks(file), story)


def test_a_dead_letter_of_a_webhook_that_is_gone_stays(rest: Rest) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await LETTER.keep(rest.store)
        answer = await client.post(REPLAY, headers=OPERATOR)
        assert refused(answer)[:2] == (409, "no_such_webhook")
        assert len((await client.get("/admin/webhooks", headers=OPERATOR)).json()["deadLetters"])

    run(rest, None, story)


def test_a_webhook_that_is_gone_is_shown_so_and_switched_on_again(
    rest: Rest, tmp_path: Path
) -> None:
    receiver = WebhookReceiver()
    switch = "/admin/webhooks/hr/switch-on"

    async def story(client: httpx.AsyncClient) -> None:
        assert refused(await client.post(switch))[:2] == (401, "admin_key_required")
        client.headers.update(OPERATOR)
        unknown = await client.post("/admin/webhooks/other/switch-on")
        assert refused(unknown)[:2] == (404, "unknown_webhook")
        (hook,) = (await client.get("/admin/webhooks")).json()["webhooks"]
        assert hook["off"] is None
        found = await progress_of(rest.store, "hr")
        assert found is not None
        progress, version = found
        progress.switch_off(f"http://127.0.0.1:{port}/hook?key=k", 1764480000.0)
        await rest.store.commit(progress.put("hr", version))
        (hook,) = (await client.get("/admin/webhooks")).json()["webhooks"]
        assert hook["off"] == (
            "It answered 410 at 2025-11-30T05:20:00Z, that it is gone. It gets events again once"
            " the file has another url for it, or by POST /admin/webhooks/hr/switch-on"
        )
        answer = await client.post(switch)
        assert (answer.status_code, answer.json()["off"]) == (200, None)
        (hook,) = (await client.get("/admin/webhooks")).json()["webhooks"]
        assert hook["off"] is None

    with receiver.running() as port:
        file = read_webhooks(webhooks_file(tmp_path, port))
        run(rest, Webhooks(file), story)
