"""Sidebands of calls over WebRTC, against a real server: openai-python follows and steers a call
whose media aiortc has."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from openai import NotFoundError
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.live.sideband import MOST_SIDEBANDS
from tests.support.realtime import WEATHER, RealtimeGateway, text_of
from tests.support.realtime_call import CALLS, SDP, Call, call
from tests.support.webrtc import emptied

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("patience")]


async def refusal(realtime: RealtimeGateway, call_id: str, key: str) -> tuple[int, str]:
    """Status and code with which a sideband is refused."""
    with pytest.raises(InvalidStatus) as refused:
        async with realtime.sideband(call_id, key):
            pass
    error = json.loads(refused.value.response.body or b"")["error"]
    assert error["type"] == "invalid_request_error"
    return refused.value.response.status_code, error["code"]


def test_a_server_follows_and_steers_a_call(realtime: RealtimeGateway) -> None:
    realtime.chat("weather")

    async def story() -> None:
        async with call(realtime, model="assistant") as (made, call_id):
            await made.until("session.created")
            async with realtime.sideband(call_id) as server:
                created = await server.until("session.created")
                assert created["session"]["model"] == "assistant"
                session: Any = {"type": "realtime", "tools": [WEATHER]}
                await server.connection.session.update(session=session)
                for told in (server, made):
                    updated = await told.until("session.updated")
                    assert updated["session"]["tools"] == [WEATHER]
                await server.write("How is the weather?")
                await server.connection.response.create()
                [asked] = (await server.done())["output"]
                result: Any = {"type": "function_call_output", "call_id": asked["call_id"]}
                item = result | {"output": "sunny"}
                await server.connection.conversation.item.create(item=item)
                await server.connection.response.create()
                assert text_of(await server.done()) == "It is sunny there."
                await made.until("output_audio_buffer.started")
                await made.until("output_audio_buffer.stopped")
                await server.send("input_audio_buffer.append", audio="AAAA", event_id="mine")
                error = await server.refused("invalid_event")
                assert error["event_id"] == "mine"
                assert not server.audio
            assert "error" not in made.types()
            made.say(type="session.update", session={"type": "realtime", "tools": []})
            updated = await made.until("session.updated")  # and the call goes on
            assert updated["session"]["tools"] == []
            assert max(peak for _, peak in made.loudness) > 3000

    realtime.run(story)


def test_a_sideband_ends_with_its_call_and_comes_though_all_places_are_taken(
    realtime: RealtimeGateway,
) -> None:
    realtime.settings["max_sessions"] = 1

    async def story() -> None:
        async with call(realtime, model="assistant") as (made, call_id):
            await made.until("session.created")
            async with realtime.sideband(call_id) as server:
                await server.until("session.created")
                async with realtime.client() as client:
                    await client.realtime.calls.hangup(call_id)
                    assert await server.ended() == (1000, "")
                    await emptied(realtime)
                    with pytest.raises(NotFoundError, match="no such call"):
                        await client.realtime.calls.hangup(call_id)
            assert await refusal(realtime, call_id, "any") == (404, "call_id_not_found")

    realtime.run(story)


@asynccontextmanager
async def offered(realtime: RealtimeGateway, key: str) -> AsyncIterator[tuple[Call, str, str]]:
    """A call whose client has not connected yet: the answer, and the call's id."""
    made = Call(realtime)
    try:
        async with httpx.AsyncClient(base_url=realtime.url) as client:
            headers = {**SDP, "authorization": f"Bearer {key}"}
            answer = await client.post(
                CALLS, content=await made.offer(), headers=headers, params={"model": "assistant"}
            )
        assert answer.status_code == 201, answer.text
        yield made, answer.text, answer.headers["location"].rpartition("/")[2]
    finally:
        await made.close()


