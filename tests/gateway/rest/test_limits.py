"""Limits over HTTP and at the handshake of a WebSocket, against a real server."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.requests import HTTPConnection, Request
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import InvalidStatus

from gateway.limits.counting import MemoryCounting
from gateway.limits.limiter import Limiter, LimitRules, LimitsUnavailable
from gateway.limits.token_counting import MemoryTokens
from gateway.limits.token_limiter import TokenLimiter, TokenQuotaRules
from gateway.limits.token_quotas import TokenVerdict
from gateway.rates import Rate
from gateway.rest.limits import HttpLimits
from gateway.rest.limits_admin import AdminLimits, limits_operation
from gateway.rest.operator_access import OperatorAccess
from gateway.rest.problems import Problem
from gateway.store import StoreUnavailable
from pipeline.testing import run_virtual
from tests.support.gateway import Gateway
from tests.support.rest import refused
from tests.support.served import free_port
from tests.support.stub_services import StubService, services_file
from tests.support.tokens import AUDIENCE, ISSUER, SECRET, token

KEY, OTHER = "a-key-of-ours", "another-key"
OPERATOR = "operators-key-0001"
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


@pytest.mark.slow
def test_the_tokens_of_one_subject_count_as_one(gateway: Gateway) -> None:
    gateway.settings |= {"jwt_secret": SECRET, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    gateway.settings["limit_key"] = "2/h"

    async def story(client: httpx.AsyncClient) -> None:
        async def status(subject: str, number: int) -> int:
            given = token(now=int(time.time()), sub=subject, jti=f"{number}")
            return (await client.get("/api/sessions", headers=bearer(given))).status_code

        assert [await status("anna", number) for number in range(3)] == [200, 200, 429]
        assert await status("bert", 4) == 200

    told(gateway, story)


def test_an_address_of_ipv6_is_counted_by_its_network() -> None:
    limits = HttpLimits(Limiter(LimitRules(address=Rate(3600.0, 2)), MemoryCounting()))

    async def passes(client: str) -> bool:
        scope = {"type": "http", "method": "GET", "client": (client, 1)}
        with suppress(Problem):
            await limits.address(HTTPConnection(scope))
            return True
        return False

    async def main() -> None:
        assert [await passes(f"2001:db8::{n}") for n in range(3)] == [True, True, False]
        assert await passes("2001:db8:0:1::1")
        assert [await passes("203.0.113.9") for _ in range(3)] == [True, True, False]
        assert await passes("203.0.113.8")

    run_virtual(main())


def test_a_client_secret_counts_as_the_key_that_made_it(gateway: Gateway) -> None:
    gateway.settings |= {"api_keys": f"{KEY},{OTHER}", "quota_day": 6}

    async def story(client: httpx.AsyncClient) -> None:
        async def asked(path: str, key: str) -> httpx.Response:
            headers = bearer(key) | {"content-type": "application/sdp"}
            return await client.post(f"/v1/realtime/{path}", content="v=0", headers=headers)

        async def secret(key: str = KEY) -> httpx.Response:
            return await client.post(
                "/v1/realtime/client_secrets",
                json={"session": {"type": "realtime", "model": "mine"}},
                headers=bearer(key),
            )

        first, second = [(await secret()).json()["value"] for _ in range(2)]
        for key in (first, second, KEY):
            assert (await asked("calls?model=mine", key)).status_code == 400
        assert (await asked("calls/rtc_x/hangup", first)).status_code == 404
        refusals = [
            await asked("calls?model=mine", first),
            await asked("calls?model=mine", KEY),
            await asked("calls/rtc_x/hangup", second),
            await secret(),
        ]
        assert [answer.status_code for answer in refusals] == [429] * 4
        assert {answer.json()["error"]["code"] for answer in refusals} == {"quota_used"}
        assert int(refusals[0].headers["retry-after"]) > 0
        assert (await secret(OTHER)).status_code == 200

    told(gateway, story)


def test_an_offer_of_rtvi_is_counted(gateway: Gateway) -> None:
    gateway.settings |= {"api_keys": f"{KEY},{OTHER}", "limit_key": "3/h"}
    offer = {"sdp": "v=0", "type": "offer", "pc_id": None, "restart_pc": False}

    async def story(client: httpx.AsyncClient) -> None:
        async def status(key: str, session: str = "a") -> int:
            path = f"/sessions/{session}/api/offer"
            return (await client.post(path, json=offer, headers=bearer(key))).status_code

        assert [await status(KEY) for _ in range(4)] == [400] * 3 + [429]
        assert await status(OTHER) == 400

    told(gateway, story)


def test_the_operator_sees_the_limits_and_what_they_refused(gateway: Gateway) -> None:
    gateway.settings |= {
        "api_keys": KEY,
        "limit_key": "2/h",
        "limit_address": "600/min",
        "quota_day": 9,
        "tokens_day": 24,
        "tokens_session": 12,
        "admin_key": SecretStr(OPERATOR),
    }

    async def story(client: httpx.AsyncClient) -> None:
        found = [await client.get("/api/sessions", headers=bearer(KEY)) for _ in range(4)]
        assert [answer.status_code for answer in found] == [200, 200, 429, 429]
        assert (await client.get("/admin/limits", headers=bearer(KEY))).status_code == 401
        told = (await client.get("/admin/limits", headers=bearer(OPERATOR))).json()
        assert told == {
            "limits": [
                {"policy": "address", "most": 600, "window_s": 60, "refused": 0},
                {"policy": "key", "most": 2, "window_s": 3600, "refused": 2},
                {"policy": "day", "most": 9, "window_s": 86400, "refused": 0},
                {"policy": "tokens-day", "most": 24, "window_s": 86400, "refused": 0},
                {"policy": "tokens-session", "most": 12, "window_s": 86400, "refused": 0},
            ],
            "counting": True,
        }

    told(gateway, story)


async def shown_limits(tokens: TokenLimiter) -> dict[str, Any]:
    """What `GET /admin/limits` tells where tokens alone are limited."""
    operation = limits_operation(None, tokens, OperatorAccess(SecretStr(OPERATOR)))
    answer = await operation.handler(Request({"type": "http"}))
    assert isinstance(answer, AdminLimits)
    return answer.model_dump()


def test_the_operator_sees_quotas_of_tokens_without_any_limit_of_requests() -> None:
    tokens = TokenLimiter(TokenQuotaRules(day=10, month=20), MemoryTokens())

    async def main() -> None:
        await tokens.end(await tokens.begin("a", "", 1), 10)
        for _ in range(2):
            await tokens.begin("a", "", 1)
        found = await shown_limits(tokens)
        assert [(one["policy"], one["most"], one["refused"]) for one in found["limits"]] == [
            ("tokens-day", 10, 2),
            ("tokens-month", 20, 0),
        ]
        assert found["limits"][1]["window_s"] in [days * 86_400 for days in (28, 29, 30, 31)]
        assert found["counting"]

    run_virtual(main())


def test_the_operator_is_told_that_tokens_cannot_be_counted() -> None:
    class Away(MemoryTokens):
        async def begin(self, *given: object) -> tuple[TokenVerdict, ...]:
            raise StoreUnavailable("Redis cannot be reached")

    tokens = TokenLimiter(TokenQuotaRules(day=10), Away())

    async def main() -> None:
        with suppress(LimitsUnavailable):
            await tokens.begin("a", "", 1)
        found = await shown_limits(tokens)
        assert not found["counting"]

    run_virtual(main())


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


@pytest.mark.parametrize(
    ("limited", "key", "statuses"),
    [("limit_key", KEY, [101, 101, 429]), ("limit_address", "wrong-key", [401, 401, 429])],
    ids=["by its key", "by its address"],
)
def test_the_websockets_of_services_are_counted(
    gateway: Gateway, limited: str, key: str, statuses: list[int]
) -> None:
    port = free_port()
    file = services_file(gateway.settings["data_dir"], {"name": "one", "port": port})
    gateway.settings |= {"api_keys": f"{KEY},{OTHER}", "services": file, limited: "2/h"}

    async def handshake() -> int:
        url = f"ws://127.0.0.1:{gateway.port}/one/x"
        try:
            async with connect(url, additional_headers=bearer(key), proxy=None):
                return 101
        except InvalidStatus as refusal:
            return refusal.response.status_code

    async def story(client: httpx.AsyncClient) -> None:
        async with serve(lambda socket: socket.wait_closed(), "127.0.0.1", port):
            assert [await handshake() for _ in statuses] == statuses

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
