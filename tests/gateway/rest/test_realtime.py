"""The HTTP side of OpenAI's Realtime API: its requests, and its errors in that API's form."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.support.gateway import Gateway

CALLS = "/v1/realtime/calls"
SECRETS = "/v1/realtime/client_secrets"
SDP = {"content-type": "application/sdp"}
KEY = {"authorization": "Bearer a-key-of-ours"}


def told(gateway: Gateway, story: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(base_url=gateway.url) as client:
            await story(client)

    gateway.run(main)


def refused(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and parameter of that API's error object, whose form is checked."""
    [(name, error)] = answer.json().items()
    assert name == "error"
    assert error.keys() == {"type", "code", "message", "param"}
    assert error["message"]
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, error["code"], error["param"]


REFUSED: list[tuple[dict[str, Any], tuple[int, str, str | None]]] = [
    ({"content": "v=0", "headers": SDP}, (400, "missing_required_parameter", "model")),
    (
        {"content": "v=0", "headers": SDP, "params": {"model": "x"}},
        (400, "invalid_offer", "sdp"),
    ),
    (
        {"content": b"\xff", "headers": SDP, "params": {"model": "x"}},
        (400, "invalid_offer", "sdp"),
    ),
    (
        {"content": "v=0" * 100_000, "headers": SDP, "params": {"model": "x"}},
        (413, "body_too_large", None),
    ),
    ({"json": {"sdp": "v=0"}}, (415, "unsupported_media_type", None)),
    ({}, (415, "unsupported_media_type", None)),
    (
        {"content": b"--x", "headers": {"content-type": "multipart/form-data"}},
        (400, "invalid_form", None),
    ),
    (
        {"files": {"session": (None, '{"model": "x"}')}},
        (400, "missing_required_parameter", "sdp"),
    ),
    (
        {"files": {"sdp": (None, "v=0"), "session": (None, "{")}},
        (400, "invalid_json", None),
    ),
    (
        {"files": {"sdp": (None, "v=0"), "session": (None, "[]")}},
        (400, "invalid_json", None),
    ),
    (
        {"files": {"sdp": (None, "v=0"), "session": (None, '{"model": "x", "tools": 5}')}},
        (400, "invalid_value", "session.tools"),
    ),
    (
        {"files": {"sdp": ("offer.sdp", "v=0"), "session": ("s.json", '{"model": "x"}')}},
        (400, "invalid_offer", "sdp"),
    ),
    (
        {
            "content": "v=0",
            "headers": SDP,
            "params": {"model": "interview", "session_id": "../x"},
        },
        (400, "invalid_value", "session_id"),
    ),
]


@pytest.mark.parametrize(("request_", "wanted"), REFUSED)
def test_a_call_that_cannot_be_is_refused(
    gateway: Gateway, request_: dict[str, Any], wanted: tuple[int, str, str | None]
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        assert refused(await client.post(CALLS, **request_)) == wanted

    told(gateway, story)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CALLS, {"content": "v=0", "headers": SDP}),
        (f"{CALLS}/rtc_x/hangup", {}),
        (SECRETS, {"json": {"session": {"type": "realtime", "model": "x"}}}),
    ],
)
def test_nothing_is_done_without_a_key(gateway: Gateway, path: str, body: dict[str, Any]) -> None:
    gateway.settings["api_keys"] = "a-key-of-ours"

    async def story(client: httpx.AsyncClient) -> None:
        for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer ek_x"}):
            headers = {**body.get("headers", {}), **given}
            answer = await client.post(path, **{**body, "headers": headers})
            assert refused(answer) == (401, "invalid_api_key", None)
        headers = {**body.get("headers", {}), **KEY}
        assert (await client.post(path, **{**body, "headers": headers})).status_code != 401

    told(gateway, story)


def test_where_there_are_no_keys_the_token_of_webrtc_guards_the_calls(gateway: Gateway) -> None:
    gateway.settings["webrtc_token"] = "the,token"

    async def story(client: httpx.AsyncClient) -> None:
        body = {"session": {"model": "x"}}
        for headers in ({}, KEY):
            answer = await client.post(SECRETS, json=body, headers=headers)
            assert refused(answer) == (401, "invalid_api_key", None)
            answer = await client.post(CALLS, content="v=0", headers={**SDP, **headers})
            assert refused(answer) == (401, "invalid_api_key", None)
        token = {"authorization": "Bearer the,token"}
        assert (await client.post(SECRETS, json=body, headers=token)).status_code == 200

    told(gateway, story)


def test_a_call_that_is_not_there_cannot_be_hung_up(gateway: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        for call in ("rtc_x", "x"):
            answer = await client.post(f"{CALLS}/{call}/hangup")
            assert refused(answer) == (404, "call_id_not_found", "call_id")

    told(gateway, story)


def test_no_call_is_answered_without_a_place(gateway: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        gateway.app.state.runtime.live.draining = True
        answer = await client.post(CALLS, content="v=0", headers=SDP, params={"model": "x"})
        assert refused(answer) == (503, "no_place", None)
        assert answer.headers["retry-after"] == "5"
        gateway.app.state.runtime.live.draining = False

    told(gateway, story)


def test_a_secret_is_made_for_a_session(gateway: Gateway) -> None:
    gateway.settings["api_keys"] = "a-key-of-ours"

    async def story(client: httpx.AsyncClient) -> None:
        session = {"type": "realtime", "model": "mine", "audio": {"output": {"voice": "anna"}}}
        answer = await client.post(SECRETS, json={"session": session}, headers=KEY)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        made = answer.json()
        assert made.keys() == {"value", "expires_at", "session"}
        assert made["value"].startswith("ek_")
        assert made["session"]["id"].startswith("sess_")
        assert made["session"]["audio"]["output"]["voice"] == "anna"
        assert made["session"]["audio"]["input"]["turn_detection"]["type"] == "server_vad"

    told(gateway, story)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, (400, "missing_required_parameter", "model")),
        ({"session": {"model": "x", "type": "dictation"}}, (400, "invalid_value", "session.type")),
        ({"session": 5}, (400, "invalid_value", "session")),
        (
            {"session": {"model": "x"}, "expires_after": {"seconds": 9}},
            (400, "invalid_value", "expires_after.seconds"),
        ),
        (
            {"session": {"model": "x"}, "expires_after": {"seconds": 7201}},
            (400, "invalid_value", "expires_after.seconds"),
        ),
        (
            {"session": {"model": "x"}, "expires_after": {"anchor": "now", "seconds": 60}},
            (400, "invalid_value", "expires_after.anchor"),
        ),
    ],
)
def test_a_secret_for_no_session_is_refused(
    gateway: Gateway, body: dict[str, Any], wanted: tuple[int, str, str | None]
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        assert refused(await client.post(SECRETS, json=body)) == wanted

    told(gateway, story)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_secret_wants_json(gateway: Gateway, content: bytes) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        headers = {"content-type": "application/json"}
        answer = await client.post(SECRETS, content=content, headers=headers)
        assert refused(answer) == (400, "invalid_json", None)

    told(gateway, story)


def test_these_requests_are_not_in_the_description_of_the_api(gateway: Gateway) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        paths = (await client.get("/openapi.json")).json()["paths"]
        assert not [path for path in paths if path.startswith("/v1/realtime")]

    told(gateway, story)
