"""WebRTC's way in over HTTP: who may come in, pages of other origins, and its description."""

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from tests.support.rest import refused

SDP = {"content-type": "application/sdp"}
FRAGMENT = {"content-type": "application/trickle-ice-sdpfrag"}
TOKEN = "a-secret~of/ours="
PAGE = "http://localhost:3000"


def served(gateway: Any, story: Any) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}") as client:
            await story(client)

    gateway.run(main)


REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/webrtc/x", {"content": "v=0", "headers": SDP}),
    ("PATCH", "/webrtc/x/p", {"content": "a=x", "headers": FRAGMENT}),
    ("DELETE", "/webrtc/x/p", {"headers": {}}),
    ("GET", "/webrtc/x/p", {"headers": {}}),
    ("POST", "/api/offer", {"json": {"sdp": "v=0", "type": "offer"}, "headers": {}}),
    ("POST", "/api/offer", {"content": b"{", "headers": {"content-type": "application/json"}}),
]


@pytest.mark.parametrize(
    ("given", "challenge"),
    [
        (None, 'Bearer realm="parley"'),
        ("Bearer", 'Bearer realm="parley"'),
        ("Basic YTpi", 'Bearer realm="parley"'),
        ("Bearer another", 'Bearer realm="parley", error="invalid_token"'),
        (f"Bearer {TOKEN}x", 'Bearer realm="parley", error="invalid_token"'),
        ("Bearer é", 'Bearer realm="parley", error="invalid_token"'),
    ],
)
def test_a_client_without_the_token_is_refused(
    gateway: Any, given: str | None, challenge: str
) -> None:
    gateway.settings["webrtc_token"] = SecretStr(TOKEN)

    async def story(client: httpx.AsyncClient) -> None:
        for method, path, rest in REQUESTS:
            headers = dict(rest["headers"])
            if given is not None:
                headers["authorization"] = given.encode()
            answer = await client.request(method, path, **rest | {"headers": headers})
            assert refused(answer)[:2] == (401, "token_required")
            assert answer.headers["www-authenticate"] == challenge
        assert (await client.options("/webrtc/x")).status_code == 204

    served(gateway, story)


@pytest.mark.parametrize("settings", [{}, {"webrtc_token": SecretStr(TOKEN)}])
def test_a_client_with_the_token_is_accepted_and_any_client_without_a_setting(
    gateway: Any, settings: dict[str, Any]
) -> None:
    gateway.settings |= settings

    async def story(client: httpx.AsyncClient) -> None:
        seen = []
        for method, path, rest in REQUESTS:
            headers = rest["headers"] | {"authorization": f"bearer  {TOKEN}"}
            answer = await client.request(method, path, **rest | {"headers": headers})
            seen.append(answer.json()["code"])
        one = "no_such_peer"
        assert seen == ["invalid_offer", one, one, one, "invalid_offer", "invalid_json"]

    served(gateway, story)


def test_a_page_of_another_origin_may_connect_and_trickle(gateway: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        for method, path in (("POST", "/webrtc/x"), ("PATCH", "/webrtc/x/p"), ("DELETE", "/w")):
            asked = {
                "origin": PAGE,
                "access-control-request-method": method,
                "access-control-request-headers": "authorization,content-type,if-match",
            }
            answer = await client.options(path, headers=asked)
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == PAGE
        answer = await client.post("/webrtc/x", content="v=0", headers=SDP | {"origin": PAGE})
        shown = answer.headers["access-control-expose-headers"].split(", ")
        assert {"Location", "Link", "ETag"} <= {*shown}
        other = {"origin": "http://evil.example", "access-control-request-method": "PATCH"}
        assert refused(await client.options("/webrtc/x/p", headers=other))[0] == 400

    served(gateway, story)


def test_the_accepted_types_are_in_the_headers(gateway: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        for method in ("OPTIONS", "GET"):
            answer = await client.request(method, "/webrtc/x")
            assert (answer.status_code, answer.content) == (204, b"")
            assert answer.headers["accept-post"] == "application/sdp"
        assert refused(await client.get("/webrtc/x/nobody"))[:2] == (404, "no_such_peer")

    served(gateway, story)


def test_it_is_described(gateway: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        paths = (await client.get("/openapi.json")).json()["paths"]
        made = paths["/webrtc/{id}"]["post"]
        assert [*made["requestBody"]["content"]] == ["application/sdp"]
        assert [*made["responses"]["201"]["content"]] == ["application/sdp"]
        assert {"Location", "Link"} < {*made["responses"]["201"]["headers"]}
        assert {"400", "401", "413", "415", "422", "503"} < {*made["responses"]}
        one = paths["/webrtc/{id}/{peer}"]
        assert {"patch", "delete", "options", "get"} == {*one}
        assert [*one["patch"]["requestBody"]["content"]] == ["application/trickle-ice-sdpfrag"]

    served(gateway, story)
