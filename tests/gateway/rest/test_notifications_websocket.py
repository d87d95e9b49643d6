"""`/ws/notifications`: the same events as over HTTP, and how a client gets in and out."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.events.notifications import MOST_OF_ONE
from gateway.rest import notifications_websocket as endpoint
from tests.support.gateway import PATIENCE_S, Gateway
from tests.support.notified import bearer, held, key, made, told

WS = "/ws/notifications"


def socket(gateway: Gateway, path: str = WS, **options: Any) -> connect:
    url = f"{gateway.url.replace('http', 'ws')}{path}"
    return connect(url, compression=None, **options)


async def said(client: ClientConnection, count: int) -> list[dict[str, Any]]:
    """The next messages but `ready`, which is the first of each stream."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < count:
            message = json.loads(await client.recv())
            if message["type"] != "ready":
                found.append(message)
    return found


async def ended(client: ClientConnection) -> tuple[int | None, str | None]:
    """The close code and reason, once it is closed; messages before that are dropped."""
    async with asyncio.timeout(PATIENCE_S):
        try:
            while True:
                await client.recv()
        except ConnectionClosed:
            await client.wait_closed()
    return client.close_code, client.close_reason


async def denied(gateway: Gateway, path: str = WS, **options: Any) -> tuple[int, str]:
    """The status and the code of a handshake that is refused."""
    with pytest.raises(InvalidStatus) as refusal:
        async with socket(gateway, path, **options):
            pass
    response = refusal.value.response
    return response.status_code, json.loads(response.body or b"{}").get("code", "")


def hello(ticket: str) -> str:
    return json.dumps({"type": "hello", "version": 1, "ticket": ticket})


@pytest.fixture
def closed(gateway: Gateway) -> Gateway:
    """A gateway whose clients have to say who they are."""
    gateway.settings |= {"access": "required", "cors_origins": "none"}
    return gateway