def test_a_server_comes_before_the_page_has_connected(realtime: RealtimeGateway) -> None:
    async def story() -> None:
        async with (
            offered(realtime, "any") as (made, answer, call_id),
            realtime.sideband(call_id) as server,
        ):
            session: Any = {"type": "realtime", "instructions": "Be brief."}
            await server.connection.session.update(session=session)
            await made.answered(answer)
            await server.until("session.created")
            updated = await server.until("session.updated")
            assert updated["session"]["instructions"] == "Be brief."
            await made.until("session.created")
            assert (await made.until("session.updated"))["session"] == updated["session"]

    realtime.run(story)


def test_sidebands_that_die_before_the_page_connects_leave_their_places(
    realtime: RealtimeGateway,
) -> None:
    async def story() -> None:
        async with offered(realtime, "any") as (_, _, call_id):
            url = f"ws://127.0.0.1:{realtime.port}/v1/realtime?call_id={call_id}"
            dead = [await connect(url, proxy=None) for _ in range(MOST_SIDEBANDS)]
            for websocket in dead:
                for _ in range(3):
                    await websocket.send('{"type":"response.create"}')
            assert await refusal(realtime, call_id, "any") == (429, "too_many_sidebands")
            [sidebands] = realtime.app.state.runtime.controlled._live.values()
            for websocket in dead:
                websocket.transport.abort()
            for _ in range(100):
                if not sidebands._taken:
                    break
                await asyncio.sleep(0.02)
            assert (sidebands._taken, sidebands.over) == (0, False)

    realtime.run(story)


def test_a_page_with_its_secret_leaves_a_place_for_the_key(realtime: RealtimeGateway) -> None:
    realtime.settings["api_keys"] = "first-key"

    async def story() -> None:
        async with realtime.client("first-key") as client:
            session: Any = {"type": "realtime", "model": "assistant"}
            secret = (await client.realtime.client_secrets.create(session=session)).value
        async with call(realtime, key=secret) as (made, call_id), AsyncExitStack() as stack:
            await made.until("session.created")
            for _ in range(MOST_SIDEBANDS - 1):
                await stack.enter_async_context(realtime.sideband(call_id, secret))
            assert await refusal(realtime, call_id, secret) == (429, "too_many_sidebands")
            async with realtime.sideband(call_id, "first-key") as server:
                await server.until("session.created")

    realtime.run(story)


