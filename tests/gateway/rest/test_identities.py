"""Roles, tokens of an identity provider and stored keys: over REST, WebSockets and WebRTC's offers.

Against a real server; the provider is one as well.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.security.identities import LONGEST_TOKEN
from gateway.security.roles import ClientRole
from gateway.security.stored_keys import create_key, revoke_key
from tests.support.gateway import Gateway
from tests.support.rest import refused
from tests.support.rtvi import rtvi_client
from tests.support.stub_services import StubService, services_file
from tests.support.tokens import (
    AUDIENCE,
    ISSUER,
    SECRET,
    Provider,
    ec_key,
    identity_provider,
    key_set,
    rsa_key,
    shown,
    token,
)

pytestmark = pytest.mark.slow

NEW = {"role": "Data Analyst"}
Story = Callable[[httpx.AsyncClient], Awaitable[None]]


def told(gateway: Gateway, story: Story) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=20) as client:
            await story(client)

    gateway.run(main)


def bearer(value: str) -> dict[str, str]:
    return {"authorization": f"Bearer {value}"}


def of(role: str, subject: str = "user-1", **more: Any) -> str:
    """A token of the shared secret, that holds now."""
    return token(**{"now": int(time.time()), "role": role, "sub": subject} | more)


@pytest.fixture
def secret(gateway: Gateway) -> Gateway:
    """A gateway that takes tokens of the shared secret."""
    gateway.settings |= {
        "jwt_secret": SECRET,
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "cors_origins": "none",
    }
    return gateway


@pytest.fixture
def provider() -> Iterator[Provider]:
    with identity_provider() as provider:
        provider.document = key_set(shown(rsa_key(), "one"))
        yield provider


@pytest.fixture
def federated(gateway: Gateway, provider: Provider) -> Gateway:
    """A gateway that asks the provider for its keys."""
    gateway.settings |= {
        "jwt_jwks_url": provider.url,
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
    }
    return gateway


async def status(client: httpx.AsyncClient, method: str, path: str, credential: str) -> int:
    answer = await client.request(method, path, headers=bearer(credential), json=NEW)
    client.cookies.clear()
    return answer.status_code


# --- roles -------------------------------------------------------------------------------------

ROUTES = [
    ("GET", "/health"),
    ("GET", "/api/sessions"),
    ("POST", "/api/tickets"),
    ("POST", "/api/sessions"),
    ("GET", "/api/v1/models"),
    ("GET", "/nowhere/x"),
    ("GET", "/admin/sessions"),
]


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("candidate", [True, False, False, True, False, False, False]),
        ("interviewer", [True, True, True, True, False, False, False]),
        ("service", [True, True, True, True, True, True, False]),
        ("admin", [True, True, True, True, True, True, True]),
    ],
)
def test_each_role_gets_in_where_the_table_says(
    secret: Gateway, role: str, allowed: list[bool]
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        credential = of(role)
        found = [await status(client, method, path, credential) for method, path in ROUTES]
        # 404: the service of that name is looked up before anybody is let in, and there is none.
        expected = [
            may or path == "/nowhere/x" for may, (_, path) in zip(allowed, ROUTES, strict=True)
        ]
        assert expected == [code not in (401, 403) for code in found], found

    told(secret, story)


def test_a_candidate_has_its_own_sessions_and_no_others(secret: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        made = await client.post("/api/sessions", json=NEW, headers=bearer(of("candidate", "anna")))
        assert made.status_code == 201
        client.cookies.clear()
        path = f"/api/sessions/{made.json()['session_id']}"
        for method, where in (("GET", path), ("POST", f"{path}/start"), ("POST", f"{path}/pass")):
            assert await status(client, method, where, of("candidate", "bert")) == 404, where
            assert await status(client, method, where, of("candidate", "anna")) == 200, where
        assert await status(client, "GET", path, of("interviewer", "carl")) == 200
        # One that was made for somebody else, and one that nobody has made.
        other = await client.post("/api/sessions", json=NEW, headers=bearer(of("service")))
        client.cookies.clear()
        theirs = f"/api/sessions/{other.json()['session_id']}"
        assert await status(client, "GET", theirs, of("candidate", "anna")) == 404
        assert await status(client, "GET", "/api/sessions/none", of("candidate", "anna")) == 404
        assert await status(client, "DELETE", path, of("candidate", "bert")) == 404
        assert await status(client, "DELETE", path, of("candidate", "anna")) == 204

    told(secret, story)


def test_an_idempotency_key_is_its_candidates_own(secret: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        async def made(subject: str, **more: Any) -> str:
            headers = bearer(of("candidate", subject, **more)) | {"idempotency-key": "1"}
            answer = await client.post("/api/sessions", json=NEW, headers=headers)
            client.cookies.clear()
            assert answer.status_code == 201
            session_id: str = answer.json()["session_id"]
            return session_id

        annas, berts = await made("anna"), await made("bert")
        assert berts != annas
        # A token that was renewed is the same candidate's.
        assert await made("anna", jti="another") == annas
        assert await status(client, "GET", f"/api/sessions/{berts}", of("candidate", "bert")) == 200
        assert await status(client, "GET", f"/api/sessions/{annas}", of("candidate", "bert")) == 404

    told(secret, story)


def test_a_token_for_one_session_opens_no_other_and_makes_none(secret: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        made = await client.post("/api/sessions", json=NEW, headers=bearer(of("service")))
        client.cookies.clear()
        session_id = made.json()["session_id"]
        bound = of("candidate", session_id=session_id)
        assert await status(client, "GET", f"/api/sessions/{session_id}", bound) == 200
        assert await status(client, "GET", "/api/sessions/other", bound) == 404
        assert await status(client, "POST", "/api/sessions", bound) == 403

    told(secret, story)


def test_a_refusal_tells_the_reason_to_people_and_programs(secret: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        for more, reason in (
            ({"now": 1}, "token_expired"),
            ({"aud": "others"}, "token_audience"),
            ({"role": "root"}, "token_role"),
        ):
            said = {"now": int(time.time())} | more
            answer = await client.get("/api/sessions", headers=bearer(token(**said)))
            assert refused(answer)[:2] == (401, "token_refused")
            assert answer.json()["reason"] == reason
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        denied = await client.get("/api/sessions", headers=bearer(of("candidate")))
        assert refused(denied) == (403, "access_denied", "This is not for the role candidate")
        assert refused(await client.get("/api/sessions"))[:2] == (401, "access_required")

    told(secret, story)


def test_an_admins_token_is_the_operators_key(secret: Gateway) -> None:
    secret.settings["admin_key"] = "operators-key-0001"

    async def story(client: httpx.AsyncClient) -> None:
        assert await status(client, "GET", "/admin/sessions", of("admin")) == 200
        assert await status(client, "GET", "/admin/sessions", "operators-key-0001") == 200
        assert await status(client, "GET", "/admin/sessions", of("service")) == 401
        assert await status(client, "GET", "/admin/sessions", of("admin", now=1)) == 401
        forwarded = {"x-forwarded-for": "203.0.113.9"}
        answer = await client.get("/metrics", headers=bearer(of("admin")) | forwarded)
        assert answer.status_code == 200

    told(secret, story)


# --- the same identities for WebSockets ----------------------------------------------------------


async def opened(gateway: Gateway, path: str, **options: Any) -> tuple[str, Any]:
    """The first message of a server, or the status and the words with which it refused."""
    url = f"ws://127.0.0.1:{gateway.port}{path}"
    first = options.pop("first", None)
    try:
        async with connect(url, compression=None, **options) as socket:
            if first is not None:
                await socket.send(first)
            said = json.loads(await asyncio.wait_for(socket.recv(), 20))
            return said["type"], said
    except InvalidStatus as refusal:
        return str(refusal.response.status_code), (refusal.response.body or b"").decode()


def hello(ticket: str | None = None) -> str:
    return json.dumps(
        {"type": "hello", "version": 1, "avatar": "off", **({"ticket": ticket} if ticket else {})}
    )


def test_a_token_opens_a_websocket_in_the_handshake_or_in_hello(secret: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        anna, bert = of("candidate", "anna"), of("candidate", "bert")
        headers = bearer(anna)
        kind, _ = await opened(secret, "/ws/a", additional_headers=headers, first=hello())
        assert kind == "ready"
        kind, _ = await opened(secret, "/ws/a", first=hello(anna))
        assert kind == "ready", "its own, again"
        kind, said = await opened(secret, "/ws/a", first=hello(bert))
        assert (kind, said["code"]) == ("error", "bad_ticket")
        kind, _ = await opened(secret, "/ws/a", additional_headers=bearer(bert), first=hello())
        assert kind == "401"
        kind, _ = await opened(secret, "/ws/b", first=hello(bert))
        assert kind == "ready"
        kind, words = await opened(
            secret, "/ws/c", additional_headers=bearer(of("service", now=1)), first=hello()
        )
        assert (kind, words[:13]) == ("401", "token_expired")
        kind, said = await opened(secret, "/ws/c", first=hello(of("service", aud="x")))
        assert (kind, said["code"]) == ("error", "bad_ticket")
        assert said["message"].startswith("token_audience")
        long = of("service", groups="x" * 5_900)
        assert 8_100 < len(long) <= LONGEST_TOKEN
        kind, _ = await opened(secret, "/ws/d", first=hello(long))
        assert kind == "ready"

    told(secret, story)


def test_a_candidate_owns_the_session_that_it_begins_over_rtvi(secret: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        anna, bert = of("candidate", "anna"), of("candidate", "bert")
        async with rtvi_client(secret.port, additional_headers=bearer(anna)) as talk:
            await talk.ready()
            session_id = talk.messages[1]["data"]["d"]["session_id"]
        path = f"/api/sessions/{session_id}"
        found = [await status(client, "GET", path, one) for one in (bert, anna)]
        assert found == [404, 200]
        again = f"/ws-client/{session_id}"
        async with rtvi_client(secret.port, again, additional_headers=bearer(bert)) as talk:
            assert (await talk.closed())[0] == 4003
        async with rtvi_client(secret.port, again, additional_headers=bearer(anna)) as talk:
            await talk.ready()

    told(secret, story)


@pytest.mark.slow
def test_the_realtime_api_takes_tokens_of_those_who_have_every_session(secret: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        path = "/v1/realtime?model=gpt-realtime"
        kind, _ = await opened(secret, path, additional_headers=bearer(of("service")))
        assert kind == "session.created"
        kind, _ = await opened(secret, path, additional_headers=bearer(of("candidate")))
        assert kind == "401"
        kind, words = await opened(secret, path, additional_headers=bearer(of("service", now=1)))
        assert (kind, json.loads(words)["error"]["code"]) == ("401", "token_expired")
        body = {"session": {"type": "realtime", "model": "mine"}}
        for role, expected in (("service", 200), ("candidate", 401)):
            answer = await client.post(
                "/v1/realtime/client_secrets", json=body, headers=bearer(of(role))
            )
            assert answer.status_code == expected

    told(secret, story)


@pytest.mark.slow
def test_the_live_api_takes_the_same_and_nobody_else(secret: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        path = "/v1/live/sessions"
        expected = {"": "invalid_api_key", "any-key-at-all": "invalid_api_key"}
        expected |= {of("candidate"): "invalid_api_key", of("service", now=1): "token_expired"}
        for given, code in expected.items():
            kind, words = await opened(secret, path, additional_headers=bearer(given))
            assert (kind, json.loads(words)["error"]["code"]) == ("401", code)
        url = f"ws://127.0.0.1:{secret.port}{path}"
        async with connect(url, additional_headers=bearer(of("service")), compression=None):
            pass

    told(secret, story)


@pytest.mark.slow
def test_an_offer_is_answered_for_the_sessions_candidate_alone(secret: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        made = await client.post("/api/sessions", json=NEW, headers=bearer(of("candidate", "anna")))
        client.cookies.clear()
        where = f"/webrtc/{made.json()['session_id']}"
        found = {}
        for subject in ("anna", "bert"):
            headers = bearer(of("candidate", subject)) | {"content-type": "application/sdp"}
            answer = await client.post(where, content="v=0", headers=headers)
            found[subject] = refused(answer)[1]
        assert found == {"anna": "invalid_offer", "bert": "no_such_session"}

    told(secret, story)


# --- services behind the gateway -----------------------------------------------------------------


def test_a_service_is_for_the_roles_that_are_named_and_gets_its_own_tokens(secret: Gateway) -> None:
    stub = StubService()
    folder = secret.settings["data_dir"]
    secret.settings |= {
        "services": services_file(folder, {"name": "one", "port": stub.port}),
        "service_roles": "candidate,service",
        "api_keys": "a-key-of-ours",
    }

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            for role, expected in (("candidate", 200), ("interviewer", 403), ("admin", 200)):
                assert await status(client, "GET", "/one/x", of(role)) == expected, role
            made = await client.post("/api/sessions", json=NEW, headers=bearer(of("service")))
            client.cookies.clear()
            held = made.json()["access"]["value"]
            assert await status(client, "GET", "/one/x", held) == 403, (
                "a pass opens a session alone"
            )
            theirs = token(secret_of_the_service, now=1)
            assert await status(client, "GET", "/one/x", theirs) == 401
            stub.seen.clear()
            both = bearer(theirs) | {"x-api-key": "a-key-of-ours"}
            assert (await client.get("/one/x", headers=both)).status_code == 200
            assert stub.seen[0].all("authorization") == [f"Bearer {theirs}"]
            assert stub.seen[0].all("x-api-key") == []

    secret_of_the_service = "what-only-the-service-knows-of-it"
    told(secret, story)


# --- an identity provider ------------------------------------------------------------------------


@pytest.mark.slow
def test_keys_of_a_provider_are_rotated_without_a_restart(
    federated: Gateway, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.security.tokens.PAUSE_S", 0.0)

    async def story(client: httpx.AsyncClient) -> None:
        now = int(time.time())
        old = token(rsa_key(), "RS256", "one", now=now)
        new = token(ec_key(), "ES256", "two", now=now)
        assert await status(client, "GET", "/api/sessions", old) == 200
        assert await status(client, "GET", "/api/sessions", new) == 401
        provider.document = key_set(shown(rsa_key(), "one"), shown(ec_key(), "two"))
        assert await status(client, "GET", "/api/sessions", new) == 200
        assert await status(client, "GET", "/api/sessions", old) == 200
        provider.status = 500
        assert await status(client, "GET", "/api/sessions", old) == 200

    told(federated, story)


def test_an_unreachable_provider_is_503_and_says_when_to_try_again(
    federated: Gateway, provider: Provider
) -> None:
    provider.status = 500

    async def story(client: httpx.AsyncClient) -> None:
        given = token(rsa_key(), "RS256", "one", now=int(time.time()))
        answer = await client.get("/api/sessions", headers=bearer(given))
        assert refused(answer)[:2] == (503, "token_keys_unavailable")
        assert answer.headers["retry-after"] == "5"
        kind, _ = await opened(federated, "/ws/a", additional_headers=bearer(given))
        assert kind == "503"
        assert (await client.get("/health/live")).status_code == 200

    told(federated, story)


@pytest.mark.slow
def test_many_unknown_keys_are_asked_for_once(federated: Gateway, provider: Provider) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        now = int(time.time())
        given = [token(rsa_key("two"), "RS256", f"k{n}", now=now) for n in range(40)]
        found = await asyncio.gather(
            *(client.get("/api/sessions", headers=bearer(each)) for each in given)
        )
        assert {answer.json()["reason"] for answer in found} == {"token_key_unknown"}
        assert provider.asked == 1

    told(federated, story)


# --- keys in the store ---------------------------------------------------------------------------


def test_a_stored_key_holds_until_it_is_revoked(gateway: Gateway) -> None:
    gateway.settings["access"] = "required"

    async def story(client: httpx.AsyncClient) -> None:
        store = gateway.app.state.runtime.store
        assert await status(client, "GET", "/api/sessions", "any-key-at-all") == 401
        key, made = await create_key(store, "a", ClientRole.INTERVIEWER, now=time.time())
        admin, _ = await create_key(store, "b", ClientRole.ADMIN, now=time.time())
        short, _ = await create_key(
            store, "c", ClientRole.SERVICE, now=time.time() - 60, lifetime_s=30
        )
        assert await status(client, "GET", "/api/sessions", key) == 200
        assert await status(client, "GET", "/api/v1/models", key) == 403
        assert await status(client, "GET", "/admin/sessions", admin) == 200
        assert await status(client, "GET", "/admin/sessions", key) == 403
        assert await status(client, "GET", "/api/sessions", short) == 401
        kind, _ = await opened(gateway, "/ws/a", additional_headers=bearer(key), first=hello())
        assert kind == "ready"
        await revoke_key(store, made.id)
        assert await status(client, "GET", "/api/sessions", key) == 401
        kind, _ = await opened(gateway, "/ws/b", additional_headers=bearer(key), first=hello())
        assert kind == "401"

    told(gateway, story)


def test_the_keys_of_the_settings_stay_what_they_were(gateway: Gateway) -> None:
    gateway.settings["api_keys"] = "a-key-of-ours"

    async def story(client: httpx.AsyncClient) -> None:
        for method, path in ROUTES[:5]:
            found = await status(client, method, path, "a-key-of-ours")
            assert found not in (401, 403), path
        assert await status(client, "GET", "/admin/sessions", "a-key-of-ours") == 403

    told(gateway, story)
