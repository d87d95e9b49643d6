"""OpenAI's Realtime API over HTTP: the pages that may use it, and a store that fails."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.support.gateway import Gateway

CALLS = "/v1/realtime/calls"
PAGE = "http://localhost:3000"
FORM: dict[str, Any] = {"files": {"sdp": (None, "v=0"), "session": (None, '{"model": "x"}')}}
"""Browsers send a form to another site without a preflight request."""


def served(gateway: Gateway, story: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}") as client:
            await story(client)

    gateway.run(main)


@pytest.mark.parametrize(("path", "form"), [(CALLS, FORM), (f"{CALLS}/rtc_x/hangup", {})])
@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
def test_a_page_of_another_site_can_neither_make_nor_end_calls(
    gateway: Gateway, path: str, form: dict[str, Any], origin: str
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.post(path, **form, headers={"origin": origin})
        assert answer.status_code == 403
        assert answer.json()["error"] == {
            "type": "invalid_request_error",
            "code": "origin_not_allowed",
            "message": "This page may not make calls;"
            " PARLEY_CORS_ORIGINS names the pages that may.",
            "param": None,
        }

    served(gateway, story)


def test_the_gateways_own_pages_and_those_of_the_settings_may_make_calls(gateway: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        for origin in (PAGE, f"http://127.0.0.1:{gateway.port}"):
            answer = await client.post(CALLS, **FORM, headers={"origin": origin})
            assert answer.json()["error"]["code"] == "invalid_offer"

    served(gateway, story)


def test_a_store_that_fails_is_an_error_of_that_api(gateway: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        await gateway.app.state.runtime.store.aclose()
        secret = {"authorization": "Bearer ek_x"}
        answer = await client.post(CALLS, **FORM, headers=secret)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        error = answer.json()["error"]
        assert (error["type"], error["code"]) == ("server_error", "store_unavailable")

    served(gateway, story)
