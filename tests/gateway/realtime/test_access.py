"""Who may open a session of the Realtime API, and with which key. Against a real server."""

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from openai import AuthenticationError
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.live.client_secrets import make_secret
from tests.support.realtime import RealtimeGateway

KEY = "a-key-of-ours"
PAGE = "http://localhost:3000"


@pytest.fixture
def locked(realtime: RealtimeGateway) -> RealtimeGateway:
    """A gateway that wants a key."""
    realtime.settings["api_keys"] = f"{KEY},another-key"
    realtime.key = KEY
    return realtime


async def refusal(attempt: Callable[[], Awaitable[Any]]) -> tuple[int, str, str | None]:
    """Status, code and parameter with which a handshake is refused."""
    with pytest.raises(InvalidStatus) as refused:
        await attempt()
    error = json.loads(refused.value.response.body or b"")["error"]
    assert error["type"] == "invalid_request_error"
    return refused.value.response.status_code, error["code"], error["param"]


def test_a_wrong_key_is_refused(locked: RealtimeGateway, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        for key in ("wrong", "ek_wrong", KEY[:-1], KEY + "x"):
            async with locked.client(key) as client:
                refused = await refusal(client.realtime.connect(model="x").enter)
                assert refused == (401, "invalid_api_key", None)
        async with locked.talk(key="another-key"):
            pass
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []

    locked.run(story)


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("", "missing_required_parameter", "model"),
        ("?model=", "missing_required_parameter", "model"),
        ("?model=" + "x" * 300, "invalid_value", "model"),
        ("?model=interview&session_id=..", "invalid_value", "session_id"),
    ],
)
def test_a_url_that_asks_for_no_session_is_refused(
    realtime: RealtimeGateway, query: str, code: str, param: str
) -> None:
    async def story() -> None:
        url = f"ws://127.0.0.1:{realtime.port}/v1/realtime{query}"

        async def attempt() -> None:
            async with connect(url):
                pass

        assert await refusal(attempt) == (400, code, param)

    realtime.run(story)


def test_no_more_sessions_than_there_are_places(realtime: RealtimeGateway) -> None:
    realtime.settings["max_sessions"] = 1

    async def story() -> None:
        async with realtime.talk():
            with pytest.raises(InvalidStatus) as refused:
                async with realtime.talk():
                    pass
            assert refused.value.response.status_code == 503
            assert refused.value.response.headers["retry-after"] == "5"

    realtime.run(story)


def test_a_browser_offers_its_key_as_a_subprotocol(locked: RealtimeGateway) -> None:
    async def story() -> None:
        url = f"ws://127.0.0.1:{locked.port}/v1/realtime?model=x"
        offered: Any = ["realtime", f"openai-insecure-api-key.{KEY}"]
        async with connect(url, subprotocols=offered) as socket:
            assert socket.subprotocol == "realtime"
            assert json.loads(await socket.recv())["type"] == "session.created"
        async with connect(url, subprotocols=offered[1:]) as socket:
            assert socket.subprotocol is None

        async def attempt() -> None:
            wrong: Any = ["realtime", "openai-insecure-api-key.wrong"]
            async with connect(url, subprotocols=wrong):
                pass

        assert (await refusal(attempt))[0] == 401

    locked.run(story)


def test_pages_of_other_sites_may_not_connect(realtime: RealtimeGateway) -> None:
    realtime.settings["cors_origins"] = "none"

    async def story() -> None:
        url = f"ws://127.0.0.1:{realtime.port}/v1/realtime?model=x"
        with pytest.raises(InvalidStatus) as refused:
            async with connect(url, additional_headers={"origin": "https://elsewhere.example"}):
                pass
        assert refused.value.response.status_code == 403

    realtime.run(story)


