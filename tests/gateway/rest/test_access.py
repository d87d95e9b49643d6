"""REST, uploads and WebRTC where keys are set: who gets in with what. Against a real server."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.support.gateway import Gateway
from tests.support.rest import refused

pytestmark = pytest.mark.slow

KEY = "a-key-of-ours"
HEADERS = {"authorization": f"Bearer {KEY}"}
NEW = {"role": "Data Analyst"}

Story = Callable[[httpx.AsyncClient], Awaitable[None]]


@pytest.fixture
def locked(gateway: Gateway) -> Gateway:
    gateway.settings |= {"api_keys": f"{KEY},another-key", "cors_origins": "none"}
    return gateway


def told(gateway: Gateway, story: Story) -> None:
    async def main() -> None:
        client = httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=20)
        async with client:
            await story(client)

    gateway.run(main)


def bearer(value: str) -> dict[str, str]:
    return {"authorization": f"Bearer {value}"}


async def made(client: httpx.AsyncClient, credential: str = KEY) -> tuple[str, str]:
    """A new session and its pass."""
    answer = await client.post("/api/sessions", json=NEW, headers=bearer(credential))
    assert answer.status_code == 201, answer.text
    client.cookies.clear()
    return answer.json()["session_id"], answer.json()["access"]["value"]


async def ticket(client: httpx.AsyncClient, **wanted: Any) -> str:
    answer = await client.post("/api/tickets", json=wanted, headers=HEADERS)
    assert answer.status_code == 201, answer.text
    value: str = answer.json()["value"]
    return value


GUARDED = [
    ("POST", "/api/tickets"),
    ("GET", "/api/sessions"),
    ("POST", "/api/sessions"),
    ("GET", "/api/sessions/{id}"),
    ("DELETE", "/api/sessions/{id}"),
    ("POST", "/api/sessions/{id}/pass"),
    ("POST", "/api/sessions/{id}/start"),
    ("POST", "/api/sessions/{id}/submit-answer"),
    ("POST", "/api/sessions/{id}/end"),
    ("GET", "/api/sessions/{id}/report"),
    ("GET", "/api/sessions/{id}/events"),
    ("GET", "/api/sessions/{id}/recordings"),
    ("POST", "/api/v1/interviews/start"),
    ("GET", "/api/v1/models"),
    ("POST", "/api/offer"),
    ("POST", "/webrtc/{id}"),
    ("PATCH", "/webrtc/{id}/peer"),
    ("DELETE", "/webrtc/{id}/peer"),
    ("POST", "/whip/{id}"),
    ("PATCH", "/whip/{id}/peer"),
    ("DELETE", "/whip/{id}/peer"),
    ("POST", "/whep/{id}"),
    ("PATCH", "/whep/{id}/peer"),
    ("DELETE", "/whep/{id}/peer"),
    ("POST", "/api/sessions/{id}/observers"),
]


def test_nothing_is_done_for_a_client_without_a_key(locked: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        session_id, _ = await made(client)
        for headers in ({}, bearer("wrong-key"), {"x-api-key": KEY[:-1]}):
            for method, path in GUARDED:
                # Neither the body nor its type is looked at before.
                answer = await client.request(
                    method, path.format(id=session_id), content="{", headers=headers
                )
                assert refused(answer)[:2] == (401, "access_required"), (method, path)
                assert answer.headers["www-authenticate"].startswith('Bearer realm="parley"')
        for name in ("authorization", "x-api-key"):
            value = f"Bearer {KEY}" if name == "authorization" else "another-key"
            assert (await client.get("/api/sessions", headers={name: value})).status_code == 200

    told(locked, story)


def test_a_link_for_a_candidate_lasts_for_days_and_a_few_uses(locked: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        session_id, _ = await made(client)
        link = await ticket(client, session_id=session_id, expires_in=7 * 24 * 3600, uses=2)
        path = f"/api/sessions/{session_id}/pass"
        found = [(await client.post(path, headers=bearer(link))).status_code for _ in range(3)]
        assert found == [200, 200, 401]
        for wanted, pointer in (({"uses": 2}, "/uses"), ({"expires_in": 3601}, "/expires_in")):
            answer = await client.post("/api/tickets", json=wanted, headers=HEADERS)
            assert refused(answer)[:2] == (400, "invalid_field")
            assert answer.json()["errors"][0]["pointer"] == pointer

    told(locked, story)


def test_what_is_public_needs_no_key(locked: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        for path in (
            "/",
            "/static/main.js",
            "/faces",
            "/faces/mira/face.json",
            "/health",
            "/health/live",
            "/health/ready",
            "/openapi.json",
            "/asyncapi.json",
            "/docs",
            "/problems",
        ):
            assert (await client.get(path)).status_code == 200, path
        assert (await client.get("/nothing")).status_code == 404
        assert (await client.options("/webrtc/x")).status_code == 204

    told(locked, story)


def test_a_ticket_makes_one_session_and_its_client_gets_a_pass(locked: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        value = await ticket(client)
        session_id, held = await made(client, value)
        again = await client.post("/api/sessions", json=NEW, headers=bearer(value))
        assert refused(again) == (
            401,
            "access_required",
            "Send one that holds as Authorization: Bearer …, or as X-API-Key",
        )
        path = f"/api/sessions/{session_id}"
        for _ in range(2):
            assert (await client.get(path, headers=bearer(held))).status_code == 200
        begun = await client.post(f"{path}/start", headers=bearer(held))
        assert begun.status_code == 200
        listed = await client.get("/api/sessions", headers=bearer(held))
        assert refused(listed) == (403, "access_denied", "This needs an API key")
        more = await client.post("/api/sessions", json=NEW, headers=bearer(held))
        assert refused(more) == (403, "access_denied", "It is for another session")

    told(locked, story)


def test_a_ticket_for_a_session_is_exchanged_for_a_pass_once(locked: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        session_id, _ = await made(client)
        value = await ticket(client, session_id=session_id, expires_in=30)
        path = f"/api/sessions/{session_id}/pass"
        first, second = await asyncio.gather(
            *(client.post(path, headers=bearer(value)) for _ in range(2))
        )
        answers = sorted((first, second), key=lambda answer: answer.status_code)
        assert [answer.status_code for answer in answers] == [200, 401]
        held = answers[0].json()["access"]["value"]
        client.cookies.clear()
        renewed = await client.post(path, headers=bearer(held))
        assert renewed.json()["access"]["expires_at"] == answers[0].json()["access"]["expires_at"]
        client.cookies.clear()
        shown = await client.get(f"/api/sessions/{session_id}", headers=bearer(held))
        assert shown.status_code == 200

    told(locked, story)


def test_another_clients_session_is_not_there(locked: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        mine, held = await made(client)
        theirs, _ = await made(client)
        bound = await ticket(client, session_id=mine)
        for credential in (held, bound):
            for method, path in (
                ("GET", f"/api/sessions/{theirs}"),
                ("DELETE", f"/api/sessions/{theirs}"),
                ("POST", f"/api/sessions/{theirs}/pass"),
                ("GET", f"/api/sessions/{theirs}/report"),
                ("POST", f"/webrtc/{theirs}"),
                ("POST", f"/whip/{theirs}"),
            ):
                answer = await client.request(method, path, headers=bearer(credential))
                assert refused(answer)[:2] == (404, "no_such_session"), (method, path)
        nowhere = await client.post("/api/tickets", json={"session_id": "nobodys"}, headers=HEADERS)
        assert refused(nowhere)[:2] == (404, "no_such_session")

    told(locked, story)


def test_who_may_listen_to_a_session_may_nothing_else(locked: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        mine, held = await made(client)
        theirs, _ = await made(client)
        path = f"/api/sessions/{mine}/observers"
        given = await client.post(path, json={"expires_in": 600}, headers=HEADERS)
        assert (given.status_code, given.json()["session_id"]) == (201, mine)
        token = given.json()["access"]["value"]
        assert token.startswith("po_")
        sdp = {"content-type": "application/sdp"}
        listens = await client.post(f"/whep/{mine}", content="v=0", headers=sdp | bearer(token))
        assert refused(listens)[:2] == (409, "not_live")
        for method, other in GUARDED:
            if not other.startswith("/whep"):
                answer = await client.request(method, other.format(id=mine), headers=bearer(token))
                assert refused(answer)[:2] == (401, "access_required"), (method, other)
        for credential in (token, held):  # an observer's, and a candidate's
            answer = await client.post(f"/whep/{theirs}", headers=bearer(credential))
            assert refused(answer)[:2] == (404, "no_such_session")
            asked = await client.post(
                f"/api/sessions/{theirs}/observers", json={}, headers=bearer(credential)
            )
            assert asked.status_code in (401, 403)
        own = await client.post(f"/whep/{mine}", content="v=0", headers=sdp | bearer(held))
        assert refused(own)[:2] == (409, "not_live")
        once = await ticket(client, session_id=mine)
        answer = await client.post(f"/whep/{mine}", headers=bearer(once))
        assert refused(answer)[:2] == (401, "access_required")
        assert (await client.delete(f"/api/sessions/{mine}", headers=HEADERS)).status_code == 204
        gone = await client.post(f"/whep/{mine}", headers=bearer(token))
        assert refused(gone)[:2] == (401, "access_required")

    told(locked, story)


@pytest.mark.parametrize("wanted", [{"expires_in": 59}, {"expires_in": 86_401}, {"more": 1}])
def test_an_impossible_observers_token_is_refused(locked: Gateway, wanted: dict[str, int]) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        session_id, _ = await made(client)
        path = f"/api/sessions/{session_id}/observers"
        answer = await client.post(path, json=wanted, headers=HEADERS)
        assert refused(answer)[:2] == (400, "invalid_field")
        answer = await client.post("/api/sessions/nobodys/observers", json={}, headers=HEADERS)
        assert refused(answer)[:2] == (404, "no_such_session")

    told(locked, story)


def test_a_link_is_followed_with_the_cookie_of_its_session(locked: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.post("/api/sessions", json=NEW, headers=HEADERS)
        session_id = answer.json()["session_id"]
        cookie = answer.headers["set-cookie"]
        assert cookie.endswith(f"; Path=/api/sessions/{session_id}; HttpOnly; SameSite=Strict")
        assert (await client.get(f"/api/sessions/{session_id}")).status_code == 200
        # A cookie is no leave to change anything: pages of other sites might have it sent.
        for method, path in (("POST", "/end"), ("DELETE", "")):
            changed = await client.request(method, f"/api/sessions/{session_id}{path}")
            assert refused(changed)[:2] == (401, "access_required")
        assert (await client.get("/api/sessions")).status_code == 401

    told(locked, story)


def test_a_repeated_request_gets_no_pass_from_the_store(locked: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        headers = HEADERS | {"idempotency-key": "once"}
        first = await client.post("/api/sessions", json=NEW, headers=headers)
        assert first.json()["access"]["value"].startswith("ps_")
        again = await client.post("/api/sessions", json=NEW, headers=headers)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json()["session_id"] == first.json()["session_id"]
        assert "access" not in again.json()
        assert "set-cookie" not in again.headers

    told(locked, story)


@pytest.mark.parametrize(
    "wanted", [{"expires_in": 4}, {"expires_in": 3601}, {"session_id": "../x"}, {"more": 1}]
)
def test_an_impossible_ticket_is_refused(locked: Gateway, wanted: dict[str, Any]) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.post("/api/tickets", json=wanted, headers=HEADERS)
        assert refused(answer)[:2] == (400, "invalid_field")

    told(locked, story)


def test_without_keys_nothing_is_asked_and_nothing_is_given(gateway: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.post("/api/sessions", json=NEW)
        assert answer.status_code == 201
        assert "access" not in answer.json()
        assert "set-cookie" not in answer.headers
        session_id = answer.json()["session_id"]
        assert (await client.post(f"/api/sessions/{session_id}/pass")).json() == {
            "session_id": session_id,
            "access": None,
        }
        assert (await client.get("/api/sessions", headers=bearer("any"))).status_code == 200

    told(gateway, story)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1.evil.example"])
@pytest.mark.parametrize("keys", [True, False])
def test_a_page_of_another_site_changes_nothing(gateway: Gateway, origin: str, keys: bool) -> None:
    if keys:
        gateway.settings["api_keys"] = KEY

    async def story(client: httpx.AsyncClient) -> None:
        client.headers.update(HEADERS)
        session_id = (await client.post("/api/sessions", json=NEW)).json()["session_id"]
        for method, path in (
            ("POST", f"/api/sessions/{session_id}/start"),
            ("DELETE", f"/api/sessions/{session_id}"),
            ("POST", "/api/offer"),
            ("POST", f"/webrtc/{session_id}"),
            ("POST", "/api/tickets"),
        ):
            answer = await client.request(method, path, headers={"origin": origin})
            assert refused(answer)[:2] == (403, "foreign_page"), path
            assert "access-control-allow-origin" not in answer.headers
        twice = [("origin", gateway.url), ("origin", origin)]
        answer = await client.post(f"/api/sessions/{session_id}/start", headers=twice)
        assert refused(answer)[:2] == (403, "foreign_page")
        own = {"origin": gateway.url}
        begun = await client.post(f"/api/sessions/{session_id}/start", headers=own)
        assert begun.status_code == 200

    told(gateway, story)