def test_what_a_sideband_sends_in_bulk_does_not_end_the_call(
    realtime: RealtimeGateway, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with call(realtime, model="assistant") as (made, call_id):
            await made.until("session.created")
            async with realtime.sideband(call_id) as server:
                await server.until("session.created")
                content: Any = [{"type": "input_text", "text": "x" * 60_000}]
                item: Any = {"id": "item_1", "type": "message", "role": "user", "content": content}
                items = server.connection.conversation.item
                await items.create(item=item)
                await made.until("conversation.item.done")
                for _ in range(40):
                    await items.retrieve(item_id="item_1")
                await server.send("response.cancel", event_id="x" * 5_000_000)
                await server.refused("event_too_long")
            assert "conversation.item.retrieved" not in made.types()
            assert "error" not in made.types()
            made.say(type="session.update", session={"type": "realtime", "tools": []})
            await made.until("session.updated")

    with caplog.at_level("INFO", "parley.sidebands"):
        realtime.run(story)
    said = [record.getMessage().partition(": ")[2] for record in caplog.records]
    assert said == ["a sideband is attached", "a sideband has ended: 1000 "]


def test_an_event_that_the_page_cannot_take_is_an_error_for_who_asked(
    realtime: RealtimeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiortc.rtcsctptransport.LOCAL_MAX_MESSAGE_SIZE", 65_536)  # in the offer

    async def story() -> None:
        async with call(realtime, model="assistant") as (made, call_id):
            await made.until("session.created")
            async with realtime.sideband(call_id) as server:
                await server.until("session.created")
                session = {"type": "realtime", "instructions": "x" * 40_000}
                await server.send("session.update", session=session)
                for told in (made, server):
                    await told.until("session.updated")
                session = {"type": "realtime", "tools": [{**WEATHER, "description": "y" * 40_000}]}
                await server.send("session.update", session=session, event_id="of-server")
                updated = (await server.until("session.updated"))["session"]
                assert updated["tools"] == session["tools"]
                for told in (made, server):
                    error = (await told.until("error"))["error"]
                    assert error["code"] == "message_left_out"
                    assert error["event_id"] == "of-server"
                    assert error["message"].startswith("A message of the type session.updated")
            session = {"type": "realtime", "tracing": "auto"}
            made.say(type="session.update", session=session, event_id="of-page")
            assert (await made.until("error"))["error"]["event_id"] == "of-page"
            made.say(type="session.update", session={"type": "realtime", "tools": []})
            assert (await made.until("session.updated"))["session"]["tracing"] == "auto"

    realtime.run(story)


def test_a_call_is_held_by_who_made_it_or_its_secret(realtime: RealtimeGateway) -> None:
    realtime.settings["api_keys"] = "first-key,second-key"

    async def story() -> None:
        async with realtime.client("first-key") as client:
            session: Any = {"type": "realtime", "model": "assistant"}
            secrets = [
                (await client.realtime.client_secrets.create(session=session)).value
                for _ in range(2)
            ]
        async with call(realtime, key=secrets[0]) as (made, call_id):
            await made.until("session.created")
            for key in ("first-key", secrets[0]):
                async with realtime.sideband(call_id, key) as server:
                    await server.until("session.created")
            for key in ("second-key", secrets[1]):
                assert await refusal(realtime, call_id, key) == (404, "call_id_not_found")
                async with realtime.client(key) as client:
                    with pytest.raises(NotFoundError, match="another client's"):
                        await client.realtime.calls.hangup(call_id)
            assert await refusal(realtime, call_id, "wrong") == (401, "invalid_api_key")
            assert await refusal(realtime, "rtc_none", "first-key") == (404, "call_id_not_found")
            async with (
                realtime.sideband(call_id, "first-key"),
                realtime.sideband(call_id, "first-key"),
                realtime.sideband(call_id, "first-key"),
                realtime.sideband(call_id, "first-key"),
            ):
                assert await refusal(realtime, call_id, "first-key") == (429, "too_many_sidebands")
            async with realtime.sideband(call_id, "first-key") as server:
                await server.until("session.created")
            async with realtime.client(secrets[0]) as client:
                await client.realtime.calls.hangup(call_id)
            await made.closed.wait()

    realtime.run(story)


def test_where_there_are_no_keys_the_token_of_webrtc_guards_sidebands(
    realtime: RealtimeGateway,
) -> None:
    realtime.settings["webrtc_token"] = "a-token"

    async def story() -> None:
        async with call(realtime, key="a-token", model="assistant") as (made, call_id):
            await made.until("session.created")
            assert await refusal(realtime, call_id, "another") == (401, "invalid_api_key")
            async with realtime.sideband(call_id, "a-token") as server:
                await server.until("session.created")

    realtime.run(story)


def test_a_sideband_ends_with_its_own_credential_and_the_call_goes_on(
    realtime: RealtimeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    realtime.settings["api_keys"] = "first-key"

    async def story() -> None:
        access = realtime.app.state.runtime.access
        async with call(realtime, key="first-key", model="assistant") as (made, call_id):
            await made.until("session.created")
            monkeypatch.setattr(access, "until", lambda grant: time.time() + 0.3)
            async with realtime.sideband(call_id, "first-key") as server:
                await server.until("session.created")
                code, reason = await server.ended()
                assert (code, (reason or "").partition(":")[0]) == (1008, "session_expired")
            made.say(type="session.update", session={"type": "realtime", "tools": []})
            await made.until("session.updated")

    realtime.run(story)
