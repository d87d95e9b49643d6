"""Limits over HTTP and at the handshake of a WebSocket, against a real server."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.store import StoreUnavailable
from tests.support.gateway import Gateway
from tests.support.rest import refused
from tests.support.stub_services import StubService, services_file

KEY, OTHER = "a-key-of-ours", "another-key"
NEW = {"role": "Data Analyst"}
Story = Callable[[httpx.AsyncClient], Awaitable[None]]


def told(gateway: Gateway, story: Story) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=20) as client:
            await story(client)

    gateway.run(main)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_each_key_has_its_rate_and_answers_say_what_is_left(gateway: Gateway) -> None:
    gateway.settings |= {"api_keys": f"{KEY},{OTHER}", "limit_key": "3/h"}

    async def story(client: httpx.AsyncClient) -> None:
        found = [await client.get("/api/sessions", headers=bearer(KEY)) for _ in range(4)]
        assert [answer.status_code for answer in found] == [200] * 3 + [429]
        assert [answer.headers["ratelimit-policy"] for answer in found] == ['"key";q=3;w=3600'] * 4
        left = [answer.headers["ratelimit"].rpartition(";")[0] for answer in found]
        assert left == ['"key";r=2', '"key";r=1', '"key";r=0', '"key";r=0']
        assert refused(found[3])[:2] == (429, "too_many_requests")
        assert 1100 < int(found[3].headers["retry-after"]) <= 1200
        assert (await client.get("/api/sessions", headers=bearer(OTHER))).status_code == 200
        assert (await client.get("/api/sessions")).status_code == 401
        health = await client.get("/health/live")
        assert health.status_code == 200
        assert "ratelimit" not in health.headers

    told(gateway, story)


def test_a_days_quota_counts_what_changes_something(gateway: Gateway) -> None:
    gateway.settings |= {"api_keys": KEY, "quota_day": 2}

    async def story(client: httpx.AsyncClient) -> None:
        async def post() -> httpx.Response:
            answer = await client.post("/api/sessions", json=NEW, headers=bearer(KEY))
            client.cookies.clear()
            return answer

        assert [(await post()).status_code for _ in range(2)] == [201, 201]
        over = await post()
        assert refused(over) == (429, "quota_used", "2 in a day (UTC)")
        assert over.headers["ratelimit-policy"] == '"day";q=2;w=86400'
        assert 0 < int(over.headers["retry-after"]) <= 86400
        assert (await client.get("/api/sessions", headers=bearer(KEY))).status_code == 200

    told(gateway, story)


def test_an_address_is_counted_before_anybody_is_looked_up(gateway: Gateway) -> None:
    gateway.settings |= {"api_keys": KEY, "limit_address": "3/h"}

    async def story(client: httpx.AsyncClient) -> None:
        wrong = [await client.get("/api/sessions", headers=bearer("wrong-key")) for _ in range(3)]
        assert [answer.status_code for answer in wrong] == [401] * 3
        right = await client.get("/api/sessions", headers=bearer(KEY))
        assert refused(right)[:2] == (429, "too_many_requests")
        # The handshakes of WebSockets, and endpoints with a dialect of their own, are counted too.
        for path in ("/ws/a", "/v1/realtime?model=mine"):
            with pytest.raises(InvalidStatus) as turned_away:
                async with connect(
                    f"ws://127.0.0.1:{gateway.port}{path}", additional_headers=bearer(KEY)
                ):
                    pass
            assert turned_away.value.response.status_code == 429
            assert int(turned_away.value.response.headers["retry-after"]) > 1000
        secret = await client.post("/v1/realtime/client_secrets", headers=bearer(KEY))
        assert secret.status_code == 429

    told(gateway, story)


def test_without_keys_addresses_are_limited_all_the_same(gateway: Gateway) -> None:
    gateway.settings["limit_address"] = "2/h"

    async def story(client: httpx.AsyncClient) -> None:
        found = [(await client.get("/api/sessions")).status_code for _ in range(3)]
        assert found == [200, 200, 429]

    told(gateway, story)


def test_a_service_is_limited_for_all_clients_together(gateway: Gateway) -> None:
    stub = StubService()
    services = [{"name": name, "port": stub.port} for name in ("one", "two")]
    file = services_file(gateway.settings["data_dir"], *services)
    gateway.settings |= {"api_keys": f"{KEY},{OTHER}", "limit_service": "2/h", "services": file}

    async def story(client: httpx.AsyncClient) -> None:
        async with stub.running():
            found = [await client.get("/one/x", headers=bearer(key)) for key in (KEY, OTHER, KEY)]
            assert [answer.status_code for answer in found] == [200, 200, 429]
            assert found[0].headers["ratelimit-policy"] == '"service";q=2;w=3600'
            assert refused(found[2])[1] == "too_many_requests"
            assert (await client.get("/two/x", headers=bearer(KEY))).status_code == 200
        assert len(stub.seen) == 3

    told(gateway, story)


def test_when_nothing_can_be_counted_reads_go_on_and_quotas_do_not(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.settings |= {"api_keys": KEY, "quota_day": 5, "limit_key": "5/h"}

    async def away(*_: object) -> None:
        await asyncio.sleep(0)
        raise StoreUnavailable("Redis cannot be reached")

    monkeypatch.setattr("gateway.limits.counting.MemoryCounting.count", away)

    async def story(client: httpx.AsyncClient) -> None:
        assert (await client.get("/api/sessions", headers=bearer(KEY))).status_code == 200
        answer = await client.post("/api/sessions", json=NEW, headers=bearer(KEY))
        assert refused(answer)[:2] == (503, "limits_unavailable")
        assert answer.headers["retry-after"] == "5"

    told(gateway, story)