@pytest.mark.slow
def test_the_same_events_come_as_json_and_from_a_position_on(gateway: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        async with socket(gateway) as first:
            await first.send(hello("whatever"))  # as a page says it that knows no better
            session_id, _ = await made(client)
            kinds = ["session.created", *await held(client, session_id)]
            events = await said(first, len(kinds))
        assert [(one["session_id"], one["type"]) for one in events] == [
            (session_id, kind) for kind in kinds
        ]
        async with socket(gateway, f"{WS}/?after={events[0]['position']}") as again:
            assert await said(again, len(kinds) - 1) == events[1:]

    told(gateway, story)


@pytest.mark.slow
def test_a_client_shows_in_its_handshake_or_in_hello_who_it_is(closed: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        carl, anna = await key(closed, "interviewer"), await key(closed, "candidate")
        annas, her_pass = await made(client, anna)
        carls, _ = await made(client, carl)

        async def ticket(**wanted: Any) -> str:
            answer = await client.post("/api/tickets", json=wanted, headers=bearer(carl))
            return str(answer.json()["value"])

        everything = f"{WS}?after=0"
        async with socket(closed, everything, additional_headers=bearer(carl)) as shown:
            assert [one["session_id"] for one in await said(shown, 2)] == [annas, carls]
        link = await ticket(session_id=carls)
        for credential, expected in ((anna, annas), (her_pass, annas), (link, carls)):
            async with socket(closed, everything) as greeted:
                await greeted.send(hello(credential))
                assert [one["session_id"] for one in await said(greeted, 1)] == [expected]
        for credential in (link, await ticket(), "wrong"):
            async with socket(closed, everything) as refused:
                await refused.send(hello(credential))
                (error,) = await said(refused, 1)
                assert (error["type"], error["code"], error["fatal"]) == (
                    "error",
                    "bad_ticket",
                    True,
                )
                assert await ended(refused) == (
                    1008, "the ticket was used, has expired, or is for a new session"
                )  # fmt: skip
        link = await ticket(session_id=carls)
        async with socket(closed, everything, additional_headers=bearer(link)) as shown:
            assert [one["session_id"] for one in await said(shown, 1)] == [carls]
        assert await denied(closed, additional_headers=bearer(link)) == (401, "access_required")
        # Nothing of the sessions of others, not even that they exist.
        async with socket(closed, f"{WS}?session_id={carls}") as foreign:
            await foreign.send(hello(anna))
            (error,) = await said(foreign, 1)
            assert (error["code"], (await ended(foreign))[0]) == ("no_such_session", 1008)
        path = f"{WS}?session_id={carls}"
        found = await denied(closed, path, additional_headers=bearer(anna))
        assert found == (404, "no_such_session")

    told(closed, story)


@pytest.mark.slow
def test_what_cannot_be_asked_for_is_refused(closed: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        carl = bearer(await key(closed, "interviewer"))
        assert await denied(closed, additional_headers=bearer("wrong")) == (401, "access_required")
        assert await denied(closed, f"{WS}?ticket=x") == (400, "invalid_parameter")
        found = await denied(closed, f"{WS}?after=x", additional_headers=carl)
        assert found == (400, "invalid_parameter")
        found = await denied(closed, origin="https://evil.example", additional_headers=carl)
        assert found == (403, "foreign_page")
        for message in (
            '{"type": "hello", "version": 1}',
            '{"type": "text", "text": "hi"}',
            "no json",
        ):
            async with socket(closed) as refused:
                await refused.send(message)
                assert (await ended(refused))[0] == 1008
        for message in ('{"type": "text", "text": "hi"}', b"\0" * 640):
            async with socket(closed, additional_headers=carl) as talkative:
                await talkative.send(message)
                assert await ended(talkative) == (1008, "nothing is said here but hello")
        ticket = await key(closed, "interviewer")
        for second in (hello(ticket), '{"type": "text", "text": "hi"}', b"\0" * 640):
            async with socket(closed) as talkative:
                await talkative.send(hello(ticket))
                await talkative.send(second)  # right behind it, and so in one piece
                assert await ended(talkative) == (1008, "nothing is said here but hello")

    told(closed, story)


@pytest.mark.slow
def test_it_is_off_unless_the_operator_wants_it(gateway: Gateway) -> None:
    async def story() -> None:
        assert await denied(gateway) == (404, "notifications_off")

    gateway.run(story)


@pytest.mark.slow
def test_no_more_streams_are_open_than_may_be(closed: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        anna = await key(closed, "candidate")
        several = [socket(closed, additional_headers=bearer(anna)) for _ in range(MOST_OF_ONE)]
        clients = [await one for one in several]
        found = await denied(closed, additional_headers=bearer(anna))
        assert found == (429, "too_many_streams")
        async with socket(closed) as greeted:
            await greeted.send(hello(anna))
            (error,) = await said(greeted, 1)
            assert (error["code"], (await ended(greeted))[0]) == ("too_many_streams", 1013)
        for one in clients:
            await one.close()
        hub: Any = closed.app.state.runtime.notifications
        async with asyncio.timeout(PATIENCE_S):
            while hub._streams:
                await asyncio.sleep(0.01)

    told(closed, story)


@pytest.mark.slow
def test_a_stream_ends_with_the_process_or_with_its_time(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await made(client)
        monkeypatch.setattr(endpoint, "lasts_s", lambda access, grant: 0.2)
        async with socket(gateway) as short:
            ready = json.loads(await short.recv())
            newest = await gateway.app.state.runtime.store.page("event", limit=1)
            assert ready == {"type": "ready", "position": newest.entries[0][1].version}
            assert await ended(short) == (1000, "come again, with after")
        monkeypatch.undo()
        async with socket(gateway) as one:
            session_id, _ = await made(client)
            assert (await said(one, 1))[0]["session_id"] == session_id
            gateway.app.state.runtime.drain()
            assert await ended(one) == (1012, "the gateway ends; come again, with after")
        assert await denied(gateway) == (503, "gateway_ends")

    told(gateway, story)