def test_a_client_secret_begins_sessions_as_it_was_made(locked: RealtimeGateway) -> None:
    async def story() -> None:
        async with locked.client() as client:
            session: Any = {"type": "realtime", "model": "mine", "instructions": "Be brief."}
            secret = await client.realtime.client_secrets.create(
                session=session, expires_after={"anchor": "created_at", "seconds": 60}
            )
            assert secret.value.startswith("ek_")
            assert 0 < secret.expires_at - time.time() <= 60
            shown = secret.session.to_dict()
            assert (shown["model"], shown["instructions"]) == ("mine", "Be brief.")
        for model in (None, "other"):
            query = "" if model is None else f"?model={model}"
            url = f"ws://127.0.0.1:{locked.port}/v1/realtime{query}"
            headers = {"authorization": f"Bearer {secret.value}"}
            async with connect(url, additional_headers=headers) as socket:
                created = json.loads(await socket.recv())["session"]
                assert created["instructions"] == "Be brief."
                assert created["model"] == (model or "mine")

    locked.run(story)


def test_a_secret_opens_no_other_clients_interview(locked: RealtimeGateway) -> None:
    async def story() -> None:
        store = locked.app.state.runtime.store
        session = {"type": "realtime", "model": "interview"}
        secret = (await make_secret(store, session, lifetime_s=60, now=time.time())).value
        bearer = {"authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(base_url=locked.url, trust_env=False) as client:
            made = await client.post(
                "/api/sessions", json={"role": "Data Analyst"}, headers={"x-api-key": KEY}
            )
            query = f"model=interview&session_id={made.json()['session_id']}"

            async def attempt() -> None:
                url = f"ws://127.0.0.1:{locked.port}/v1/realtime?{query}"
                async with connect(url, additional_headers=bearer):
                    pass

            assert await refusal(attempt) == (404, "session_not_found", "session_id")
            answer = await client.post(
                f"/v1/realtime/calls?{query}",
                content="v=0",
                headers=bearer | {"content-type": "application/sdp"},
            )
            assert answer.status_code == 404
            assert answer.json()["error"]["code"] == "session_not_found"

    locked.run(story)


def test_an_expired_secret_is_refused(locked: RealtimeGateway) -> None:
    async def story() -> None:
        store = locked.app.state.runtime.store
        past = time.time() - 60
        secret = await make_secret(store, {"model": "mine"}, lifetime_s=59, now=past)
        async with locked.client(secret.value) as client:
            refused = await refusal(client.realtime.connect(model="mine").enter)
            assert refused == (401, "invalid_api_key", None)
            sdp = "v=0"
            with pytest.raises(AuthenticationError, match="not one of this gateway"):
                await client.realtime.calls.create(sdp=sdp)

    locked.run(story)


def test_a_secret_makes_no_secrets(locked: RealtimeGateway) -> None:
    async def story() -> None:
        session: Any = {"type": "realtime", "model": "mine"}
        async with locked.client() as client:
            secret = await client.realtime.client_secrets.create(session=session)
        async with locked.client(secret.value) as client:
            with pytest.raises(AuthenticationError, match="not one of this gateway"):
                await client.realtime.client_secrets.create(session=session)

    locked.run(story)


@pytest.mark.parametrize("path", ["calls", "calls/rtc_x/hangup", "client_secrets"])
def test_pages_may_make_calls_and_read_where_they_are(realtime: RealtimeGateway, path: str) -> None:
    realtime.settings["cors_origins"] = PAGE

    async def story() -> None:
        async with httpx.AsyncClient(base_url=realtime.url) as client:
            headers = {
                "origin": PAGE,
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization,content-type,x-openai-agents-sdk",
            }
            asked = await client.options(f"/v1/realtime/{path}", headers=headers)
            assert asked.status_code == 200, asked.text
            assert asked.headers["access-control-allow-origin"] == PAGE
            answer = await client.post(f"/v1/realtime/{path}", headers={"origin": PAGE})
            assert answer.headers["access-control-allow-origin"] == PAGE
            exposed = answer.headers["access-control-expose-headers"]
            assert "Location" in exposed.split(", ")

    realtime.run(story)
